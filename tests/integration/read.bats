#!/usr/bin/env bats
# SPDX-License-Identifier: MIT

# shellcheck source-path=SCRIPTDIR source=../lib/common.bash
source "$BATS_TEST_DIRNAME/../lib/common.bash"

# read_range FILE OFFSET LENGTH WANTED-FILE WANTED-OFFSET
read_range() {
	call -o "$temp/got" read "$1" "$2" "$3" >/dev/null
	cut_out "$4" "$5" "$3" "$temp/cut"
	cmp "$temp/got" "$temp/cut"
}

@test "a slice holds the image's bytes, whatever its offset and length" {
	make_image "$temp/disk" 3M
	mount_slices "$temp/disk" 'odd=@12345+1000003' 'byte=@3145727+1' 'all=@0+3M'

	assert_range "$temp/disk" 12345 1000003 "$mnt/odd"
	assert_range "$temp/disk" 3145727 1 "$mnt/byte"
	cmp "$temp/disk" "$mnt/all"
}

@test "a read may begin and end anywhere" {
	make_image "$temp/disk" 4M
	mount_slices "$temp/disk" 'odd=@777+3M'

	for range in '0 1' '1 1' '4095 2' '4096 4096' '3319 1' '65535 131075' '1048575 1048578' '1 3000000'; do
		read -r offset length <<<"$range"
		read_range "$mnt/odd" "$offset" "$length" "$temp/disk" $((777 + offset))
	done
}

@test "O_DIRECT reads, aligned and not" {
	make_image "$temp/disk" 4M
	mount_slices "$temp/disk" 'odd=@777+3M'

	for range in '0 4096' '511 513' '1048576 1048576' '1048577 2000000'; do
		read -r offset length <<<"$range"
		call -f rdonly,direct -o "$temp/got" read "$mnt/odd" "$offset" "$length" >/dev/null
		cut_out "$temp/disk" $((777 + offset)) "$length" | cmp - "$temp/got"
	done
}

@test "a read is cut short at the end of the slice, and is empty past it" {
	make_image "$temp/disk" 1M
	mount_slices "$temp/disk" 'a=@100+5000'

	for flags in rdonly rdonly,direct; do
		assert_equal "$(call -f $flags read "$mnt/a" 4990 100)" 10
		assert_equal "$(call -f $flags read "$mnt/a" 5000 100)" 0
		assert_equal "$(call -f $flags read "$mnt/a" 1G 100)" 0
	done
	read_range "$mnt/a" 4990 10 "$temp/disk" 5090
}

@test "a tail slice reaches to the end of its image" {
	make_image "$temp/disk" 1000003
	mount_slices "$temp/disk" 'tail=@999' 'last=@1000002' 'none=@1000003'

	assert_range "$temp/disk" 999 999004 "$mnt/tail"
	assert_equal "$(stat -c %s "$mnt/last")" 1
	assert_equal "$(stat -c %s "$mnt/none")" 0
	assert_equal "$(call read "$mnt/none")" 0
}

@test "without slices the mount holds the whole image under its own name" {
	make_image "$temp/disk.img" 70000
	start_mmapfs "$temp/disk.img" "$mnt"

	assert_equal "$(ls "$mnt")" disk.img
	cmp "$temp/disk.img" "$mnt/disk.img"
}

@test "a slice joins ranges of several images, in order" {
	make_image "$temp/one" 1M
	make_image "$temp/two" 300001
	cat >"$temp/table" <<-END
		image  one  one  rw
		image  two  two  ro
		slice  joined  one  4097  10001  ro
		extent         two  1     300000
		extent         one  0     7
		extent         one  1048575  1
		extent         two  0     4096
	END
	mount_table "$temp/table"

	{
		cut_out "$temp/one" 4097 10001
		cut_out "$temp/two" 1 300000
		cut_out "$temp/one" 0 7
		cut_out "$temp/one" 1048575 1
		cut_out "$temp/two" 0 4096
	} >"$temp/want"
	cmp "$temp/want" "$mnt/joined"
	for range in '0 314105' '9990 20' '310000 12' '309990 1000' '1 309000' '310006 4'; do
		read -r offset length <<<"$range"
		read_range "$mnt/joined" "$offset" "$length" "$temp/want" "$offset"
	done
}

@test "a slice of a thousand extents reads in one piece" {
	make_image "$temp/disk" 4M
	{
		echo 'image disk disk ro'
		echo 'slice many disk 0 17 ro'
		for ((i = 1; i < 1000; i++)); do
			echo "extent disk $((i * 4099)) $((i % 100 + 1))"
		done
	} >"$temp/table"
	mount_table "$temp/table"

	/usr/bin/python3 - "$temp/disk" "$mnt/many" <<-'END'
		import sys
		disk = open(sys.argv[1], "rb").read()
		want = disk[:17] + b"".join(disk[i * 4099:][:i % 100 + 1] for i in range(1, 1000))
		assert open(sys.argv[2], "rb").read() == want
	END
}

@test "an extent without an image reads as zeros" {
	make_image "$temp/disk" 1M
	cat >"$temp/table" <<-END
		image  disk  disk  ro
		slice  padded  -     0  1000    ro
		extent         disk  3  5000
		extent         -     0  2000003
		extent         disk  9  1
		slice  zeros   -     0  3M      ro
	END
	mount_table "$temp/table"

	{
		head -c 1000 /dev/zero
		cut_out "$temp/disk" 3 5000
		head -c 2000003 /dev/zero
		cut_out "$temp/disk" 9 1
	} | cmp - "$mnt/padded"
	head -c 3M /dev/zero | cmp - "$mnt/zeros"
}

@test "slices that overlap show the same bytes" {
	make_image "$temp/disk" 1M
	mount_slices "$temp/disk" 'a=@0+600K' 'b=@300K+700000' 'c=@1+1000000'

	assert_range "$temp/disk" 0 600K "$mnt/a"
	assert_range "$temp/disk" 300K 700000 "$mnt/b"
	assert_range "$temp/disk" 1 1000000 "$mnt/c"
}

@test "a slice far out in a huge sparse image" {
	make_sparse "$temp/huge" 1T
	make_image "$temp/bytes" 5000
	dd if="$temp/bytes" of="$temp/huge" bs=1M seek=$((900 << 30 | 123)) oflag=seek_bytes conv=notrunc \
		status=none
	mount_slices "$temp/huge" 'far=@966367641723+5000' 'all=@0'

	cmp "$temp/bytes" "$mnt/far"
	assert_equal "$(stat -c %s "$mnt/all")" $((1 << 40))
	read_range "$mnt/all" $((900 << 30)) 6000 "$temp/huge" $((900 << 30))
}

@test "eight readers at once" {
	make_image "$temp/disk" 8M
	mount_slices "$temp/disk" 'a=@4097+7M'
	cut_out "$temp/disk" 4097 7M "$temp/want"

	pids=()
	for ((i = 0; i < 8; i++)); do
		cmp -i $((i * 100001)) "$temp/want" "$mnt/a" 3>&- &
		pids+=("$!")
	done
	for pid in "${pids[@]}"; do
		wait "$pid"
	done
}
