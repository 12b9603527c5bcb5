#!/usr/bin/env bats
# SPDX-License-Identifier: MIT
#
# The medium below an image fails: the one request is EIO, a failed flush is told to everybody once,
# and everything else goes on.

# shellcheck source-path=SCRIPTDIR source=../lib/common.bash
source "$BATS_TEST_DIRNAME/../lib/common.bash"
# shellcheck source-path=SCRIPTDIR source=../lib/nbd.bash
source "$BATS_TEST_DIRNAME/../lib/nbd.bash"

# a and b go through the page cache, c and d are aliases; e is what its name says.
setup() {
	nbd_setup
	nbd_serve bad 1M
	make_image "$temp/good.raw" 64K
	cat >"$temp/table" <<-END
		image  bad   bad.nbd/bad  rw
		image  good  good.raw     rw
		slice  a     bad     12345  100003  rw
		slice  b     bad    300001  100003  rw
		slice  c     bad    500001  100003  rw
		slice  d     bad    550000     100  rw
		slice  e/elsewhere  good  1  60000  rw
	END
	mount_table "$temp/table"
}

# python ARGUMENT...: with the handles of tests/lib, and the slices in $mnt
python() {
	(cd "$mnt" && PYTHONPATH=$checkout/tests/lib PYTHONDONTWRITEBYTECODE=1 \
		timeout 100 /usr/bin/python3 "$@")
}

# failing_flushes: what the end of a test whose flushes fail looks like
failing_flushes() {
	expect_exit 1
	expect_log "image '.*/bad.nbd/bad': flush failed: Input/output error"
	expect_log "image '.*/bad.nbd/bad': not everything reached the disk: Input/output error"
	expect_log "'$mnt': not everything reached the disk"
}

assert_same() {
	cut_out "$temp/bad.raw" 12345 100003 | cmp - "$mnt/a"
	cut_out "$temp/bad.raw" 500001 100003 | cmp - "$mnt/c"
}

@test "a read that fails is EIO, and that one alone" {
	call read "$mnt/a" 0 4096
	call read "$mnt/c" 0 4096
	nbd_forget bad
	nbd_break bad read
	for how in rdonly rdonly,direct; do
		run_errno EIO -f $how read "$mnt/b" 0 4096
		run_errno EIO -f $how read "$mnt/c" 50000 4096
		run_errno EIO -f $how read "$mnt/b" 0 100003
	done
	assert_equal "$(call read "$mnt/a" 0 4096)" 4096 # the kernel has it
	assert_equal "$(call read "$mnt/e/elsewhere")" 60000
	[ "$(stat_value errors_eio)" -ge 6 ]

	nbd_mend bad read
	assert_same
	assert_equal "$(stat_value writeback_errors)" 0
}

@test "a client's load from a lost page is SIGBUS, and works when the medium does" {
	nbd_break bad read
	run_errno SIGBUS mmap shared "$mnt/b" 50000 10
	run_errno SIGBUS mmap private "$mnt/b" 90000 10
	nbd_mend bad read
	assert_equal "$(call mmap shared "$mnt/b" 50000 10)" 10
	assert_equal "$(call mmap private "$mnt/b" 90000 10)" 10
}

@test "a write that fails is EIO, and changes nothing" {
	snapshot "$temp/bad.raw"
	nbd_break bad write
	for how in wronly rdwr rdwr,direct rdwr,dsync; do
		run_errno EIO -f $how write "$mnt/a" 7 5000
		run_errno EIO -f $how write "$mnt/c" 7 5000
	done
	call write "$mnt/e/elsewhere" 0 5000
	nbd_mend bad write
	cmp "$temp/bad.raw" "$temp/bad.raw.snapshot"

	call write "$mnt/a" 7 5000
	assert_untouched "$temp/bad.raw" 12352 5000
	assert_same
}

@test "a small write into a page that can no longer be read" {
	python - <<-'END'
		from handles import Handle
		Handle("a").dirty(50000)
	END
	call fsync "$mnt/a"
	call -f wronly write "$mnt/a" 50000 100 # pwrite: its page is hot again
	before=$(stat_value faults)
	nbd_forget bad
	nbd_break bad read
	call -f wronly write "$mnt/a" 50010 5 w
	assert_equal "$(stat_value faults)" $((before + 1))
	nbd_mend bad read
	unmount
	assert_equal "$(cut_out "$temp/bad.raw" 62355 5)" wwwww
}

