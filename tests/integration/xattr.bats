#!/usr/bin/env bats
# SPDX-License-Identifier: MIT

# shellcheck source-path=SCRIPTDIR source=../lib/common.bash
source "$BATS_TEST_DIRNAME/../lib/common.bash"

setup() {
	common_setup
	make_image "$temp/disk" 1M
	make_image "$temp/two" 64K
	cat >"$temp/table" <<-END
		image  disk  disk  rw
		image  two   two   ro
		slice  one   disk  12345  5000  rw
		slice  many  disk  100K  4K    ro
		extent       two   7     100
		extent       -     0     50
		slice  tail  disk  512K  -     rw
	END
	mount_table "$temp/table" -o xattr
}

@test "image, offset, length and access of a slice" {
	assert_equal "$(call getxattr "$mnt/one" user.mmapfs.image)" "$temp/disk"
	assert_equal "$(call getxattr "$mnt/one" user.mmapfs.offset)" 12345
	assert_equal "$(call getxattr "$mnt/one" user.mmapfs.length)" 5000
	assert_equal "$(call getxattr "$mnt/one" user.mmapfs.access)" rw
	assert_equal "$(call getxattr "$mnt/many" user.mmapfs.access)" $'ro\nro\nro'
}

@test "one line an extent" {
	assert_equal "$(call getxattr "$mnt/many" user.mmapfs.image)" "$temp/disk"$'\n'"$temp/two"$'\n-'
	assert_equal "$(call getxattr "$mnt/many" user.mmapfs.offset)" $'102400\n7\n0'
	assert_equal "$(call getxattr "$mnt/many" user.mmapfs.length)" $'4096\n100\n50'
}

@test "the length of a tail is the one it has now" {
	assert_equal "$(call getxattr "$mnt/tail" user.mmapfs.length)" 524288
}

@test "what they say cuts the slice out of the image" {
	cut_out "$(call getxattr "$mnt/one" user.mmapfs.image)" \
		"$(call getxattr "$mnt/one" user.mmapfs.offset)" \
		"$(call getxattr "$mnt/one" user.mmapfs.length)" | cmp - "$mnt/one"
}

@test "listxattr names them" {
	call listxattr "$mnt/one" >"$temp/list"
	for name in image offset length access; do
		grep -qx "user.mmapfs.$name" "$temp/list"
	done
}

@test "the size is asked for first, and a short buffer is ERANGE" {
	size=$(call getxattr "$mnt/one" user.mmapfs.offset 0)
	[ "$size" -ge 5 ]
	run_errno ERANGE getxattr "$mnt/one" user.mmapfs.offset 4
	assert_equal "$(call getxattr "$mnt/one" user.mmapfs.offset "$size")" "$size"
}

@test "other names, folders, and changes" {
	run_errno ENODATA getxattr "$mnt/one" user.mmapfs.nothing
	run_errno ENODATA getxattr "$mnt/one" user.other
	run_errno ENODATA getxattr "$mnt" user.mmapfs.image
	refute call setxattr "$mnt/one" user.mmapfs.offset 0
	refute call setxattr "$mnt/one" user.other x
	refute call removexattr "$mnt/one" user.mmapfs.offset
	assert_equal "$(call getxattr "$mnt/one" user.mmapfs.offset)" 12345
}
