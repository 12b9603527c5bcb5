#!/usr/bin/env bats
# SPDX-License-Identifier: MIT
#
# A sparse image on a full file system, or over its quota. Needs root: the file systems are small
# ones of our own.

# shellcheck source-path=SCRIPTDIR source=../lib/common.bash
source "$BATS_TEST_DIRNAME/../lib/common.bash"
# shellcheck source-path=SCRIPTDIR source=../lib/full.bash
source "$BATS_TEST_DIRNAME/../lib/full.bash"

# `left` and `right` are aliases by the byte that each shares with `seam`, so direct.
mount_disk() {
	mount_slices "$disk" data=@0+1M old=@1M+500000 old2=@1548576+100000 \
		hole=@2M+14M left=@16M+12000001 right=@28777217+500000 seam=@28777216+2
	declare -gA start=([data]=0 [old]=1048576 [hole]=2097152 [left]=16777216)
	process=$(stat_value pid)
}

# --- what holds ----------------------------------------------------------------------------------

assert_disk() {
	cmp "$disk" "$temp/want"
}

# The daemon lives, all else is as before, and with room again the hole takes what it is given.
recovers() {
	local slice

	assert_disk
	for slice in "${!start[@]}"; do
		cmp -i "${start[$slice]}:0" -n "$(stat -c %s "$mnt/$slice")" "$temp/want" "$mnt/$slice"
	done
	make_room
	for slice in hole left; do
		for flags in wronly rdwr; do
			put "$flags" "$slice" 5000 70000 k
			put "$flags" "$slice" 300001 10 k
		done
		call -f rdwr fsync "$mnt/$slice"
	done
	assert_equal "$(stat_value pid)" "$process"
	assert_on_medium
}

# After all caches are gone, too.
assert_on_medium() {
	unmount
	if [ -n "$loop" ]; then
		umount "$fs"
		mount "$loop" "$fs"
	fi
	assert_disk
}

# put FLAGS SLICE OFFSET LENGTH BYTE: a write that succeeds as a whole
put() {
	assert_equal "$(call -f "$1" write "$mnt/$2" "${@:3}")" "$4"
	wanted "${@:2}"
}

# wanted SLICE OFFSET LENGTH BYTE: so many bytes were written there
wanted() {
	call write "$temp/want" $((start[$1] + $2)) "${@:3}" >/dev/null
}

every_flags='wronly rdwr rdwr,direct wronly,dsync'

# --- behaviours ----------------------------------------------------------------------------------

writes_fail() {
	local flags size slice

	blocks=$(stat -c %b "$disk")
	for slice in hole left; do
		for flags in $every_flags; do
			for size in 1 4096 65535 65536 1000001; do
				run_errno "$errno" -f "$flags" write "$mnt/$slice" 0 "$size" x
				run_errno "$errno" -f "$flags" write "$mnt/$slice" 70001 "$size" x
			done
		done
	done
	assert_equal "$(stat -c %b "$disk")" "$blocks"
	recovers
}

# The first request finds room for all of its 1 MiB, the second or third does not.
writes_are_short() {
	local flags slice written offset

	for slice in hole left; do
		offset=4099
		for flags in $every_flags; do
			make_some_room
			written=$(call -f "$flags" write "$mnt/$slice" "$offset" 3000000 s)
			[ "$written" -ge 1000000 ]
			[ "$written" -lt 3000000 ]
			wanted "$slice" "$offset" "$written" s
			assert_disk
			offset=$((offset + written + 4096))
		done
	done
	assert_on_medium
}

# Not page by page, so that no file system shares blocks in place of copying.
copies_and_allocations_fail() {
	local slice

	for slice in hole left; do
		run_errno "$errno" copy_file_range "$mnt/data" 7 "$mnt/$slice" 11 1
		run_errno "$errno" copy_file_range "$mnt/data" 7 "$mnt/$slice" 11 500000
		run_errno "$errno" fallocate "$mnt/$slice" default 0 500000
		run_errno "$errno" fallocate "$mnt/$slice" keep_size 4097 70000
	done
	recovers
}

msync_fails() {
	/usr/bin/python3 - "$mnt/hole" "$errno" <<-'END'
		import errno, mmap, os, sys
		path, wanted = sys.argv[1], getattr(errno, sys.argv[2])
		def fails(call):
		    try:
		        call()
		        sys.exit("%s succeeds" % call)
		    except OSError as error:
		        assert error.errno == wanted, error
		fd = os.open(path, os.O_RDWR)
		view = mmap.mmap(fd, 0)
		view[0:10] = b"x" * 10
		fails(view.flush)
		view[100000:400000] = b"x" * 300000
		fails(lambda: view.flush(98304, 4096))
		view[500000:500001] = b"x"
		fails(lambda: os.fsync(fd))
	END
	assert_disk
	make_room
	call mmap shared "$mnt/hole" 200001 100000 y
	wanted hole 200001 100000 y
	assert_disk
	assert_equal "$(stat_value pid)" "$process"
	# That stores got lost is told once more.
	refute timeout 60 "$MMAPFS" umount "$mnt"
	daemon_reap "$mnt"
	assert_disk
}

