#!/usr/bin/env bats
# SPDX-License-Identifier: MIT

# shellcheck source-path=SCRIPTDIR source=../lib/common.bash
source "$BATS_TEST_DIRNAME/../lib/common.bash"

setup() {
	common_setup
	make_image "$temp/disk" 2M
}

# Another program writes fresh bytes into the image.
change_image() {
	make_image "$temp/put" 300000
	dd if="$temp/put" of="$temp/disk" bs=64K oflag=seek_bytes seek=100001 conv=notrunc status=none
}

is_cached_over_a_write() {
	cat "$1" >/dev/null
	call -f rdwr write "$1" 123 1000
	is_cached "$1"
}

is_cached_over_a_change() {
	cat "$1" >"$temp/before"
	change_image
	store_into "$temp/disk" 500001 s
	cmp "$temp/before" "$1"
}

@test "cache=auto: the next open sees what another program wrote" {
	mount_slices "$temp/disk" 'a=@12345+1000003'

	cat "$mnt/a" >/dev/null
	for ((i = 0; i < 5; i++)); do
		change_image
		assert_range "$temp/disk" 12345 1000003 "$mnt/a"
	done
}

@test "cache=auto: an image that nobody touches is read once" {
	mount_slices "$temp/disk" 'a=@12345+1000003'

	[ "$(reads_of cat "$mnt/a")" -gt 0 ]
	# What was written a moment ago may be written again at the same time of day.
	wait_until is_cached "$mnt/a"
}

@test "cache=auto: our own writes do not hide what another program wrote" {
	mount_slices "$temp/disk" 'a=@12345+1000003'

	cat "$mnt/a" >/dev/null
	call -f rdwr write "$mnt/a" 500000 1000
	change_image
	call -f rdwr write "$mnt/a" 600000 1000
	assert_range "$temp/disk" 12345 1000003 "$mnt/a"
}

@test "cache=auto: the next open sees it though an older descriptor stays open" {
	mount_slices "$temp/disk" 'a=@12345+1000003'

	exec {old}<"$mnt/a"
	cat <&"$old" >/dev/null
	change_image
	assert_range "$temp/disk" 12345 1000003 "$mnt/a"
	exec {old}<&-
}

@test "cache=none: every open reads anew" {
	mount_slices "$temp/disk" 'a=@12345+1000003' -- -o cache=none

	cat "$mnt/a" >/dev/null
	[ "$(reads_of cat "$mnt/a")" -gt 0 ]
	change_image
	assert_range "$temp/disk" 12345 1000003 "$mnt/a"
}

@test "cache=always: the image is read once, whatever our own writes" {
	mount_slices "$temp/disk" 'a=@12345+1000003' -- -o cache=always

	wait_until is_cached "$mnt/a"
	wait_until is_cached_over_a_write "$mnt/a"
	assert_range "$temp/disk" 12345 1000003 "$mnt/a"
}

# store_into IMAGE OFFSET BYTE: another program, through a mapping of its own that stays clean behind it
store_into() {
	/usr/bin/python3 - "$@" <<-'END'
		import mmap, os, sys
		fd = os.open(sys.argv[1], os.O_RDWR)
		mapping = mmap.mmap(fd, 0)
		at = int(sys.argv[2])
		mapping[at:at + 5000] = sys.argv[3].encode() * 5000
		mapping.flush()
	END
}

@test "cache=always: what another program writes shows after the next mount" {
	mount_slices "$temp/disk" 'a=@12345+1000003' -- -o cache=always

	assert_range "$temp/disk" 12345 1000003 "$mnt/a"
	wait_until is_cached_over_a_change "$mnt/a"
	remount
	assert_range "$temp/disk" 12345 1000003 "$mnt/a"
}

@test "the next open sees what another program stored through its mapping" {
	for cache in auto none; do
		mount_slices "$temp/disk" 'a=@12345+1000003' -- -o "cache=$cache"
		for letter in a b c; do
			cat "$mnt/a" >/dev/null
			store_into "$temp/disk" 500001 "$letter"
			assert_range "$temp/disk" 12345 1000003 "$mnt/a"
			assert_equal "$(cut_out "$mnt/a" $((500001 - 12345)) 5000 | tr -d "$letter")" ''
		done
		unmount
	done
}

