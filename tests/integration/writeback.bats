#!/usr/bin/env bats
# SPDX-License-Identifier: MIT
#
# -o writeback: the kernel keeps what is written, and the daemon gets it later. What is the same as
# without is tested by the other files, with MMAPFS_TEST_WRITEBACK=1.

# shellcheck source-path=SCRIPTDIR source=../lib/common.bash
source "$BATS_TEST_DIRNAME/../lib/common.bash"
# shellcheck source-path=SCRIPTDIR source=../lib/cli.bash
source "$BATS_TEST_DIRNAME/../lib/cli.bash"

setup() {
	cli_setup
	make_image "$temp/disk" 2M
	snapshot "$temp/disk"
}

teardown() {
	cli_teardown
}

# mount_later SLICE...: of the disk
mount_later() {
	mount_slices "$temp/disk" "$@" -- -o writeback
}

# python ARGUMENT...: with the handles of tests/lib, in $mnt
python() {
	(cd "$mnt" && PYTHONPATH=$checkout/tests/lib PYTHONDONTWRITEBYTECODE=1 \
		timeout 100 /usr/bin/python3 "$@")
}

# --- what can be mounted so ----------------------------------------------------------------------

@test "slices that share a byte are refused, and both are named" {
	for verb in mount plan; do
		to=()
		[ $verb = plan ] || to=("$mnt")
		mmapfs $verb -o writeback -s 'apart=@1M+4K' -s 'one=@0+5001' -s 'two=@5000+10,ro' \
			"$temp/disk" "${to[@]}"
		assert_failed 1 "slices 'one' and 'two': share bytes, which does not go with writeback"
	done
	printf '%s\n' "image disk $temp/disk rw" 'slice whole disk 0 - rw' \
		'slice dir/part disk 1M 4K ro' >"$temp/table"
	mmapfs mount -o writeback --table "$temp/table" "$mnt"
	assert_failed 1 "slices 'whole' and 'dir/part': share bytes"
	refute is_mounted "$mnt"
}

@test "a slice that holds a byte twice is refused, and named" {
	printf '%s\n' "image disk $temp/disk rw" 'slice twice disk 0 4K rw' 'extent disk 4095 1' \
		>"$temp/table"
	mmapfs mount -o writeback --table "$temp/table" "$mnt"
	assert_failed 1 "slice 'twice': holds some bytes twice, which does not go with writeback"
}

@test "a slice with resize is refused, and named" {
	mmapfs mount -o writeback -s 'a=@0,resize' "$temp/disk" "$mnt"
	assert_failed 1 "slice 'a': resize does not go with writeback"
}

@test "slices that nobody can write may share bytes" {
	mount_later 'one=@0+8K,ro' 'two=@4K+8K,ro' 'tail=@12K'
	assert_range "$temp/disk" 4K 8K "$mnt/two"
	call write "$mnt/tail" 0 10
}

@test "a tail slice keeps the size that it was mounted with" {
	mount_later 'a=@12345'
	size=$(((2 << 20) - 12345))
	make_image "$temp/more" 10000
	cat "$temp/more" >>"$temp/disk"
	assert_equal "$(stat -c %s "$mnt/a")" "$size"
	cut_out "$temp/disk" 12345 "$size" | cmp - "$mnt/a"
	grep -qE "^slice +a +disk +12345 +$size " "$mnt/.mmapfs/table"
	truncate -s "$size" "$temp/disk"
	assert_equal "$(stat -c %s "$mnt/a")" "$size"
}

# --- what is written -----------------------------------------------------------------------------

@test "small writes are joined, and an fsync has them in the image" {
	mount_later 'a=@12345+1M'
	python - "$temp/disk" <<-'END'
		import os, sys
		for flags in os.O_RDWR, os.O_WRONLY:
		    fd = os.open("a", flags)
		    wanted = b"".join(b"%04d" % (i + flags) for i in range(4000))
		    for i in range(0, len(wanted), 4):
		        os.pwrite(fd, wanted[i:i + 4], 77 + i)
		    os.fsync(fd)
		    with open(sys.argv[1], "rb") as disk:
		        disk.seek(12345 + 77)
		        assert disk.read(len(wanted)) == wanted
	END
	[ "$(stat_value writes)" -lt 500 ] # of 8000
	assert_untouched "$temp/disk" 12422 16000
}

@test "close has what was written in the image, also of a client that is killed" {
	mount_later 'a=@12345+1M'
	call -f wronly write "$mnt/a" 99 10001 c
	head -c 10001 /dev/zero | tr '\0' c | cmp -i 0:12444 -n 10001 - "$temp/disk"
	python - <<-'END' || true
		import os, signal
		fd = os.open("a", os.O_WRONLY)
		os.pwrite(fd, b"k" * 10001, 99)
		os.kill(os.getpid(), signal.SIGKILL)
	END
	head -c 10001 /dev/zero | tr '\0' k | cmp -i 0:12444 -n 10001 - "$temp/disk"
	assert_untouched "$temp/disk" 12444 10001
}

