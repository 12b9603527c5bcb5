#!/usr/bin/env bats
# SPDX-License-Identifier: MIT

# shellcheck source-path=SCRIPTDIR source=../lib/common.bash
source "$BATS_TEST_DIRNAME/../lib/common.bash"

# many_slices COUNT FOLDER: a table of as many one-page slices, in no order of their names
many_slices() {
	echo 'image disk disk ro'
	/usr/bin/python3 - "$@" <<-'END'
		import random, sys
		count, folder = int(sys.argv[1]), sys.argv[2]
		names = [f"{folder}file-{i:06d}" for i in range(count)]
		random.Random(1).shuffle(names)
		for name in names:
		    at = int(name[-6:]) % 256 * 4096
		    print("slice", name, "disk", at, 4096, "ro")
	END
}

setup() {
	common_setup
	make_image "$temp/disk" 1M
}

@test "nested folders" {
	mount_slices "$temp/disk" 'a=@0+1' 'b/c/d/e/f=@1+1' 'b/c/g=@2+1' 'b/h=@3+1'

	assert_equal "$(cd "$mnt" && find . | sort | xargs)" \
		'. ./a ./b ./b/c ./b/c/d ./b/c/d/e ./b/c/d/e/f ./b/c/g ./b/h'
	cmp -i 1:0 -n 1 "$temp/disk" "$mnt/b/c/d/e/f"
}

@test "a listing is sorted by the bytes of the names" {
	names=(z a B 'b c' ä a.b a-b 0 a/1 a-b.d/x '#' $'tab\there')
	slices=()
	for name in "${names[@]/#a\//aa\/}"; do
		slices+=("$name=@0+1")
	done
	mount_slices "$temp/disk" "${slices[@]}"

	call readdir "$mnt" | grep -vxE '\.|\.\.' >"$temp/list"
	sort -c "$temp/list"
	assert_equal "$(wc -l <"$temp/list")" 12
}

@test "'.' and '..' come with a listing" {
	mount_slices "$temp/disk" 'dir/a=@0+1'

	assert_equal "$(call readdir "$mnt/dir" | sort | xargs)" '. .. a'
	assert_equal "$(stat -c %i "$mnt/dir/..")" "$(stat -c %i "$mnt")"
}

@test "20,000 names in one folder" {
	many_slices 20000 big/ >"$temp/table"
	mount_table "$temp/table"

	call readdir "$mnt/big" | grep -vxE '\.|\.\.' >"$temp/list"
	assert_equal "$(wc -l <"$temp/list")" 20000
	sort -c -u "$temp/list"
	assert_equal "$(find "$mnt/big" -type f -size 4096c | wc -l)" 20000
	cmp -i 28672:0 -n 4096 "$temp/disk" "$mnt/big/file-019975"
	# shellcheck disable=SC2012 # ls is what is tested
	assert_equal "$(ls -l "$mnt/big" | tail -n +2 | wc -l)" 20000
}

@test "seekdir goes to any entry, rewinddir to the first" {
	many_slices 3000 '' >"$temp/table"
	mount_table "$temp/table"

	assert_equal "$(call seekdir "$mnt" "$seed")" 3002
}

@test "inode numbers are the same after a remount, and each its own" {
	many_slices 500 dir/ >"$temp/table"
	mount_table "$temp/table"

	find "$mnt" -printf '%i %P\n' | sort >"$temp/before"
	assert_equal "$(cut -d ' ' -f 1 "$temp/before" | uniq -d)" ''
	remount
	find "$mnt" -printf '%i %P\n' | sort | cmp - "$temp/before"
}

@test "an entry's inode number is that of stat" {
	mount_slices "$temp/disk" 'a=@0+1' 'dir/b=@0+1'

	for path in a dir dir/b; do
		assert_equal "$(stat -c %i "$mnt/$path")" \
			"$(find "$mnt" -path "$mnt/$path" -printf '%i')"
	done
}

@test ".mmapfs is not listed but there, for its owner only" {
	mount_slices "$temp/disk" 'a=@0+1'

	assert_equal "$(call readdir "$mnt" | sort | xargs)" '. .. a'
	assert_equal "$(ls "$mnt/.mmapfs")" $'stats\ntable'
	assert_equal "$(stat -c '%u %a' "$mnt/.mmapfs/table" "$mnt/.mmapfs/stats" | sort -u)" \
		"$(id -u) 400"
	refute call unlink "$mnt/.mmapfs/table"
	refute call creat "$mnt/.mmapfs/new"
	refute call -f rdwr write "$mnt/.mmapfs/stats" 0 1
}

@test ".mmapfs/table mounts the same again" {
	make_image "$temp/two" 64K
	cat >"$temp/table" <<-END
		image  disk  disk  rw
		image  two   two   ro
		slice  a     disk  12345  5000  rw,mode=0600
		slice  dir/b disk  100K  4K    ro
		extent       two   7     100
		extent       -     0     50
		slice  tail  disk  512K  -     rw,resize
	END
	mount_table "$temp/table"
	cat "$mnt/.mmapfs/table" >"$temp/again"
	(cd "$mnt" && find . -type f -exec sha256sum {} + && find . -printf '%i %m %s %p\n') |
		sort >"$temp/before"
	unmount
	mount_table "$temp/again"

	(cd "$mnt" && find . -type f -exec sha256sum {} + && find . -printf '%i %m %s %p\n') |
		sort | cmp - "$temp/before"
	cmp "$temp/again" "$mnt/.mmapfs/table"
}

@test "names with odd bytes" {
	cat >"$temp/table" <<-'END'
		image  disk  disk  ro
		slice  two\040words   disk  0  1  ro
		slice  new\012line    disk  1  1  ro
		slice  back\134slash  disk  2  1  ro
		slice  \377\001       disk  3  1  ro
	END
	mount_table "$temp/table"

	cmp -n 1 "$temp/disk" "$mnt/two words"
	cmp -i 1:0 -n 1 "$temp/disk" "$mnt/"$'new\nline'
	cmp -i 2:0 -n 1 "$temp/disk" "$mnt/back\\slash"
	cmp -i 3:0 -n 1 "$temp/disk" "$mnt/"$'\377\001'
	assert_equal "$(find "$mnt" -type f -printf x)" xxxx
}

@test "a name of 255 bytes, a path of 4000" {
	long=$(printf '%0255d' 0)
	deep=$(printf 'folder%03d/%.0s' {1..390})
	{
		echo 'image disk disk ro'
		echo "slice $long disk 0 1 ro"
		echo "slice ${deep}x disk 1 1 ro"
	} >"$temp/table"
	mount_table "$temp/table"

	assert_equal "$(stat -c %s "$mnt/$long")" 1
	cd "$mnt"
	cmp -i 1:0 -n 1 "$temp/disk" "${deep}x"
	cd /
}

@test "tar, rsync-like copies and find see a tree as any other" {
	mount_slices "$temp/disk" 'a=@0+5000' 'dir/b=@5000+70001' 'dir/sub/c=@99999+1'

	tar -C "$mnt" -cf "$temp/all.tar" .
	mkdir "$temp/out"
	tar -C "$temp/out" -xf "$temp/all.tar"
	diff -r "$mnt" "$temp/out"
	cp -a "$mnt" "$temp/copy"
	diff -r "$mnt" "$temp/copy"
}
