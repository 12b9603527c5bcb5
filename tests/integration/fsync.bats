#!/usr/bin/env bats
# SPDX-License-Identifier: MIT

# shellcheck source-path=SCRIPTDIR source=../lib/common.bash
source "$BATS_TEST_DIRNAME/../lib/common.bash"

# msyncs_of COMMAND...: how many msyncs the command made the daemon do
msyncs_of() {
	local before

	before=$(stat_value msyncs)
	"$@" >/dev/null
	echo $(($(stat_value msyncs) - before))
}

@test "fsync and fdatasync after a write flush the image" {
	make_image "$temp/disk" 1M
	mount_slices "$temp/disk" 'a=@12345+100003'

	for sync in fsync fdatasync; do
		call write "$mnt/a" 7 5000
		[ "$(msyncs_of call $sync "$mnt/a")" -ge 1 ]
		call -f rdwr write "$mnt/a" 7 5000
		[ "$(msyncs_of call -f rdwr $sync "$mnt/a")" -ge 1 ]
	done
}

@test "O_SYNC and O_DSYNC flush with each write" {
	make_image "$temp/disk" 1M
	mount_slices "$temp/disk" 'a=@12345+100003'

	for flags in wronly,sync wronly,dsync rdwr,sync rdwr,dsync rdwr,direct,dsync; do
		[ "$(msyncs_of call -f $flags write "$mnt/a" 7 5000)" -ge 1 ]
	done
}

@test "a write without O_SYNC waits for no disk" {
	make_image "$temp/disk" 1M
	mount_slices "$temp/disk" 'a=@12345+100003'

	assert_equal "$(msyncs_of call -f wronly write "$mnt/a" 7 5000)" 0
	assert_equal "$(msyncs_of call -f rdwr write "$mnt/a" 7 5000)" 0
}

@test "fsync of every kind of slice" {
	make_image "$temp/one" 1M
	make_image "$temp/two" 1M
	cat >"$temp/table" <<-END
		image  one  one  rw
		image  two  two  rw
		slice  many  one  1  5000  rw
		extent       two  1  5000
		extent       -    0  5000
		extent       one  70000  1
		slice  zeros  -   0  4K    ro
		slice  ro     one 100K  4K  ro
		slice  tail   two 100K  -   rw,resize
		slice  alias  two 0  100K   rw
	END
	mount_table "$temp/table"

	call -f rdwr write "$mnt/many" 4990 30
	for name in many zeros ro tail alias; do
		call fsync "$mnt/$name"
		call fdatasync "$mnt/$name"
	done
	call -f rdwr,sync write "$mnt/many" 0 9000
	call -f rdwr,sync write "$mnt/alias" 0 9000
}

@test "fsync of a folder" {
	make_image "$temp/disk" 64K
	mount_slices "$temp/disk" 'dir/a=@0+4K'

	call fsync "$mnt"
	call fsync "$mnt/dir"
	call fdatasync "$mnt/dir"
	sync "$mnt/dir/a"
	sync -f "$mnt/dir/a"
}

@test "unmount reports a clean flush of what was never synced" {
	make_image "$temp/disk" 1M
	snapshot "$temp/disk"
	mount_slices "$temp/disk" 'a=@12345+500003'

	call write "$mnt/a" 99 300000 z
	unmount
	head -c 300000 /dev/zero | tr '\0' z | cmp -i 0:12444 -n 300000 - "$temp/disk"
	assert_untouched "$temp/disk" 12444 300000
}

@test "O_SYNC and O_DSYNC flush what is copied and allocated, too" {
	make_image "$temp/disk" 1M
	mount_slices "$temp/disk" 'a=@12345+100003' 'b=@512K+64K'

	for flags in rdwr,dsync rdwr,sync; do
		[ "$(msyncs_of call -f $flags copy_file_range "$mnt/b" 0 "$mnt/a" 7 5000)" -ge 1 ]
		[ "$(msyncs_of call -f $flags fallocate "$mnt/a" punch_hole 0 5000)" -ge 1 ]
	done
}
