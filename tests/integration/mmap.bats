#!/usr/bin/env bats
# SPDX-License-Identifier: MIT

# shellcheck source-path=SCRIPTDIR source=../lib/common.bash
source "$BATS_TEST_DIRNAME/../lib/common.bash"

setup() {
	common_setup
	make_image "$temp/disk" 1M
	snapshot "$temp/disk"
}

@test "a shared mapping reads the slice" {
	mount_slices "$temp/disk" 'a=@12345+500003'

	for range in '0 500003' '4096 4096' '499999 4' '1 8191'; do
		read -r offset length <<<"$range"
		call -o "$temp/got" mmap shared "$mnt/a" "$offset" "$length"
		assert_range "$temp/disk" $((12345 + offset)) "$length" "$temp/got"
	done
}

@test "stores into a shared mapping reach the image with msync" {
	mount_slices "$temp/disk" 'a=@12345+500003'

	call mmap shared "$mnt/a" 100001 70001 s
	head -c 70001 /dev/zero | tr '\0' s | cmp -i 0:112346 -n 70001 - "$temp/disk"
	assert_untouched "$temp/disk" 112346 70001
}

@test "stores into the last page end at the end of the slice" {
	mount_slices "$temp/disk" 'a=@12345+5000'

	/usr/bin/python3 - "$mnt/a" <<-'END'
		import ctypes, mmap, sys
		file = open(sys.argv[1], "r+b")
		view = mmap.mmap(file.fileno(), 5000)
		address = ctypes.addressof(ctypes.c_char.from_buffer(view))
		ctypes.memset(address, ord("s"), 8192)
		view.flush()
	END
	head -c 5000 /dev/zero | tr '\0' s | cmp - "$mnt/a"
	assert_untouched "$temp/disk" 12345 5000
}

@test "stores reach the image at close, without msync" {
	mount_slices "$temp/disk" 'a=@12345+500003'

	/usr/bin/python3 - "$mnt/a" <<-'END'
		import ctypes, mmap, os, sys
		file = open(sys.argv[1], "r+b")
		view = mmap.mmap(file.fileno(), 500003)
		view[1000:61000] = b"c" * 60000
		file.close()
		view.close()
	END
	unmount
	head -c 60000 /dev/zero | tr '\0' c | cmp -i 0:13345 -n 60000 - "$temp/disk"
	assert_untouched "$temp/disk" 13345 60000
}

@test "a private mapping keeps its stores" {
	mount_slices "$temp/disk" 'a=@12345+500003'

	call -f rdonly -o "$temp/got" mmap private "$mnt/a" 5000 70000 p
	head -c 70000 /dev/zero | tr '\0' p | cmp - "$temp/got"
	unmount
	cmp "$temp/disk" "$temp/disk.snapshot"
}

@test "a private mapping of a read-only slice" {
	mount_slices "$temp/disk" 'a=@12345+500003,ro'

	call -o "$temp/got" mmap private "$mnt/a" 5000 70000
	assert_range "$temp/disk" 17345 70000 "$temp/got"
	call -o "$temp/got" mmap shared "$mnt/a" 5000 70000
	assert_range "$temp/disk" 17345 70000 "$temp/got"
	run_errno EROFS -f rdwr mmap shared "$mnt/a" 0 10 x
}

@test "writes and mappings of one file see each other" {
	mount_slices "$temp/disk" 'a=@12345+500003'

	/usr/bin/python3 - "$mnt/a" <<-'END'
		import mmap, os, sys
		path = sys.argv[1]
		fd = os.open(path, os.O_RDWR)
		writer = os.open(path, os.O_WRONLY)
		direct = os.open(path, os.O_RDWR | os.O_DIRECT)
		view = mmap.mmap(fd, 500003)
		for turn, out in enumerate((fd, writer, direct) * 20):
		    at = 3001 + turn * 4099
		    data = bytes([turn]) * 5000
		    assert os.pwrite(out, data, at) == 5000
		    assert view[at:at + 5000] == data, ("load", turn)
		    view[at + 10:at + 20] = b"0123456789"
		    assert os.pread(fd, 30, at) == data[:10] + b"0123456789" + data[:10], ("read", turn)
		    assert os.pread(direct, 30, at) == data[:10] + b"0123456789" + data[:10], ("direct", turn)
	END
}

