#!/usr/bin/env bats
# SPDX-License-Identifier: MIT
#
# SIGTERM, SIGINT and SIGHUP: everything reaches the image, the mount goes, exit status 0.

# shellcheck source-path=SCRIPTDIR source=../lib/common.bash
source "$BATS_TEST_DIRNAME/../lib/common.bash"
# shellcheck source-path=SCRIPTDIR source=../lib/cli.bash
source "$BATS_TEST_DIRNAME/../lib/cli.bash"

signals='TERM INT HUP'

setup() {
	cli_setup
	make_image "$temp/disk" 1M
	snapshot "$temp/disk"
	mkdir "$temp/second"
}

# serve: in the foreground, where the exit status is seen
serve() {
	start_mmapfs -s 'a=@12345+500003' -s 'tail=@600K,resize' "$temp/disk" "$mnt"
}

# ended_by SIGNAL: the daemon, clean; daemon_reap looks at the exit status, the mount and the log
ended_by() {
	expect_log ': unmounting '
	kill "-$1" "$(daemon_process "$mnt")"
	daemon_reap "$mnt"
	assert_equal "$(mounts_here)" ''
	call lock "$temp/disk" wr 0 0
}

# filled FILE OFFSET LENGTH BYTE: the file holds it, all over the range
filled() {
	head -c "$3" /dev/zero | tr '\0' "$4" | cmp -i "0:$2" -n "$3" - "$1"
}

@test "of an idle mount" {
	for signal in $signals; do
		serve
		ended_by "$signal"
	done
	cmp "$temp/disk" "$temp/disk.snapshot"
}

@test "after a write that nobody has synced" {
	for signal in $signals; do
		serve
		call write "$mnt/a" 77 300001 "$signal"
		ended_by "$signal"
		filled "$temp/disk" $((12345 + 77)) 300001 "${signal:0:1}"
		assert_untouched "$temp/disk" $((12345 + 77)) 300001
	done
}

@test "of a daemon in the background" {
	for signal in $signals; do
		mount_detached -s 'a=@12345+500003' "$temp/disk" "$mnt"
		call write "$mnt/a" 77 10001 "$signal"
		pid=$(daemon_of "$mnt")
		kill "-$signal" "$pid"
		wait_until is_ended "$pid"
		assert_equal "$(mounts_here)" ''
		forget "$mnt"
		filled "$temp/disk" $((12345 + 77)) 10001 "${signal:0:1}"
	done
}

@test "while files are open to read and to write" {
	for signal in $signals; do
		serve
		exec {reader}<"$mnt/a" {writer}<>"$mnt/tail"
		printf '%s' "${signal:0:1}" >&"$writer"
		ended_by "$signal"
		filled "$temp/disk" 614400 1 "${signal:0:1}"
		run_errno ENOTCONN read "fd:$reader" 0 100
		exec {reader}<&- {writer}>&-
	done
}

@test "while somebody works in a folder of it" {
	serve
	cd "$mnt"
	ended_by TERM
	cd /
}

@test "with pages that a client has dirtied through its own mapping" {
	for signal in $signals; do
		serve
		dirty_mapping "$mnt/a" "${signal:0:1}"
		ended_by "$signal"
		filled "$temp/disk" 12345 500003 "${signal:0:1}"
		assert_untouched "$temp/disk" 12345 500003
		exec {client_input}>&-
		wait "$client"
	done
}

@test "with dirty pages of a client that has gone" {
	serve
	dirty_mapping "$mnt/a" x
	kill -KILL "$client"
	wait "$client" || true
	ended_by TERM
	filled "$temp/disk" 12345 500003 x
}

@test "mmapfs umount after a client's mapping was dirtied, too" {
	serve
	dirty_mapping "$mnt/a" u
	exec {client_input}>&-
	wait "$client"
	unmount
	filled "$temp/disk" 12345 500003 u
	assert_untouched "$temp/disk" 12345 500003
}

@test "a mount that others lie on goes from under them" {
	serve
	mount_detached "$mnt/a" "$temp/second"
	call write "$temp/second/a" 5 100 x
	unmount_detached "$temp/second"
	ended_by TERM
	filled "$temp/disk" 12350 100 x
}

@test "several signals at once are as good as one" {
	serve
	call write "$mnt/a" 0 100000 s
	# A second one may say that it will not wait for the clients' pages.
	expected_log=('unmounting |second signal')
	pid=$(daemon_process "$mnt")
	kill -TERM "$pid"
	kill -INT "$pid" 2>/dev/null || true
	kill -HUP "$pid" 2>/dev/null || true
	daemon_reap "$mnt"
	filled "$temp/disk" 12345 100000 s
}

@test "while reads and writes are under way" {
	for signal in $signals; do
		serve
		timeout 60 cat "$mnt/a" "$mnt/a" "$mnt/tail" >/dev/null 2>&1 3>&- 4>&- &
		reader=$!
		timeout 60 dd if=/dev/zero of="$mnt/a" bs=4099 conv=notrunc status=none 2>/dev/null 3>&- 4>&- &
		writer=$!
		ended_by "$signal"
		wait "$reader" || true
		wait "$writer" || true
		assert_untouched "$temp/disk" 12345 500003
	done
}

@test "signals that mean nothing to it change nothing" {
	serve
	pid=$(daemon_process "$mnt")
	for signal in USR1 PIPE WINCH CHLD CONT; do
		kill "-$signal" "$pid"
		cmp -i 12345:0 -n 500003 "$temp/disk" "$mnt/a"
	done
	unmount
}

@test "a signal that the command was told to ignore does not take back its mount" {
	mkfifo "$temp/fifo"
	env --ignore-signal=INT,HUP "$MMAPFS" --table "$temp/fifo" "$mnt" </dev/null 3>&- 4>&- &
	pid=$!
	helper_pids+=("$pid")
	wait_until grep -q . "/proc/$pid/task/$pid/children"

	kill -INT "$pid"
	kill -HUP "$pid"
	printf 'image disk %s rw\nslice a disk 0 4K rw\n' "$temp/disk" >"$temp/fifo"
	wait "$pid"
	adopt "$mnt"
	cmp -n 4096 "$temp/disk" "$mnt/a"
}
