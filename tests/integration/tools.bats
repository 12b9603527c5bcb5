#!/usr/bin/env bats
# SPDX-License-Identifier: MIT
#
# Ordinary tools on a slice, each against a copy cut out with dd.

# shellcheck source-path=SCRIPTDIR source=../lib/common.bash
source "$BATS_TEST_DIRNAME/../lib/common.bash"

setup() {
	common_setup
	make_image "$temp/disk" 4M
	snapshot "$temp/disk"
	mount_slices "$temp/disk" 'a=@12345+3000001'
	cut_out "$temp/disk" 12345 3000001 "$temp/copy"
}

@test "cmp" {
	cmp "$mnt/a" "$temp/copy"
	cmp -i 1000001 "$temp/copy" "$mnt/a"
	call write "$temp/copy" 2999999 1 "$(printf '\001')"
	call write "$mnt/a" 2999999 1 "$(printf '\002')"
	assert_equal "$(cmp -l "$mnt/a" "$temp/copy" | xargs)" '3000000 2 1'
}

@test "dd reads with odd offsets and sizes" {
	for size in 1 511 4097 1000003; do
		dd if="$mnt/a" bs="$size" skip=777 iflag=skip_bytes count=3 status=none >"$temp/slice.part"
		dd if="$temp/copy" bs="$size" skip=777 iflag=skip_bytes count=3 status=none |
			cmp - "$temp/slice.part"
	done
	dd if="$mnt/a" bs=1M iflag=direct status=none | cmp - "$temp/copy"
}

@test "dd writes with odd offsets and sizes" {
	for size in 1 511 4097 700001; do
		for flags in conv=notrunc,fsync conv=notrunc,fdatasync 'conv=notrunc oflag=dsync' \
			'conv=notrunc oflag=direct'; do
			make_image "$temp/put" $((size * 2))
			for out in "$mnt/a" "$temp/copy"; do
				# A plain file has no O_DIRECT at odd offsets.
				[ "$out" = "$mnt/a" ] || flags=conv=notrunc
				# shellcheck disable=SC2086 # several words
				dd if="$temp/put" of="$out" bs="$size" count=2 seek=100003 \
					oflag=seek_bytes $flags status=none
			done
			cmp "$mnt/a" "$temp/copy"
		done
	done
	unmount
	assert_range "$temp/disk" 12345 3000001 "$temp/copy"
	assert_untouched "$temp/disk" 12345 3000001
}

@test "cp out" {
	cp "$mnt/a" "$temp/out"
	cmp "$temp/out" "$temp/copy"
	cp --sparse=always "$mnt/a" "$temp/out"
	cmp "$temp/out" "$temp/copy"
	cp -a "$mnt/a" "$temp/attributes"
	assert_equal "$(stat -c '%s %a %Y' "$temp/attributes")" "$(stat -c '%s %a %Y' "$mnt/a")"
}

@test "cp in" {
	make_image "$temp/put" 3000001
	cp "$temp/put" "$mnt/a"
	cmp "$temp/put" "$mnt/a"
	unmount
	assert_range "$temp/disk" 12345 3000001 "$temp/put"
	assert_untouched "$temp/disk" 12345 3000001
}

@test "cp --sparse=always in replaces data by holes" {
	make_sparse "$temp/put" 3000001
	dd if="$temp/copy" of="$temp/put" bs=100001 count=3 seek=7 conv=notrunc status=none
	cp --sparse=always "$temp/put" "$mnt/a"
	cmp "$temp/put" "$mnt/a"
	unmount
	assert_range "$temp/disk" 12345 3000001 "$temp/put"
	assert_untouched "$temp/disk" 12345 3000001
}

