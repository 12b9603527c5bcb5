#!/usr/bin/env bats
# SPDX-License-Identifier: MIT
#
# An image that does not answer holds up its own readers and writers, and nobody else's. The image is
# paused, and not just delayed: what must not wait for it is done while it stands still.

# shellcheck source-path=SCRIPTDIR source=../lib/common.bash
source "$BATS_TEST_DIRNAME/../lib/common.bash"
# shellcheck source-path=SCRIPTDIR source=../lib/nbd.bash
source "$BATS_TEST_DIRNAME/../lib/nbd.bash"

clients=100
stride=262144 # further apart than the kernel reads around a page fault
page=$((26 << 20)) # where a hundred slices overlap

setup() {
	nbd_setup
	nbd_serve slow 27M
	make_image "$temp/fast.raw" 8M
	{
		cat <<-END
			image  slow  slow.nbd/slow  rw
			image  fast  fast.raw       rw
			slice  fast   fast    77  4000003  rw
			slice  alias  fast    5M       2M  rw
			slice  twin   fast    5M       2M  rw
		END
		for ((i = 0; i < clients; i++)); do
			echo "slice slow/$i slow $((1 + i * stride)) 200003 rw"
			echo "slice page/$i slow $((page + i * 16)) 4096 rw"
		done
	} >"$temp/table"
	blocked=()
	files=()
	mount_table "$temp/table"
}

# Whoever waits for the image goes on when it does, and is never killed: most have ended long ago, and
# their numbers may be those of others.
teardown() {
	if [ ${#nbd_watchdog[@]} -gt 0 ]; then
		nbd_resume slow
	fi
	wait "${blocked[@]}" 2>/dev/null || true
	nbd_teardown
}

# open_all FOLDER: a descriptor for each of its hundred slices
#
# Before anybody waits: looking up and opening ask the image for its size, which then waits, too. And
# after nbd_pause, whose helper would keep them open.
open_all() {
	local i file

	for ((i = 0; i < clients; i++)); do
		exec {file}<>"$mnt/$1/$i"
		files+=("$file")
	done
}

# block CALL...: a client that will wait for the slow image
block() {
	"$call_program" "$@" >"$temp/answer.${#blocked[@]}" 3>&- 4>&- &
	blocked+=("$!")
}

assert_blocked() {
	local pid

	for pid in "${blocked[@]}"; do
		if is_gone "$pid"; then
			fail 'somebody did not wait for the slow image'
			return 1
		fi
	done
}

# at_once COMMAND...: must end while the slow image stands still
at_once() {
	"$@" >"$temp/out" 3>&- 4>&- &
	if ! wait_until is_gone "$!"; then
		fail "this waits for the slow image: $*"
		return 1
	fi
	wait "$!"
	assert_blocked
}

# arrived COUNT: so many requests are with the daemon, and not queued before it: each one that waits
# keeps a worker, and workers are started when none is idle.
arrived() {
	local workers=("/proc/$(daemon_process "$mnt")/task"/*)

	[ "${#workers[@]}" -gt "$1" ]
}

others_go_on() {
	at_once "$call_program" -o "$temp/got" read "$mnt/fast"
	assert_range "$temp/fast.raw" 77 4000003 "$temp/got"
	at_once "$call_program" -o "$temp/got" read "$mnt/alias"
	assert_range "$temp/fast.raw" 5M 2M "$temp/got"
	at_once "$call_program" -f wronly write "$mnt/fast" 1000 5000
	at_once "$call_program" -f rdwr write "$mnt/alias" 1000 100000
	at_once "$call_program" -f rdwr,dsync write "$mnt/fast" 2000 5000
	at_once "$call_program" mmap shared "$mnt/fast" 3000000 5000 m
	at_once "$call_program" fsync "$mnt/fast"
	at_once "$call_program" fsync "$mnt/alias"
	at_once stat "$mnt/fast"
	at_once ls -l "$mnt"
}

unblock() {
	nbd_resume slow
	clients_succeed
}

clients_succeed() {
	local index file

	for index in "${!blocked[@]}"; do
		wait "${blocked[index]}" || fail "$(<"$temp/answer.$index")"
	done
	for file in "${files[@]}"; do
		exec {file}>&-
	done
}

@test "a hundred direct readers" {
	nbd_pause slow
	open_all page
	for i in "${!files[@]}"; do
		block -o "$temp/got.$i" read "fd:${files[i]}" 5 4000
	done
	wait_until arrived "$clients"
	others_go_on
	unblock
	for i in "${!files[@]}"; do
		assert_range "$temp/slow.raw" $((page + i * 16 + 5)) 4000 "$temp/got.$i"
	done
}

@test "a hundred readers through the page cache, and what is read ahead for them" {
	nbd_pause slow
	open_all slow
	for i in "${!files[@]}"; do
		block -o "$temp/got.$i" read "fd:${files[i]}"
	done
	wait_until arrived "$clients"
	others_go_on
	unblock
	for i in "${!files[@]}"; do
		assert_range "$temp/slow.raw" $((1 + i * stride)) 200003 "$temp/got.$i"
	done
}

@test "a hundred writers" {
	nbd_pause slow
	open_all slow
	for i in "${!files[@]}"; do
		block write "fd:${files[i]}" 100 5000 $((i % 10))
	done
	wait_until arrived "$clients"
	others_go_on
	unblock
	unmount
	for i in "${!files[@]}"; do
		head -c 5000 /dev/zero | tr '\0' $((i % 10)) >"$temp/want"
		assert_range "$temp/slow.raw" $((101 + i * stride)) 5000 "$temp/want"
	done
}

@test "a hundred calls of fsync" {
	call -f wronly write "$mnt/page/0" 0 16
	call -f wronly write "$mnt/page/0" 0 16 # this one stays in the page cache
	nbd_pause slow
	open_all page
	for file in "${files[@]}"; do
		block fsync "fd:$file"
	done
	wait_until arrived "$clients"
	others_go_on
	unblock
}

# reaches NAME VALUE: a counter
reaches() {
	[ "$(stat_value "$1")" -ge "$2" ]
}

@test "a folder is listed while an image in it does not answer" {
	nbd_pause slow
	block -f wronly write "$mnt/slow/0" 0 5000
	wait_until reaches write_calls 1
	at_once ls "$mnt/slow"
	unblock
}

@test "what comes slowly is right" {
	unmount
	nbd_stop slow
	rmdir "$temp/slow.nbd"
	nbd_start slow --filter=delay file "$temp/slow.raw" rdelay=20ms wdelay=20ms
	mount_table "$temp/table"
	for ((i = 0; i < clients; i++)); do
		block -o "$temp/got.$i" read "$mnt/slow/$i" 0 5000
		block -f wronly write "$mnt/slow/$i" 100003 5000 $((i % 10))
	done
	clients_succeed
	unmount
	for ((i = 0; i < clients; i++)); do
		assert_range "$temp/slow.raw" $((1 + i * stride)) 5000 "$temp/got.$i"
		head -c 5000 /dev/zero | tr '\0' $((i % 10)) >"$temp/want"
		assert_range "$temp/slow.raw" $((100004 + i * stride)) 5000 "$temp/want"
	done
}
