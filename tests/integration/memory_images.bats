#!/usr/bin/env bats
# SPDX-License-Identifier: MIT
#
# Images in memory: scratch space for as long as the mount lives.

# shellcheck source-path=SCRIPTDIR source=../lib/common.bash
source "$BATS_TEST_DIRNAME/../lib/common.bash"

# table LINE...: in $temp/table
table() {
	printf '%s\n' "$@" >"$temp/table"
}

# refused MESSAGE: the table is
refused() {
	run timeout 20 "$MMAPFS" mount -f --table "$temp/table" "$mnt"
	assert_equal "$status" 1
	assert_equal "$output" "mmapfs: $temp/table:$1"
}

@test "slices share what is written, and it begins as zeros" {
	table 'image m memory size=8M' 'slice a m 0 4M' 'slice b m 2M -' 'slice all m 0 - ro'
	mount_table "$temp/table"
	make_image "$temp/data" 3M

	cmp -n 8M "$mnt/all" /dev/zero
	dd if="$temp/data" of="$mnt/a" conv=notrunc,fsync status=none
	cmp -n 1M -i 2M:0 "$temp/data" "$mnt/b"
	cmp -n 3M "$temp/data" "$mnt/all"
	call -f rdwr,sync write "$mnt/b" 0 4096 >/dev/null
	call fsync "$mnt/all"
	cmp -i 2M:0 "$mnt/a" "$mnt/b" -n 2M
}

@test "nothing of it is left after the mount" {
	table 'image m memory size=1M' 'slice a m 0 -'
	mount_table "$temp/table"
	make_image "$temp/data" 1M

	dd if="$temp/data" of="$mnt/a" conv=notrunc status=none
	cmp "$temp/data" "$mnt/a"
	remount
	cmp -n 1M "$mnt/a" /dev/zero
}

@test "it can be told by its name" {
	table 'image m memory size=1M' 'slice a m 4K 8K'
	mount_table "$temp/table" -o xattr

	assert_equal "$("$MMAPFS" where "$mnt/a")" "$mnt/a memory:m 4096 8192"
	assert_equal "$(call getxattr "$mnt/a" user.mmapfs.image)" memory:m
}

@test "a file of the same name has a folder before it" {
	make_image "$temp/memory" 1M
	table 'image m ./memory ro' 'slice a m 0 -'
	mount_table "$temp/table"

	cmp "$mnt/a" "$temp/memory"
}

@test "its modes are those of a new file" {
	umask 027
	table 'image m memory size=1M' 'slice a m 0 4K' 'slice b m 4K 4K ro,mode=0444'
	mount_table "$temp/table"

	assert_equal "$(stat -c %a "$mnt/a" "$mnt/b")" $'640\n444'
}

@test "a tail slice with resize grows it from nothing" {
	table 'image m memory size=0' 'slice a m 0 - resize'
	mount_table "$temp/table"
	make_image "$temp/data" 300001

	cat "$temp/data" >>"$mnt/a"
	cmp "$temp/data" "$mnt/a"
	truncate -s 1000 "$mnt/a"
	cmp -n 1000 "$temp/data" "$mnt/a"
	assert_equal "$(stat -c %s "$mnt/a")" 1000
}

@test "bad ones are refused" {
	make_image "$temp/file" 1M
	table 'image m memory' 'slice a - 0 1'
	refused "1: image 'm': memory wants size=SIZE"
	table 'image m file size=1M' 'slice a - 0 1'
	refused "1: image 'm': size is for images in memory"
	table 'image m memory size=lots' 'slice a - 0 1'
	refused "1: image option 'size=lots': bad value"
	table 'image m memory size=0' 'slice a m 0 -'
	refused "1: image 'm': memory:m: is empty; only a tail slice with resize can use it"
	table 'image m memory size=1M' 'slice a m 1M 1'
	refused "2: slice 'a': offset 1M + length 1 exceeds image 'm' (1M)"
	table 'image m memory size=1M' 'layout x m type=tar'
	refused "2: image 'm': memory:m: has nothing in it before it is mounted"
}

@test "what is not written takes no memory, and what is punched gives it back" {
	table 'image m memory size=1T' 'slice a m 0 -'
	mount_table "$temp/table"

	call seek_end "$mnt/a" 0
	call read "$mnt/a" 500G 1M >/dev/null
	assert_equal "$(call stat "$mnt/a" blocks)" 0
	call write "$mnt/a" 500G 64K >/dev/null
	assert_equal "$(call stat "$mnt/a" blocks)" 128
	call fallocate "$mnt/a" punch_hole,keep_size 500G 64K
	assert_equal "$(call stat "$mnt/a" blocks)" 0
}

# exercise OPTION...: a thousand calls on the slice against a model
exercise() {
	timeout 100 "$(helper exerciser)" --seed "$seed" --dump "$temp/model" "$@" "$mnt/a"
	cmp "$temp/model" "$mnt/a"
}

@test "the exerciser on a slice of one" {
	table 'image m memory size=2M' 'slice a m 12345 1000003'
	mount_table "$temp/table"
	dd if=/dev/urandom of="$mnt/a" bs=1000003 count=1 iflag=fullblock conv=notrunc status=none
	exercise --operations 8000
}

@test "the exerciser on one with huge pages, populated" {
	table 'image m memory size=8M,hugepages,populate' 'slice a m 12345 5000003' 'slice b m 6M -'
	expect_hugepages_note m
	mount_table "$temp/table"
	dd if=/dev/urandom of="$mnt/a" bs=5000003 count=1 iflag=fullblock conv=notrunc status=none
	exercise --operations 5000
	cmp -n 2M "$mnt/b" /dev/zero
}

@test "the exerciser on one that is resized" {
	table 'image m memory size=1M' 'slice a m 5000 - resize'
	mount_table "$temp/table"
	exercise --resize --max-size 1500000 --operations 8000
}

@test "the exerciser on a slice with drop-behind" {
	make_image "$temp/disk" 2M
	table 'image m disk advice=sequential' 'slice a m 12345 1000003 drop-behind'
	mount_table "$temp/table"
	exercise --operations 8000 --no-mmap
}
