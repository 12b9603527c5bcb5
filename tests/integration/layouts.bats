#!/usr/bin/env bats
# SPDX-License-Identifier: MIT
#
# What all layouts have in common: choosing one, nesting, names, owners, what is outside or hostile.
# What each finds is in layout_*.bats.

# shellcheck source-path=SCRIPTDIR source=../lib/common.bash
source "$BATS_TEST_DIRNAME/../lib/common.bash"
# shellcheck source-path=SCRIPTDIR source=../lib/cli.bash
source "$BATS_TEST_DIRNAME/../lib/cli.bash"

# A disk of 4 MiB with two partitions, p1-one of 1 MiB at 1 MiB and p2-two of 1 MiB at 2 MiB.
make_disk() {
	make_image "$1" 4M
	printf '%s\n' 'label: gpt' 'start=2048, size=2048, name=one' 'start=4096, size=2047, name=two' |
		sfdisk --quiet --wipe never "$1"
}

# make_tar FILE: a tar archive of some files of ours
make_tar() {
	mkdir -p "$temp/in/sub"
	make_image "$temp/in/a" 5000
	make_image "$temp/in/sub/b" 12345
	cp /bin/true "$temp/in/true"
	chmod 640 "$temp/in/a"
	touch -d @1234567890.5 "$temp/in/a"
	ln -f "$temp/in/a" "$temp/in/hard"
	ln -sfn sub/b "$temp/in/soft"
	tar --create --format=posix --sort=name --file="$1" --directory="$temp/in" a hard soft sub true
}

@test "an image without a layout is one file" {
	make_image "$temp/disk" 1M
	start_mmapfs "$temp/disk" "$mnt"
	assert_equal "$(ls "$mnt")" disk
	cmp "$temp/disk" "$mnt/disk"
}

@test "layout=none shows the image as one file" {
	make_disk "$temp/disk"
	start_mmapfs -o layout=none "$temp/disk" "$mnt"
	assert_equal "$(ls "$mnt")" disk
	cmp "$temp/disk" "$mnt/disk"
}

@test "the image's layout is found, and the whole image is there when asked for" {
	make_disk "$temp/disk"
	start_mmapfs "$temp/disk" "$mnt"
	assert_equal "$(cd "$mnt" && echo *)" 'p1-one p2-two'
	assert_range "$temp/disk" $((1024 * 1024)) $((1024 * 1024)) "$mnt/p1-one"
	assert_range "$temp/disk" $((2048 * 1024)) $((2047 * 512)) "$mnt/p2-two"
	unmount
	start_mmapfs -o whole "$temp/disk" "$mnt"
	assert_equal "$(cd "$mnt" && echo *)" 'disk p1-one p2-two'
	cmp "$temp/disk" "$mnt/disk"
}

@test "a member that is called as the whole image gets another name" {
	make_image "$temp/p1-one" 4M
	make_disk "$temp/disk"
	mv "$temp/disk" "$temp/p1-one"
	start_mmapfs -o whole "$temp/p1-one" "$mnt"
	assert_equal "$(cd "$mnt" && echo *)" 'p1-one p1-one~2 p2-two'
	cmp "$temp/p1-one" "$mnt/p1-one"
}

@test "layouts that there are not, or that the image does not have, are refused" {
	make_image "$temp/disk" 1M
	plan_refused 2 "^option 'layout': there is no layout 'nonsense'; see mmapfs-layouts\(7\)$" -- -o layout=nonsense "$temp/disk"
	plan_refused 1 "^layout of 'disk': there is no tar in it$" -- -o layout=tar "$temp/disk"
	plan_refused 1 "^layout of 'disk': no size of a chunk is given: chunk=SIZE$" -- \
		-o layout=chunk "$temp/disk"
	plan_refused 2 "^option 'chunk': bad value '0', wants SIZE$" -- -o layout=chunk,chunk=0 "$temp/disk"
	plan_refused 2 "^option 'sector-size': bad value '513', wants 512\|1024\|2048\|4096$" -- \
		-o sector-size=513 "$temp/disk"
}