# With cache=auto it need not show, since only the first store moves the times.
@test "cache=none: every open sees stores into pages that another program keeps dirty" {
	mount_slices "$temp/disk" 'a=@12345+1000003' -- -o cache=none

	/usr/bin/python3 - "$temp/disk" "$mnt/a" <<-'END'
		import mmap, os, sys
		mapping = mmap.mmap(os.open(sys.argv[1], os.O_RDWR), 0)
		for turn in range(200):
		    data = b"turn %4d" % turn
		    mapping[500000:500009] = data
		    fd = os.open(sys.argv[2], os.O_RDONLY)
		    assert os.pread(fd, 9, 500000 - 12345) == data
		    os.close(fd)
	END
}

@test "an alias sees what another program does at once, in every cache mode" {
	for cache in auto none always; do
		mount_slices "$temp/disk" 'a=@12345+1000003' 'b=@0+1M' -- -o "cache=$cache"
		/usr/bin/python3 - "$temp/disk" "$mnt/a" <<-'END'
			import errno, mmap, os, sys
			disk = os.open(sys.argv[1], os.O_RDWR)
			mapping = mmap.mmap(disk, 0)
			size = len(mapping)
			fd = os.open(sys.argv[2], os.O_RDONLY)
			for turn in range(100):
			    data = b"turn %4d" % turn
			    mapping[500000:500009] = data
			    assert os.pread(fd, 9, 500000 - 12345) == data
			    os.pwrite(disk, data, 600000)
			    assert os.pread(fd, 9, 600000 - 12345) == data
			os.ftruncate(disk, 700001)
			try:
			    os.pread(fd, 1, 700001 - 12345)
			    sys.exit("reads what has gone")
			except OSError as error:
			    assert error.errno == errno.EIO
			assert os.pread(fd, 9, 600000 - 12345) == data
			os.ftruncate(disk, size)
			assert os.pread(fd, 100, 700001 - 12345) == bytes(100)
		END
		unmount
	done
}

# bats test_tags=writethrough
@test "an image that another program cuts and stretches: the next open sees it" {
	for cache in auto none; do
		make_image "$temp/disk" 2M
		mount_slices "$temp/disk" 'a=@12345+1000003' 'tail=@1500001' -- -o "cache=$cache"
		for _ in {1..3}; do
			cat "$mnt/a" "$mnt/tail" >/dev/null
			truncate -s 700001 "$temp/disk"
			assert_equal "$(stat -c %s "$mnt/tail")" 0
			run_errno EIO read "$mnt/a" $((700001 - 12345)) 1
			# All pages but the one that has lost a part.
			cmp -i 12345:0 -n 684032 "$temp/disk" "$mnt/a"
			truncate -s 2M "$temp/disk"
			assert_range "$temp/disk" 12345 1000003 "$mnt/a"
			cmp -i 1500001:0 "$temp/disk" "$mnt/tail"
			make_image "$temp/put" 2M
			dd if="$temp/put" of="$temp/disk" bs=64K conv=notrunc status=none
		done
		unmount
	done
}

# bats test_tags=writethrough
@test "cache=always: the size of a tail is the true one all the same" {
	mount_slices "$temp/disk" 'tail=@12345' -- -o cache=always

	cat "$mnt/tail" >/dev/null
	truncate -s 1000001 "$temp/disk"
	assert_equal "$(stat -c %s "$mnt/tail")" $((1000001 - 12345))
	cmp -i 12345:0 "$temp/disk" "$mnt/tail"
	truncate -s 3M "$temp/disk"
	assert_equal "$(stat -c %s "$mnt/tail")" $((3145728 - 12345))
	cmp -i 12345:0 "$temp/disk" "$mnt/tail"
}

@test "an image that is replaced: the mount keeps the old file, in every cache mode" {
	for cache in auto none always; do
		mount_slices "$temp/disk" 'a=@12345+1000003' 'tail=@1500001' -- -o "cache=$cache"
		exec {old}<>"$temp/disk"
		make_image "$temp/new" 2M
		cp "$temp/new" "$temp/new.before"
		cat "$mnt/a" >/dev/null
		mv "$temp/new" "$temp/disk"
		call -f rdwr write "$mnt/a" 5000 100 r
		call write "$mnt/tail" 5000 100 r
		call fsync "$mnt/a"
		assert_range "/dev/fd/$old" 12345 1000003 "$mnt/a"
		assert_equal "$(cut_out "/dev/fd/$old" 17345 100 | tr -d r)" ''
		cmp -i 1500001:0 "/dev/fd/$old" "$mnt/tail"
		cmp "$temp/new.before" "$temp/disk"
		remount
		assert_range "$temp/disk" 12345 1000003 "$mnt/a"
		unmount
		exec {old}>&-
	done
}

