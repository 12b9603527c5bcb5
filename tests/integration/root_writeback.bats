#!/usr/bin/env bats
# SPDX-License-Identifier: MIT
#
# The disk is full when the kernel sends what -o writeback has held back. Needs root: the file systems
# are small ones of our own.

# shellcheck source-path=SCRIPTDIR source=../lib/common.bash
source "$BATS_TEST_DIRNAME/../lib/common.bash"
# shellcheck source-path=SCRIPTDIR source=../lib/full.bash
source "$BATS_TEST_DIRNAME/../lib/full.bash"

mount_disk() {
	mount_slices "$disk" data=@0+1M seam=@1M+14M -- -o writeback
}

# `seam` begins with 1 MiB that has its blocks, and goes on with a hole.
writes_fail_late() {
	expect_exit 1
	expect_log "slice 'seam': a write that the kernel had held back failed: "
	expect_log "'$mnt': not everything reached the disk"
	PYTHONPATH=$checkout/tests/lib PYTHONDONTWRITEBYTECODE=1 timeout 100 \
		/usr/bin/python3 - "$mnt/seam" "$errno" <<-'END'
			import os, sys
			from handles import Handle, status
			path, error = sys.argv[1:]
			one, two = Handle(path), Handle(path, os.O_WRONLY)
			data = b"kept" * 16384 + b"lost" * 16384
			for _ in range(2):
			    assert one.write((1 << 20) - 65536, data) == "OK" # the kernel sends it as one
			    assert [one.fsync(), one.fsync(), two.fsync(), two.fsync()] == [error, "OK"] * 2
			assert two.write(5 << 20, b"lost" * 1024) == "OK"
			assert status(two.close) == status(one.close) == error
			three = Handle(path)
			assert three.write(77, b"kept") == "OK"
			assert [three.fsync(), three.fsync()] == [error, "OK"] # no fsync was told
			assert three.read((1 << 20) - 65536, 65536) == ("OK", data[:65536])
			assert status(three.close) == "OK"
			while Handle(path, os.O_RDONLY).read(1 << 20, 65536) != ("OK", bytes(65536)):
			    pass # what is lost is not shown for long
		END
	head -c 65536 < <(yes kept | tr -d '\n') |
		dd of="$temp/want" bs=64K oflag=seek_bytes seek=$(((2 << 20) - 65536)) conv=notrunc \
			iflag=fullblock status=none
	printf kept | dd of="$temp/want" oflag=seek_bytes seek=$(((1 << 20) + 77)) conv=notrunc status=none
	cmp "$disk" "$temp/want"

	make_room
	call -f rdwr write "$mnt/seam" 5M 70000 r
	call write "$temp/want" 6M 70000 r >/dev/null
	cmp "$disk" "$temp/want"
	run -1 "$MMAPFS" umount "$mnt"
	daemon_reap "$mnt"
	cmp "$disk" "$temp/want"
}

@test "ext4: what has no room fails at fsync and close, and what has it is written" {
	on ext4
	writes_fail_late
}

@test "xfs: what has no room fails at fsync and close, and what has it is written" {
	on xfs
	writes_fail_late
}

@test "tmpfs: what has no room fails at fsync and close, and what has it is written" {
	on tmpfs
	writes_fail_late
}

@test "quota: what is over it fails at fsync and close" {
	on quota
	expect_exit 1
	expect_log "slice 'seam': a write that the kernel had held back failed: "
	expect_log "'$mnt': not everything reached the disk"
	run_errno EIO -f wronly write "$mnt/seam" 2M 4096 x # the kernel knows no other at close
	PYTHONPATH=$checkout/tests/lib PYTHONDONTWRITEBYTECODE=1 timeout 100 \
		/usr/bin/python3 - "$mnt/seam" <<-'END'
			import sys
			from handles import Handle
			handle = Handle(sys.argv[1])
			assert handle.write(2 << 20, b"x" * 4096) == "OK"
			assert [handle.fsync(), handle.fsync(), handle.fsync()] == ["EDQUOT", "OK", "OK"]
		END
	run -1 "$MMAPFS" umount "$mnt"
	daemon_reap "$mnt"
}