@test "O_SYNC, O_DSYNC and O_DIRECT writes are in the image at once" {
	mount_later 'a=@12345+1M'
	python - "$temp/disk" <<-'END'
		import os, sys
		for number, flags in enumerate((os.O_SYNC, os.O_DSYNC, os.O_DIRECT) * 2):
		    fd = os.open("a", (os.O_RDWR, os.O_WRONLY)[number % 2] | flags)
		    wanted = b"%06d" % number * 1000
		    os.pwrite(fd, wanted, 333)
		    with open(sys.argv[1], "rb") as disk:
		        disk.seek(12345 + 333)
		        assert disk.read(6000) == wanted, number
	END
}

@test "a database on a slice of fixed size" {
	sqlite3 "$temp/db" <<-'END'
		CREATE TABLE item (id INTEGER PRIMARY KEY, size INTEGER);
		WITH RECURSIVE n (i) AS (SELECT 1 UNION ALL SELECT i + 1 FROM n WHERE i < 10000)
		INSERT INTO item SELECT i, i * i FROM n;
	END
	size=$(stat -c %s "$temp/db")
	{
		head -c 70001 "$temp/disk"
		cat "$temp/db"
		head -c 5000 "$temp/disk"
	} >"$temp/holder"
	mount_slices "$temp/holder" "db=@70001+$size" -- -o writeback
	sql=(timeout 60 sqlite3 -bail -cmd 'PRAGMA journal_mode = MEMORY' "$mnt/db")

	for ((i = 0; i < 5; i++)); do
		"${sql[@]}" 'UPDATE item SET size = -size'
	done
	run "${sql[@]}" 'CREATE TABLE more AS SELECT * FROM item'
	[ "$status" -ne 0 ]
	# The kernel tells it once more, whoever asks for the whole mount first; umount is not to be it.
	sync -f "$mnt" || true
	unmount
	cut_out "$temp/holder" 70001 "$size" "$temp/copy"
	assert_equal "$(sqlite3 "$temp/copy" 'PRAGMA integrity_check')" ok
	assert_equal "$(sqlite3 "$temp/copy" 'SELECT count(*), sum(size) FROM item')" '10000|-333383335000'
	cut_out "$temp/holder" $((70001 + size)) 5000 | cmp -n 5000 - "$temp/disk"
}

# --- sizes and times -----------------------------------------------------------------------------

# is_long FILE SIZE
is_long() {
	[ "$(stat -c %s "$1")" = "$2" ]
}

@test "a write past the end fails at fsync and close, what fits is there, and the size comes back" {
	mount_later 'a=@12345+5000' 'dir/b=@512K+5000'
	for name in a dir/b; do
		for at in 4990 5000 1M; do
			for flags in wronly rdwr wronly,append; do
				run_errno ENOSPC -f "$flags" write "$mnt/$name" "$at" 10000 x
				wait_until is_long "$mnt/$name" 5000
			done
		done
		run_errno ENOSPC -f wronly,dsync write "$mnt/$name" 4990 10000 y
		wait_until is_long "$mnt/$name" 5000
		assert_equal "$(tail -c 10 "$mnt/$name")" yyyyyyyyyy
		assert_equal "$(wc -c <"$mnt/$name")" 5000
	done
	dd if=/dev/zero of="$temp/big" bs=5001 count=1 status=none
	refute cp "$temp/big" "$mnt/a"
	cmp -n 5000 "$mnt/a" /dev/zero
	unmount
	cmp -n 12345 "$temp/disk" "$temp/disk.snapshot"
	cmp -i 17345 -n 511933 "$temp/disk" "$temp/disk.snapshot"
	cmp -i 529288 "$temp/disk" "$temp/disk.snapshot"
}

@test "a loss is told to each who could write, though others close before" {
	mount_later 'a=@12345+5000'
	python - <<-'END'
		import os, time
		from handles import Handle, status
		writers = [Handle("a", flags) for flags in (os.O_RDWR, os.O_WRONLY)]
		reader = Handle("a", os.O_RDONLY)
		assert writers[0].write(4999, b"too much") == "OK"
		os.sched_yield()
		assert Handle("a", os.O_RDONLY).fsync() == "ENOSPC" # nobody was told before
		assert status(reader.close) == "OK"
		assert status(os.close, os.dup(writers[0].fd)) == "ENOSPC"
		assert [writers[0].fsync(), writers[0].fsync()] == ["ENOSPC", "OK"]
		assert status(writers[0].close) == "OK"
		assert status(writers[1].close) == "ENOSPC"
		assert Handle("a").fsync() == "OK"
	END
	wait_until is_long "$mnt/a" 5000
}

