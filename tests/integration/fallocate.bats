#!/usr/bin/env bats
# SPDX-License-Identifier: MIT
#
# What the image cannot do, the slice cannot: each answer is compared with that of a plain
# file in the same folder.

# shellcheck source-path=SCRIPTDIR source=../lib/common.bash
source "$BATS_TEST_DIRNAME/../lib/common.bash"

setup() {
	common_setup
	make_image "$temp/disk" 1M
	snapshot "$temp/disk"
	make_image "$temp/plain" 500003
}

# fallocate_both MODE OFFSET LENGTH: the same call on the slice and on a plain file ends the same
fallocate_both() {
	local answer

	answer=$("$call_program" fallocate "$temp/plain" "$@") || true
	assert_equal "$("$call_program" fallocate "$mnt/a" "$@")" "$answer"
}

# assert_zeroed OFFSET LENGTH of the slice at 12345
assert_zeroed() {
	head -c "$2" /dev/zero | cmp -i "0:$1" -n "$2" - "$mnt/a"
	assert_untouched "$temp/disk" $((12345 + $1)) "$2"
	cut_out "$temp/disk" 12345 500003 | cmp - "$mnt/a"
}

@test "PUNCH_HOLE zeroes and frees the range" {
	mount_slices "$temp/disk" 'a=@12345+500003'
	sync "$temp/disk"
	before=$(call stat "$temp/disk" blocks)

	cat "$mnt/a" >/dev/null
	call fallocate "$mnt/a" punch_hole 10001 300002
	assert_zeroed 10001 300002
	[ "$(call stat "$temp/disk" blocks)" -lt $((before - 500)) ]
}

@test "PUNCH_HOLE past the end is clipped" {
	mount_slices "$temp/disk" 'a=@12345+500003'

	call fallocate "$mnt/a" punch_hole 400000 1G
	head -c 100003 /dev/zero | cmp -i 0:400000 - "$mnt/a"
	assert_untouched "$temp/disk" 412345 100003
	assert_equal "$(stat -c %s "$mnt/a")" 500003
}

@test "ZERO_RANGE zeroes the range" {
	mount_slices "$temp/disk" 'a=@12345+500003'

	fallocate_both zero_range 10001 300002
	fallocate_both zero_range,keep_size 10001 300002
	if [ "$("$call_program" fallocate "$temp/plain" zero_range 0 1)" = 'OK 0' ]; then
		assert_zeroed 10001 300002
	fi
}

@test "default and KEEP_SIZE allocate and keep the data" {
	make_sparse "$temp/sparse" 1M
	mount_slices "$temp/sparse" 'a=@12345+500003'

	call write "$mnt/a" 200000 1000 w
	cp "$mnt/a" "$temp/before"
	for mode in default keep_size; do
		fallocate_both $mode 0 500003
		cmp "$temp/before" "$mnt/a"
	done
	[ "$(call stat "$temp/sparse" blocks)" -ge $((500003 / 512)) ]
	assert_equal "$(stat -c %s "$temp/sparse")" $((1 << 20))
}

@test "a slice of fixed size does not grow, and its size stays true" {
	mount_slices "$temp/disk" 'a=@12345+500003'

	run_errno ENOSPC fallocate "$mnt/a" default 400000 200000
	run_errno ENOSPC fallocate "$mnt/a" default 500003 1
	assert_equal "$(stat -c %s "$mnt/a")" 500003
	cmp "$temp/disk" "$temp/disk.snapshot"
}

@test "a resize tail grows" {
	mount_slices "$temp/disk" 'a=@12345,resize'

	call fallocate "$mnt/a" keep_size 0 2M
	assert_equal "$(stat -c %s "$mnt/a")" $((1048576 - 12345))
	call fallocate "$mnt/a" default 1000000 1000001
	assert_equal "$(stat -c %s "$mnt/a")" 2000001
	assert_equal "$(stat -c %s "$temp/disk")" $((2000001 + 12345))
	cmp -n 1048576 "$temp/disk" "$temp/disk.snapshot"
}

@test "COLLAPSE_RANGE and INSERT_RANGE are refused with EOPNOTSUPP" {
	mount_slices "$temp/disk" 'a=@0+512K'

	run_errno EOPNOTSUPP fallocate "$mnt/a" collapse_range 4096 4096
	run_errno EOPNOTSUPP fallocate "$mnt/a" insert_range 4096 4096
	cmp "$temp/disk" "$temp/disk.snapshot"
}

@test "punching over several extents" {
	make_image "$temp/two" 300001
	snapshot "$temp/two"
	cat >"$temp/table" <<-END
		image  disk  disk  rw
		image  two   two   rw
		slice  many  disk  5000  100001  rw
		extent       -     0     10000
		extent       two   7     299000
	END
	mount_table "$temp/table"

	call fallocate "$mnt/many" punch_hole 90000 200000
	head -c 200000 /dev/zero | cmp -i 0:90000 -n 200000 - "$mnt/many"
	head -c 10001 /dev/zero | cmp -i 0:95000 -n 10001 - "$temp/disk"
	assert_untouched "$temp/disk" 95000 10001
	assert_untouched "$temp/two" 7 179999
}

@test "an alias sees the hole" {
	mount_slices "$temp/disk" 'a=@12345+500003' 'b=@0+1M'

	cat "$mnt/a" "$mnt/b" >/dev/null
	call fallocate "$mnt/a" punch_hole 10001 30002
	cmp "$temp/disk" "$mnt/b"
	assert_zeroed 10001 30002
}

@test "a read-only slice" {
	mount_slices "$temp/disk" 'a=@12345+500003,ro'

	run_errno EROFS fallocate "$mnt/a" punch_hole 0 4096
	run_errno EBADF -f rdonly fallocate "$mnt/a" punch_hole 0 4096
	cmp "$temp/disk" "$temp/disk.snapshot"
}

@test "fallocate(1), as a user types it" {
	mount_slices "$temp/disk" 'a=@12345+500003'

	fallocate --punch-hole --offset 100 --length 200 "$mnt/a"
	head -c 200 /dev/zero | cmp -i 0:100 -n 200 - "$mnt/a"
	head -c 100K /dev/zero | dd of="$mnt/a" bs=4096 seek=10 conv=notrunc status=none
	fallocate --dig-holes "$mnt/a"
	cut_out "$temp/disk" 12345 500003 | cmp - "$mnt/a"
}