# What has its blocks can be written, right after the mount and after a flush.
overwrites_work() {
	local flags size round

	unmount
	if [ -n "$loop" ]; then
		umount "$fs"
		mount "$loop" "$fs"
	fi
	mount_disk
	for slice in data old; do
		for flags in $every_flags; do
			for round in 1 2; do
				for size in 1 4096 65535 65536 400001; do
					put "$flags" "$slice" 4099 "$size" "$round"
				done
				call -f "$flags" fsync "$mnt/$slice" >/dev/null
			done
		done
	done
	for round in 1 2; do
		call mmap shared "$mnt/data" 70001 200000 "$round"
		wanted data 70001 200000 "$round"
	done
	recovers
}

holes_read_as_zeros() {
	local slice

	blocks=$(stat -c %b "$disk")
	for slice in hole left; do
		for flags in rdonly rdonly,direct; do
			call -f $flags -o "$temp/got" read "$mnt/$slice"
			cmp -n "$(stat -c %s "$mnt/$slice")" "$temp/got" /dev/zero
		done
	done
	call -o "$temp/got" mmap shared "$mnt/hole" 0 14M
	cmp -n 14680064 "$temp/got" /dev/zero
	assert_equal "$(stat -c %b "$disk")" "$blocks"
}

holes_are_copied() {
	make_image "$temp/target" 4M
	printf '%s\n' "image disk $disk rw" "image target $temp/target rw" \
		'slice hole disk 2M 3M rw' 'slice data disk 0 1M rw' 'slice target target 0 - rw' \
		>"$temp/table"
	unmount
	mount_table "$temp/table"

	blocks=$(stat -c %b "$disk")
	assert_equal "$(call copy_file_range "$mnt/hole" 7 "$mnt/target" 11 3000000)" 3000000
	cmp -i 11:0 -n 3000000 "$temp/target" /dev/zero
	assert_equal "$(stat -c %b "$disk")" "$blocks"
}

# --- the file systems ----------------------------------------------------------------------------

@test "ext4: a write that finds no room is ENOSPC" {
	on ext4
	writes_fail
}

@test "xfs: a write that finds no room is ENOSPC" {
	on xfs
	writes_fail
}

@test "btrfs: a write that finds no room is ENOSPC" {
	on btrfs
	writes_fail
}

@test "tmpfs: a write that finds no room is ENOSPC" {
	on tmpfs
	writes_fail
}

@test "quota: a write over it is EDQUOT" {
	on quota
	writes_fail
}

@test "ext4: a write that finds little room is short" {
	on ext4
	writes_are_short
}

@test "xfs: a write that finds little room is short" {
	on xfs
	writes_are_short
}

@test "btrfs: a write that finds little room is short" {
	on btrfs
	writes_are_short
}

@test "tmpfs: a write that finds little room is short" {
	on tmpfs
	writes_are_short
}

@test "quota: a write that may take little room is short" {
	on quota
	writes_are_short
}

@test "ext4: copies and allocations that find no room" {
	on ext4
	copies_and_allocations_fail
}

@test "xfs: copies and allocations that find no room" {
	on xfs
	copies_and_allocations_fail
}

@test "btrfs: copies and allocations that find no room" {
	on btrfs
	copies_and_allocations_fail
}

@test "tmpfs: copies and allocations that find no room" {
	on tmpfs
	copies_and_allocations_fail
}

@test "quota: copies and allocations over it" {
	on quota
	copies_and_allocations_fail
}

@test "ext4: msync and fsync tell that a store found no room" {
	on ext4
	msync_fails
}

@test "xfs: msync and fsync tell that a store found no room" {
	on xfs
	msync_fails
}

@test "btrfs: msync and fsync tell that a store found no room" {
	on btrfs
	msync_fails
}

@test "tmpfs: msync and fsync tell that a store found no room" {
	on tmpfs
	msync_fails
}

@test "quota: msync and fsync tell that a store was over it" {
	on quota
	msync_fails
}

@test "ext4: what has its blocks can be written" {
	on ext4
	overwrites_work
}

@test "xfs: what has its blocks can be written" {
	on xfs
	overwrites_work
}

@test "tmpfs: what has its pages can be written" {
	on tmpfs
	overwrites_work
}

@test "ext4: holes read as zeros" {
	on ext4
	holes_read_as_zeros
	holes_are_copied
}

@test "xfs: holes read as zeros" {
	on xfs
	holes_read_as_zeros
	holes_are_copied
}

@test "btrfs: holes read as zeros" {
	on btrfs
	holes_read_as_zeros
	holes_are_copied
}

@test "tmpfs: holes read as zeros" {
	on tmpfs
	holes_read_as_zeros
	holes_are_copied
}

@test "tmpfs: reading holes takes no memory" {
	on tmpfs
	make_room
	holes_read_as_zeros
	holes_are_copied
}

@test "overlayfs above tmpfs: reading holes takes no memory" {
	on overlay
	make_room
	holes_read_as_zeros
	holes_are_copied
}
