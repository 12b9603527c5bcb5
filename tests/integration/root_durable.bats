#!/usr/bin/env bats
# SPDX-License-Identifier: MIT
#
# Needs root: how much a flush writes where the image is a block device, or a file of ext4 or XFS.

# shellcheck source-path=SCRIPTDIR source=../lib/common.bash
source "$BATS_TEST_DIRNAME/../lib/common.bash"
# shellcheck source-path=SCRIPTDIR source=../lib/nbd.bash
source "$BATS_TEST_DIRNAME/../lib/nbd.bash"

# written_between LOW HIGH: the disk's log has writes since the mark, all of them between, and then a
# flush.
written_between() {
	nbd_log disk | tail -n +$((mark + 1)) | awk -v low="$1" -v high="$2" '
		{ flushed = $1 == "flush" }
		$1 == "write" { writes++; if ($2 < low || $3 > high) { print "outside:", $0; bad = 1 } }
		END { exit bad || !writes || !flushed }'
}

# bats test_tags=writethrough
@test "on a block device fsync writes the slice's pages, and flushes the device" {
	nbd_serve disk 4M
	loop=$(losetup --find --show "$temp/disk.nbd/disk")
	mount_slices "$loop" a=@12345+1000003 b=@2000001+1000003

	call write "$mnt/a" 0 500000
	call write "$mnt/b" 0 500000
	mark=$(nbd_log disk | wc -l)
	call fsync "$mnt/a"
	written_between 12288 516096
	mark=$(nbd_log disk | wc -l)
	call write "$mnt/a" 100000 10
	call -f wronly,dsync write "$mnt/a" 600000 10
	written_between 610304 614400
	mark=$(nbd_log disk | wc -l)
	call fsync "$mnt/b"
	written_between 1998848 2502656
	cut_out "$mnt/b" 0 500000 "$temp/want"
	assert_range "$temp/disk.raw" 2000001 500000 "$temp/want"
}

# dirty_pages OFFSET COUNT: how many of these pages of the image wait for the disk
dirty_pages() {
	/usr/bin/python3 - "$temp/fs/image" "$1" "$2" <<-'END'
		import mmap, re, sys
		path, offset, count = sys.argv[1], int(sys.argv[2]), int(sys.argv[3])
		with open(path, "rb") as file:
		    view = mmap.mmap(file.fileno(), count * 4096, mmap.MAP_SHARED, mmap.PROT_READ, offset=offset)
		    for page in range(count):
		        view[page * 4096]
		    smaps = open("/proc/self/smaps").read()
		entry = smaps[smaps.index(path):]
		print(sum(int(n) for n in re.findall(r"_Dirty: +(\d+) kB", entry)[:2]) // 4)
	END
}

# on_filesystem MAKE...: dirties 2 MiB of a and 8 MiB of b; a flush of a leaves b alone.
on_filesystem() {
	make_sparse "$temp/disk" 400M
	"$@" "$temp/disk" >/dev/null
	nbd_attach "$temp/disk"
	for kind in sparse written; do
		make_sparse "$temp/fs/image" 16M
		[ $kind = sparse ] || make_image "$temp/fs/image" 16M
		sync "$temp/fs/image"
		mount_slices "$temp/fs/image" a=@0+2M b=@4M+8M

		call write "$mnt/b" 0 8M
		call write "$mnt/a" 0 2M
		assert_equal "$(dirty_pages 0 512)" 512
		call fsync "$mnt/a"
		assert_equal "$(dirty_pages 0 512)" 0
		assert_equal "$(dirty_pages 4194304 2048)" 2048
		call -f wronly,dsync write "$mnt/a" 5000 10
		assert_equal "$(dirty_pages 0 512)" 0
		assert_equal "$(dirty_pages 4194304 2048)" 2048
		call fsync "$mnt"
		assert_equal "$(dirty_pages 4194304 2048)" 0
		unmount
	done
}

@test "on ext4 fsync of a slice does not wait for what is dirty in another" {
	on_filesystem mkfs.ext4 -q -F
}

@test "on XFS fsync of a slice does not wait for what is dirty in another" {
	on_filesystem mkfs.xfs -q -f
}
