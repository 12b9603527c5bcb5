#!/usr/bin/env bats
# SPDX-License-Identifier: MIT
#
# Needs root: the image is a file of an ext4 whose disk fails, so that errors come from a real page
# cache and a real journal.

# shellcheck source-path=SCRIPTDIR source=../lib/common.bash
source "$BATS_TEST_DIRNAME/../lib/common.bash"
# shellcheck source-path=SCRIPTDIR source=../lib/nbd.bash
source "$BATS_TEST_DIRNAME/../lib/nbd.bash"

setup() {
	nbd_setup
	nbd_serve disk 64M
	mkfs.ext4 -q -F -E lazy_itable_init=0,lazy_journal_init=0 "$temp/disk.nbd/disk"
	attach
	make_image "$temp/fs/bad" 8M
	make_image "$temp/good.raw" 64K
	nbd_detach # with all that the kernel has cached
	attach
	cat >"$temp/table" <<-END
		image  bad   fs/bad    rw
		image  good  good.raw  rw
		slice  a     bad     12345  1000003  rw
		slice  b     bad  3000001   1000003  rw
		slice  c     bad  5000001   1000003  rw
		slice  d     bad  5500000       100  rw
		slice  other good       1     60000  rw
	END
	mount_table "$temp/table"
}

# The journal is left alone for as long as a test takes: it must not meet the fault.
attach() {
	nbd_attach "$temp/disk.nbd/disk" -o noatime,commit=600
}

python() {
	(cd "$mnt" && PYTHONPATH=$checkout/tests/lib PYTHONDONTWRITEBYTECODE=1 \
		timeout 100 /usr/bin/python3 "$@")
}

failing_flushes() {
	expect_exit 1
	expect_log "image '.*/fs/bad': flush failed: Input/output error"
	expect_log "image '.*/fs/bad': not everything reached the disk: Input/output error"
	expect_log "'$mnt': not everything reached the disk"
}

@test "a read that fails is EIO, and that one alone" {
	call read "$mnt/a" 0 10
	nbd_break disk read
	for how in rdonly rdonly,direct; do
		run_errno EIO -f $how read "$mnt/b" 500000 4096
		run_errno EIO -f $how read "$mnt/c" 500000 4096
	done
	run_errno SIGBUS mmap shared "$mnt/b" 500000 10
	call read "$mnt/a" 0 10
	call read "$mnt/other"
	nbd_mend disk read
	cut_out "$temp/fs/bad" 3000001 1000003 | cmp - "$mnt/b"
	cut_out "$temp/fs/bad" 5000001 1000003 | cmp - "$mnt/c"
}

@test "a failed flush is told to each open handle once, and to no other" {
	failing_flushes
	python - "$temp/disk.write.broken" <<-'END'
		import os, sys
		from os import O_RDONLY, O_WRONLY, O_RDWR, O_SYNC, O_DSYNC
		from handles import Handle

		broken = sys.argv[1]
		other = Handle("other")
		askers = [Handle(name, flags) for name in "abcd" for flags in (O_RDONLY, O_RDWR, O_WRONLY)]
		writers = [Handle(name, O_RDWR | flag) for name in "abc" for flag in (O_SYNC, O_DSYNC)]
		first = askers[1]
		assert first.write(0, b"w" * 100000) == "OK"
		open(broken, "w").close()
		assert first.fsync() == "EIO"
		os.unlink(broken)
		late = [Handle(name) for name in "abcd"]
		for handle in askers:
		    assert handle is first or handle.fsync() == "EIO"
		for handle in writers:
		    assert handle.write(50, b"w") == "EIO"
		    assert handle.write(50, b"w") == "OK"
		for handle in askers + writers + late + [other]:
		    assert handle.fsync() == "OK"
	END
	assert_equal "$(stat_value writeback_errors)" 1
	call write "$mnt/a" 0 100000 v
	call fsync "$mnt/a"
	unmount
	nbd_detach
	e2fsck -f -n "$temp/disk.nbd/disk"
}

@test "umount fails when the last flush does" {
	failing_flushes
	call write "$mnt/a" 0 100000
	nbd_break disk write
	run -1 "$MMAPFS" umount "$mnt"
	daemon_reap "$mnt"
}
