#!/usr/bin/env bats
# SPDX-License-Identifier: MIT
#
# Images in memory within the limit of a memory cgroup: no write wakes the OOM killer. Needs root, to
# make a group.

# shellcheck source-path=SCRIPTDIR source=../lib/common.bash
source "$BATS_TEST_DIRNAME/../lib/common.bash"

limit=128M # the daemon needs some itself, under sanitizers more

setup() {
	common_setup
	unset group
	make_group
	cat >"$temp/table" <<-'END'
		image m    memory size=1G
		image disk disk   rw
		slice a m    0    512M
		slice b m    512M -
		slice c disk 0    -
	END
	make_image "$temp/disk" 64M
	sync "$temp/disk"
}

teardown() {
	local result=0

	common_teardown || result=1
	[ -z "${group:-}" ] || rmdir "$group" || result=1
	return "$result"
}

# Of version 1 or 2, whichever has the memory.
make_group() {
	local name=mmapfs-test.$BASHPID

	if [ -e /sys/fs/cgroup/memory/memory.limit_in_bytes ]; then
		group=/sys/fs/cgroup/memory/$name
		mkdir "$group"
		bytes "$limit" >"$group/memory.limit_in_bytes"
	else
		echo +memory >/sys/fs/cgroup/cgroup.subtree_control
		group=/sys/fs/cgroup/$name
		mkdir "$group"
		bytes "$limit" >"$group/memory.max"
	fi
}

# The daemon goes into the group before it touches any memory.
start_limited() {
	cat >"$temp/limited" <<-END
		#!/bin/bash
		echo \$\$ >"$group/cgroup.procs"
		exec "$MMAPFS" "\$@"
	END
	chmod +x "$temp/limited"
	MMAPFS=$temp/limited mount_table "$temp/table"
}

oom_kills() {
	awk '$1 == "oom_kill" { print $2 }' "$group"/memory.{oom_control,events} 2>/dev/null
}

# fill FILE: till it is refused
fill() {
	run dd if=/dev/zero of="$1" bs=256K conv=notrunc
	assert_equal "$status" 1
	[[ $output == *'No space left on device'* ]]
}

@test "a write past what the group leaves is ENOSPC, and nobody is killed" {
	start_limited

	fill "$mnt/a"
	[ "$(call stat "$mnt/a" blocks)" -gt 8192 ]
	run_errno ENOSPC write "$mnt/b" 256M 8M
	run_errno ENOSPC fallocate "$mnt/b" default 0 256M
	# What has its memory can be written, and what is given back can be had again.
	dd if=/dev/urandom of="$mnt/a" bs=1M count=4 conv=notrunc status=none
	call fallocate "$mnt/a" punch_hole,keep_size 0 16M
	dd if=/dev/zero of="$mnt/b" bs=1M count=8 conv=notrunc status=none
	assert_equal "$(oom_kills)" 0
}

@test "the page cache of a file gives way to it" {
	start_limited

	cat "$mnt/c" >/dev/null # 64 MiB that count for the group
	fill "$mnt/a"
	[ "$(call stat "$mnt/a" blocks)" -gt 8192 ]
	cmp "$mnt/c" "$temp/disk"
	assert_equal "$(oom_kills)" 0
}

@test "populate past the limit of the group is refused" {
	sed -i 's/size=1G/&,populate/' "$temp/table"
	run start_limited
	[ "$status" -ne 0 ]
	[[ $output == *'populate: wants 1G of memory, and '*' are available'* ]]
	assert_equal "$(oom_kills)" 0
}

push() {
	/usr/bin/python3 "$BATS_TEST_DIRNAME/push.py" "$@"
}

@test "pages are not pushed of a slice that is large beside the memory that is left" {
	cat >"$temp/table" <<-'END'
		image disk  disk ro
		slice large disk 0   48M
		slice small disk 48M 1M
	END
	cut_out "$temp/disk" 0 48M "$temp/large"
	cut_out "$temp/disk" 48M 1M "$temp/small"
	start_limited

	push read "$mnt/large" "$temp/large" "$seed"
	assert_equal "$(stat_value pushes)" 0
	push read "$mnt/small" "$temp/small" "$seed"
	[ "$(stat_value pushes)" -ge 1 ]
}