@test "an archive that is broken from its beginning can still be mounted as one file" {
	printf '!<arch>\n%-48s%-10s`\n' /7 1 >"$temp/a"
	refused 1 "^layout of 'a': ar: the archive is broken: .* \(layout=none does without\)$" -- \
		"$temp/a" "$mnt"
	refused 1 "^layout of 'a': there is no zip in it$" -- -o layout=zip "$temp/a" "$mnt"
	start_mmapfs -o layout=none "$temp/a" "$mnt"
	cmp "$temp/a" "$mnt/a"
}

@test "an image that is not there, or no file, is told once" {
	plan_refused 1 "^image 'nothing': .*/nothing: No such file or directory$" -- "$temp/nothing"
	plan_refused 1 "^image '$(basename "$mnt")': $mnt: Is a directory$" -- "$mnt"
	make_image "$temp/disk" 4K
	plan_refused 1 "^image '$temp/disk/': $temp/disk/: Not a directory$" -- "$temp/disk/"
	mkfifo "$temp/fifo"
	plan_refused 1 "^image 'fifo': $temp/fifo: neither a regular file nor a block device$" -- "$temp/fifo"
}

@test "chunks are all of the image, in order" {
	make_image "$temp/disk" 1000003
	start_mmapfs -o layout=chunk,chunk=1000 "$temp/disk" "$mnt"
	assert_equal "$(find "$mnt" -type f | wc -l)" 1001
	assert_equal "$(cd "$mnt" && echo *)" '0 1'
	find "$mnt" -type f | sort | xargs cat | cmp - "$temp/disk"
	assert_equal "$(stat -c %s "$mnt/1/1000")" 3
}

@test "chunks of a sparse image of 8 TiB" {
	make_sparse "$temp/disk" 8T
	start_mmapfs -o layout=chunk,chunk=1G "$temp/disk" "$mnt"
	assert_equal "$(find "$mnt" -type f | wc -l)" 8192
	call -f rdwr write "$mnt/8/8191" $((1024 * 1024 * 1024 - 3)) 3 x
	unmount
	assert_equal "$(tail -c 4 "$temp/disk" | tr '\0' 0)" 0xxx
}

@test "chunks of a petabyte can be planned" {
	make_sparse "$temp/disk" 1P 2>/dev/null || make_sparse "$temp/disk" 15T
	mmapfs plan -o layout=chunk,chunk=1T "$temp/disk"
	assert_done
	assert_equal "$(grep -c ^slice "$temp/out")" $(($(stat -c %s "$temp/disk") / 1024 ** 4))
}

@test "a table nests layouts: a program in an archive in a partition" {
	make_disk "$temp/disk"
	make_tar "$temp/tar"
	dd if="$temp/tar" of="$temp/disk" bs=1M seek=1 conv=notrunc status=none
	cat >"$temp/table" <<-'END'
		image   disk   disk
		layout  parts  disk            type=gpt
		layout  files  parts/p1-one    type=tar
		layout  elf    files/true
		layout  /      parts/p2-two    type=chunk chunk=1M
	END
	mount_table "$temp/table"
	assert_equal "$(cd "$mnt" && echo *)" '0 elf files parts'
	assert_range "$temp/disk" $((1024 * 1024)) $((1024 * 1024)) "$mnt/parts/p1-one"
	cmp /bin/true "$mnt/files/true"
	objcopy --dump-section ".text=$temp/text" /bin/true /dev/null
	cmp "$temp/text" "$mnt/elf/sections/.text"
	cmp "$mnt/0" "$mnt/parts/p2-two"
	# A write through the innermost shows in all the others.
	printf XYZ | dd of="$mnt/elf/sections/.text" conv=notrunc status=none
	cmp -n 3 "$mnt/elf/sections/.text" <(printf XYZ)
	refute cmp -s /bin/true "$mnt/files/true"
	unmount
	printf XYZ | dd of="$temp/text" conv=notrunc status=none
	tar --extract --to-stdout --file=<(dd if="$temp/disk" bs=1M skip=1 count=1 status=none) true \
		>"$temp/true" 2>/dev/null || true
	objcopy --dump-section ".text=$temp/text2" "$temp/true" /dev/null
	cmp "$temp/text" "$temp/text2"
}

