#!/usr/bin/env bats
# SPDX-License-Identifier: MIT
#
# Python's mmap module: what most programs that map files do.

# shellcheck source-path=SCRIPTDIR source=../lib/common.bash
source "$BATS_TEST_DIRNAME/../lib/common.bash"

setup() {
	common_setup
	make_image "$temp/disk" 1M
	snapshot "$temp/disk"
	mount_slices "$temp/disk" 'a=@12345+500003' 'tail=@700001,resize'
	cut_out "$temp/disk" 12345 500003 "$temp/copy"
}

python() {
	timeout 60 /usr/bin/python3 "$@"
}

@test "ACCESS_READ" {
	python - "$mnt/a" "$temp/copy" <<-'END'
		import mmap, sys
		want = open(sys.argv[2], "rb").read()
		with open(sys.argv[1], "rb") as file:
		    with mmap.mmap(file.fileno(), 0, access=mmap.ACCESS_READ) as view:
		        assert len(view) == len(want) and view[:] == want
		        assert view.find(want[400000:400020]) == want.find(want[400000:400020])
		        try:
		            view[0] = 1
		            sys.exit("written")
		        except TypeError:
		            pass
	END
}

@test "ACCESS_WRITE, and a flush of one range" {
	python - "$mnt/a" <<-'END'
		import mmap, sys
		with open(sys.argv[1], "r+b") as file:
		    with mmap.mmap(file.fileno(), 0, access=mmap.ACCESS_WRITE) as view:
		        view[100001:110001] = b"w" * 10000
		        view.flush(98304, 12288)
		        file.seek(100000)
		        assert file.read(10002)[1:-1] == b"w" * 10000
		        view.move(300000, 100001, 5000)
	END
	head -c 10000 /dev/zero | tr '\0' w >"$temp/w"
	cmp -i 0:112346 -n 10000 "$temp/w" "$temp/disk"
	unmount
	cmp -i 0:312345 -n 5000 "$temp/w" "$temp/disk"
	assert_untouched "$temp/disk" 112346 204999
}

@test "ACCESS_COPY" {
	python - "$mnt/a" "$temp/copy" <<-'END'
		import mmap, sys
		want = open(sys.argv[2], "rb").read()
		with open(sys.argv[1], "rb") as file:
		    with mmap.mmap(file.fileno(), 0, access=mmap.ACCESS_COPY) as view:
		        assert view[:] == want
		        view[5:5005] = b"c" * 5000
		        assert view[5:5005] == b"c" * 5000
		        assert file.read() == want
	END
	unmount
	cmp "$temp/disk" "$temp/disk.snapshot"
}

@test "a mapping with an offset" {
	python - "$mnt/a" "$temp/copy" <<-'END'
		import mmap, sys
		want = open(sys.argv[2], "rb").read()
		with open(sys.argv[1], "r+b") as file:
		    with mmap.mmap(file.fileno(), 500003 - 65536, offset=65536) as view:
		        assert view[:] == want[65536:]
	END
}

@test "resize of a mapped tail" {
	python - "$mnt/tail" <<-'END'
		import mmap, os, sys
		with open(sys.argv[1], "r+b") as file:
		    with mmap.mmap(file.fileno(), 0) as view:
		        size = len(view)
		        head = view[:1000]
		        view.resize(size + 100000)
		        assert os.fstat(file.fileno()).st_size == size + 100000
		        assert view[size:] == bytes(100000)
		        view[size + 99990:] = b"0123456789"
		        view.flush()
		        view.resize(1000)
		        assert view[:] == head and os.fstat(file.fileno()).st_size == 1000
	END
	assert_equal "$(stat -c %s "$temp/disk")" 701001
	cmp -n 701001 "$temp/disk" "$temp/disk.snapshot"
}

@test "resize of a mapped slice of fixed size is refused" {
	python - "$mnt/a" <<-'END'
		import mmap, sys
		with open(sys.argv[1], "r+b") as file:
		    with mmap.mmap(file.fileno(), 0) as view:
		        before = view[:]
		        try:
		            view.resize(600000)
		            sys.exit("resized")
		        except PermissionError:
		            pass
		        assert view[:] == before
	END
}

@test "os.sendfile, os.preadv and os.pwritev" {
	python - "$mnt/a" "$temp/copy" "$temp/out" <<-'END'
		import os, sys
		want = open(sys.argv[2], "rb").read()
		a = os.open(sys.argv[1], os.O_RDWR)
		out = os.open(sys.argv[3], os.O_RDWR | os.O_CREAT)
		at = 0
		while done := os.sendfile(out, a, at, 1 << 20):
		    at += done
		assert os.pread(out, 1 << 20, 0) == want
		parts = [bytearray(1), bytearray(70001), bytearray(4096)]
		assert os.preadv(a, parts, 77) == 74098
		assert b"".join(parts) == want[77:74175]
		assert os.pwritev(a, [b"x" * 3, b"y" * 5001], 99) == 5004
		assert os.pread(a, 5004, 99) == b"xxx" + b"y" * 5001
	END
}

@test "a numpy-like walk: one million small reads of a mapping" {
	python - "$mnt/a" "$temp/copy" <<-'END'
		import mmap, sys
		want = open(sys.argv[2], "rb").read()
		with open(sys.argv[1], "rb") as file:
		    view = mmap.mmap(file.fileno(), 0, access=mmap.ACCESS_READ)
		    at = 0
		    for turn in range(1000000):
		        at = (at * 69069 + 1) % 500003
		        if view[at] != want[at]:
		            sys.exit(f"byte {at}")
	END
}
