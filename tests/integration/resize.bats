#!/usr/bin/env bats
# SPDX-License-Identifier: MIT
#
# A tail slice with the option `resize` is a file like any other: its image follows.

# shellcheck source-path=SCRIPTDIR source=../lib/common.bash
source "$BATS_TEST_DIRNAME/../lib/common.bash"

setup() {
	common_setup
	make_image "$temp/disk" 1000003
	snapshot "$temp/disk"
	mount_slices "$temp/disk" 'tail=@4097,resize'
}

# The image is its old first 4097 bytes and then the file WANTED.
assert_image() {
	{ cut_out "$temp/disk.snapshot" 0 4097; cat "$1"; } | cmp - "$temp/disk"
	cmp "$1" "$mnt/tail"
	assert_equal "$(stat -c %s "$mnt/tail")" "$(stat -c %s "$1")"
}

@test "truncate grows the image with zeros" {
	cut_out "$temp/disk" 4097 995906 "$temp/want"

	for size in 995907 1000000 3000001; do
		call truncate "$mnt/tail" "$size"
		truncate -s "$size" "$temp/want"
		assert_image "$temp/want"
	done
}

@test "truncate shrinks the image, and grown again it holds zeros" {
	cut_out "$temp/disk" 4097 995906 "$temp/want"

	for size in 500001 4096 1 70000 0 9; do
		call ftruncate "$mnt/tail" "$size"
		truncate -s "$size" "$temp/want"
		assert_image "$temp/want"
	done
}

@test "a write past the end grows the image" {
	cut_out "$temp/disk" 4097 995906 "$temp/want"

	for flags in rdwr wronly rdwr,direct wronly,sync; do
		size=$(stat -c %s "$temp/want")
		for offset in "$size" $((size + 4095)) $((size + 200001)); do
			call -f "$flags" write "$mnt/tail" "$offset" 70000 x
			call -f wronly write "$temp/want" "$offset" 70000 x
			assert_image "$temp/want"
		done
	done
}

@test "a write over the end grows the image by the rest" {
	cut_out "$temp/disk" 4097 995906 "$temp/want"

	assert_equal "$(call write "$mnt/tail" 995900 100 y)" 100
	call write "$temp/want" 995900 100 y
	assert_image "$temp/want"
}

@test "O_TRUNC empties the slice" {
	: >"$mnt/tail"
	assert_image /dev/null
	assert_equal "$(stat -c %s "$temp/disk")" 4097

	cp /etc/passwd "$mnt/tail"
	assert_image /etc/passwd
}

@test "O_APPEND appends" {
	cut_out "$temp/disk" 4097 995906 "$temp/want"

	for ((i = 0; i < 50; i++)); do
		echo "line $i" >>"$mnt/tail"
		echo "line $i" >>"$temp/want"
	done
	assert_image "$temp/want"
}

@test "appending by four processes at once loses nothing" {
	: >"$mnt/tail"
	pids=()
	for writer in a b c d; do
		for ((i = 0; i < 100; i++)); do
			printf '%s %03d\n' "$writer" "$i"
		done | while IFS= read -r line; do
			echo "$line"
		done >>"$mnt/tail" 3>&- &
		pids+=("$!")
	done
	for pid in "${pids[@]}"; do
		wait "$pid"
	done
	assert_equal "$(sort -u "$mnt/tail" | wc -l)" 400
	assert_equal "$(stat -c %s "$mnt/tail")" 2400
	assert_equal "$(stat -c %s "$temp/disk")" $((2400 + 4097))
}

@test "the new size is there after a remount" {
	call truncate "$mnt/tail" 5
	call write "$mnt/tail" 100000 1
	remount

	assert_equal "$(stat -c %s "$mnt/tail")" 100001
	assert_equal "$(stat -c %s "$temp/disk")" 104098
}