@test "a failed flush is told to each open handle once, and to no other" {
	failing_flushes
	python - "$temp/bad.write.broken" <<-'END'
		import os, sys
		from os import O_RDONLY, O_WRONLY, O_RDWR, O_SYNC, O_DSYNC, O_DIRECT
		from handles import Handle

		broken = sys.argv[1]
		other = Handle("e/elsewhere")
		cached = [Handle(name, flags) for name in "ab" for flags in (O_RDONLY, O_RDWR)]
		aliases = [Handle(name, flags) for name in "cd" for flags in (O_RDONLY, O_RDWR, O_WRONLY)]
		# These tell with their next write.
		writers = [Handle(name, O_RDWR | flag) for name in "abc" for flag in (O_SYNC, O_DSYNC)]

		first = cached[1]
		first.dirty()
		open(broken, "w").close()
		assert first.fsync() == "EIO"
		os.unlink(broken)
		late = [Handle(name) for name in "abcd"]
		for handle in cached + aliases:
		    assert handle is first or handle.fsync() == "EIO"
		for handle in writers:
		    assert handle.write(50, b"w") == "EIO"
		    assert handle.write(50, b"w") == "OK"
		for handle in cached + aliases + writers + late + [other]:
		    assert handle.fsync() == "OK"
	END
	assert_equal "$(stat_value writeback_errors)" 1
	call fsync "$mnt/e/elsewhere"
}

@test "two failed flushes before a handle asks are one error to it" {
	failing_flushes
	python - "$temp/bad.write.broken" <<-'END'
		import os, sys
		from handles import Handle

		waiting, a = Handle("b"), Handle("a")
		for _ in range(2):
		    a.dirty()
		    open(sys.argv[1], "w").close()
		    assert a.fsync() == "EIO"
		    os.unlink(sys.argv[1])
		assert [waiting.fsync(), waiting.fsync()] == ["EIO", "OK"]
		a.dirty()
		open(sys.argv[1], "w").close()
		assert a.fsync() == "EIO"
		os.unlink(sys.argv[1])
		assert [waiting.fsync(), waiting.fsync()] == ["EIO", "OK"]
	END
	assert_equal "$(stat_value writeback_errors)" 3
}

@test "O_DSYNC and O_SYNC writes fail when their flush does" {
	failing_flushes
	python - "$temp/bad.write.broken" <<-'END'
		import os, sys
		from os import O_RDWR, O_WRONLY, O_SYNC, O_DSYNC
		from handles import Handle

		for name, access in ("a", O_RDWR), ("a", O_WRONLY), ("c", O_RDWR), ("d", O_WRONLY):
		    for flag in O_SYNC, O_DSYNC:
		        plain, handle = Handle(name, access), Handle(name, access | flag)
		        # Without a flush in between the page stays hot, and the next write dirties it.
		        assert plain.write(0, b"w") == "OK"
		        open(sys.argv[1], "w").close()
		        assert handle.write(0, b"w") == "EIO"
		        os.unlink(sys.argv[1])
		        assert handle.write(0, b"w") == "OK"
		        handle.close()
		        plain.close()
	END
	assert_equal "$(stat_value writeback_errors)" 8
}

@test "a disk that fails to flush its cache" {
	unmount
	failing_flushes
	nbd_stop bad
	rmdir "$temp/bad.nbd"
	nbd_start bad eval get_size="stat -c %s '$temp/bad.raw'" \
		pread="dd if='$temp/bad.raw' iflag=count_bytes,skip_bytes skip=\$4 count=\$3" \
		pwrite="dd of='$temp/bad.raw' oflag=seek_bytes conv=notrunc seek=\$4" \
		flush="if [ -e '$temp/flush.broken' ]; then echo EIO >&2; exit 1; fi"
	mount_slices "$temp/bad.nbd/bad" a=@12345+100003 b=@300001+100003
	python - "$temp/flush.broken" <<-'END'
		import os, sys
		from handles import Handle

		a, b, synchronous = Handle("a"), Handle("b"), Handle("b", os.O_WRONLY | os.O_DSYNC)
		open(sys.argv[1], "w").close()
		assert a.write(0, b"w") == "OK"
		assert a.fsync() == "EIO"
		assert synchronous.write(0, b"w") == "EIO"
		os.unlink(sys.argv[1])
		assert [a.fsync(), a.fsync()] == ["EIO", "OK"] # that of the second flush
		assert [b.fsync(), b.fsync()] == ["EIO", "OK"]
		assert synchronous.write(0, b"w") == "OK"
	END
	assert_equal "$(stat_value writeback_errors)" 2
}

@test "what nobody has been told yet is told to the next who opens" {
	failing_flushes
	python - "$temp/bad.write.broken" <<-'END'
		import os, sys
		from handles import Handle, status

		a, folder = Handle("a"), os.open(".", os.O_RDONLY)
		a.dirty()
		a.close()
		open(sys.argv[1], "w").close()
		assert status(os.fsync, folder) == "EIO"
		os.unlink(sys.argv[1])
		assert Handle("e/elsewhere").fsync() == "OK"
		both = Handle("b"), Handle("c")
		for handle in both:
		    assert [handle.fsync(), handle.fsync()] == ["EIO", "OK"]
		assert Handle("a").fsync() == "OK"
	END
	assert_equal "$(stat_value writeback_errors)" 1
}

