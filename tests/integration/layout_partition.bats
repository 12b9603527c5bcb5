#!/usr/bin/env bats
# SPDX-License-Identifier: MIT
# Partition tables, against sfdisk, fdisk and partx, which reads tables by code of its own.

# shellcheck source-path=SCRIPTDIR source=../lib/common.bash
source "$BATS_TEST_DIRNAME/../lib/common.bash"

PATH=$PATH:/sbin:/usr/sbin

# partition IMAGE SECTOR_SIZE: by the sfdisk script on standard input. sfdisk itself takes a file's
# sectors for 512 bytes; fdisk does as it is told.
partition() {
	local script=$temp/script out

	cat >"$script"
	out=$(printf '%s\n' I "$script" w | fdisk --wipe=never -b "$2" "$1" 2>&1) || fail "$out"
	[[ $out == *'Script successfully applied'* ]] || fail "$out"
}

# members IMAGE [OPTION...]: "name offset length" of each file that would be mounted
members() {
	local image=$1

	shift
	"$MMAPFS" plan --json "$@" "$image" | python3 -c '
import json, sys
for s in json.load(sys.stdin)["slices"]:
    (extent,) = s["extents"]
    print(s["name"], extent["offset"], extent["length"])'
}

# The same, with the number alone of a name "p1-esp".
numbered_members() {
	members "$@" | sed -E 's/^p([0-9]+)[^ ]*/\1/'
}

# partx_lists IMAGE SECTOR_SIZE: "number offset length"; the extended partition, in whose bytes
# others lie, is no file here
partx_lists() {
	partx --raw --noheadings --sector-size "$2" --output NR,START,SECTORS,TYPE "$1" |
		awk -v size="$2" '$4 != "0x5" { printf "%d %.0f %.0f\n", $1, $2 * 512, $3 * 512 }'
}

# fdisk_lists IMAGE SECTOR_SIZE; no digit may end the image's name
fdisk_lists() {
	fdisk -b "$2" -l -o Device,Start,Sectors,Type "$1" |
		awk -v image="$1" -v size="$2" 'index($1, image) == 1 && $4 != "Extended" {
			printf "%d %.0f %.0f\n", substr($1, length(image) + 1), $2 * size, $3 * size }'
}

# assert_same_partitions IMAGE SECTOR_SIZE COUNT
assert_same_partitions() {
	numbered_members "$1" >"$temp/members"
	[ "$(wc -l <"$temp/members")" -eq "$3" ]
	fdisk_lists "$1" "$2" | diff --brief "$temp/members" -
	partx_lists "$1" "$2" | diff --brief "$temp/members" -
}

# lines N TEXT
lines() {
	local i

	for ((i = 0; i < $1; i++)); do
		printf '%s\n' "$2"
	done
}

some_gpt() {
	truncate -s 16M "$1"
	partition "$1" 512 <<-'END'
		label: gpt
		size=1M, type=U, name="EFI System Partition"
		size=4M, name="root a/b", attrs="LegacyBIOSBootable,GUID:60"
		size=2M, name=data
		size=2M, name=data
		size=1M, name="Größe"
	END
}

@test "a GPT of 128 partitions is found with sectors of each size" {
	local size

	for size in 512 1024 2048 4096; do
		truncate -s 140M "$temp/disk.$size.img"
		partition "$temp/disk.$size.img" "$size" < <(
			echo 'label: gpt'
			lines 128 size=1M
		)
		assert_same_partitions "$temp/disk.$size.img" "$size" 128
	done
}

@test "56 logical partitions are found with sectors of each size" {
	local size

	for size in 512 1024 2048 4096; do
		truncate -s 140M "$temp/disk.$size.img"
		partition "$temp/disk.$size.img" "$size" < <(
			printf '%s\n' 'label: dos' 'size=1M' 'size=1M,type=c,bootable' 'type=E'
			lines 56 size=1M
		)
		assert_same_partitions "$temp/disk.$size.img" "$size" 58
	done
}

@test "the size of sectors of an MBR is told by what its partitions hold, or by the user" {
	truncate -s 64M "$temp/disk"
	partition "$temp/disk" 4096 <<<$'label: dos\nsize=20M\nsize=20M'
	refute assert_same_partitions "$temp/disk" 4096 2
	assert_equal "$(numbered_members "$temp/disk" -o sector-size=4096)" \
		"$(fdisk_lists "$temp/disk" 4096)"

	mkfs.ext4 -q -E offset=$((21 << 20)) "$temp/disk" 20M
	assert_same_partitions "$temp/disk" 4096 2
}

