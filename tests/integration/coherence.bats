#!/usr/bin/env bats
# SPDX-License-Identifier: MIT
#
# After write() returns, every read through any slice, and of the image, sees the bytes.

# shellcheck source-path=SCRIPTDIR source=../lib/common.bash
source "$BATS_TEST_DIRNAME/../lib/common.bash"

setup() {
	common_setup
	make_image "$temp/disk" 2M
}

@test "slices that overlap see each other's writes, though all were read before" {
	mount_slices "$temp/disk" 'a=@0+1M' 'b=@512K+1M' 'c=@700001+100001'

	for flags in rdwr wronly rdwr,direct; do
		for name in a b c; do
			cat "$mnt/a" "$mnt/b" "$mnt/c" >/dev/null
			make_image "$temp/put" 50001
			call -f $flags write "$mnt/$name" 12345 - <"$temp/put" >/dev/null
			assert_range "$temp/disk" 0 1M "$mnt/a"
			assert_range "$temp/disk" 512K 1M "$mnt/b"
			assert_range "$temp/disk" 700001 100001 "$mnt/c"
		done
	done
	assert_range "$mnt/c" 12345 50001 "$temp/put"
}

@test "through descriptors that stay open" {
	mount_slices "$temp/disk" 'a=@0+1M' 'b=@4097+1M'

	/usr/bin/python3 - "$mnt" <<-'END'
		import os, sys
		a, b = (os.open(f"{sys.argv[1]}/{name}", os.O_RDWR) for name in "ab")
		for turn in range(500):
		    at = turn * 1931 + 5000
		    data = b"turn %4d" % turn
		    assert os.pwrite(a, data, at) == len(data)
		    assert os.pread(b, len(data), at - 4097) == data
		    assert os.pwrite(b, data[::-1], at - 4097) == len(data)
		    assert os.pread(a, len(data), at) == data[::-1]
	END
}

@test "two slices that only share a page" {
	mount_slices "$temp/disk" 'left=@0+5000' 'right=@5000+5000'

	for letter in a b c d e; do
		cat "$mnt/left" "$mnt/right" >/dev/null
		call write "$mnt/left" 4990 10 $letter
		call write "$mnt/right" 0 10 $letter
		assert_range "$temp/disk" 0 5000 "$mnt/left"
		assert_range "$temp/disk" 5000 5000 "$mnt/right"
		assert_equal "$(cut_out "$temp/disk" 4990 20 | tr -d $letter)" ''
	done
}

@test "a range that comes twice in one slice" {
	cat >"$temp/table" <<-END
		image  disk   disk  rw
		slice  twice  disk  0  8K  rw
		extent        disk  0  8K
	END
	mount_table "$temp/table"

	cat "$mnt/twice" >/dev/null
	call -f rdwr write "$mnt/twice" 100 10 t
	assert_equal "$(cut_out "$mnt/twice" 8292 10)" tttttttttt
	call -f rdwr write "$mnt/twice" 8190 4 u
	assert_equal "$(head -c 2 "$mnt/twice")" uu
	assert_equal "$(tail -c 2 "$mnt/twice")" uu
}

@test "a read-only slice over a writable one" {
	mount_slices "$temp/disk" 'view=@0+1M,ro' 'part=@500K+10001'

	cat "$mnt/view" >/dev/null
	call write "$mnt/part" 77 5000 w
	assert_range "$temp/disk" 0 1M "$mnt/view"
	assert_equal "$(cut_out "$mnt/view" $((512000 + 77)) 5000 | tr -d w)" ''
}

@test "an alias and the image see each other's writes at once" {
	mount_slices "$temp/disk" 'a=@4097+1M' 'b=@512K+1M'

	/usr/bin/python3 - "$mnt/a" "$temp/disk" <<-'END'
		import os, sys
		slice, image = (os.open(path, os.O_RDWR) for path in sys.argv[1:])
		for turn in range(500):
		    at = turn * 1931
		    data = b"turn %4d" % turn
		    assert os.pwrite(slice, data, at) == len(data)
		    assert os.pread(image, len(data), at + 4097) == data
		    assert os.pwrite(image, data[::-1], at + 4097) == len(data)
		    assert os.pread(slice, len(data), at) == data[::-1]
	END
}

