#!/usr/bin/env bats
# SPDX-License-Identifier: MIT
#
# Further names of slices, which may be names of names.

# shellcheck source-path=SCRIPTDIR source=../lib/common.bash
source "$BATS_TEST_DIRNAME/../lib/common.bash"

@test "links to links are names of the slice in the end, in whatever order" {
	local name

	make_image "$temp/disk" 64K
	cat >"$temp/table" <<-'END'
		image d disk
		slice b d 0    4K
		slice z d 4K   4K
		slice c d 8K   4K
		link  a y
		link  y x
		link  x z
		link  k a
	END
	mount_table "$temp/table"

	for name in a k x y z; do
		assert_range "$temp/disk" 4096 4096 "$mnt/$name"
	done
	assert_equal "$(stat -c %h "$mnt/k")" 5
}

@test "links that lead to each other are refused" {
	make_image "$temp/disk" 64K
	printf 'image d disk\nslice s d 0 1\nlink a b\nlink b a\n' >"$temp/table"

	run "$MMAPFS" -t "$temp/table" "$mnt"
	assert_equal "$status" 1
	[[ $output == *"link 'a': 'b' is not a slice"* ]]
}