@test "writeback that the kernel began by itself" {
	failing_flushes
	python - "$temp/bad.write.broken" "$temp/bad.nbd" "$temp/bad.log" <<-'END'
		import ctypes, os, sys
		from handles import Handle

		broken, folder, log = sys.argv[1:]
		a, b, c, other = Handle("a"), Handle("b"), Handle("c"), Handle("e/elsewhere")
		b.dirty()
		open(broken, "w").close()
		ctypes.CDLL(None).syncfs(os.open(folder, os.O_RDONLY)) # need not wait for the end
		while "...Write" not in open(log).readlines()[-1] or "EIO" not in open(log).readlines()[-1]:
		    pass
		os.unlink(broken)
		for handle in b, a, c: # b is the one that waits for the page
		    assert [handle.fsync(), handle.fsync()] == ["EIO", "OK"]
		assert other.fsync() == "OK"
	END
	assert_equal "$(stat_value writeback_errors)" 1
}

@test "umount fails when a flush has failed, whoever was told" {
	failing_flushes
	call -f wronly write "$mnt/a" 0 10
	call -f wronly write "$mnt/a" 0 10
	nbd_break bad write
	run_errno EIO fsync "$mnt/a"
	nbd_mend bad write
	call fsync "$mnt/a"

	run -1 "$MMAPFS" umount "$mnt"
	daemon_reap "$mnt"
}

@test "umount fails when the last flush does, and the log names the image" {
	failing_flushes
	call -f wronly write "$mnt/a" 0 10
	call -f wronly write "$mnt/a" 0 10
	nbd_break bad write
	run -1 "$MMAPFS" umount "$mnt"
	daemon_reap "$mnt"
	refute grep good "${daemon_log[$mnt]}"
}

@test "SIGTERM ends with 1 when the last flush fails" {
	failing_flushes
	call -f wronly write "$mnt/a" 0 10
	call -f wronly write "$mnt/a" 0 10
	nbd_break bad write
	expect_log 'Terminated: unmounting'
	kill -TERM "$(daemon_process "$mnt")"
	daemon_reap "$mnt"
}

@test "reads that fail at random are EIO or right" {
	unmount
	nbd_serve shaky 4M error-pread-rate=0.3
	mount_slices "$temp/shaky.nbd/shaky" a=@12345+4000003
	nbd_break shaky read
	python - "$temp/shaky.raw" "$mnt/a" "$temp/shaky.nbd/shaky" "$seed" <<-'END'
		import collections, os, random, sys
		from handles import Handle

		random.seed(int(sys.argv[4]))
		with open(sys.argv[1], "rb") as raw:
		    want = raw.read()[12345:]
		handles = [Handle(sys.argv[2], flags) for flags in (os.O_RDONLY, os.O_RDONLY | os.O_DIRECT)]
		count = collections.Counter()
		while count["OK"] < 100 or count["EIO"] < 100:
		    offset, size = random.randrange(3900000), random.randrange(1, 65536)
		    status, data = random.choice(handles).read(offset, size)
		    assert status == "EIO" or data == want[offset:offset + len(data)], (offset, size)
		    count[status] += 1
		    if sum(count.values()) % 50 == 0:
		        os.close(os.open(sys.argv[3], os.O_RDONLY)) # drops what the kernel has of it
		assert set(count) == {"OK", "EIO"}
	END
	nbd_mend shaky read
	cut_out "$temp/shaky.raw" 12345 4000003 | cmp - "$mnt/a"
}

# bats test_tags=writethrough
@test "where flushes fail at random, what one has vouched for is on the medium" {
	unmount
	expect_exit 1
	# The limit of the log's lines may hold back the last one.
	expect_log "image '.*/shaky.nbd/shaky': flush failed|not everything reached the disk"
	nbd_serve shaky 1M error-pwrite-rate=0.3
	mount_slices "$temp/shaky.nbd/shaky" a=@12345+400003 b=@420000+60000
	nbd_break shaky write
	python - "$temp/shaky.raw" "$mnt" "$seed" <<-'END'
		import collections, os, random, sys
		from handles import Handle

		random.seed(int(sys.argv[3]))
		path, other = sys.argv[2] + "/a", Handle(sys.argv[2] + "/b")
		writers = [Handle(path, flags) for flags in (os.O_RDWR, os.O_WRONLY)]
		askers = writers + [Handle(path, os.O_RDONLY)]
		raw = open(sys.argv[1], "rb", buffering=0)
		want = bytearray(os.pread(raw.fileno(), 400003, 12345))
		pending, count = [], collections.Counter()

		def write(offset, size):
		    while random.choice(writers).write(offset, want[offset:offset + size]) != "OK":
		        pass

		while count["OK"] < 60 or count["EIO"] < 30:
		    for _ in range(3):
		        offset, size = random.randrange(300000), random.randrange(1, 20000)
		        want[offset:offset + size] = random.randbytes(size)
		        pending.append((offset, size))
		        write(offset, size)
		        write(offset, size) # now it is dirty in the mapping
		    other.write(random.randrange(50000), b"w" * 10)
		    other.fsync()
		    while (status := random.choice(askers).fsync()) != "OK":
		        assert status == "EIO"
		        count[status] += 1
		        for offset, size in pending:
		            write(offset, size)
		    count[status] += 1
		    pending.clear()
		    assert os.pread(raw.fileno(), len(want), 12345) == want
	END
	nbd_mend shaky write
}
