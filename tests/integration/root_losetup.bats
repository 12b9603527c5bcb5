#!/usr/bin/env bats
# SPDX-License-Identifier: MIT
#
# Needs root: a loop device on a slice, and the mount of what it holds.

# shellcheck source-path=SCRIPTDIR source=../lib/common.bash
source "$BATS_TEST_DIRNAME/../lib/common.bash"

PATH=$PATH:/usr/sbin:/sbin

setup() {
	common_setup
	loop=
	make_image "$temp/guard" 70001
	make_image "$temp/file" 3000001
	{
		cat "$temp/guard"
		head -c 32M /dev/zero
		cat "$temp/guard"
	} >"$temp/disk"
	snapshot "$temp/disk"
	mkdir "$temp/fs"
}

teardown() {
	if mountpoint -q "$temp/fs"; then
		umount "$temp/fs"
	fi
	[ -z "$loop" ] || losetup -d "$loop"
	common_teardown
}

@test "losetup on a slice, mkfs.ext4, mount, write, and the image holds it" {
	mount_slices "$temp/disk" 'fs=@70001+32M'

	loop=$(losetup --find --show "$mnt/fs")
	assert_equal "$(blockdev --getsize64 "$loop")" $((32 << 20))
	mkfs.ext4 -q "$loop"
	mount "$loop" "$temp/fs"
	cp "$temp/file" "$temp/fs/file"
	mkdir "$temp/fs/folder"
	sync -f "$temp/fs"
	umount "$temp/fs"
	losetup -d "$loop"
	loop=
	unmount

	assert_untouched "$temp/disk" 70001 32M
	cut_out "$temp/disk" 70001 32M "$temp/copy"
	e2fsck -f -n "$temp/copy"
	debugfs -R "dump file $temp/got" "$temp/copy"
	cmp "$temp/got" "$temp/file"
}

@test "mount -o loop of a slice made by mkfs.ext4, and a discard" {
	mount_slices "$temp/disk" 'fs=@70001+32M'

	mkfs.ext4 -q -F "$mnt/fs"
	debugfs -w -R "write $temp/file file" "$mnt/fs"
	mount -o loop "$mnt/fs" "$temp/fs"
	cmp "$temp/fs/file" "$temp/file"
	rm "$temp/fs/file"
	sync -f "$temp/fs"
	fstrim "$temp/fs"
	umount "$temp/fs"
	e2fsck -f -n "$mnt/fs"
	unmount
	assert_untouched "$temp/disk" 70001 32M
}

@test "a read-only slice gives a read-only loop device" {
	mount_slices "$temp/disk" 'fs=@70001+32M'
	mkfs.ext4 -q -F "$mnt/fs"
	debugfs -w -R "write $temp/file file" "$mnt/fs"
	unmount
	mount_slices "$temp/disk" 'fs=@70001+32M,ro'

	loop=$(losetup --find --show --read-only "$mnt/fs")
	mount -o ro "$loop" "$temp/fs"
	cmp "$temp/fs/file" "$temp/file"
}

@test "a block device as the image" {
	loop=$(losetup --find --show "$temp/disk")
	mount_slices "$loop" 'a=@12345+1000003' 'tail=@30M'

	cut_out "$temp/disk" 12345 1000003 | cmp - "$mnt/a"
	assert_equal "$(stat -c %s "$mnt/tail")" $(($(blockdev --getsize64 "$loop") - 31457280))
	dd if="$temp/file" of="$mnt/a" bs=7919 conv=notrunc,fsync count=100 status=none
	unmount
	losetup -d "$loop"
	loop=
	cmp -i 12345:0 -n 791900 "$temp/disk" "$temp/file"
	assert_untouched "$temp/disk" 12345 791900
}

@test "chown is held for the life of the mount" {
	mount_slices "$temp/disk" 'a=@0+4K'

	call chown "$mnt/a" 1234 4321
	assert_equal "$(stat -c '%u %g' "$mnt/a")" '1234 4321'
	call chown "$mnt/a" -1 5555
	assert_equal "$(stat -c '%u %g' "$mnt/a")" '1234 5555'
	assert_equal "$(stat -c '%u' "$temp/disk")" 0
}
