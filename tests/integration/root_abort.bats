#!/usr/bin/env bats
# SPDX-License-Identifier: MIT
#
# Needs root. The kernel ends the connection under the daemon: it flushes, ends, and frees the image.

# shellcheck source-path=SCRIPTDIR source=../lib/common.bash
source "$BATS_TEST_DIRNAME/../lib/common.bash"
# shellcheck source-path=SCRIPTDIR source=../lib/cli.bash
source "$BATS_TEST_DIRNAME/../lib/cli.bash"

setup() {
	cli_setup
	make_image "$temp/disk" 1M
	mount_detached "$temp/disk" "$mnt"
	pid=$(daemon_of "$mnt")
	exec {file}<>"$mnt/disk"
	call write "fd:$file" 777 100000 x
}

# aborted: the daemon has gone by itself, and with it the lock; open files fail, others can mount
aborted() {
	wait_until is_ended "$pid"
	forget "$mnt"
	call lock "$temp/disk" wr 0 0
	assert_equal "$(cut_out "$temp/disk" 777 100000 | tr -d x)" ''
	refute call -o "$temp/got" read "fd:$file" 0 100
	exec {file}>&-
	umount -l "$mnt" 2>/dev/null || true
	mount_detached "$temp/disk" "$mnt"
	unmount_detached "$mnt"
}

@test "umount -f of a busy mount" {
	umount -f "$mnt" || true
	aborted
}

@test "an abort through the control file system" {
	connections=/sys/fs/fuse/connections
	mountpoint -q "$connections" || mount -t fusectl fusectl "$connections"
	echo 1 >"$connections/$(stat -c %Ld "$mnt")/abort"
	aborted
}
