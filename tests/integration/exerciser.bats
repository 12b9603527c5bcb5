#!/usr/bin/env bats
# SPDX-License-Identifier: MIT
#
# Thousands of random calls against a model in memory; the seed is printed.

# shellcheck source-path=SCRIPTDIR source=../lib/common.bash
source "$BATS_TEST_DIRNAME/../lib/common.bash"

# exercise FILE OPTION...; leaves the model in $temp/model
exercise() {
	local file=$1

	shift
	timeout 100 "$(helper exerciser)" --seed "$seed" --dump "$temp/model" \
		${writeback:+--writeback} "$@" "$file"
}

setup() {
	common_setup
	make_image "$temp/disk" 2M
	snapshot "$temp/disk"
}

@test "a slice at an odd offset, between guard bytes" {
	mount_slices "$temp/disk" 'a=@12345+1000003'

	exercise "$mnt/a" --operations 15000
	unmount
	assert_range "$temp/disk" 12345 1000003 "$temp/model"
	assert_untouched "$temp/disk" 12345 1000003
}

@test "a small slice, where every operation meets the ends" {
	mount_slices "$temp/disk" 'a=@4095+12290'

	exercise "$mnt/a" --operations 15000
	unmount
	assert_range "$temp/disk" 4095 12290 "$temp/model"
	assert_untouched "$temp/disk" 4095 12290
}

@test "a slice of extents of two images" {
	make_image "$temp/two" 600001
	snapshot "$temp/two"
	cat >"$temp/table" <<-END
		image  disk  disk  rw
		image  two   two   rw
		slice  many  disk  5000    100001  rw
		extent       two   7       299000
		extent       disk  300001  1
		extent       disk  400000  70001
		extent       two   400001  150000
	END
	mount_table "$temp/table"

	exercise "$mnt/many" --operations 15000
	unmount
	{
		cut_out "$temp/disk" 5000 100001
		cut_out "$temp/two" 7 299000
		cut_out "$temp/disk" 300001 1
		cut_out "$temp/disk" 400000 70001
		cut_out "$temp/two" 400001 150000
	} | cmp - "$temp/model"
	cmp -n 5000 "$temp/disk" "$temp/disk.snapshot"
	cmp -i 105001 -n 195000 "$temp/disk" "$temp/disk.snapshot"
	cmp -i 300002 -n 99998 "$temp/disk" "$temp/disk.snapshot"
	cmp -i 470001 "$temp/disk" "$temp/disk.snapshot"
	cmp -n 7 "$temp/two" "$temp/two.snapshot"
	cmp -i 299007 -n 100994 "$temp/two" "$temp/two.snapshot"
	cmp -i 550001 "$temp/two" "$temp/two.snapshot"
}

@test "a tail slice that grows and shrinks" {
	mount_slices "$temp/disk" 'tail=@1234567,resize'

	exercise "$mnt/tail" --resize --max-size 1500000 --operations 15000
	unmount
	cut_out "$temp/disk" 1234567 10M | cmp - "$temp/model"
	assert_equal "$(stat -c %s "$temp/disk")" $((1234567 + $(stat -c %s "$temp/model")))
	cmp -n 1234567 "$temp/disk" "$temp/disk.snapshot"
}

@test "an alias, uncached" {
	mount_slices "$temp/disk" 'a=@12345+1000003' 'b=@500000+1000003,ro'

	exercise "$mnt/a" --no-mmap --operations 15000
	cmp -i 487655:0 -n 512348 "$temp/model" "$mnt/b"
	unmount
	assert_range "$temp/disk" 12345 1000003 "$temp/model"
	assert_untouched "$temp/disk" 12345 1000003
}

@test "a slice of a sparse image" {
	make_sparse "$temp/sparse" 4M
	snapshot "$temp/sparse"
	mount_slices "$temp/sparse" 'a=@1000001+2000003'

	exercise "$mnt/a" --operations 10000
	unmount
	assert_range "$temp/sparse" 1000001 2000003 "$temp/model"
	assert_untouched "$temp/sparse" 1000001 2000003
}

@test "without a cache" {
	mount_slices "$temp/disk" 'a=@12345+1000003' -- -o cache=none

	exercise "$mnt/a" --operations 5000
	unmount
	assert_range "$temp/disk" 12345 1000003 "$temp/model"
	assert_untouched "$temp/disk" 12345 1000003
}

@test "with writeback" {
	mount_slices "$temp/disk" 'a=@12345+1000003' 'small=@1100001+12290' -- -o writeback

	for slice in a:12345:1000003 small:1100001:12290; do
		IFS=: read -r name offset size <<<"$slice"
		exercise "$mnt/$name" --writeback --operations 4000
		call fsync "$mnt/$name"
		assert_range "$temp/disk" "$offset" "$size" "$temp/model"
	done
	unmount
	cmp -n 12345 "$temp/disk" "$temp/disk.snapshot"
	cmp -i 1012348 -n 87653 "$temp/disk" "$temp/disk.snapshot"
	cmp -i 1112291 "$temp/disk" "$temp/disk.snapshot"
}

@test "two exercisers at once, on neighbours" {
	mount_slices "$temp/disk" 'a=@0+500003' 'b=@1M+500003'

	exercise "$mnt/a" --dump "$temp/model.a" 3>&- &
	pid=$!
	exercise "$mnt/b" --seed "$((seed + 1))" --dump "$temp/model.b"
	wait "$pid"
	unmount
	assert_range "$temp/disk" 0 500003 "$temp/model.a"
	assert_range "$temp/disk" 1M 500003 "$temp/model.b"
	cmp -i 500003 -n 548573 "$temp/disk" "$temp/disk.snapshot"
}

# The exerciser itself: an ordinary file passes, and one that breaks a slice's rules does not.
@test "the exerciser passes on an ordinary file, and fails where a fixed size grows" {
	make_image "$temp/plain" 300001
	exercise "$temp/plain" --resize --max-size 500000 --no-direct --operations 3000
	cmp "$temp/plain" "$temp/model"
	# Without mappings: it would meet SIGBUS where O_TRUNC has cut the file.
	run exercise "$temp/plain" --no-direct --no-mmap --operations 3000
	assert_equal "$status" 1
	[[ $output == *'FAILED at operation'*'seed'* ]]
}