@test "a layout line needs a source that is there already" {
	make_disk "$temp/disk"
	printf 'layout parts disk\nimage disk disk\nlayout parts2 parts/p1-one\n' >"$temp/table"
	plan_refused 1 "^$temp/table:1: layout of 'disk': no image or slice of that name before it$" \
		"^$temp/table:3: layout of 'parts/p1-one': no image or slice of that name before it$" -- \
		--table "$temp/table"
	printf 'image disk disk\nlayout a disk type=nonsense\nlayout b disk chunk=x\nlayout c\n' >"$temp/table"
	plan_refused 1 "^$temp/table:2: there is no layout 'nonsense'$" \
		"^$temp/table:3: chunk 'x' is not a size$" \
		"^$temp/table:4: layout wants DIRECTORY IMAGE\|SLICE \[KEY=VALUE...\]$" -- --table "$temp/table"
}

@test "a layout line whose source has no layout is refused" {
	make_image "$temp/disk" 1M
	printf 'image disk disk\nlayout a disk\n' >"$temp/table"
	plan_refused 1 "^$temp/table:2: layout of 'disk': none is recognised$" -- --table "$temp/table"
}

@test "depth looks into members, and into theirs" {
	make_disk "$temp/disk"
	make_tar "$temp/tar"
	dd if="$temp/tar" of="$temp/disk" bs=1M seek=1 conv=notrunc status=none
	start_mmapfs -o depth=1 "$temp/disk" "$mnt"
	assert_equal "$(cd "$mnt" && echo *)" 'p1-one p1-one.d p2-two'
	cmp /bin/true "$mnt/p1-one.d/true"
	[ ! -e "$mnt/p1-one.d/true.d" ]
	unmount
	start_mmapfs -o depth=2 "$temp/disk" "$mnt"
	objcopy --dump-section ".text=$temp/text" /bin/true /dev/null
	cmp "$temp/text" "$mnt/p1-one.d/true.d/sections/.text"
	cmp "$temp/in/sub/b" "$mnt/p1-one.d/soft"
	assert_equal "$(stat -c %i "$mnt/p1-one.d/a")" "$(stat -c %i "$mnt/p1-one.d/hard")"
}

@test "what lies in files of one name lies apart" {
	make_tar "$temp/tar"
	cp "$temp/tar" "$temp/x.tar"
	printf second >"$temp/in/a"
	make_tar "$temp/tar"
	tar --create --file="$temp/both" --directory="$temp" x.tar
	cp "$temp/in/a" "$temp/second"
	cp "$temp/x.tar" "$temp/first.tar"
	cp "$temp/tar" "$temp/x.tar"
	tar --append --file="$temp/both" --directory="$temp" x.tar
	start_mmapfs -o depth=1 "$temp/both" "$mnt"
	assert_equal "$(cd "$mnt" && echo *)" 'x.tar x.tar.d x.tar~2 x.tar~2.d'
	tar --extract --to-stdout --file="$temp/first.tar" a | cmp - "$mnt/x.tar.d/hard"
	tar --extract --to-stdout --file="$temp/tar" a | cmp - "$mnt/x.tar~2.d/hard"
	refute cmp -s "$mnt/x.tar.d/a" "$mnt/x.tar~2.d/a"
}

@test "what lies in files of files of one name lies apart, too, and so do links" {
	python3 - "$temp/both" <<-'END'
		import io, sys, tarfile

		def tar(*members):
		    made = io.BytesIO()
		    with tarfile.open(fileobj=made, mode="w") as archive:
		        for name, data in members:
		            member = tarfile.TarInfo(name)
		            if isinstance(data, str):
		                member.type, member.linkname = tarfile.LNKTYPE, data
		                archive.addfile(member)
		            else:
		                member.size = len(data)
		                archive.addfile(member, io.BytesIO(data))
		    return made.getvalue()

		first = tar(("b.tar", tar(("x", b"1" * 100))))
		second = tar(("c.tar", tar(("x", b"2" * 100))))
		long = "d/" * 2500 + "x.tar"
		with open(sys.argv[1], "wb") as both:
		    both.write(tar(("a.tar.d/b.tar", b"beside"), ("a.tar", first), ("a.tar", second),
		                   ("link", "a.tar.d/b.tar"), (long, first), ("last", b"last")))
	END
	start_mmapfs -o depth=2 "$temp/both" "$mnt"
	assert_equal "$(<"$mnt/link")" beside
	assert_equal "$(head -c 3 "$mnt/a.tar.d/b.tar~2.d/x")" 111
	assert_equal "$(head -c 3 "$mnt/a.tar~2.d/c.tar.d/x")" 222
	assert_equal "$(<"$mnt/last")" last
	mmapfs plan -o depth=2 "$temp/both"
	grep -q '; left out: 1 name too long, 2 inside of what is left out$' "$temp/out"
}

