#!/usr/bin/env bats
# SPDX-License-Identifier: MIT
#
# Mountpoints that are none. root_cli.bats has those that take two users, or another file system.

# shellcheck source-path=SCRIPTDIR source=../lib/common.bash
source "$BATS_TEST_DIRNAME/../lib/common.bash"
# shellcheck source-path=SCRIPTDIR source=../lib/cli.bash
source "$BATS_TEST_DIRNAME/../lib/cli.bash"

setup() {
	cli_setup
	mkdir "$temp/img"
	disk=$temp/img/disk
	make_image "$disk" 1M
	untouched "$temp/img"
}

# nowhere MOUNTPOINT: in the background, in the foreground, and as mount(8) does it
nowhere() {
	local regex

	regex="mountpoint '$(literally "$1")'"
	refused 1 "$regex" -- "$disk" "$1"
	refused 1 "$regex" -- mount -f -s 'a=@0+1' "$disk" "$1"
	printf 'image d img/disk\nslice a d 0 1\n' >"$temp/table"
	refused 1 "$regex" -- --table "$temp/table" "$1"
	ln -sf "$MMAPFS" "$temp/mount.mmapfs"
	program=$temp/mount.mmapfs
	refused 1 "$regex" -- "$disk" "$1" -o rw
	program=$MMAPFS
	# The image is free for the next one.
	call lock "$disk" wr 0 0
}

@test "one that is not there" {
	ln -s gone "$temp/dangling"
	ln -s loop "$temp/loop"
	nowhere "$temp/missing"
	nowhere "$temp/missing/"
	nowhere "$mnt/missing/below"
	nowhere "$temp/dangling"
	nowhere "$temp/loop"
	nowhere ''
	[ ! -e "$temp/missing" ]
}

@test "one that is not a folder" {
	echo text >"$temp/file"
	mkfifo "$temp/fifo"
	ln -s file "$temp/link"
	nowhere "$temp/file"
	nowhere "$temp/link"
	nowhere "$temp/fifo"
	nowhere "$disk"
	nowhere /dev/null
	assert_equal "$(<"$temp/file")" text
}

@test "one with a newline in its name that is not there: one line" {
	refused 1 'new.*line' -- "$disk" "$temp/new"$'\n'"line"
}

@test "one where an mmapfs is already" {
	ln -s mnt "$temp/link"
	make_image "$temp/other" 4K
	mount_detached -s 'a=@0+4K' "$disk" "$mnt"
	for mountpoint in "$mnt" "$mnt/" "$temp/link" "$temp/img/../mnt"; do
		refused 1 "mountpoint '$mountpoint'" -- "$temp/other" "$mountpoint"
	done
	cd "$temp"
	refused 1 "mountpoint 'mnt'" -- "$temp/other" mnt
	refused 1 "mountpoint 'mnt'" -- mount -f "$temp/other" mnt

	assert_equal "$(mounts_here | wc -l)" 1
	assert_equal "$(ls "$mnt")" a
	cmp -n 4K "$disk" "$mnt/a"
}

@test "one that is a file, or a folder, of an mmapfs" {
	make_image "$temp/other" 4K
	mount_detached -s 'dir/a=@0+4K' "$disk" "$mnt"
	refused 1 "mountpoint '$mnt/dir/a'" -- "$temp/other" "$mnt/dir/a"
	refused 1 "mountpoint '$mnt/dir/missing'" -- "$temp/other" "$mnt/dir/missing"
}

@test "of two mounts that start together at one mountpoint one is there" {
	make_image "$temp/other" 64K
	images=("$disk" "$temp/other")
	for _ in {1..10}; do
		for number in 0 1; do
			timeout 30 "$MMAPFS" "${images[number]}" "$mnt" 2>"$temp/err.$number" 3>&- 4>&- &
			starts[number]=$!
		done
		for number in 0 1; do
			ended=0
			wait "${starts[number]}" || ended=$?
			ends[number]=$ended
		done
		case ${ends[0]}${ends[1]} in
		01) won=0 lost=1 ;;
		10) won=1 lost=0 ;;
		*) fail "they ended with ${ends[*]}" "$(cat "$temp/err.0" "$temp/err.1")" ;;
		esac
		mv "$temp/err.$lost" "$temp/err"
		assert_said "$mnt"
		assert_equal "$(mounts_here | wc -l)" 1
		cmp "${images[won]}" "$mnt/${images[won]##*/}"
		adopt "$mnt"
		unmount_detached "$mnt"
	done
}

@test "one that cannot be written to" {
	ordinary
	mkdir "$public/closed"
	chmod 555 "$public/closed"
	cp "$disk" "$public/disk"
	refused 1 "mountpoint '$public/closed'" -- "$public/disk" "$public/closed"
	refused 1 "mountpoint '$public/closed'" -- mount -f "$public/disk" "$public/closed"
	refused 1 "mountpoint '/'" -- "$public/disk" /
	refused 1 "mountpoint '/proc'" -- "$public/disk" /proc
	chmod 755 "$public/closed"
}

@test "one that cannot be reached" {
	ordinary
	mkdir -p "$public/closed/mnt"
	chmod 0 "$public/closed"
	cp "$disk" "$public/disk"
	refused 1 "mountpoint '$public/closed/mnt'" -- "$public/disk" "$public/closed/mnt"
	chmod 755 "$public/closed"
}