# bats test_tags=writethrough
@test "the image sees a cached slice's writes at once" {
	mount_slices "$temp/disk" 'a=@4097+1M'

	/usr/bin/python3 - "$mnt/a" "$temp/disk" <<-'END'
		import os, sys
		slice, image = (os.open(path, os.O_RDWR) for path in sys.argv[1:])
		os.pread(slice, 1 << 20, 0)
		for turn in range(500):
		    data = b"turn %4d" % turn
		    assert os.pwrite(slice, data, turn * 1931) == len(data)
		    assert os.pread(image, len(data), turn * 1931 + 4097) == data
	END
}

@test "four processes write and read back through two aliases" {
	mount_slices "$temp/disk" 'a=@0+1M' 'b=@0+2M'

	/usr/bin/python3 - "$mnt" <<-'END'
		import os, random, sys
		def work(process):
		    fds = [os.open(f"{sys.argv[1]}/{name}", os.O_RDWR) for name in "ab"]
		    rng = random.Random(process)
		    for turn in range(1000):
		        at = (rng.randrange(2500) * 4 + process) * 97
		        data = b"%d:%d;" % (process, turn)
		        if os.pwrite(rng.choice(fds), data, at) != len(data):
		            return 1
		        if os.pread(rng.choice(fds), len(data), at) != data:
		            return 1
		    return 0
		pids = []
		for process in range(4):
		    pid = os.fork()
		    if not pid:
		        os._exit(work(process))
		    pids.append(pid)
		sys.exit(any([os.waitpid(pid, 0)[1] for pid in pids]))
	END
}

# The kernel sends files through its page cache, be they uncached otherwise.
@test "sendfile and private mappings of an alias see what was written through another" {
	mount_slices "$temp/disk" 'a=@0+1M' 'b=@512K+1M'

	/usr/bin/python3 - "$mnt" <<-'END'
		import mmap, os, sys
		a, b = (os.open(f"{sys.argv[1]}/{name}", os.O_RDWR) for name in "ab")
		received, sent = os.pipe()
		for turn in range(300):
		    at = 524288 + turn % 20 * 5000
		    data = b"turn %4d" % turn
		    assert os.pwrite(b, data, at - 524288) == len(data)
		    assert os.sendfile(sent, a, at, len(data)) == len(data)
		    assert os.read(received, 100) == data, turn
		    with mmap.mmap(a, 1 << 20, flags=mmap.MAP_PRIVATE) as view:
		        assert view[at : at + len(data)] == data, turn
	END
}

@test "sendfile of a file that is written past the page cache sees each write" {
	mount_slices "$temp/disk" 'a=@4097+1M'

	/usr/bin/python3 - "$mnt/a" <<-'END'
		import os, sys
		writer = os.open(sys.argv[1], os.O_WRONLY)
		reader = os.open(sys.argv[1], os.O_RDONLY)
		received, sent = os.pipe()
		for turn in range(300):
		    at = turn % 20 * 5000
		    data = b"turn %4d" % turn
		    assert os.pwrite(writer, data, at) == len(data)
		    assert os.sendfile(sent, reader, at, len(data)) == len(data)
		    assert os.read(received, 100) == data, turn
	END
}

@test "writers and senders of aliases at once" {
	mount_slices "$temp/disk" 'a=@0+1M' 'b=@512K+1M'

	timeout 100 /usr/bin/python3 - "$mnt" <<-'END'
		import os, random, sys
		def work(process):
		    a, b = (os.open(f"{sys.argv[1]}/{name}", os.O_RDWR) for name in "ab")
		    received, sent = os.pipe()
		    rng = random.Random(process)
		    for turn in range(500):
		        at = 524288 + (rng.randrange(1000) * 4 + process) * 97
		        data = b"%d:%d;" % (process, turn)
		        if os.pwrite(b, data, at - 524288) != len(data):
		            return 1
		        if os.sendfile(sent, a, at, len(data)) != len(data):
		            return 1
		        if os.read(received, 100) != data:
		            return 1
		    return 0
		pids = []
		for process in range(4):
		    pid = os.fork()
		    if not pid:
		        os._exit(work(process))
		    pids.append(pid)
		sys.exit(any([os.waitpid(pid, 0)[1] for pid in pids]))
	END
}