@test "truncate and O_TRUNC change nothing, whatever is dirty" {
	mount_later 'a=@12345+500003'
	python - <<-'END'
		import errno, os, threading
		fd = os.open("a", os.O_RDWR)
		wanted = bytearray(os.pread(fd, 500003, 0))
		end = threading.Event()
		def write():
		    # What the kernel writes by itself comes through any handle, also the one just opened.
		    while not end.is_set():
		        os.pwrite(fd, b"w" * 5000, 7)
		        os.fsync(fd)
		writer = threading.Thread(target=write)
		writer.start()
		try:
		    for i in range(500):
		        os.close(os.open("a", os.O_WRONLY | os.O_TRUNC))
		finally:
		    end.set()
		    writer.join()
		wanted[7:5007] = b"w" * 5000
		os.pwrite(fd, b"d" * 3000, 400001)
		wanted[400001:403001] = b"d" * 3000
		os.truncate("a", 500003)
		os.ftruncate(fd, 500003)
		for size in 0, 500002, 500004:
		    try:
		        os.truncate("a", size)
		        raise SystemExit("was truncated")
		    except PermissionError:
		        pass
		os.close(os.open("a", os.O_WRONLY | os.O_TRUNC))
		assert os.pread(fd, 600000, 0) == wanted
	END
	assert_equal "$(stat -c %s "$mnt/a")" 500003
}

@test "times: a write moves them, and what was set stays" {
	touch -d @1000000000 "$temp/disk"
	mount_later 'a=@12345+500003'
	assert_equal "$(stat -c %Y "$mnt/a")" 1000000000
	before=$(date +%s)
	call write "$mnt/a" 0 10
	[ "$(stat -c %Y "$mnt/a")" -ge $((before - 1)) ]
	python - <<-'END'
		import os
		fd = os.open("a", os.O_RDWR)
		os.pwrite(fd, b"dirty", 5000)
		os.utime(fd, ns=(1234567890123456789, 1111111111987654321))
		os.fchmod(fd, 0o640)
		for call in os.fsync, os.close:
		    assert os.stat("a").st_mtime_ns == 1111111111987654321
		    call(fd)
		assert os.stat("a").st_mtime_ns == 1111111111987654321
		assert os.stat("a").st_atime_ns == 1234567890123456789
		assert os.stat("a").st_mode & 0o777 == 0o640
	END
	cp -p "$mnt/a" "$temp/out"
	assert_equal "$(call stat "$temp/out" mtime)" 1111111111987654321
	cp -p "$temp/disk.snapshot" "$temp/put"
	truncate -s 500003 "$temp/put"
	touch -d @1222222222 "$temp/put"
	cp -p "$temp/put" "$mnt/a"
	assert_equal "$(stat -c %Y "$mnt/a")" 1222222222
}

# --- holes ---------------------------------------------------------------------------------------

@test "what is in no image yet is data all the same" {
	make_sparse "$temp/sparse" 8M
	mount_slices "$temp/sparse" 'a=@64K+4M' -- -o writeback
	python - "$temp/out" <<-'END'
		import os, subprocess, sys
		assert os.stat("a").st_blocks > 0 # else tar takes it for one hole
		fd = os.open("a", os.O_RDWR)
		os.pwrite(fd, b"data", 2000001)
		assert os.lseek(fd, 2000000, os.SEEK_DATA) <= 2000001
		assert os.lseek(fd, 2000001, os.SEEK_HOLE) > 2000001
		subprocess.run(["cp", "--sparse=auto", "a", sys.argv[1]], check=True)
		with open(sys.argv[1], "rb") as out:
		    assert out.read() == bytes(2000001) + b"data" + bytes((4 << 20) - 2000005)
		os.close(fd)
	END
	# Where nobody writes, holes are holes.
	assert_equal "$(call seek_data "$mnt/a" 0)" 1998848
	cp "$mnt/a" "$temp/copy"
	cmp "$mnt/a" "$temp/copy"
	[ "$(call stat "$temp/copy" blocks)" -lt 1000 ]
}

# --- other extents in a page ---------------------------------------------------------------------

