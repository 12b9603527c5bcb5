#!/usr/bin/env bats
# SPDX-License-Identifier: MIT

# shellcheck source-path=SCRIPTDIR source=../lib/common.bash
source "$BATS_TEST_DIRNAME/../lib/common.bash"

setup() {
	common_setup
	make_image "$temp/disk" 1M
	snapshot "$temp/disk"
	mount_slices "$temp/disk" 'a=@12345+500003'
}

@test "SIGTERM, SIGINT and SIGHUP flush, unmount and exit 0" {
	expect_log ': unmounting '
	for signal in TERM INT HUP; do
		call write "$mnt/a" 77 10001 "$signal"
		kill "-$signal" "$(daemon_process "$mnt")"
		daemon_reap "$mnt"
		head -c 10001 /dev/zero | tr '\0' "${signal:0:1}" | cmp -i 0:12422 -n 10001 - "$temp/disk"
		assert_untouched "$temp/disk" 12422 10001
		mount_slices "$temp/disk" 'a=@12345+500003'
	done
}

@test "a signal while a file is open still unmounts" {
	expect_log ': unmounting '
	exec {file}<>"$mnt/a"
	kill -TERM "$(daemon_process "$mnt")"
	daemon_reap "$mnt"
	exec {file}>&-
}

@test "fusermount3 -u ends the daemon cleanly, too" {
	call write "$mnt/a" 77 10001 u
	fusermount3 -u "$mnt"
	daemon_reap "$mnt"
	assert_untouched "$temp/disk" 12422 10001
}

@test "umount refuses while a file is open, and the mount lives on" {
	exec {file}<>"$mnt/a"
	refute timeout 60 "$MMAPFS" umount "$mnt"
	is_mounted "$mnt"
	call -o "$temp/got" read "fd:$file" 0 500003
	assert_range "$temp/disk" 12345 500003 "$temp/got"
	exec {file}>&-
}

@test "a stopped daemon answers again" {
	pid=$(daemon_process "$mnt")
	kill -STOP "$pid"
	cmp -i 12345:0 -n 500003 "$temp/disk" "$mnt/a" 3>&- &
	reader=$!
	kill -CONT "$pid"
	wait "$reader"
}

@test "a signal finds the mount where a rename has taken it" {
	unmount
	mkdir -p "$temp/before/mnt"
	start_mmapfs -s 'a=@0+4K' "$temp/disk" "$temp/before/mnt"
	pid=$(awk '$1 == "pid" { print $2 }' "$temp/before/mnt/.mmapfs/stats")

	mv "$temp/before" "$temp/after"
	cmp -n 4096 "$temp/after/mnt/a" "$temp/disk"
	expect_log ': unmounting '
	kill -TERM "$pid"
	daemon_reap "$temp/before/mnt"
	refute grep -F " $temp/after/mnt " /proc/self/mountinfo
}