@test "every cache mode reads back what was written, by all ways to open" {
	for cache in auto none always; do
		mount_slices "$temp/disk" 'a=@12345+1000003' 'x=@1500000+9' -- -o "cache=$cache"
		cat "$mnt/a" >/dev/null
		for flags in rdwr wronly rdwr,direct; do
			make_image "$temp/put" 30000
			call -f $flags write "$mnt/a" 70001 - <"$temp/put"
			assert_range "$temp/disk" 12345 1000003 "$mnt/a"
		done
		unmount
	done
}

# bats test_tags=writethrough
@test "a tail slice follows its image when another program changes the size" {
	mount_slices "$temp/disk" 'tail=@12345'

	assert_equal "$(stat -c %s "$mnt/tail")" $((2097152 - 12345))
	cat "$mnt/tail" >/dev/null
	change_image
	cat "$temp/put" >>"$temp/disk"
	cut_out "$temp/disk" 12345 10M | cmp - "$mnt/tail"
	assert_equal "$(stat -c %s "$mnt/tail")" $((2097152 - 12345 + 300000))
	truncate -s 1000001 "$temp/disk"
	cut_out "$temp/disk" 12345 10M | cmp - "$mnt/tail"
	assert_equal "$(stat -c %s "$mnt/tail")" $((1000001 - 12345))
}

@test "an image that shrinks gives EIO for what is lost, and the rest goes on" {
	mount_slices "$temp/disk" 'head=@0+4K' 'a=@1M+500001'
	cut_out "$temp/disk" 0 4K "$temp/head"

	truncate -s 1200000 "$temp/disk"
	run_errno EIO read "$mnt/a" 200000 1000
	run_errno EIO -f wronly write "$mnt/a" 200000 1000
	cmp "$temp/head" "$mnt/head"
	assert_equal "$(stat -c %s "$mnt/a" "$temp/disk")" $'500001\n1200000'
	truncate -s 2M "$temp/disk"
	assert_range "$temp/disk" 1M 500001 "$mnt/a"
}

# One process writes and reads back, two open, read and close: nobody may drop what is being written.
write_among_readers() {
	/usr/bin/python3 - "$1" <<-'EOF'
		import os, signal, sys

		path = sys.argv[1]
		readers = []
		for _ in range(2):
		    pid = os.fork()
		    if pid == 0:
		        while True:
		            fd = os.open(path, os.O_RDONLY)
		            os.pread(fd, 131072, 0)
		            os.close(fd)
		    readers.append(pid)
		fd = os.open(path, os.O_RDWR)
		stale = 0
		for n in range(1500):
		    data = n.to_bytes(4, "little") * 32768
		    os.pwrite(fd, data, 0)
		    stale += os.pread(fd, len(data), 0) != data
		    if n % 2:
		        os.fdatasync(fd)
		for pid in readers:
		    os.kill(pid, signal.SIGKILL)
		    os.waitpid(pid, 0)
		sys.exit(f"{stale} of 1500 reads were stale" if stale else 0)
	EOF
}

@test "opens of others never bring back what a writer has overwritten" {
	for cache in auto none always; do
		mount_slices "$temp/disk" 'a=@8K+1M' -- -o "cache=$cache"
		timeout 60 bash -c "$(declare -f write_among_readers); write_among_readers '$mnt/a'"
		cmp -n 131072 "$mnt/a" <(tail -c +8193 "$temp/disk")
		unmount
	done
}

# While a file is written through a direct handle its readers are direct, too, but sendfile is not.
@test "cache=auto: pages that sendfile has left of an uncached file are old at the next open" {
	mount_slices "$temp/disk" 'a=@4097+100001'

	/usr/bin/python3 - "$mnt/a" "$temp/disk" <<-'END'
		import os, sys
		writer = os.open(sys.argv[1], os.O_WRONLY)
		reader = os.open(sys.argv[1], os.O_RDONLY)
		received, sent = os.pipe()
		assert os.sendfile(sent, reader, 0, 50) == 50
		os.close(writer)
		os.close(reader)
		image = os.open(sys.argv[2], os.O_WRONLY)
		os.pwrite(image, b"n" * 50, 4097)
		again = os.open(sys.argv[1], os.O_RDONLY)
		assert os.pread(again, 50, 0) == b"n" * 50
	END
}