@test "a source of many extents takes one descriptor, and limits on the caller are no hindrance" {
	make_tar "$temp/tar"
	{
		echo "image tar $temp/tar"
		echo 'slice all tar 0 512'
		for ((at = 512; at < $(stat -c %s "$temp/tar"); at += 512)); do
			echo "extent tar $at 512"
		done
		echo 'layout members all'
	} >"$temp/table"
	[ "$(wc -l <"$temp/table")" -gt 20 ]
	prefix=(prlimit --nofile=16:16 --cpu=60:60)
	mmapfs plan --table "$temp/table"
	prefix=()
	assert_done
	grep -q '^slice *members/a ' "$temp/out"
}

@test "an image on which somebody has a lease is waited for" {
	make_tar "$temp/tar"
	python3 - "$temp/tar" <<-'END' &
		import fcntl, os, signal, sys

		image = os.open(sys.argv[1], os.O_RDWR)
		signal.pthread_sigmask(signal.SIG_BLOCK, [signal.SIGIO])
		fcntl.fcntl(image, fcntl.F_SETLEASE, fcntl.F_WRLCK)
		open(sys.argv[1] + ".held", "w").close()
		signal.sigwait([signal.SIGIO])
		fcntl.fcntl(image, fcntl.F_SETLEASE, fcntl.F_UNLCK)
	END
	helper_pids+=("$!")
	wait_until test -e "$temp/tar.held"
	mmapfs plan "$temp/tar"
	assert_done
	grep -q '^slice *a ' "$temp/out"
}

@test "an option of one layout means that one, and none goes with slices or a table" {
	make_image "$temp/disk" 10000
	mmapfs plan -o chunk=4000 "$temp/disk"
	assert_done
	assert_equal "$(grep -c ^slice "$temp/out")" 3
	mmapfs plan -o 'mtdparts="4K(boot)ro,-(rest)"' "$temp/disk"
	assert_done
	assert_equal "$(grep -c ^slice "$temp/out")" 2
	for layout in auto none tar chunk; do
		plan_refused 2 "^option 'mtdparts' is for layout=mtdparts$" -- \
			-o "layout=$layout,mtdparts=-" "$temp/disk"
	done
	plan_refused 2 "^option 'chunk' is for layout=chunk$" -- -o layout=gpt,chunk=4K "$temp/disk"
	plan_refused 2 "^option 'mtdparts' is for layout=mtdparts$|^option 'chunk' is for layout=chunk$" -- \
		-o mtdparts=-,chunk=4K "$temp/disk"
	printf 'image d %s\n' "$temp/disk" >"$temp/table"
	for option in layout=tar depth=1 whole gaps chunk=4K mtdparts=-\(x\) sector-size=512; do
		plan_refused 2 '^a layout is for an IMAGE alone; see mmapfs-layouts\(7\)$' -- \
			-o "$option" --table "$temp/table"
		plan_refused 2 '^a layout is for an IMAGE alone; see mmapfs-layouts\(7\)$' -- \
			-o "$option" -s a=@0+10 "$temp/disk"
	done
}

@test "members may be made of several extents of several images" {
	make_tar "$temp/tar"
	# In three parts, at any offsets.
	size=$(stat -c %s "$temp/tar")
	make_image "$temp/one" 200000
	make_image "$temp/two" 200000
	dd if="$temp/tar" of="$temp/one" bs=1 seek=777 count=3000 conv=notrunc status=none
	dd if="$temp/tar" of="$temp/two" bs=1 skip=3000 seek=5 count=4000 conv=notrunc status=none
	dd if="$temp/tar" of="$temp/one" bs=512 iflag=skip_bytes oflag=seek_bytes skip=7000 seek=9999 \
		conv=notrunc status=none
	cat >"$temp/table" <<-END
		image   one   one
		image   two   two
		slice   tar   one  777   3000
		extent        two  5     4000
		extent        one  9999  $((size - 7000))
		layout  files tar
	END
	mount_table "$temp/table"
	cmp "$temp/tar" "$mnt/tar"
	diff -r "$temp/in" "$mnt/files"
}

