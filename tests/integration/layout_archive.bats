#!/usr/bin/env bats
# SPDX-License-Identifier: MIT
#
# Archives show what the programs that they belong to extract: the same names, bytes, modes and
# times. Other formats than tar: layout_archive_others.bats.

# shellcheck source-path=SCRIPTDIR source=../lib/common.bash
source "$BATS_TEST_DIRNAME/../lib/common.bash"
# shellcheck source-path=SCRIPTDIR source=../lib/trees.bash
source "$BATS_TEST_DIRNAME/../lib/trees.bash"

setup() {
	common_setup
	tree=$temp/tree
	extracted=$temp/extracted
	mkdir "$tree" "$extracted"
}

# A tree that has something of everything, and ends with fixed times.
make_tree() {
	mkdir -p "$tree/dir/empty" "$tree/dir/sub"
	make_image "$tree/dir/file" 5000
	make_image "$tree/dir/sub/big" 300001
	: >"$tree/dir/zero"
	ln "$tree/dir/file" "$tree/dir/sub/link"
	ln -s ../file "$tree/dir/sub/symlink"
	chmod 751 "$tree/dir/file"
	chmod 700 "$tree/dir/empty"
	chmod 600 "$tree/dir/zero"
	find "$tree" -depth -exec touch -h -d '2020-02-03 04:05:06.789012345 UTC' {} +
}

# assert_as_tar ARCHIVE: what is mounted is what tar extracts
assert_as_tar() {
	tar -C "$extracted" -xpf "$1"
	start_mmapfs "$1" "$mnt"
	assert_same mtl "$extracted" "$mnt"
}

# summary IMAGE [OPTION...]: the last line of the plan
summary() {
	"$MMAPFS" plan "${@:2}" "$1" | tail -n 1
}

@test "a tar of the time before ustar is as tar extracts it" {
	make_tree
	tar -C "$tree" --format=v7 -cf "$temp/a.tar" dir
	assert_as_tar "$temp/a.tar"
}

@test "a ustar archive is as tar extracts it" {
	make_tree
	tar -C "$tree" --format=ustar -cf "$temp/a.tar" dir
	assert_as_tar "$temp/a.tar"
}

@test "a GNU tar with a volume label is as tar extracts it" {
	make_tree
	tar -C "$tree" --format=gnu -V label -cf "$temp/a.tar" dir
	assert_as_tar "$temp/a.tar"
}

@test "a pax archive is as tar extracts it, to the nanosecond" {
	make_tree
	tar -C "$tree" --format=posix -cf "$temp/a.tar" dir
	assert_as_tar "$temp/a.tar"
	assert_equal "$(stat -c %.Y "$mnt/dir/file")" 1580702706.789012345
}

make_sparse_tree() {
	make_sparse "$tree/end" 5M
	make_sparse "$tree/all" 3M
	make_sparse "$tree/many" 8M
	make_image "$temp/data" 40000
	for ((i = 0; i < 60; i++)); do
		dd if="$temp/data" of="$tree/many" bs=40000 seek=$((3 * i + 1)) conv=notrunc status=none
	done
	dd if="$temp/data" of="$tree/end" bs=1M seek=2 conv=notrunc status=none
}

@test "sparse files in GNU's own format have their holes" {
	make_sparse_tree
	tar -C "$tree" --format=gnu -S -cf "$temp/a.tar" .
	[ "$(stat -c %s "$temp/a.tar")" -lt 4000000 ]
	assert_as_tar "$temp/a.tar"
}

@test "sparse files in the three pax formats have their holes" {
	make_sparse_tree
	for version in 0.0 0.1 1.0; do
		tar -C "$tree" --format=posix -S --sparse-version=$version -cf "$temp/$version.tar" .
		[ "$(stat -c %s "$temp/$version.tar")" -lt 4000000 ]
		assert_as_tar "$temp/$version.tar"
		unmount
	done
}

@test "names longer than a header, and of any bytes, come as they are" {
	path=$(printf 'd%.0s' {1..200})/$(printf 'e%.0s' {1..250})/$(printf 'f%.0s' {1..255})
	mkdir -p "$tree/$path/$path"
	echo deep >"$tree/$path/$path/file"
	echo composed >"$tree/"$'na\xc3\xafve'
	echo decomposed >"$tree/"$'e\xcc\x81'
	echo latin >"$tree/"$'\xe9'
	echo spaces >"$tree/a name with  spaces"
	ln -s "$(printf 'x%.0s' {1..300})" "$tree/symlink"
	for format in gnu posix; do
		tar -C "$tree" --format=$format -cf "$temp/$format.tar" .
		assert_as_tar "$temp/$format.tar"
		unmount
	done
}

@test "owners are the numbers in the archive" {
	echo text >"$tree/small"
	tar -C "$tree" --owner=:1234 --group=:5678 -cf "$temp/a.tar" small
	cp "$tree/small" "$tree/large"
	tar -C "$tree" --format=gnu --owner=:3000000 --group=:4000000 -rf "$temp/a.tar" large
	start_mmapfs "$temp/a.tar" "$mnt"
	assert_equal "$(stat -c %u:%g "$mnt/small" "$mnt/large")" $'1234:5678\n3000000:4000000'
}