@test "a mapping of several extents" {
	make_image "$temp/two" 300001
	cat >"$temp/table" <<-END
		image  disk  disk  rw
		image  two   two   rw
		slice  many  disk  5000   100001  rw
		extent       two   7      299000
		extent       disk  300001 50000
	END
	snapshot "$temp/two"
	mount_table "$temp/table"

	call mmap shared "$mnt/many" 90000 320000 m
	head -c 320000 /dev/zero | tr '\0' m >"$temp/m"
	cmp -i 0:95000 -n 10001 "$temp/m" "$temp/disk"
	cmp -i 0:7 -n 299000 "$temp/m" "$temp/two"
	cmp -i 0:300001 -n 10999 "$temp/m" "$temp/disk"
	cmp -n 95000 "$temp/disk" "$temp/disk.snapshot"
	cmp -i 105001 -n 195000 "$temp/disk" "$temp/disk.snapshot"
	cmp -i 311000 "$temp/disk" "$temp/disk.snapshot"
	assert_untouched "$temp/two" 7 299000
}

@test "a load past the end of a tail that shrank raises SIGBUS" {
	mount_slices "$temp/disk" 'tail=@4096,resize'

	call truncate "$mnt/tail" 100
	run_errno SIGBUS mmap shared "$mnt/tail" 8192 10
}

# An alias is served uncached, and of what is uncached the kernel would write back whole pages, with
# bytes from before a write that went past them. libfuse can allow it from 3.17 on.
@test "a shared mapping of an alias is refused, with any libfuse" {
	mount_slices "$temp/disk" 'a=@0+8K' 'b=@4K+8K' 'apart=@64K+8K'

	run_errno ENODEV -f rdonly mmap shared "$mnt/a" 0 4K
	run_errno ENODEV -f rdwr mmap shared "$mnt/b" 0 4K x
	cmp "$temp/disk" "$temp/disk.snapshot"
	call mmap shared "$mnt/apart" 0 8K x
}

@test "a private mapping of an alias" {
	mount_slices "$temp/disk" 'a=@0+8K' 'b=@4K+8K'

	call write "$mnt/b" 0 100 w
	call -o "$temp/got" mmap private "$mnt/a" 4096 100
	head -c 100 /dev/zero | tr '\0' w | cmp - "$temp/got"
}

@test "slices that share a byte are aliases; neighbours, and read-only slices, are not" {
	mount_slices "$temp/disk" 'first=@0+5001' 'second=@5000+5000' 'left=@32K+5000' \
		'right=@37768+5000' 'one=@64K+8K,ro' 'two=@64K+8K,ro'

	run_errno ENODEV mmap shared "$mnt/first" 0 100
	run_errno ENODEV mmap shared "$mnt/second" 0 100
	call mmap shared "$mnt/left" 0 100
	call mmap shared "$mnt/right" 0 100
	call mmap shared "$mnt/one" 0 100
	call mmap shared "$mnt/two" 0 100
}

# The kernel writes both pages by one request, and does not look at how much of it was taken.
# bats test_tags=writethrough
@test "a store that has no room fails msync, though what lies before it is written" {
	make_image "$temp/disk" 1M
	cat >"$temp/table" <<-END
		image  disk  disk  rw
		slice  half  disk  8K  4K  rw
		extent       -     0   4K
	END
	mount_table "$temp/table"

	/usr/bin/python3 - "$mnt/half" <<-'END'
		import errno, mmap, os, sys
		fd = os.open(sys.argv[1], os.O_RDWR)
		map = mmap.mmap(fd, 8192)
		map[:] = b"s" * 8192
		try:
		    map.flush()
		    sys.exit("msync said nothing")
		except OSError as error:
		    assert error.errno == errno.ENOSPC, error
	END
	assert_equal "$(cut_out "$temp/disk" 8K 4K | tr -d s)" ''
	# A loss that was told already still is one.
	run -1 "$MMAPFS" umount "$mnt"
	daemon_reap "$mnt"
}