@test "a source of large parts that cannot be mapped in a row is refused" {
	make_sparse "$temp/disk" 400M
	printf '%s\n' 'image d disk' 'slice s d 0 1' 'extent d 0 300M' 'layout l s' >"$temp/table"
	plan_refused 1 "^$temp/table:4: layout of 's': it is put together of parts that cannot be mapped in a row$" \
		-- --table "$temp/table"
}

@test "tables have directories, symbolic links and further names" {
	make_image "$temp/disk" 1M
	cat >"$temp/table" <<-'END'
		image      disk   disk
		directory  empty  mode=0700,uid=12,gid=34,mtime=-1.5
		directory  d      mode=0750
		slice      d/a    disk 0 4K rw,mtime=1234567890.123456789 type=some\040thing label=x
		symlink    d/soft a   uid=7
		link       hard   d/a
	END
	start_mmapfs -o xattr --table "$temp/table" "$mnt"
	assert_equal "$(stat -c '%A %u %g %.Y' "$mnt/empty")" 'drwx------ 12 34 -1.500000000'
	assert_equal "$(stat -c '%A' "$mnt/d")" 'drwxr-x---'
	assert_equal "$(stat -c '%h %.Y' "$mnt/d/a")" '2 1234567890.123456789'
	assert_equal "$(stat -c '%i' "$mnt/d/a")" "$(stat -c '%i' "$mnt/hard")"
	assert_equal "$(readlink "$mnt/d/soft")" a
	assert_equal "$(stat -c '%A %u %s' "$mnt/d/soft")" 'lrwxrwxrwx 7 1'
	assert_equal "$(getfattr --only-values -n user.mmapfs.type "$mnt/hard")" 'some thing'
	assert_equal "$(getfattr --only-values -n user.mmapfs.label "$mnt/d/a")" x
	refute getfattr --only-values -n user.mmapfs.nothing "$mnt/d/a"
	printf hello | dd of="$mnt/hard" conv=notrunc status=none
	assert_equal "$(head -c 5 "$mnt/d/soft")" hello
	assert_equal "$(mmapfs where "$mnt/hard" && cut -d' ' -f2- "$temp/out")" "$temp/disk 0 4096"
	diff <("$MMAPFS" plan --table "$temp/table") "$mnt/.mmapfs/table"
	assert_equal "$(stat_value slices)" 1
	assert_equal "$(find "$mnt" | sort | sed "s|^$mnt||" | tr '\n' ' ')" \
		' /d /d/a /d/soft /empty /hard '
	run_errno EPERM unlink "$mnt/d/soft"
}

@test "bad lines for these are refused" {
	make_image "$temp/disk" 1M
	cat >"$temp/table" <<-'END'
		image      disk   disk
		slice      a      disk 0 4K
		directory  a
		directory  d      ro
		symlink    s
		link       l      nothing
		link       k      d
		slice      b      disk 0 4K rw,mtime=x
		slice      c      disk 0 4K rw =x
		slice      e      disk 0 4K rw offset=5
		symlink    a/b    t
	END
	plan_refused 1 ":3: directory 'a': name given twice, first in line 2$" \
		':4: ro, rw and resize are for slices$' \
		':5: symlink wants NAME TARGET \[OPTIONS\]$' ":6: link 'l': 'nothing' is not a slice$" \
		":7: link 'k': 'd' is not a slice$" ":8: slice option 'mtime=x': bad value$" \
		":9: attribute '': not a name for an attribute$" \
		":10: attribute 'offset': every slice has its own$" \
		":11: symlink 'a/b': 'a' is the name of a slice, and cannot be a folder, too$" -- \
		--table "$temp/table"
}