@test "a page that lies partly in zeros, or behind the end of an image, loses nothing else" {
	make_image "$temp/two" 64K
	printf '%s\n' "image disk $temp/disk rw" "image two $temp/two rw" 'slice mixed disk 100 1000 rw' \
		'extent - 0 1000' 'extent two 33 5000' >"$temp/table"
	expect_exit 1
	expect_log "slice 'mixed': a write that the kernel had held back failed: No space left on device"
	expect_log "not everything reached the disk"
	mount_table "$temp/table" -o writeback

	assert_equal "$(call -f rdwr write "$mnt/mixed" 990 10 a)" 10
	assert_equal "$(call -f wronly write "$mnt/mixed" 2000 10 b)" 10
	run_errno ENOSPC -f rdwr write "$mnt/mixed" 1990 20 c
	assert_equal "$(cut_out "$temp/disk" 1090 10)" aaaaaaaaaa
	assert_equal "$(cut_out "$temp/two" 33 10)" cccccccccc
	assert_equal "$(tr -d '\0' <"$mnt/mixed" | wc -c)" "$(cat "$temp/disk" "$temp/two" | {
		cut_out "$temp/disk" 100 1000
		cut_out "$temp/two" 33 5000
	} | tr -d '\0' | wc -c)"
	run -1 "$MMAPFS" umount "$mnt"
	daemon_reap "$mnt"
}

# --- images that change --------------------------------------------------------------------------

@test "what the image has lost fails at fsync and close, and never grows it" {
	expect_exit 1
	expect_log "slice 'a': a write that the kernel had held back failed: Input/output error"
	expect_log "not everything reached the disk"
	mount_later 'a=@8K+1M' 'b=@1536K+64K'
	python - "$temp/disk" <<-'END'
		import os, sys
		from handles import Handle, status
		os.truncate(sys.argv[1], (8 << 10) + 100000)
		a, other = Handle("a"), Handle("a", os.O_WRONLY)
		assert a.write(98304 + 8192, b"w" * 98304) == "OK"
		assert a.write(98304 + 8192, b"part of a page") == "OK" # which is there already
		assert a.write(409600, b"part of a page") == "EIO" # which cannot be read
		assert a.write(8192, b"x" * 4096) == "OK"
		assert a.write(204800, b"y" * 4096) == "OK"
		assert [a.fsync(), other.fsync()] == ["EIO", "EIO"]
		assert os.stat(sys.argv[1]).st_size == (8 << 10) + 100000
		assert a.read(8192, 4096) == ("OK", b"x" * 4096)
		assert os.stat("a").st_size == 1 << 20
		assert status(a.close) == "EIO"
		os.truncate(sys.argv[1], 2 << 20)
		b = Handle("a")
		while b.read(204800, 4096) != ("OK", bytes(4096)): # and not what was lost
		    pass
		assert b.write(204800, b"z" * 4096) == "OK"
		assert b.fsync() == "OK"
	END
	run -1 "$MMAPFS" umount "$mnt"
	daemon_reap "$mnt"
}

@test "what others do to the image shows at the next open" {
	mount_later 'a=@12345+500003'
	cat "$mnt/a" >/dev/null
	call write "$temp/disk" 20000 100 n
	assert_equal "$(call -o "$temp/got" read "$mnt/a" 7655 100)" 100
	assert_equal "$(tr -d n <"$temp/got")" ''
}

# --- the end -------------------------------------------------------------------------------------

@test "a signal has what open files hold in the image" {
	for signal in TERM INT HUP; do
		expect_log ': unmounting '
		mount_later 'a=@12345+500003' 'dir/b=@1M+500003'
		/usr/bin/python3 - "$temp" "$signal" 3>&- 4>&- <<-'END' &
			import os, sys, time
			folder, signal = sys.argv[1:]
			for name in "a", "dir/b":
			    fd = os.open(folder + "/mnt/" + name, os.O_WRONLY)
			    for i in range(100):
			        os.pwrite(fd, signal[0].encode() * 100, 4001 * i)
			open(folder + "/ready", "w").close()
			time.sleep(100)
		END
		holder=$!
		helper_pids+=("$holder")
		wait_until test -e "$temp/ready"
		rm "$temp/ready"
		kill "-$signal" "$(daemon_process "$mnt")"
		daemon_reap "$mnt"
		end_child "$holder" KILL
		for ((i = 0; i < 100; i++)); do
			assert_equal "$(cut_out "$temp/disk" $((12345 + 4001 * i)) 100 | tr -d "${signal:0:1}")" ''
			assert_equal "$(cut_out "$temp/disk" $(((1 << 20) + 4001 * i)) 100 | tr -d "${signal:0:1}")" ''
		done
	done
}

@test "a lazy unmount loses nothing of those who go on writing" {
	mount_later 'a=@12345+500003'
	exec 5<>"$mnt/a"
	call write fd:5 0 100000 1 >/dev/null
	fusermount3 -u -z "$mnt"
	call write fd:5 100000 100000 2 >/dev/null
	refute is_gone "${daemon_pid[$mnt]}"
	exec 5>&-
	daemon_reap "$mnt"
	{
		head -c 100000 /dev/zero | tr '\0' 1
		head -c 100000 /dev/zero | tr '\0' 2
	} | cmp -i 0:12345 -n 200000 - "$temp/disk"
}
