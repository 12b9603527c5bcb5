#!/usr/bin/env bats
# SPDX-License-Identifier: MIT

# shellcheck source-path=SCRIPTDIR source=../lib/common.bash
source "$BATS_TEST_DIRNAME/../lib/common.bash"

setup() {
	common_setup
	make_image "$temp/disk" 10M
	snapshot "$temp/disk"
}

# fio_verify FILE OPTION...: four jobs, each writes its own 2 MiB in random order, then reads it
# back and checks every block's checksum
fio_verify() {
	local file=$1

	shift
	(cd "$temp" && timeout 100 fio --name=records --filename="$file" --rw=randwrite --size=2M \
		--numjobs=4 --offset_increment=2M --verify=crc32c --verify_fatal=1 --do_verify=1 \
		--verify_state_save=0 --fallocate=none --overwrite=1 --randseed="$seed" \
		--group_reporting --output="$temp/fio.out" "$@") || {
		cat "$temp/fio.out"
		return 1
	}
	grep -q 'jobs=4' "$temp/fio.out"
}

@test "buffered" {
	mount_slices "$temp/disk" 'a=@12345+8M'

	fio_verify "$mnt/a" --ioengine=psync --bs=4k
	unmount
	assert_untouched "$temp/disk" 12345 8M
}

@test "O_DIRECT" {
	mount_slices "$temp/disk" 'a=@12345+8M'

	fio_verify "$mnt/a" --ioengine=psync --direct=1 --bsrange=4k-64k
	unmount
	assert_untouched "$temp/disk" 12345 8M
}

@test "libaio with a queue, and an fsync now and then" {
	mount_slices "$temp/disk" 'a=@12345+8M'

	fio_verify "$mnt/a" --ioengine=libaio --direct=1 --iodepth=8 --bs=8k --fsync=64
	unmount
	assert_untouched "$temp/disk" 12345 8M
}

@test "an alias" {
	mount_slices "$temp/disk" 'a=@12345+8M' 'b=@0,ro'

	fio_verify "$mnt/a" --ioengine=psync --bs=4k
	cmp "$temp/disk" "$mnt/b"
	unmount
	assert_untouched "$temp/disk" 12345 8M
}