@test "owners and modes are the archive's, unless the command line gives them" {
	make_tar "$temp/tar"
	start_mmapfs "$temp/tar" "$mnt"
	assert_equal "$(stat -c '%a %u %g %.Y' "$mnt/a")" "640 $(id -u) $(id -g) 1234567890.500000000"
	unmount
	start_mmapfs -o "mode=0604,uid=$(id -u),gid=12345" "$temp/tar" "$mnt"
	assert_equal "$(stat -c '%a %u %g' "$mnt/a")" "604 $(id -u) 12345"
	assert_equal "$(stat -c '%g' "$mnt/sub")" 12345
}

@test "partitions outside of a truncated image are flagged, refused, or fail there" {
	make_disk "$temp/disk"
	cp "$temp/disk" "$temp/full"
	truncate -s 2560K "$temp/disk"
	mmapfs plan -o layout=gpt "$temp/disk"
	assert_done
	grep -q 'p2-two .*  # reaches outside of its image$' "$temp/out"
	refute grep -q 'p1-one .*#' "$temp/out"
	mmapfs plan --json -o layout=gpt "$temp/disk"
	assert_equal "$(jq -c '[.slices[].outside]' "$temp/out")" '[false,true]'
	refused 1 "^slice 'p2-two': offset 2M \+ length 1048064 exceeds image 'disk' \(2560K\); -o lenient mounts it all the same$" -- \
		-o layout=gpt "$temp/disk" "$mnt"
	expect_log 'disk: the backup of the GPT is missing or broken'
	start_mmapfs -o layout=gpt,lenient "$temp/disk" "$mnt"
	assert_equal "$(stat -c %s "$mnt/p2-two")" 1048064
	cmp -n 524288 -i 2M:0 "$temp/full" "$mnt/p2-two"
	run_errno EIO read "$mnt/p2-two" 524288 4096
	run_errno EIO -f wronly write "$mnt/p2-two" 600000 4096
	assert_equal "$(stat -c %s "$temp/disk")" $((2560 * 1024))
	dd if="$temp/full" of="$temp/disk" bs=512K skip=5 seek=5 conv=notrunc status=none
	assert_range "$temp/full" $((2048 * 1024)) $((2047 * 512)) "$mnt/p2-two"
}

@test "what reaches out of a slice ends with it" {
	make_disk "$temp/disk"
	cat >"$temp/table" <<-'END'
		image   disk  disk
		slice   part  disk 0 2560K
		layout  in    part type=gpt
	END
	mmapfs plan --table "$temp/table"
	assert_done
	assert_equal "$(awk '$2 == "in/p2-two" { print $4, $5, $7 }' "$temp/out")" '2M 512K cut=yes'
}

@test "hostile names are made safe" {
	make_image "$temp/x" 1000
	/usr/bin/python3 - "$temp/tar" <<-'END'
		import io, sys, tarfile
		with tarfile.open(sys.argv[1], "w") as tar:
		    for i, name in enumerate(["../../etc/passwd", "/root/x", "a/./b//c", "tab\there", "new\nline",
		                              ".mmapfs/stats", "dup", "dup", "dup", "dup/below", "x" * 300]):
		        info = tarfile.TarInfo(name)
		        info.size = 3
		        tar.addfile(info, io.BytesIO(b"%03d" % i))
		    link = tarfile.TarInfo("to-dup")
		    link.type, link.linkname = tarfile.LNKTYPE, "dup"
		    tar.addfile(link)
		    lost = tarfile.TarInfo("lost")
		    lost.type, lost.linkname = tarfile.LNKTYPE, "nowhere"
		    tar.addfile(lost)
	END
	mmapfs plan "$temp/tar"
	assert_done
	grep -qx '# tar: tar, 11 files; left out: 1 links to nothing' "$temp/out"
	start_mmapfs "$temp/tar" "$mnt"
	(cd "$mnt" && find . -type f | LC_ALL=C sort) >"$temp/names"
	diff "$temp/names" - <<-END
		./__/__/etc/passwd
		./_mmapfs/stats
		./a/b/c
		./dup
		./dup~2
		./dup~3
		./dup~4/below
		./new_line
		./root/x
		./tab_here
		./to-dup
		./$(printf 'x%.0s' {1..255})
	END
	assert_equal "$(cat "$mnt/to-dup")" 008
	assert_equal "$(cat "$mnt/dup~4/below")" 009
}