@test "hard links are names of one file" {
	make_tree
	tar -C "$tree" -cf "$temp/a.tar" dir
	start_mmapfs "$temp/a.tar" "$mnt"
	assert_equal "$(stat -c %i "$mnt/dir/file")" "$(stat -c %i "$mnt/dir/sub/link")"
	assert_equal "$(stat -c %h "$mnt/dir/file")" 2
}

@test "a file that was appended again is there twice, the newer with a number" {
	echo old >"$tree/file"
	tar -C "$tree" -cf "$temp/a.tar" file
	echo newer >"$tree/file"
	tar -C "$tree" -rf "$temp/a.tar" file
	start_mmapfs "$temp/a.tar" "$mnt"
	assert_equal "$(cat "$mnt/file" "$mnt/file~2")" $'old\nnewer'
}

@test "a member of more than 8 GiB, and the one behind it" {
	python3 - "$temp/a.tar" <<-'END'
		import sys, tarfile

		with tarfile.open(sys.argv[1], "w", format=tarfile.GNU_FORMAT) as archive:
		    huge = tarfile.TarInfo("huge")
		    huge.size = 12 << 30
		    archive.fileobj.write(huge.tobuf(tarfile.GNU_FORMAT))
		    archive.fileobj.seek(huge.size - 5, 1)
		    archive.fileobj.write(b"huge\n")
		    behind = tarfile.TarInfo("behind")
		    behind.size = 4
		    archive.fileobj.write(behind.tobuf(tarfile.GNU_FORMAT) + b"text" + bytes(1532))
	END
	start_mmapfs "$temp/a.tar" "$mnt"
	assert_equal "$(stat -c %s "$mnt/huge")" 12884901888
	assert_equal "$(tail -c 5 "$mnt/huge")" huge
	assert_equal "$(cat "$mnt/behind")" text
}

@test "devices and fifos are counted" {
	mkfifo "$tree/fifo"
	echo text >"$tree/file"
	tar -C "$tree" -cf "$temp/a.tar" .
	assert_equal "$(summary "$temp/a.tar")" '# a.tar: tar, 1 file; left out: 1 fifo'
}

@test "a mount that comes out empty says why" {
	seq 1000 >"$temp/file"
	(cd "$temp" && python3 -m zipfile -c a.zip file)
	expect_log 'a.zip: nothing in it can be shown as it lies there: 1 compressed$'
	start_mmapfs "$temp/a.zip" "$mnt"
	assert_equal "$(ls -A "$mnt")" ''
	assert_equal "$("$MMAPFS" plan -h "$temp/a.zip")" \
		'a.zip: archive, 0 files; left out: 1 compressed'
	unmount
	printf '!<arch>\n' >"$temp/empty.a"
	expect_log 'empty.a: nothing is found in it$'
	start_mmapfs "$temp/empty.a" "$mnt"
	assert_equal "$(ls -A "$mnt")" ''
	assert_equal "$("$MMAPFS" plan -h "$temp/empty.a")" 'empty.a: archive, 0 files'
}

@test "of a tar that is cut off there is what comes before" {
	make_tree
	tar -C "$tree" --sort=name -cf "$temp/a.tar" dir
	truncate -s 100K "$temp/a.tar"
	expect_log 'a.tar: tar: the archive is broken: Truncated tar archive$'
	start_mmapfs "$temp/a.tar" "$mnt"
	cmp "$mnt/dir/file" "$tree/dir/file"
	[ ! -e "$mnt/dir/sub/big" ]
	"$MMAPFS" plan "$temp/a.tar" >"$temp/plan"
	grep -qx '# a.tar: tar, 1 file; left out: 1 broken' "$temp/plan"
}

@test "what is written to a member is in the archive, and nothing else has changed" {
	make_tree
	tar -C "$tree" --format=ustar -cf "$temp/a.tar" dir
	snapshot "$temp/a.tar"
	start_mmapfs "$temp/a.tar" "$mnt"
	make_image "$temp/new" 5000
	dd if="$temp/new" of="$mnt/dir/file" conv=notrunc,fsync status=none
	unmount
	tar -C "$extracted" -xf "$temp/a.tar"
	cmp "$extracted/dir/file" "$temp/new"
	offset=$(($(tar -tRf "$temp/a.tar" | sed -n 's/^block \([0-9]*\): dir\/file$/\1/p') * 512 + 512))
	assert_untouched "$temp/a.tar" "$offset" 5000
}

@test "an image of zeros is no empty tar" {
	make_sparse "$temp/zeros" 1M
	refute "$MMAPFS" plan -o layout=archive "$temp/zeros"
	start_mmapfs "$temp/zeros" "$mnt"
	cmp "$mnt/zeros" "$temp/zeros"
}