@test "cp of a sparse slice copies its holes as holes" {
	unmount
	make_sparse "$temp/sparse" 64M
	dd if="$temp/copy" of="$temp/sparse" bs=64K count=2 seek=100 conv=notrunc status=none
	sync "$temp/sparse"
	mount_slices "$temp/sparse" 'a=@4097+60M'
	cut_out "$temp/sparse" 4097 60M "$temp/copy"

	before=$(stat_value read_bytes)
	cp "$mnt/a" "$temp/out"
	[ $(($(stat_value read_bytes) - before)) -lt 2000000 ]
	cmp "$temp/out" "$temp/copy"
	[ "$(call stat "$temp/out" blocks)" -lt 1000 ]
	cp --sparse=always "$mnt/a" "$temp/out"
	cmp "$temp/out" "$temp/copy"
}

@test "checksums" {
	for sum in sha256sum md5sum cksum b2sum; do
		assert_equal "$($sum <"$mnt/a")" "$($sum <"$temp/copy")"
	done
}

@test "head, tail, wc, od" {
	assert_equal "$(tail -c 100001 "$mnt/a" | sha256sum)" "$(tail -c 100001 "$temp/copy" | sha256sum)"
	assert_equal "$(tail -c +2999990 "$mnt/a" | sha256sum)" \
		"$(tail -c +2999990 "$temp/copy" | sha256sum)"
	assert_equal "$(head -c 12345 "$mnt/a" | sha256sum)" "$(head -c 12345 "$temp/copy" | sha256sum)"
	assert_equal "$(wc -lc <"$mnt/a")" "$(wc -lc <"$temp/copy")"
	assert_equal "$(od -j 1000001 -N 77 "$mnt/a")" "$(od -j 1000001 -N 77 "$temp/copy")"
}

@test "text: grep, sort, tail, sed -n" {
	unmount
	seq 1 200000 >"$temp/text"
	size=$(stat -c %s "$temp/text")
	{
		head -c 777 "$temp/copy"
		cat "$temp/text"
		head -c 99999 "$temp/copy"
	} >"$temp/texts"
	mount_slices "$temp/texts" "text=@777+$size"

	assert_equal "$(grep -c '7$' "$mnt/text")" "$(grep -c '7$' "$temp/text")"
	assert_equal "$(grep -n '^199999$' "$mnt/text")" 199999:199999
	assert_equal "$(tail -n 1 "$mnt/text")" 200000
	assert_equal "$(sed -n 150000p "$mnt/text")" 150000
	assert_equal "$(sort -rn "$mnt/text" | sha256sum)" "$(sort -rn "$temp/text" | sha256sum)"
	diff "$mnt/text" "$temp/text"
}

@test "file" {
	unmount
	gzip -n <"$temp/copy" >"$temp/copy.gz"
	size=$(stat -c %s "$temp/copy.gz")
	cat "$temp/copy" "$temp/copy.gz" "$temp/copy" >"$temp/archives"
	mount_slices "$temp/archives" "a.gz=@3000001+$size"

	assert_equal "$(file -b "$mnt/a.gz")" "$(file -b "$temp/copy.gz")"
	[[ $(file -b "$mnt/a.gz") == gzip* ]]
	gzip -dc "$mnt/a.gz" | cmp - "$temp/copy"
}

@test "truncate" {
	truncate -s 3000001 "$mnt/a"
	truncate -s +0 "$mnt/a"
	refute truncate -s 5 "$mnt/a"
	refute truncate -s +1 "$mnt/a"
	cmp "$mnt/a" "$temp/copy"

	unmount
	mount_slices "$temp/disk" 'tail=@12345,resize'
	truncate -s 5 "$mnt/tail"
	truncate -s +100 "$mnt/tail"
	{
		head -c 5 "$temp/copy"
		head -c 100 /dev/zero
	} | cmp - "$mnt/tail"
	assert_equal "$(stat -c %s "$temp/disk")" 12450
}

@test "split and cat" {
	split -b 700001 "$mnt/a" "$temp/part."
	cat "$temp"/part.* >"$mnt/a"
	cmp "$mnt/a" "$temp/copy"
	cmp "$temp/disk" "$temp/disk.snapshot"
}
