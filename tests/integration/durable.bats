#!/usr/bin/env bats
# SPDX-License-Identifier: MIT
#
# What is flushed, when, and how much of it. The witness is the log of the disk below the image.

# shellcheck source-path=SCRIPTDIR source=../lib/common.bash
source "$BATS_TEST_DIRNAME/../lib/common.bash"
# shellcheck source-path=SCRIPTDIR source=../lib/nbd.bash
source "$BATS_TEST_DIRNAME/../lib/nbd.bash"

# c and d are aliases; the extents of "parts" are a page, a gap, and a page that it shares.
setup() {
	nbd_setup
	nbd_serve disk 1M
	cat >"$temp/table" <<-END
		image  disk  disk.nbd/disk  rw
		slice  a      disk   12345  100003  rw
		slice  b      disk  300001  100003  rw
		slice  c      disk  500001  100003  rw
		slice  d      disk  550000     100  rw
		slice  parts  disk  700000    2000  rw
		extent        disk  800000    3000
	END
	mount_table "$temp/table"
	mark=0
}

# dirty NAME OFFSET LENGTH: leaves the bytes in the image's page cache. The first write goes through
# to the disk, the second one is a copy into the mapping.
dirty() {
	call -f wronly write "$mnt/$1" "$2" "$3" 1 >/dev/null
	call -f wronly write "$mnt/$1" "$2" "$3" 2 >/dev/null
}

# What the disk has been told so far is of no interest.
mark() {
	mark=$(nbd_log disk | wc -l)
}

since() {
	nbd_log disk | tail -n +$((mark + 1))
}

# assert_written START END...: since the mark these ranges of the image were written (ascending, and
# joined where they touch), nothing else was, and then the disk was flushed.
assert_written() {
	local got want=

	assert_equal "$(since | tail -n 1)" flush
	# The disk may take in any order what lies between two flushes.
	got=$(since | grep write | sort -n -k 2 | awk '
		$2 != end { ranges = ranges (ranges ? end "," : "") $2 "-" }
		{ end = $3 }
		END { print ranges end }')
	while [ $# -gt 0 ]; do
		want+=${want:+,}$1-$2
		shift 2
	done
	assert_equal "$got" "$want"
}

@test "fsync writes the slice's dirty pages, flushes, and leaves others alone" {
	dirty a 0 100    # page 3
	dirty a 50000 10 # page 15
	dirty b 0 100    # page 73
	dirty c 0 100    # page 122
	mark
	for sync in fsync fdatasync; do
		call $sync "$mnt/a"
	done
	assert_written 12288 16384 61440 65536
	mark
	call fsync "$mnt/b"
	assert_written 299008 303104
	mark
	call fsync "$mnt/d"
	assert_written
	mark
	call fsync "$mnt/c"
	assert_written 499712 503808
}

@test "fsync of a slice of several extents writes each of them, and not what lies between" {
	cat >>"$temp/table" <<-END
		slice  between  disk  704512  4096  rw
	END
	remount
	dirty parts 0 5000
	dirty between 0 4096
	mark
	call fsync "$mnt/parts"
	assert_written 696320 704512 798720 806912
	mark
	call fsync "$mnt/between"
	assert_written 704512 708608
}

@test "a clean slice has nothing to write" {
	dirty b 0 100
	mark
	call fsync "$mnt/a"
	assert_written
}

# The kernel may write the other slice's page by itself at any time, but not each time.
@test "O_DSYNC and O_SYNC have written and flushed when write returns" {
	others=0
	for flags in dsync sync direct,dsync; do
		for access in rdwr wronly; do
			for name in a c d; do
				dirty $name 0 90
				dirty b 0 100
				mark
				# Once as a copy into pages that are dirty already, and once more by pwrite.
				for byte in 3 4; do
					call -f $access,$flags write "$mnt/$name" 10 50 $byte
					[ "$(since | tail -n 1)" = flush ]
					others=$((others + $(since | grep -c 299008 || true)))
					start=$(awk -v name=$name '$2 == name { print $4 }' "$temp/table")
					assert_equal "$(cut_out "$temp/disk.raw" $((start + 10)) 50)" \
						"$(printf "%050d" 0 | tr 0 $byte)"
				done
			done
		done
	done
	[ "$others" -lt 9 ] # of 36
}

@test "O_DSYNC writes nothing but the pages it wrote to" {
	dirty c 0 100     # page 122
	dirty c 90000 100 # page 144
	mark
	call -f wronly,dsync write "$mnt/c" 50 10
	assert_written 499712 503808
}

@test "copy_file_range to a file that is open O_DSYNC" {
	mark
	call -f rdwr,dsync copy_file_range "$mnt/c" 0 "$mnt/a" 7 5000
	[ "$(since | tail -n 1)" = flush ]
	cut_out "$temp/disk.raw" 500001 5000 "$temp/want"
	assert_range "$temp/disk.raw" 12352 5000 "$temp/want"
}

@test "msync of a client's mapping" {
	dirty b 0 100
	mark
	call mmap shared "$mnt/a" 50000 10 m
	assert_written 61497 65593 # the client's page
	assert_equal "$(cut_out "$temp/disk.raw" 62345 10)" mmmmmmmmmm
}

@test "fsync of a folder flushes every slice" {
	dirty a 0 100
	dirty b 0 100
	dirty c 0 100
	mark
	call fsync "$mnt"
	assert_written 12288 16384 299008 303104 499712 503808
}

@test "umount flushes everything" {
	dirty a 0 100
	dirty b 0 100
	dirty c 0 100
	call -f rdwr write "$mnt/parts" 0 100
	mark
	unmount
	assert_written 12288 16384 299008 303104 499712 503808
}

@test "SIGTERM flushes everything" {
	expect_log ': unmounting '
	dirty a 0 100
	dirty b 0 100
	mark
	kill -TERM "$(daemon_process "$mnt")"
	daemon_reap "$mnt"
	assert_written 12288 16384 299008 303104
}