@test "an image of several terabytes is looked at in no time" {
	truncate -s 7T "$temp/disk"
	partition "$temp/disk" 512 <<<$'label: gpt\nsize=3T\nsize=2T'
	assert_same_partitions "$temp/disk" 512 2
	[ "$(du -k "$temp/disk" | cut -f 1)" -lt 1000 ]
}

@test "SUN and SGI labels are found" {
	local label

	for label in sun sgi; do
		truncate -s 100M "$temp/$label"
		sfdisk -q "$temp/$label" <<<"label: $label"$'\nsize=20M\nsize=30M'
		assert_same_partitions "$temp/$label" 512 2
	done
}

@test "a BSD label within an MBR is found one layer down" {
	local at=$((1 << 20))

	truncate -s 64M "$temp/disk"
	sfdisk -q "$temp/disk" <<<$'label: dos\ntype=a5'
	# A new label, partitions a and e in it, written; then back, out of it.
	printf '%s\n' b y n a 4096 +10M n e 40960 +20M w r w | fdisk "$temp/disk"
	cut_out "$temp/disk" "$at" 63M "$temp/slice"

	assert_equal "$(members "$temp/disk" -o depth=1 | cut -d ' ' -f 1 | paste -sd ' ')" \
		'p1 p1.d/p1-a p1.d/p5-e'
	# fdisk shows what the label says: sectors of the whole disk.
	assert_equal "$(members "$temp/disk" -o depth=1 | tail -n +2 | cut -d ' ' -f 2-)" \
		"$(printf '%s\n' b p q | fdisk "$temp/disk" |
			awk '/^[ae] / { printf "%.0f %.0f\n", $2 * 512, $4 * 512 }')"
	assert_equal "$(members "$temp/slice" | cut -d ' ' -f 2)" \
		"$(members "$temp/disk" -o depth=1 | tail -n +2 |
			awk -v at="$at" '{ print $2 - at }')"
}

@test "each file has the bytes of its partition" {
	local number offset length count=0

	make_image "$temp/disk" 16M
	partition "$temp/disk" 512 <<<$'label: gpt\nsize=1M\nstart=20000,size=3001\nsize=2M'
	start_mmapfs "$temp/disk" "$mnt"
	while read -r number offset length; do
		assert_range "$temp/disk" "$offset" "$length" "$mnt/p$number"
		count=$((count + 1))
	done < <(partx_lists "$temp/disk" 512)
	assert_equal "$count" 3
}

@test "names take up labels that are unique" {
	some_gpt "$temp/disk"
	start_mmapfs "$temp/disk" "$mnt"
	assert_equal "$(cd "$mnt" && printf '%s\n' p*)" "$(
		printf '%s\n' p1-EFI-System-Partition p2-root-a-b p3 p4 p5-Größe
	)"
}

@test "extended attributes are what sfdisk says" {
	some_gpt "$temp/disk"
	start_mmapfs -o xattr "$temp/disk" "$mnt"
	sfdisk --json "$temp/disk" | python3 -c '
import glob, json, os, sys
mount, disk = sys.argv[1:]
table = json.load(sys.stdin)["partitiontable"]
assert len(table["partitions"]) == 5
for p in table["partitions"]:
    number = p["node"][len(disk):]
    (file,) = glob.glob(f"{mount}/p{number}*")
    get = lambda key: os.getxattr(file, "user.mmapfs." + key).decode()
    assert get("layout") == "gpt"
    assert get("number") == number
    assert get("type") == p["type"]
    assert get("uuid") == p["uuid"]
    assert get("label") == p["name"]
    assert get("sector-size") == str(table["sectorsize"])
    if "attrs" in p:
        assert get("attrs") == p["attrs"]
    else:
        assert "user.mmapfs.attrs" not in os.listxattr(file)
' "$mnt" "$temp/disk"
}

