#!/usr/bin/env bats
# SPDX-License-Identifier: MIT
#
# Listings with attributes, for those who ask about the entries, and without them, for others.

# shellcheck source-path=SCRIPTDIR source=../lib/common.bash
source "$BATS_TEST_DIRNAME/../lib/common.bash"

listing() {
	/usr/bin/python3 "$BATS_TEST_DIRNAME/listing.py" "$@"
}

# requests: how many asked about one name or file since the last call
requests() {
	local now

	now=$(($(stat_value lookups) + $(stat_value getattrs)))
	echo $((now - ${before:-0}))
	before=$now
}

# write_folders FOLDERS NAMES: a table of as many folders with as many names each
write_folders() {
	local folder name

	echo 'image disk disk ro'
	for ((folder = 0; folder < $1; folder++)); do
		for ((name = 0; name < $2; name++)); do
			echo "slice folder$folder/file$name disk 0 4096 ro"
		done
	done
}

@test "who asks about every entry is told with the listing, but for the first folder" {
	make_image "$temp/disk" 4K
	write_folders 40 50 >"$temp/table"
	mount_table "$temp/table"

	requests >"$temp/count"
	assert_equal "$(find "$mnt" -type f -size 4096c | wc -l)" 2000
	requests >"$temp/count"
	[ "$(<"$temp/count")" -le 250 ]
	[ "$(<"$temp/count")" -ge 50 ]
}

@test "who wants names only gets names only" {
	make_image "$temp/disk" 4K
	write_folders 40 50 >"$temp/table"
	mount_table "$temp/table"

	requests >"$temp/count"
	assert_equal "$(find "$mnt" -type f | wc -l)" 2000
	requests >"$temp/count"
	[ "$(<"$temp/count")" -le 100 ]
	requests >"$temp/count"
	# Had attributes come along, nobody would be asked now.
	(cd "$mnt/folder7" && stat -c %s file{0..49} >"$temp/sizes")
	requests >"$temp/count"
	[ "$(<"$temp/count")" -ge 50 ]
}

@test "find, with and without attributes, names what is in the table and nothing else" {
	make_image "$temp/disk" 4K
	/usr/bin/python3 - "$seed" >"$temp/table" <<-'END'
		import random, sys
		rng = random.Random(int(sys.argv[1]))
		print("image disk disk ro")
		names = {"x" * rng.randrange(1, 250) + str(i) for i in range(1500)}
		names |= {f"a/{i % 7}/{'y' * rng.randrange(1, 100)}{i}" for i in range(1500)}
		for name in names:
		    print("slice", name, "disk", rng.randrange(4000), rng.randrange(1, 90), "ro")
	END
	mount_table "$temp/table"

	awk '$1 == "slice" { print $2 }' "$temp/table" | sort >"$temp/wanted"
	(cd "$mnt" && find . -type f | sed 's/^..//') | sort | diff - "$temp/wanted"
	listing names "$mnt" | grep -v '^a\(/.\)\?$' | sort | diff - "$temp/wanted"
	listing names "$mnt" | grep -v '^a\(/.\)\?$' | sort | diff - "$temp/wanted"
	awk '$1 == "slice" { print $5, $2 }' "$temp/table" | sort >"$temp/wanted"
	(cd "$mnt" && find . -type f -printf '%s %P\n') | sort | diff - "$temp/wanted"
}

@test "a listing with attributes is read on from any place, through any descriptor" {
	make_image "$temp/disk" 4K
	write_folders 1 3000 >"$temp/table"
	mount_table "$temp/table"

	assert_equal "$(listing restart "$mnt/folder0" "$seed")" 3002
}

@test "a size in a listing is true right after the image was cut or grown" {
	make_image "$temp/disk" 100K
	{
		echo 'image disk disk rw'
		for i in {1..40}; do
			echo "slice dir/tail$i disk 1000 - ro"
		done
	} >"$temp/table"
	mount_table "$temp/table" -o lock=off

	assert_equal "$(listing tails "$mnt/dir" "$temp/disk" 1000 "$seed")" 40
}

@test "a size in a listing is true right after a slice was resized" {
	make_image "$temp/disk" 100K
	{
		echo 'image disk disk rw'
		echo 'slice grows disk 1000 - rw,resize'
		for i in {1..40}; do
			echo "slice dir/tail$i disk 1000 - ro"
		done
	} >"$temp/table"
	mount_table "$temp/table"

	assert_equal "$(listing tails "$mnt/dir" "$mnt/grows" 0 "$seed")" 40
}

@test "listings while the image is cut and grown fail nowhere, and are true at the end" {
	make_image "$temp/disk" 400K
	{
		echo 'image disk disk rw'
		for i in {1..20}; do
			echo "slice dir/tail$i disk 0 - ro"
			echo "slice dir/fixed$i disk $((i * 1000)) ${i}000 ro"
		done
	} >"$temp/table"
	mount_table "$temp/table" -o lock=off

	assert_equal "$(listing cut "$mnt/dir" "$temp/disk" 409600)" 40
}

@test "many read a folder at once, and each sees all of it" {
	make_image "$temp/disk" 4K
	write_folders 1 2000 >"$temp/table"
	mount_table "$temp/table"

	assert_equal "$(listing together "$mnt/folder0" 8)" 2000
}
