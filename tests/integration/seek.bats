#!/usr/bin/env bats
# SPDX-License-Identifier: MIT

# shellcheck source-path=SCRIPTDIR source=../lib/common.bash
source "$BATS_TEST_DIRNAME/../lib/common.bash"

# A 1 MiB image with data in [128K, 192K) and [512K, 516K) and holes around.
setup() {
	common_setup
	make_sparse "$temp/disk" 1M
	make_image "$temp/data" 64K
	dd if="$temp/data" of="$temp/disk" bs=64K seek=2 conv=notrunc status=none
	dd if="$temp/data" of="$temp/disk" bs=4K count=1 seek=128 conv=notrunc status=none
	sync "$temp/disk"
}

@test "a slice's data and holes are the image's" {
	mount_slices "$temp/disk" 'a=@64K+704K'

	assert_equal "$(call seek_data "$mnt/a" 0)" $((64 << 10))
	assert_equal "$(call seek_hole "$mnt/a" 0)" 0
	assert_equal "$(call seek_data "$mnt/a" 70000)" 70000
	assert_equal "$(call seek_hole "$mnt/a" 70000)" $((128 << 10))
	assert_equal "$(call seek_data "$mnt/a" 128K)" $((448 << 10))
	assert_equal "$(call seek_hole "$mnt/a" 448K)" $((452 << 10))
	assert_equal "$(call seek_hole "$mnt/a" 500K)" $((500 << 10))
	run_errno ENXIO seek_data "$mnt/a" 452K
}

@test "an odd offset shifts them" {
	mount_slices "$temp/disk" 'a=@1001+800001'

	assert_equal "$(call seek_data "$mnt/a" 0)" $((131072 - 1001))
	assert_equal "$(call seek_hole "$mnt/a" 131072)" $((196608 - 1001))
	assert_equal "$(call seek_data "$mnt/a" 196608)" $((524288 - 1001))
}

@test "they are clipped to the slice" {
	mount_slices "$temp/disk" 'data=@130K+10001' 'hole=@256K+10001' 'edge=@190K+4K'

	assert_equal "$(call seek_data "$mnt/data" 5)" 5
	assert_equal "$(call seek_hole "$mnt/data" 5)" 10001
	run_errno ENXIO seek_data "$mnt/hole" 0
	assert_equal "$(call seek_hole "$mnt/hole" 77)" 77
	assert_equal "$(call seek_hole "$mnt/edge" 0)" 2048
	run_errno ENXIO seek_data "$mnt/edge" 2048
}

@test "at the end and past it: ENXIO" {
	mount_slices "$temp/disk" 'data=@130K+10001' 'tail=@900K'

	for at in 10001 10002 1G; do
		run_errno ENXIO seek_data "$mnt/data" $at
		run_errno ENXIO seek_hole "$mnt/data" $at
	done
	run_errno ENXIO seek_data "$mnt/tail" 0
	run_errno ENXIO seek_hole "$mnt/tail" 124K
	assert_equal "$(call seek_end "$mnt/tail" 0)" $((124 << 10))
}

@test "over several extents; one without an image is a hole" {
	cat >"$temp/table" <<-END
		image  disk  disk  ro
		slice  many  disk  128K  64K  ro
		extent       -     0     10000
		extent       disk  130K  4096
		extent       disk  300K  5000
		extent       disk  512K  4K
	END
	mount_table "$temp/table"

	assert_equal "$(call seek_hole "$mnt/many" 0)" 65536
	assert_equal "$(call seek_data "$mnt/many" 65536)" 75536
	assert_equal "$(call seek_hole "$mnt/many" 75536)" 79632
	assert_equal "$(call seek_data "$mnt/many" 79632)" 84632
	assert_equal "$(call seek_hole "$mnt/many" 84632)" 88728
}

@test "a write makes data, punching makes a hole" {
	mount_slices "$temp/disk" 'a=@64K+704K'

	call write "$mnt/a" 300K 4K
	assert_equal "$(call seek_data "$mnt/a" 128K)" $((300 << 10))
	call fallocate "$mnt/a" punch_hole 300K 4K
	assert_equal "$(call seek_data "$mnt/a" 128K)" $((448 << 10))
}

@test "an alias knows its holes too" {
	mount_slices "$temp/disk" 'a=@64K+704K' 'b=@0'

	assert_equal "$(call seek_data "$mnt/a" 0)" $((64 << 10))
	assert_equal "$(call seek_hole "$mnt/b" 128K)" $((192 << 10))
}
