#!/usr/bin/env bats
# SPDX-License-Identifier: MIT
#
# The trimmer (-o memory=): what the daemon has mapped stays within the limit, and no byte suffers.

# shellcheck source-path=SCRIPTDIR source=../lib/common.bash
source "$BATS_TEST_DIRNAME/../lib/common.bash"

size=$((1 << 40))

# scatter FILE OPTION...
scatter() {
	local file=$1

	shift
	timeout 110 python3 "$BATS_TEST_DIRNAME/../lib/scatter.py" --seed "$seed" --size "$size" "$@" "$file"
}

# An address sanitizer has page tables of its own, for what it knows of each byte that is copied.
has_shadow() {
	grep -qE '__(asan|tsan)_init' "$MMAPFS"
}

# mount_twice OPTION...: the slice is an alias, so that each call comes to the daemon
mount_twice() {
	mount_slices "$temp/disk" "a=@0+$size" "b=@0+$size,ro" -- "$@"
}

@test "scattered reads and writes of a terabyte stay within memory=, byte for byte" {
	make_sparse "$temp/disk" 1T
	mount_twice -o memory=8M

	scatter "$mnt/a" --pid "$(daemon_process "$mnt")" >"$temp/most"
	read -r tables mapped <"$temp/most"
	[ "$(stat_value trimmed_regions)" -ge 100 ]
	[ "$(stat_value mapped_regions)" -le 2048 ]
	# What the daemon has for itself is not counted.
	has_shadow || [ $((tables + mapped)) -le "$(bytes 20M)" ]
	unmount
	scatter "$temp/disk" --check
}

@test "reading through a file many times as large leaves little of it mapped" {
	make_image "$temp/disk" 64M
	mount_slices "$temp/disk" 'a=@0+64M' 'b=@0+64M,ro' -- -o memory=4M

	before=$(stat_value resident_mapped_bytes)
	cut_out "$mnt/a" 0 64M | cmp - "$temp/disk"
	[ $(($(stat_value resident_mapped_bytes) - before)) -le "$(bytes 12M)" ]
	[ "$(stat_value mapped_regions)" -le 8 ]
}

@test "without a limit each region that was touched keeps its page table" {
	make_sparse "$temp/disk" 1T
	mount_twice -o memory=off

	scatter "$mnt/a" --places 4000 >/dev/null
	assert_equal "$(stat_value trims)" 0
	assert_equal "$(stat_value memory_limit_bytes)" 0
	[ "$(stat_value mapped_regions)" -ge 480 ]
}

@test "thousands of random calls while everything is trimmed all the time" {
	make_image "$temp/disk" 8M
	snapshot "$temp/disk"
	mount_slices "$temp/disk" 'a=@12345+7000003' 'b=@500000+100,ro' -- -o memory=1M

	timeout 100 "$(helper exerciser)" --seed "$seed" --dump "$temp/model" --no-mmap --operations 8000 "$mnt/a"
	echo "trims: $(stat_value trims)"
	[ "$(stat_value trims)" -ge 50 ]
	unmount
	assert_range "$temp/disk" 12345 7000003 "$temp/model"
	assert_untouched "$temp/disk" 12345 7000003
}

@test "an image that shrinks and grows while it is trimmed loses what was cut, and no more" {
	make_image "$temp/disk" 8M
	cp "$temp/disk" "$temp/whole"
	mount_slices "$temp/disk" 'a=@0+8M' 'b=@0+8M,ro' -- -o memory=1M

	for ((i = 0; i < 10; i++)); do
		cut_out "$mnt/a" 0 8M | cmp - "$temp/whole"
		truncate -s 5M "$temp/disk"
		run_errno EIO read "$mnt/a" 6M 64K
		run_errno EIO write "$mnt/a" 6M 4K
		cut_out "$mnt/a" 0 5M | cmp -n "$(bytes 5M)" - "$temp/whole"
		dd if="$temp/whole" of="$temp/disk" bs=1M skip=5 seek=5 conv=notrunc status=none
	done
}

@test "the default is a part of the memory that there is" {
	make_image "$temp/disk" 1M
	mount_slices "$temp/disk" 'a=@0'

	limit=$(stat_value memory_limit_bytes)
	[ "$limit" -ge "$(bytes 1M)" ]
	[ "$limit" -le $(($(awk '$1 == "MemTotal:" { print $2 }' /proc/meminfo) * 1024 / 8)) ]
}