@test "a grown file is durable after fsync" {
	call -f rdwr write "$mnt/tail" 3000000 5000
	call fsync "$mnt/tail"
	call -f rdwr,sync write "$mnt/tail" 4000000 5000
	assert_equal "$(stat -c %s "$temp/disk")" 4009097
}

@test "two tails of one image agree" {
	unmount
	mount_slices "$temp/disk" 'one=@4097,resize' 'two=@100001,resize' 'fixed=@0+5000'

	call truncate "$mnt/one" 2000000
	assert_equal "$(stat -c %s "$mnt/two")" $((2000000 + 4097 - 100001))
	printf 'the end' >>"$mnt/two"
	assert_equal "$(stat -c %s "$mnt/one")" 2000007
	assert_equal "$(tail -c 7 "$mnt/one")" 'the end'
	call truncate "$mnt/two" 0
	assert_equal "$(stat -c %s "$mnt/one")" $((100001 - 4097))
	assert_equal "$(stat -c %s "$temp/disk")" 100001
	cmp -n 100001 "$temp/disk" "$temp/disk.snapshot"
	cut_out "$temp/disk" 4097 95904 | cmp - "$mnt/one"
	assert_equal "$(call read "$mnt/two")" 0
}

@test "a slice of fixed size loses its bytes when a tail shrinks below it, with EIO" {
	unmount
	mount_slices "$temp/disk" 'tail=@4097,resize' 'fixed=@500000+100000'

	call truncate "$mnt/tail" 0
	run_errno EIO read "$mnt/fixed"
	run_errno EIO write "$mnt/fixed" 0 10
	assert_equal "$(stat -c %s "$mnt/fixed")" 100000
	assert_equal "$(stat -c %s "$temp/disk")" 4097

	call truncate "$mnt/tail" 700000
	head -c 100000 /dev/zero | cmp - "$mnt/fixed"
}

@test "a tail that the image shrinks away from under" {
	truncate -s 4000 "$temp/disk"
	assert_equal "$(call read "$mnt/tail" 0 10)" 0
	assert_equal "$(stat -c %s "$mnt/tail")" 0
}

@test "a truncate to a size no file can have fails and changes nothing" {
	run_errno EFBIG truncate "$mnt/tail" 0x7ffffffffffffff0
	cmp "$temp/disk" "$temp/disk.snapshot"
}

@test "a tail whose beginning is lost takes nothing, so that its neighbours' bytes do not turn into zeros" {
	unmount
	make_image "$temp/disk" 1M
	mount_slices "$temp/disk" 'all=@0,resize' 'middle=@256K+256K' 'late=@512K,resize'

	truncate -s 300K "$temp/disk"
	run_errno EIO write "$mnt/late" 0 100
	run_errno EIO -f wronly,append write "$mnt/late" 0 100
	run_errno EIO truncate "$mnt/late" 5
	run_errno EIO fallocate "$mnt/late" default 0 100
	assert_equal "$(stat -c %s "$temp/disk")" $((300 * 1024))
	run_errno EIO read "$mnt/middle" 100K 100

	truncate -s 100K "$mnt/all"
	run_errno EIO -f wronly,append write "$mnt/late" 0 100
	assert_equal "$(stat -c %s "$temp/disk")" $((100 * 1024))
}

# The tail is all there, whatever has become of what lies before it.
@test "an append with O_SYNC succeeds though an extent before the tail is lost" {
	unmount
	make_image "$temp/disk" 10000
	make_image "$temp/two" 10000
	cat >"$temp/table" <<-END
		image  two   two   rw
		image  disk  disk  rw
		slice  tail  two   0     8K  rw,resize
		extent       disk  5000  -
	END
	mount_table "$temp/table"
	truncate -s 100 "$temp/two"

	call -f wronly,append,sync write "$mnt/tail" 0 10 a
	assert_equal "$(tail -c 10 "$temp/disk")" aaaaaaaaaa
	assert_equal "$(stat -c %s "$temp/disk")" 10010
}
