# SPDX-License-Identifier: MIT
#
# Sparse images on full file systems of our own, on top of common.bash; for root. A test file says
# mount_disk, which mounts $disk, and starts with
#
#   # shellcheck source-path=SCRIPTDIR source=../lib/common.bash
#   source "$BATS_TEST_DIRNAME/../lib/common.bash"
#   # shellcheck source-path=SCRIPTDIR source=../lib/full.bash
#   source "$BATS_TEST_DIRNAME/../lib/full.bash"
#
#   on ext4|xfs|btrfs|quota|tmpfs|overlay    makes one, with the image $disk: 2M of data, and a hole up
#                                            to 30M; fills it up, and mounts the image. $errno is what
#                                            needs room gets; $temp/want is a copy of the image
#   make_room                                all that there was
#   make_some_room                           1.5 MB more, eight times

# shellcheck shell=bash
# shellcheck disable=SC2034,SC2154 # the variables are for the tests, or those of common.bash

PATH=$PATH:/usr/sbin:/sbin

setup() {
	common_setup
	fs=$temp/fs
	mkdir "$fs"
	loop=
	errno=ENOSPC # of what needs room
}

teardown() {
	local result=0

	common_teardown || result=1
	if mountpoint -q "$fs/merged"; then
		umount "$fs/merged" || result=1
	fi
	if mountpoint -q "$fs"; then
		umount "$fs" || result=1
	fi
	if [ -n "$loop" ]; then
		losetup -d "$loop" || result=1
	fi
	return "$result"
}

on() {
	folder=$fs
	case $1 in
	ext4) make_fs 40M mkfs.ext4 -q -F -m 0 ;;
	xfs) make_fs 320M mkfs.xfs -q ;;
	btrfs | quota) make_fs 128M mkfs.btrfs -q ;;
	tmpfs | overlay) mount -t tmpfs -o size=40M none "$fs" ;;
	esac
	if [ "$1" = overlay ]; then
		folder=$fs/merged
		mkdir "$fs/lower" "$fs/upper" "$fs/work" "$folder"
		mount -t overlay -o "lowerdir=$fs/lower,upperdir=$fs/upper,workdir=$fs/work" none \
			"$folder"
	fi
	# Of the quotas that Linux has, those of btrfs need no other option of the kernel, and bite root.
	if [ "$1" = quota ]; then
		errno=EDQUOT
		folder=$fs/limited
		btrfs quota enable "$fs"
		btrfs subvolume create "$folder" >/dev/null
		btrfs quota rescan -w "$fs" >/dev/null
		btrfs qgroup limit 40M "$folder"
	fi
	make_disk
	fill
	mount_disk
}

# make_fs SIZE COMMAND...
make_fs() {
	make_sparse "$temp/fs.img" "$1"
	"${@:2}" "$temp/fs.img" >/dev/null 2>&1
	loop=$(losetup --find --show "$temp/fs.img")
	mount "$loop" "$fs"
}

# Data, and from 2M on a hole.
make_disk() {
	disk=$folder/disk
	make_image "$disk" 2M
	truncate -s 30M "$disk"
	cp --sparse=always "$disk" "$temp/want"
	sync -f "$disk"
}

# Till no block is left, and none comes back when all is written out. What fallocate takes needs no
# writing. The last blocks are hard to get: one file has no room to note where they are, another
# would need more of it to begin with.
fill() {
	local size end=0 failed=0

	: >"$folder/filler.0"
	fillers=0
	rooms=0
	while [ "$rooms" -lt 8 ]; do
		rooms=$((rooms + 1))
		fallocate -l 1500000 "$folder/room.$rooms"
	done
	for size in 67108864 4194304 262144 16384; do
		while fallocate -o "$end" -l "$size" "$folder/filler" 2>/dev/null; do
			end=$((end + size))
		done
		# Some take a part before they fail.
		truncate -s "$end" "$folder/filler"
	done
	size=$(stat -f -c %S "$fs")
	while [ "$failed" -lt 3 ]; do
		if ! add_block "$size"; then
			failed=$((failed + 1))
			sync -f "$fs"
		fi
	done
}

add_block() {
	if head -c "$1" /dev/zero 2>/dev/null >>"$folder/filler.$fillers"; then
		return 0
	fi
	fillers=$((fillers + 1))
	head -c "$1" /dev/zero 2>/dev/null >"$folder/filler.$fillers"
}

make_room() {
	rm "$folder"/filler* "$folder"/room*
	sync -f "$fs"
}

# For 1.5 MB more, eight times.
make_some_room() {
	rm "$folder/room.$rooms"
	rooms=$((rooms - 1))
	sync -f "$fs"
}
