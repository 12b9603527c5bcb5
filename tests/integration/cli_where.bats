#!/usr/bin/env bats
# SPDX-License-Identifier: MIT
#
# mmapfs where: image, offset and length behind the files of a mount, a line for each extent.

# shellcheck source-path=SCRIPTDIR source=../lib/common.bash
source "$BATS_TEST_DIRNAME/../lib/common.bash"
# shellcheck source-path=SCRIPTDIR source=../lib/cli.bash
source "$BATS_TEST_DIRNAME/../lib/cli.bash"

setup() {
	cli_setup
	make_image "$temp/disk" 1M
	make_image "$temp/two" 64K
}

# where_is FILE...: prints the lines, with the file's name left out
where_is() {
	mmapfs where "$@"
	assert_done
	cut -d ' ' -f 2- "$temp/out"
}

@test "a fixed slice" {
	mount_detached -s 'a=@12345+5000' "$temp/disk" "$mnt"

	mmapfs where "$mnt/a"
	assert_done
	assert_equal "$(<"$temp/out")" "$mnt/a $temp/disk 12345 5000"
}

@test "a tail slice reaches to the end that the image has now" {
	mount_detached -s 'a=@12345,resize' "$temp/disk" "$mnt"

	assert_equal "$(where_is "$mnt/a")" "$temp/disk 12345 $((1048576 - 12345))"
	truncate -s 2M "$temp/disk"
	assert_equal "$(where_is "$mnt/a")" "$temp/disk 12345 $((2097152 - 12345))"
	truncate -s 5000 "$mnt/a"
	assert_equal "$(where_is "$mnt/a")" "$temp/disk 12345 5000"
	truncate -s 0 "$mnt/a"
	assert_equal "$(where_is "$mnt/a")" "$temp/disk 12345 0"
}

@test "a slice of many extents, and zeros" {
	cat >"$temp/table" <<-'END'
		image   d    disk           rw
		image   two  two            ro
		slice   a    d    0    4K   ro
		extent       two  63K  1K
		extent       -    0    4097
		extent       d    7    0
		extent       d    1M   -
		slice   z    -    0    10
	END
	mount_detached --table "$temp/table" "$mnt"

	where_is "$mnt/a" | diff - <(
		echo "$temp/disk 0 4096"
		echo "$temp/two 64512 1024"
		echo "- 0 4097"
		echo "$temp/disk 7 0"
		echo "$temp/disk 1048576 0"
	)
	assert_equal "$(where_is "$mnt/z")" '- 0 10'
}

