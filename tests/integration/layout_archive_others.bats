#!/usr/bin/env bats
# SPDX-License-Identifier: MIT
#
# Archives other than tar show what the programs that they belong to extract.

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

# Seconds are even: zip and cab know no others.
make_tree() {
	mkdir -p "$tree/dir/empty" "$tree/dir/sub"
	make_image "$tree/dir/file" 5000
	make_image "$tree/dir/sub/big" 300001
	: >"$tree/dir/zero"
	echo text >"$tree/dir/"$'na\xc3\xafve'
	ln -s ../file "$tree/dir/sub/symlink"
	chmod 751 "$tree/dir/file"
	chmod 700 "$tree/dir/empty"
	chmod 600 "$tree/dir/zero"
	find "$tree" -depth -exec touch -h -d '2020-02-03 04:05:06 UTC' {} +
}

# assert_summary IMAGE TEXT: how the plan sums it up
assert_summary() {
	"$MMAPFS" plan "$1" >"$temp/plan"
	assert_equal "$(grep '^# ' "$temp/plan")" "# ${1##*/}: $2"
}

# --- cpio -----------------------------------------------------------------------------------------

@test "cpio archives of all formats are as cpio extracts them" {
	make_tree
	ln "$tree/dir/file" "$tree/dir/sub/link"
	for format in bin odc newc crc; do
		(cd "$tree" && find . -depth | LC_ALL=C sort -r | cpio --quiet -o -H $format) >"$temp/$format.cpio"
		mkdir "$extracted/$format"
		(cd "$extracted/$format" && cpio --quiet -idm) <"$temp/$format.cpio"
		start_mmapfs "$temp/$format.cpio" "$mnt"
		assert_same mTl "$extracted/$format" "$mnt"
		unmount
	done
}

@test "a cpio archive with checksums is read-only, one without is not" {
	echo text >"$tree/file"
	for format in newc crc; do
		(cd "$tree" && echo file | cpio --quiet -o -H $format) >"$temp/$format.cpio"
	done
	start_mmapfs "$temp/newc.cpio" "$mnt"
	echo TEXT >"$mnt/file"
	unmount
	assert_equal "$(cpio --quiet -i --to-stdout file <"$temp/newc.cpio")" TEXT
	start_mmapfs "$temp/crc.cpio" "$mnt"
	run_errno EROFS -f rdwr open "$mnt/file"
}

# --- ar -------------------------------------------------------------------------------------------

@test "a library of Debian is as ar extracts it" {
	library=$(gcc -print-file-name=libgcc.a)
	start_mmapfs "$library" "$mnt"
	(cd "$extracted" && ar xo "$library")
	[ "$(ar t "$library" | wc -l)" -gt 100 ]
	assert_same mT "$extracted" "$mnt"
}

@test "a Debian package shows its two archives, and the files in an unpacked one" {
	make_tree
	mkdir "$tree/DEBIAN"
	printf '%s\n' 'Package: test' 'Version: 1' 'Architecture: all' 'Maintainer: nobody' \
		'Description: test' >"$tree/DEBIAN/control"
	dpkg-deb -Znone --build "$tree" "$temp/test.deb" >/dev/null
	start_mmapfs -o depth=1 "$temp/test.deb" "$mnt"
	assert_equal "$(cat "$mnt/debian-binary")" 2.0
	cmp "$mnt/data.tar" <(dpkg-deb --fsys-tarfile "$temp/test.deb")
	cmp "$mnt/control.tar" <(dpkg-deb --ctrl-tarfile "$temp/test.deb")
	dpkg-deb --extract "$temp/test.deb" "$extracted"
	assert_same m "$extracted/dir" "$mnt/data.tar.d/dir"
}

# --- zip ------------------------------------------------------------------------------------------

@test "a stored zip is as unzip extracts it, and read-only" {
	make_tree
	(cd "$tree" && zip -0qyr "$temp/a.zip" .)
	unzip -q "$temp/a.zip" -d "$extracted"
	start_mmapfs "$temp/a.zip" "$mnt"
	assert_same mT "$extracted" "$mnt"
	run_errno EROFS -f rdwr open "$mnt/dir/file"
}

@test "of a wheel of Debian there is what is stored, and the rest is counted" {
	for wheel in /usr/share/python-wheels/pip-*.whl; do
		start_mmapfs "$wheel" "$mnt"
		python3 - "$wheel" "$mnt" "$extracted/count" <<-'END'
			import os, sys, zipfile

			with zipfile.ZipFile(sys.argv[1]) as archive:
			    files = [info for info in archive.infolist() if not info.is_dir()]
			    stored = [info for info in files
			              if info.compress_type == zipfile.ZIP_STORED or info.file_size == 0]
			    for info in stored:
			        with open(os.path.join(sys.argv[2], info.filename), "rb") as file:
			            assert file.read() == archive.read(info), info.filename
			    found = sum(len(names) for path, _, names in os.walk(sys.argv[2])
			                if ".mmapfs" not in path)
			    assert found == len(stored), (found, len(stored))
			    print(len(stored), len(files) - len(stored), file=open(sys.argv[3], "w"))
		END
		read -r stored packed <"$extracted/count"
		[ "$packed" -gt 0 ]
		assert_summary "$wheel" "zip, $stored files; left out: $packed compressed"
	done
}