@test "neighbours in one page are cached and can be mapped shared, written through each" {
	make_tar "$temp/tar"
	start_mmapfs "$temp/tar" "$mnt"
	snapshot "$temp/tar"
	/usr/bin/python3 - "$mnt/a" "$mnt/sub/b" <<-'END'
		import mmap, os, sys
		for name in sys.argv[1:]:
		    with open(name, "r+b") as file, mmap.mmap(file.fileno(), 0) as mapping:
		        mapping[:] = b"x" * len(mapping)
		        mapping.flush()
	END
	unmount
	tar --extract --file="$temp/tar" --to-stdout a sub/b | tr -d x | cmp - /dev/null
	cp "$temp/in/a" "$temp/in/sub/b" "$temp"
	tar --compare --file="$temp/tar" --directory="$temp/in" true soft
}

@test "plan --json tells layouts, what is left out and all that is no slice" {
	make_tar "$temp/tar"
	mkfifo "$temp/in/fifo"
	tar --append --file="$temp/tar" --directory="$temp/in" fifo
	mmapfs plan --json "$temp/tar"
	assert_done
	assert_equal "$(jq -c '[.slices[] | .name]' "$temp/out")" '["a","sub/b","true"]'
	assert_equal "$(jq -c '.slices[0] | [.mode, .mtime, .attributes.layout]' "$temp/out")" \
		'["0640",1234567890,"tar"]'
	assert_equal "$(jq -c '[.others[] | [.kind, .name, .target]]' "$temp/out")" \
		'[["link","hard","a"],["symlink","soft","sub/b"],["directory","sub",null]]'
	assert_equal "$(jq -c '.layouts[0] | [.source, .layout, .files, .left_out[0].count]' "$temp/out")" \
		'["tar","tar",3,1]'
}

# Directories that no archive describes are as old as the mount.
describe() {
	(cd "$mnt" && find . -type d -printf '%P %y %m %n %U %G\n' -o -printf '%P %y %m %n %U %G %s %T@ %l\n')
}

@test "what is mounted and what is planned are the same table" {
	make_disk "$temp/disk"
	make_tar "$temp/tar"
	dd if="$temp/tar" of="$temp/disk" bs=1M seek=1 conv=notrunc status=none
	mmapfs plan -o depth=2,whole "$temp/disk"
	assert_done
	cp "$temp/out" "$temp/plan"
	start_mmapfs -o depth=2,whole "$temp/disk" "$mnt"
	diff <(grep -v '^#' "$temp/plan") "$mnt/.mmapfs/table"
	describe >"$temp/before"
	unmount
	mount_table "$temp/plan"
	diff <(grep -v '^#' "$temp/plan") "$mnt/.mmapfs/table"
	describe | diff "$temp/before" -
}

@test "a long scan shows how far it is, and ends with Ctrl-C" {
	make_sparse "$temp/disk" 30M
	# On a terminal of its own; four million files take seconds.
	/usr/bin/python3 - "$MMAPFS" "$temp/disk" >"$temp/seen" <<-'END'
		import os, pty, signal, sys
		pid, terminal = pty.fork()
		if pid == 0:
		    signal.signal(signal.SIGINT, signal.SIG_DFL)  # shells may have it ignored
		    os.execv(sys.argv[1], ["mmapfs", "plan", "-o", "layout=chunk,chunk=1", sys.argv[2]])
		seen = b""
		while b"looking through disk" not in seen:
		    seen += os.read(terminal, 1000)
		print(seen.decode())
		os.write(terminal, b"\x03")
		status = os.waitpid(pid, 0)[1]
		assert os.WTERMSIG(status) == signal.SIGINT, status
	END
	grep -qE 'mmapfs: looking through disk: +[0-9]+ %, [0-9]+ files' "$temp/seen"
}

@test "nothing is shown of a long scan where there is no terminal" {
	make_sparse "$temp/disk" 2M
	mmapfs plan -o layout=chunk,chunk=1 "$temp/disk"
	assert_done
	assert_equal "$(grep -c ^slice "$temp/out")" $((2 * 1024 * 1024))
}
