#!/usr/bin/env bats
# SPDX-License-Identifier: MIT
#
# The medium below an image fails when the kernel sends what -o writeback has held back.

# shellcheck source-path=SCRIPTDIR source=../lib/common.bash
source "$BATS_TEST_DIRNAME/../lib/common.bash"
# shellcheck source-path=SCRIPTDIR source=../lib/nbd.bash
source "$BATS_TEST_DIRNAME/../lib/nbd.bash"

setup() {
	nbd_setup
	nbd_serve bad 1M
	mount_slices "$temp/bad.nbd/bad" 'a=@12345+400003' 'b=@500001+100003' -- -o writeback
}

# python ARGUMENT...: with the handles of tests/lib, and the slices in $mnt
python() {
	(cd "$mnt" && PYTHONPATH=$checkout/tests/lib PYTHONDONTWRITEBYTECODE=1 \
		timeout 100 /usr/bin/python3 "$@")
}

# lost: what the end of a test looks like in which a write came too late
lost() {
	expect_exit 1
	expect_log "slice 'a': a write that the kernel had held back failed: Input/output error"
	expect_log "'$mnt': not everything reached the disk"
}

@test "a medium that fails when the pages come: EIO from each fsync once, and from close" {
	lost
	cut_out "$temp/bad.raw" 12345 400003 "$temp/want"
	python - "$temp/bad.write.broken" <<-'END'
		import os, sys
		from handles import Handle, status
		broken = sys.argv[1]
		a = [Handle("a", flags) for flags in (os.O_RDWR, os.O_WRONLY, os.O_RDONLY)]
		other = Handle("b")
		assert other.read(0, 4096)[0] == a[0].read(0, 400003)[0] == "OK"
		open(broken, "w").close()
		assert a[0].write(8192, b"x" * 40960) == a[1].write(123456, b"y") == "OK"
		for handle in a:
		    assert handle.fsync() == "EIO"
		os.unlink(broken)
		for handle in a:
		    assert handle.fsync() == "OK"
		assert other.fsync() == "OK"
		open(broken, "w").close()
		assert a[0].write(8192, b"x" * 40960) == "OK"
		assert status(a[2].close) == "EIO" # the kernel tells the first
		assert status(a[0].close) == status(a[1].close) == "EIO"
		os.unlink(broken)
		assert Handle("a").write(0, b"mended") == "OK"
	END
	assert_equal "$(head -c 6 "$mnt/a")" mended
	[ "$(stat_value lost_writes)" -ge 2 ]
	run -1 "$MMAPFS" umount "$mnt"
	daemon_reap "$mnt"
	cut_out "$temp/bad.raw" 12345 6 | cmp - <(printf mended)
	cut_out "$temp/bad.raw" 12351 399997 | cmp -i 0:6 - "$temp/want"
}

@test "what is lost when a signal ends the mount is in the exit status" {
	lost
	expect_log 'Terminated: unmounting'
	/usr/bin/python3 - "$mnt/a" "$temp/ready" 3>&- 4>&- <<-'END' &
		import os, sys, time
		fd = os.open(sys.argv[1], os.O_RDWR)
		os.pwrite(fd, bytes(40960), 8192)
		open(sys.argv[2], "w").close()
		time.sleep(100)
	END
	holder=$!
	helper_pids+=("$holder")
	wait_until test -e "$temp/ready"
	nbd_break bad write
	kill -TERM "$(daemon_process "$mnt")"
	daemon_reap "$mnt"
}

@test "an image whose flush fails is told as without writeback" {
	expect_exit 1
	expect_log "image '.*/bad.nbd/bad': flush failed: Input/output error"
	expect_log 'not everything reached the disk'
	python - "$temp/bad.write.broken" <<-'END'
		import os, sys
		from handles import Handle, status
		a, b = Handle("a"), Handle("b")
		for data in b"1", b"2": # the second time as a copy into the mapping
		    assert a.write(8192, data * 4096) == "OK"
		    os.close(os.dup(a.fd)) # the pages come, the image is not flushed
		open(sys.argv[1], "w").close()
		assert a.fsync() == "EIO"
		os.unlink(sys.argv[1])
		assert [b.fsync(), b.fsync(), a.fsync()] == ["EIO", "OK", "OK"]
		assert status(a.close) == status(b.close) == "OK"
	END
	assert_equal "$(stat_value lost_writes)" 0
	run -1 "$MMAPFS" umount "$mnt"
	daemon_reap "$mnt"
}
