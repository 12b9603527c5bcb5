#!/usr/bin/env bats
# SPDX-License-Identifier: MIT
#
# umount succeeds when the data is down, not before, and fails when it is not. The witness is an image
# on a network block device that waits with each flush until it is told to go on, or to fail.

# shellcheck source-path=SCRIPTDIR source=../lib/common.bash
source "$BATS_TEST_DIRNAME/../lib/common.bash"
# shellcheck source-path=SCRIPTDIR source=../lib/cli.bash
source "$BATS_TEST_DIRNAME/../lib/cli.bash"

setup() {
	cli_setup
	make_image "$temp/back" 1M
	mkdir "$temp/nbd"
	: >"$temp/log"
	serve_device
	mount_detached -s 'a=@0+64K' -s 'b=@4K+64K' "$temp/nbd/image" "$mnt"
}

# What lies on the device goes first.
teardown() {
	local result=0

	unmount_done || result=1
	fusermount3 -u "$temp/nbd" || fusermount3 -u -z "$temp/nbd" || true
	wait "$device" || result=1
	cli_teardown || result=1
	return "$result"
}

# unmount_done: the mount of setup has gone
unmount_done() {
	answer flushed
	if [ "${#detached_mountpoint[@]}" -gt 0 ]; then
		unmount_detached "$mnt"
	fi
}

# The device: what is in the file `answer` is how it answers a flush; no file: it waits.
serve_device() {
	local pread pwrite flush

	pread="dd if='$temp/back' iflag=skip_bytes,count_bytes skip=\$4 count=\$3 status=none"
	pwrite="dd of='$temp/back' oflag=seek_bytes seek=\$4 conv=notrunc status=none
		echo written >>'$temp/log'"
	flush="echo asked >>'$temp/log'
		until [ -e '$temp/answer' ]; do sleep 0.02; done
		cat '$temp/answer' >>'$temp/log'
		if ! grep -q flushed '$temp/answer'; then echo EIO no >&2; exit 1; fi"
	timeout "$daemon_limit" nbdfuse "$temp/nbd/image" --command nbdkit -s eval \
		get_size='echo 1M' can_write='exit 0' can_flush='exit 0' \
		pread="$pread" pwrite="$pwrite" flush="$flush" >"$temp/nbd.log" 2>&1 3>&- 4>&- &
	device=$!
	wait_until test -e "$temp/nbd/image"
	# That open(2) may have flushed is not what is to be seen.
	: >"$temp/log"
}

answer() {
	echo "$1" >"$temp/answer.new"
	mv "$temp/answer.new" "$temp/answer"
}

is_asked() {
	grep -q asked "$temp/log"
}

# start COMMAND...: in the background; it must not be done before the device has answered
start() {
	"$@" >"$temp/out" 2>"$temp/err" 3>&- 4>&- &
	started=$!
	wait_until is_asked
	refute is_gone "$started"
}

# --- umount --------------------------------------------------------------------------------------

@test "umount waits for the flush of what was written" {
	pid=$(daemon_of "$mnt")
	call write "$mnt/a" 100 8000 x
	start timeout 60 "$MMAPFS" umount "$mnt"
	refute grep flushed "$temp/log"
	answer flushed
	wait "$started"
	echo returned >>"$temp/log"

	is_ended "$pid"
	forget "$mnt"
	# The last flush comes behind the last write, and umount behind both.
	[[ $(xargs <"$temp/log") =~ written.*asked\ flushed\ returned$ ]]
	[[ ! $(xargs <"$temp/log") =~ asked\ returned|written\ returned ]]
	assert_equal "$(cut_out "$temp/back" 100 8000 | tr -d x)" ''
	[ ! -s "$temp/err" ]
}

@test "umount fails when the flush fails, in a line, and the daemon has gone" {
	pid=$(daemon_of "$mnt")
	call write "$mnt/a" 100 8000 x
	answer refused
	mmapfs umount "$mnt"
	assert_equal "$status" 1
	is_ended "$pid"
	refute is_mounted "$mnt"
	forget "$mnt"
	grep -q 'not everything reached the disk' "$temp/err"
}

@test "umount fails when an earlier flush failed, though the last one does not" {
	call write "$mnt/a" 100 8000 x
	answer refused
	run_errno EIO fsync "$mnt/a"
	answer flushed
	call write "$mnt/a" 100 8000 y
	mmapfs umount "$mnt"
	assert_failed 1 'not everything reached the disk'
	refute is_mounted "$mnt"
	forget "$mnt"
}

# --- fsync ---------------------------------------------------------------------------------------

@test "fsync and O_DSYNC return when the device has flushed" {
	call write "$mnt/a" 100 8000 x
	start timeout 60 "$call_program" fsync "$mnt/a"
	answer flushed
	wait "$started"
	rm "$temp/answer"
	: >"$temp/log"
	start timeout 60 "$call_program" -f rdwr,dsync write "$mnt/b" 5 100 y
	answer flushed
	wait "$started"
}

# --- other ways to end it ------------------------------------------------------------------------

@test "a daemon that a signal ends: its exit status tells of the flush" {
	local want

	for want in flushed:0 refused:1; do
		unmount_done
		# In the foreground, where there is a status.
		timeout -s KILL "$daemon_limit" "$MMAPFS" -f "$temp/nbd/image" "$mnt" 2>"$temp/err" 3>&- 4>&- &
		pid=$!
		wait_until is_mounted "$mnt"
		call write "$mnt/image" 100 8000 s
		rm -f "$temp/answer"
		: >"$temp/log"
		kill -TERM "$(daemon_child "$pid")"
		wait_until is_asked
		refute is_gone "$pid"
		answer "${want%:*}"
		status=0
		wait "$pid" || status=$?
		assert_equal "$status" "${want#*:}"
		assert_equal "$(mounts_here | grep -c " $mnt ")" 0
	done
}

# daemon_child PID: below timeout(1)
daemon_child() {
	tr -d ' ' <"/proc/$1/task/$1/children"
}
