#!/usr/bin/env bats
# SPDX-License-Identifier: MIT
#
# The table says which files exist, and nobody else.

# shellcheck source-path=SCRIPTDIR source=../lib/common.bash
source "$BATS_TEST_DIRNAME/../lib/common.bash"

setup() {
	common_setup
	make_image "$temp/disk" 1M
	snapshot "$temp/disk"
	mount_slices "$temp/disk" 'a=@0+4K' 'b=@8K+4K' 'dir/c=@16K+4K'
	find "$mnt" -printf '%i %m %s %P\n' | sort >"$temp/before"
}

teardown() {
	find "$mnt" -printf '%i %m %s %P\n' | sort | cmp - "$temp/before"
	common_teardown
	cmp "$temp/disk" "$temp/disk.snapshot"
}

@test "creating is EPERM" {
	run_errno EPERM creat "$mnt/new"
	run_errno EPERM creat "$mnt/dir/new"
	run_errno EPERM -f rdwr,creat,excl open "$mnt/new"
	run_errno EPERM mkdir "$mnt/new"
	run_errno EPERM mkdir "$mnt/dir/new"
	run_errno EPERM symlink target "$mnt/new"
	run_errno EPERM mknod "$mnt/new"
	run_errno EPERM mknod "$mnt/new" fifo
}

@test "creating what exists is EEXIST, opening it with O_CREAT is not creating" {
	run_errno EEXIST mkdir "$mnt/dir"
	run_errno EEXIST -f rdwr,creat,excl open "$mnt/a"
	call -f rdwr,creat open "$mnt/a"
}

@test "removing is EPERM" {
	run_errno EPERM unlink "$mnt/a"
	run_errno EPERM unlink "$mnt/dir/c"
	run_errno EPERM rmdir "$mnt/dir"
	run_errno ENOENT unlink "$mnt/nothing"
}

@test "renaming is EPERM" {
	run_errno EPERM rename "$mnt/a" "$mnt/new"
	run_errno EPERM rename "$mnt/a" "$mnt/b"
	run_errno EPERM rename "$mnt/a" "$mnt/dir/a"
	run_errno EPERM rename "$mnt/dir" "$mnt/new"
	run_errno EPERM exchange "$mnt/a" "$mnt/b"
	run_errno EXDEV rename "$mnt/a" "$temp/a"
}

@test "linking is EPERM" {
	run_errno EPERM link "$mnt/a" "$mnt/new"
	run_errno EXDEV link "$mnt/a" "$temp/a"
}

@test "tools that replace or make a file fail, and leave the old one" {
	refute sed -i s/a/b/ "$mnt/a"
	refute rm -f "$mnt/a"
	refute cp "$temp/disk" "$mnt/new"
	refute touch "$mnt/new"
}

@test "names that are not there" {
	run_errno ENOENT open "$mnt/nothing"
	run_errno ENOENT open "$mnt/dir/a"
	run_errno ENOENT stat "$mnt/nothing" size
	run_errno ENOTDIR open "$mnt/a/b"
	run_errno EISDIR -f rdwr open "$mnt/dir"
	run_errno ENAMETOOLONG open "$mnt/$(printf '%0256d' 0)"
	run_errno EINVAL readlink "$mnt/a"
}
