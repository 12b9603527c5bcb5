#!/usr/bin/env bats
# SPDX-License-Identifier: MIT
#
# Filesystems made and filled on a slice at an odd offset; then the dd copy must be one, too.

# shellcheck source-path=SCRIPTDIR source=../lib/common.bash
source "$BATS_TEST_DIRNAME/../lib/common.bash"

PATH=$PATH:/usr/sbin:/sbin

setup() {
	common_setup
	make_image "$temp/file" 3000001
}

# filesystem_image SIZE: mounts an empty slice of that size, between guard bytes
filesystem_image() {
	make_image "$temp/guard" 70001
	{
		cat "$temp/guard"
		head -c "$1" /dev/zero
		cat "$temp/guard"
	} | dd of="$temp/disk" bs=1M conv=sparse status=none
	truncate -s $((70001 + $(bytes "$1") + 70001)) "$temp/disk"
	size=$1
	snapshot "$temp/disk"
	mount_slices "$temp/disk" "fs=@70001+$size"
}

# After unmount: cuts the filesystem out of the image into $temp/copy.
cut_filesystem() {
	unmount
	assert_untouched "$temp/disk" 70001 "$size"
	cut_out "$temp/disk" 70001 "$size" "$temp/copy"
}

@test "ext4" {
	filesystem_image 16M
	mkfs.ext4 -q -F "$mnt/fs"
	e2fsck -f -n "$mnt/fs"
	debugfs -w -R "write $temp/file file" "$mnt/fs"
	debugfs -w -R 'mkdir folder' "$mnt/fs"
	debugfs -R "dump file $temp/got" "$mnt/fs"
	cmp "$temp/got" "$temp/file"
	e2fsck -f -y "$mnt/fs"

	cut_filesystem
	e2fsck -f -n "$temp/copy"
	debugfs -R "dump file $temp/again" "$temp/copy"
	cmp "$temp/again" "$temp/file"
}

@test "ext4 grown and shrunk by resize2fs" {
	filesystem_image 16M
	mkfs.ext4 -q -F "$mnt/fs" 8M
	debugfs -w -R "write $temp/file file" "$mnt/fs"
	e2fsck -f -p "$mnt/fs"
	resize2fs "$mnt/fs" 15M
	e2fsck -f -n "$mnt/fs"
	resize2fs "$mnt/fs" 10M

	cut_filesystem
	e2fsck -f -n "$temp/copy"
	debugfs -R "dump file $temp/got" "$temp/copy"
	cmp "$temp/got" "$temp/file"
}

@test "vfat" {
	filesystem_image 16M
	mkfs.vfat "$mnt/fs"
	fsck.vfat -n "$mnt/fs"
	fatlabel "$mnt/fs" SLICE

	cut_filesystem
	fsck.vfat -n "$temp/copy"
	assert_equal "$(fatlabel "$temp/copy" | tail -n 1)" SLICE
}

@test "xfs" {
	filesystem_image 320M
	mkfs.xfs -q "$mnt/fs"
	xfs_repair -n "$mnt/fs"
	xfs_db -x -c 'uuid 12345678-1234-1234-1234-123456789abc' "$mnt/fs"

	cut_filesystem
	xfs_repair -f -n "$temp/copy"
	assert_equal "$(xfs_db -r -c uuid "$temp/copy")" 'UUID = 12345678-1234-1234-1234-123456789abc'
}

@test "a filesystem image that grows with its tail slice" {
	make_image "$temp/disk" 70001
	mount_slices "$temp/disk" 'fs=@70001,resize'

	mkfs.ext4 -q -F "$mnt/fs" 8M
	truncate -s 16M "$mnt/fs"
	resize2fs "$mnt/fs"
	debugfs -w -R "write $temp/file file" "$mnt/fs"
	unmount
	cut_out "$temp/disk" 70001 1G "$temp/copy"
	assert_equal "$(stat -c %s "$temp/copy")" $((16 << 20))
	e2fsck -f -n "$temp/copy"
	debugfs -R "dump file $temp/got" "$temp/copy"
	cmp "$temp/got" "$temp/file"
}