@test "gaps and partitions together are the image" {
	make_image "$temp/disk" 16M
	partition "$temp/disk" 512 <<-'END'
		label: dos
		start=1M, size=2M
		start=4M, type=E
		start=5M, size=1M
		start=7M, size=100K
	END
	start_mmapfs -o gaps "$temp/disk" "$mnt"
	[ -e "$mnt/gap1" ]
	members "$temp/disk" -o gaps | sort -n -k 2 | while read -r name _; do
		cat "$mnt/$name"
	done | cmp - "$temp/disk"
}

@test "a broken primary GPT is replaced by its backup, which is said" {
	local wanted

	some_gpt "$temp/disk"
	wanted=$(members "$temp/disk")
	call random "$temp/garbage" 16K "$seed" >/dev/null
	dd if="$temp/garbage" of="$temp/disk" bs=512 seek=1 conv=notrunc status=none

	assert_equal "$(members "$temp/disk")" "$wanted"
	"$MMAPFS" plan "$temp/disk" | grep -F '# disk: the primary GPT is broken: this is its backup'
	expect_log 'disk: the primary GPT is broken: this is its backup$'
	start_mmapfs "$temp/disk" "$mnt"
	assert_equal "$(cd "$mnt" && printf '%s\n' p* | wc -l)" 5
}

@test "partitions outside of a truncated image are listed, and mounted only when told so" {
	local wanted

	some_gpt "$temp/disk"
	wanted=$(members "$temp/disk")
	truncate -s 7M "$temp/disk"

	assert_equal "$(members "$temp/disk")" "$wanted"
	assert_equal "$("$MMAPFS" plan "$temp/disk" | grep -c 'reaches outside of its image')" 3
	refute "$MMAPFS" "$temp/disk" "$mnt"
	expect_log 'the backup of the GPT is missing or broken$'
	start_mmapfs -o lenient "$temp/disk" "$mnt"
	assert_range "$temp/disk" 1M 1M "$mnt/p1-EFI-System-Partition"
	run_errno EIO read "$mnt/p5-Größe" 0 4096
}

@test "a table that is named is taken, another one is not" {
	some_gpt "$temp/disk"
	assert_equal "$(members "$temp/disk" -o layout=dos)" "p1 512 $(((16 << 20) - 512))"
	refute "$MMAPFS" plan -o layout=bsd "$temp/disk"
	assert_equal "$(members "$temp/disk" -o layout=gpt | wc -l)" 5
}

@test "file systems without partitions are no tables" {
	local file_system

	for file_system in 'fat' 'fat -F 32' 'fat --mbr=y' 'fat --mbr=y -F 32' 'ext4 -F -q'; do
		rm -f "$temp/disk"
		truncate -s 64M "$temp/disk"
		# shellcheck disable=SC2086 # options
		mkfs.$file_system "$temp/disk" >/dev/null
		run ! "$MMAPFS" plan -o layout=partition "$temp/disk"
		assert_equal "$("$MMAPFS" plan "$temp/disk" | grep -c ^slice)" 1
	done
}

@test "GRUB's rescue disk and Memtest86+'s stick are as sfdisk sees them" {
	local image

	for image in /usr/lib/grub-rescue/grub-rescue-floppy.img \
		/usr/lib/memtest86+/memtest86+x64.iso; do
		# They are ISO 9660 images as well.
		assert_equal "$(numbered_members "$image" -o layout=dos)" "$(fdisk_lists "$image" 512)"
	done
	start_mmapfs -o ro,layout=dos "$image" "$mnt"
	fsck.fat -n "$mnt/p2"
}

@test "a file system made through a partition is clean from outside, the table untouched" {
	local start

	make_image "$temp/disk" 48M
	partition "$temp/disk" 512 <<<$'label: gpt\nsize=4M\nsize=32M,name=root'
	start=$((5 << 20))
	snapshot "$temp/disk"
	call random "$temp/file" 3M "$seed" >/dev/null

	start_mmapfs "$temp/disk" "$mnt"
	mkfs.ext4 -q -F "$mnt/p2-root"
	debugfs -w -R "write $temp/file file" "$mnt/p2-root"
	unmount

	assert_untouched "$temp/disk" "$start" 32M
	assert_equal "$(partx_lists "$temp/disk" 512)" "$(partx_lists "$temp/disk.snapshot" 512)"
	cut_out "$temp/disk" "$start" 32M "$temp/root"
	e2fsck -fn "$temp/root"
	debugfs -R 'cat file' "$temp/root" | cmp - "$temp/file"
}