@test "the arrays of an npz lie in the mount as .npy files" {
	python3 - "$temp/a.npz" <<-'END'
		import struct, sys, zipfile

		with zipfile.ZipFile(sys.argv[1], "w") as archive:
		    for name, count in ("weights", 1000), ("biases", 10):
		        header = "{'descr': '<f8', 'fortran_order': False, 'shape': (%d,), }" % count
		        header += " " * (64 - (11 + len(header)) % 64) + "\n"
		        data = struct.pack("<%dd" % count, *range(count))
		        with archive.open(name + ".npy", "w", force_zip64=True) as file:
		            file.write(b"\x93NUMPY\1\0" + struct.pack("<H", len(header)) + header.encode() + data)
	END
	start_mmapfs "$temp/a.npz" "$mnt"
	python3 - "$temp/a.npz" "$mnt" <<-'END'
		import ast, struct, sys, zipfile

		for name, count in ("weights", 1000), ("biases", 10):
		    data = open(f"{sys.argv[2]}/{name}.npy", "rb").read()
		    length = struct.unpack_from("<H", data, 8)[0]
		    assert ast.literal_eval(data[10:10 + length].decode())["shape"] == (count,)
		    assert struct.unpack("<%dd" % count, data[10 + length:]) == tuple(range(count))
		    assert data == zipfile.ZipFile(sys.argv[1]).read(name + ".npy")
	END
}

@test "encrypted members of a zip are counted" {
	echo text >"$tree/file"
	(cd "$tree" && zip -0q -P secret "$temp/a.zip" file)
	assert_summary "$temp/a.zip" 'archive, 0 files; left out: 1 encrypted'
}

@test "a zip behind a program" {
	make_tree
	(cd "$tree" && zip -0qyr "$temp/a.zip" .)
	cat "$(type -P true)" "$temp/a.zip" >"$temp/program"
	start_mmapfs "$temp/program" "$mnt"
	assert_same m "$tree" "$mnt"
}

# --- iso ------------------------------------------------------------------------------------------

@test "the rescue disc of GRUB is as xorriso extracts it" {
	iso=/usr/lib/grub-rescue/grub-rescue-cdrom.iso
	xorriso -osirrox on:auto_chmod_off -indev "$iso" -extract / "$extracted/all" >/dev/null 2>&1
	start_mmapfs "$iso" "$mnt"
	list -mT "$extracted/all" >"$temp/wanted"
	list -mT "$mnt" >"$temp/got"
	[ "$(wc -l <"$temp/got")" -gt 250 ]
	diff "$temp/wanted" "$temp/got"
	chmod -R u+w "$extracted"
}

@test "Joliet gives its names in UTF-8" {
	make_tree
	rm "$tree/dir/sub/symlink"
	LC_ALL=C.UTF-8 xorriso -as mkisofs --norock -quiet -J -joliet-long -o "$temp/a.iso" "$tree" 2>/dev/null
	start_mmapfs "$temp/a.iso" "$mnt"
	assert_same T "$tree" "$mnt"
}

# One of more than 4 GiB would take a minute to make: two files become one by its second record.
@test "a file in an ISO image of several extents, as those of more than 4 GiB" {
	make_image "$tree/AA" 4096
	make_image "$tree/AB" 3000
	xorriso -as mkisofs --norock -quiet -o "$temp/a.iso" "$tree" 2>/dev/null
	python3 - "$temp/a.iso" <<-'END'
		import sys

		with open(sys.argv[1], "r+b") as file:
		    image = bytearray(file.read())
		    first, second = image.index(b"AA.;1"), image.index(b"AB.;1")
		    image[first - 33 + 25] |= 0x80
		    image[second:second + 2] = b"AA"
		    file.seek(0)
		    file.write(image)
	END
	xorriso -read_fs norock -osirrox on -indev "$temp/a.iso" -extract /AA "$extracted/AA" >/dev/null 2>&1
	cat "$tree/AA" "$tree/AB" | cmp - "$extracted/AA"
	start_mmapfs "$temp/a.iso" "$mnt"
	cmp "$mnt/AA" "$extracted/AA"
}

@test "files that an ISO image has compressed are counted" {
	printf '0%.0s' {1..100000} >"$tree/zeros"
	: >"$tree/empty"
	xorriso -outdev "$temp/a.iso" -map "$tree" / -set_filter_r --zisofs / -- >/dev/null 2>&1
	assert_summary "$temp/a.iso" 'iso9660, 1 file; left out: 1 compressed'
}

# --- others ---------------------------------------------------------------------------------------

@test "a 7z archive of stored files" {
	make_tree
	(cd "$tree" && LC_ALL=C.UTF-8 bsdtar --format 7zip --options 7zip:compression=store -cf "$temp/a.7z" dir)
	start_mmapfs "$temp/a.7z" "$mnt"
	assert_same m "$tree" "$mnt"
}

@test "the files in a 7z archive that is packed are counted" {
	make_tree
	(cd "$tree" && LC_ALL=C.UTF-8 bsdtar --format 7zip -cf "$temp/a.7z" dir)
	assert_summary "$temp/a.7z" '7zip, 1 file; left out: 3 compressed'
}

@test "a xar archive of stored files" {
	make_tree
	(cd "$tree" && LC_ALL=C.UTF-8 bsdtar --format xar --options xar:compression=none -cf "$temp/a.xar" dir)
	start_mmapfs "$temp/a.xar" "$mnt"
	assert_same mT "$tree" "$mnt"
}

@test "a web archive" {
	make_tree
	(cd "$tree" && LC_ALL=C.UTF-8 bsdtar --format warc -cf "$temp/a.warc" dir/file dir/sub/big)
	start_mmapfs "$temp/a.warc" "$mnt"
	cmp "$tree/dir/file" "$mnt/dir/file"
	cmp "$tree/dir/sub/big" "$mnt/dir/sub/big"
}

@test "a cabinet of stored files, which is in blocks" {
	make_tree
	(cd "$tree/dir" && gcab -c "$temp/a.cab" file sub/big zero)
	start_mmapfs "$temp/a.cab" "$mnt"
	for name in file sub/big zero; do
		cmp "$tree/dir/$name" "$mnt/$name"
	done
}
