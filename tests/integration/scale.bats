#!/usr/bin/env bats
# SPDX-License-Identifier: MIT
#
# Many clients, many open files, many extents. What they cost is measured by scripts/bench --scale.

# shellcheck source-path=SCRIPTDIR source=../lib/common.bash
source "$BATS_TEST_DIRNAME/../lib/common.bash"

scale() {
	/usr/bin/python3 "$BATS_TEST_DIRNAME/scale.py" "$@"
}

@test "64 clients at once, each with a slice of its own" {
	make_image "$temp/disk" 4M
	snapshot "$temp/disk"
	{
		echo 'image disk disk rw'
		for i in {0..63}; do
			echo "slice client$i disk $((1000 + i * 50000)) 50000 rw"
		done
	} >"$temp/table"
	mount_table "$temp/table"

	scale clients "$mnt" 64 50000 "$seed"
	unmount
	scale clients_wrote "$temp/disk" 1000 64 50000 "$seed"
	assert_untouched "$temp/disk" 1000 $((64 * 50000))
}

@test "10,000 open handles read what is theirs, also when every other was closed and opened again" {
	make_image "$temp/disk" 1M
	{
		echo 'image disk disk ro'
		for i in {0..99}; do
			echo "slice file$i disk $((i * 10007)) 10007 ro"
		done
	} >"$temp/table"
	mount_table "$temp/table"

	scale handles "$mnt" "$temp/disk" 10000 100 10007
	# All that the kernel still has to say of them comes before the unmount.
	assert_equal "$(stat_value errors_other)" 0
}

@test "a slice of 100,000 extents of two images in turn" {
	make_image "$temp/a" 3M
	make_image "$temp/b" 3M
	scale make_extents "$temp/a" "$temp/b" 100000 "$seed" "$temp/wanted" >"$temp/table"
	mount_table "$temp/table"

	cmp "$mnt/file" "$temp/wanted"
	scale compare "$mnt/file" "$temp/wanted" 500 "$seed"
}