@test "what it says are the file's bytes" {
	awk -v seed="$seed" 'BEGIN {
		srand(seed)
		print "image d disk ro\nimage two two ro"
		for (i = 0; i < 20; i++) {
			printf "slice %d/s", i
			for (j = int(rand() * 5); j >= 0; j--) {
				at = int(rand() * 60000)
				image = rand() < 0.2 ? "-" : rand() < 0.5 ? "d" : "two"
				print "", image, image == "-" ? 0 : at, int(rand() * (65536 - at))
				if (j > 0)
					printf "extent"
			}
		}
	}' >"$temp/table"
	mount_detached --table "$temp/table" "$mnt"

	for file in "$mnt"/*/s; do
		where_is "$file" | while read -r image offset length; do
			if [ "$image" = - ]; then
				head -c "$length" /dev/zero
			else
				cut_out "$image" "$offset" "$length"
			fi
		done | cmp - "$file"
	done
}

@test "names in folders, and by any path" {
	mount_detached -s 'dir/sub/a=@1+2' -s 'b=@3+4' -s 'dir/b=@5+6' "$temp/disk" "$mnt"
	ln -s "$mnt/dir/sub/a" "$temp/link"
	ln -s "$mnt/dir" "$temp/folder"

	assert_equal "$(where_is "$mnt/dir/sub/a")" "$temp/disk 1 2"
	assert_equal "$(where_is "$temp/link")" "$temp/disk 1 2"
	assert_equal "$(where_is "$temp/folder/sub/../b")" "$temp/disk 5 6"
	assert_equal "$(where_is "$mnt//dir/./b")" "$temp/disk 5 6"
	cd "$mnt/dir"
	assert_equal "$(where_is b)" "$temp/disk 5 6"
	assert_equal "$(where_is ../b)" "$temp/disk 3 4"
	cd /
	ln -s "$mnt" "$temp/mnt2"
	assert_equal "$(where_is "$temp/mnt2/b")" "$temp/disk 3 4"
}

@test "long names" {
	long=$(printf '%0255d' 0)
	mount_detached -s "a-name-that-is-longer-than-any-column-of-a-table=@1+2" -s "$long/$long=@3+4" \
		"$temp/disk" "$mnt"

	assert_equal "$(where_is "$mnt"/a-name*)" "$temp/disk 1 2"
	assert_equal "$(where_is "$mnt/$long/$long")" "$temp/disk 3 4"
}

@test "names with odd bytes, escaped as in a table" {
	slices=()
	wanted=()
	# shellcheck disable=SC1003 # a backslash
	while read -r name escaped; do
		slices+=(-s "$(printf %b "$name")=@1+2")
		wanted+=("$(printf %b "$name")" "$escaped")
	done <<-'END'
		two\0040words    two\040words
		\0043            \043
		back\0134slash   back\134slash
		\0134040         \134040
		new\0012line     new\012line
		\0011tab         \011tab
		d\0303\0244/x    dä/x
		%s               %s
		*                *
		-                -
	END
	mount_detached "${slices[@]}" "$temp/disk" "$mnt"

	set -- "${wanted[@]}"
	while [ $# -gt 0 ]; do
		mmapfs where "$mnt/$1"
		assert_done
		assert_equal "$(<"$temp/out")" "$mnt/$2 $temp/disk 1 2"
		shift 2
	done
}

@test "names that are not UTF-8" {
	mount_detached -s $'\377\001=@1+2' "$temp/disk" "$mnt"

	mmapfs where "$mnt/"$'\377\001'
	assert_done
	assert_equal "$(<"$temp/out")" "$mnt/"$'\377\\001 '"$temp/disk 1 2"
}

@test "images and mountpoints with odd names" {
	mkdir "$temp/a mount" "$temp/a # folder"
	cp "$temp/disk" "$temp/a # folder/new"$'\n'"line"
	mount_detached -s "a=$temp/a # folder/new"$'\n'"line@5+6" "$temp/a mount"

	mmapfs where "$temp/a mount/a"
	assert_done
	assert_equal "$(<"$temp/out")" \
		"$temp/a\\040mount/a $temp/a\\040\\043\\040folder/new\\012line 5 6"
}

@test "several files, in their order" {
	mount_detached -s 'a=@1+2' -s 'b=@3+4' "$temp/disk" "$mnt"

	mmapfs where "$mnt/b" "$mnt/a" "$mnt/b"
	assert_done
	assert_equal "$(sed "s|$mnt/||" "$temp/out" | cut -d ' ' -f 1 | xargs)" 'b a b'
}

@test "files of several mounts, in turn" {
	mkdir "$temp/other"
	mount_detached -s 'a=@1+2' "$temp/disk" "$mnt"
	mount_detached -s 'a=@3+4' -s 'b=@5+6' "$temp/two" "$temp/other"

	where_is "$mnt/a" "$temp/other/a" "$mnt/a" "$temp/other/b" "$temp/other/a" | diff - <(
		echo "$temp/disk 1 2"
		echo "$temp/two 3 4"
		echo "$temp/disk 1 2"
		echo "$temp/two 5 6"
		echo "$temp/two 3 4"
	)
}

@test "one bad file of several: the others are answered, and the exit status is 1" {
	mount_detached -s 'a=@1+2' -s 'b=@3+4' "$temp/disk" "$mnt"

	mmapfs where "$mnt/a" "$mnt/missing" "$mnt/b" "$temp/disk"
	assert_failed 1 "^$mnt/missing: " "^$temp/disk: "
	assert_equal "$(cut -d ' ' -f 2- "$temp/out")" "$temp/disk 1 2"$'\n'"$temp/disk 3 4"
}

# nowhere FILE: exits 1, and says so of this file
nowhere() {
	mmapfs where "$1"
	assert_failed 1 "^$(literally "$1"): "
	[ ! -s "$temp/out" ]
}

@test "what is not a slice" {
	mount_detached -s 'dir/a=@1+2' "$temp/disk" "$mnt"

	nowhere "$mnt"
	nowhere "$mnt/"
	nowhere "$mnt/dir"
	nowhere "$mnt/.mmapfs"
	nowhere "$mnt/.mmapfs/table"
	nowhere "$mnt/.mmapfs/stats"
}

@test "what is not in a mount, or not there" {
	ln -s nowhere "$temp/dangling"
	ln -s loop "$temp/loop"
	mkdir "$temp/folder"
	nowhere "$temp/disk"
	nowhere "$temp/folder"
	nowhere /
	nowhere /dev/null
	nowhere "$temp/missing"
	nowhere "$temp/dangling"
	nowhere "$temp/loop"
	nowhere "$temp/disk/x"
	nowhere ''
	nowhere /proc/self/mountinfo
}

@test "a name with a newline that is not there: one line" {
	mmapfs where "$temp/new"$'\n'"line"
	assert_failed 1 'new.*line'
}

@test "a mount on top of a mount" {
	mkdir "$temp/upper"
	mount_detached "$temp/disk" "$mnt"
	mount_detached -s 'a=@1+2' "$mnt/disk" "$temp/upper"

	assert_equal "$(where_is "$temp/upper/a")" "$mnt/disk 1 2"
	assert_equal "$(where_is "$mnt/disk")" "$temp/disk 0 1048576"
	unmount_detached "$temp/upper"
}

@test "without getxattr, and in a mount that is read-only" {
	mount_detached -o ro -s 'a=@1+2' "$temp/disk" "$mnt"

	assert_equal "$(where_is "$mnt/a")" "$temp/disk 1 2"
}
