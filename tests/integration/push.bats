#!/usr/bin/env bats
# SPDX-License-Identifier: MIT
#
# Who reads a slice at random gets the neighbours of what he reads pushed into the page cache.

# shellcheck source-path=SCRIPTDIR source=../lib/common.bash
source "$BATS_TEST_DIRNAME/../lib/common.bash"

setup() {
	common_setup
	make_image "$temp/disk" 9M
	# 2,000 pages and a bit: 32 pushes, of which the last is short.
	cut_out "$temp/disk" 12345 8193000 "$temp/want"
}

push() {
	/usr/bin/python3 "$BATS_TEST_DIRNAME/push.py" "$@"
}

# assert_pushes_none [ARGUMENT...]: after all of a has been read at random.
assert_pushes_none() {
	[ "$(reads_of push read "$mnt/a" "$temp/want" "$seed" "$@")" -ge 2000 ]
	assert_equal "$(stat_value pushes)" 0
}

# All of a is pushed, a piece for each page that is asked for, and then read without a request.
assert_pushes_all() {
	push fill "$mnt/a" "$mnt/.mmapfs/stats" "$seed"
	assert_equal "$(stat_value pushes)" 32
	assert_equal "$(stat_value push_bytes)" 8193000
	assert_equal "$(reads_of push read "$mnt/a" "$temp/want" "$seed")" 0
}

@test "after some random reads the others come without a request" {
	mount_slices "$temp/disk" 'a=@12345+8193000' -- -o ro

	assert_pushes_all
}

@test "through a writable slice that nobody has open to write" {
	mount_slices "$temp/disk" 'a=@12345+8193000'

	assert_pushes_all
}

@test "not while somebody has it open to write" {
	mount_slices "$temp/disk" 'a=@12345+8193000'

	exec {writer}<>"$mnt/a"
	assert_pushes_none
	exec {writer}>&-
}

@test "not of an alias" {
	mount_slices "$temp/disk" 'a=@12345+8193000' 'b=@12345+1'

	assert_pushes_none
}

# With writeback it does not.
# bats test_tags=writethrough
@test "not of a slice that follows its image's end" {
	truncate -s $((12345 + 8193000)) "$temp/disk"
	mount_slices "$temp/disk" 'a=@12345'

	assert_pushes_none
}

@test "not with advice=random" {
	mount_slices "$temp/disk" 'a=@12345+8193000' -- -o advice=random

	assert_pushes_none
}

@test "not with cache=none" {
	mount_slices "$temp/disk" 'a=@12345+8193000' -- -o cache=none

	assert_pushes_none
}

@test "not to those who read past the page cache" {
	truncate -s 8M "$temp/disk"
	cp "$temp/disk" "$temp/want"
	mount_slices "$temp/disk" 'a=@0+8M'

	assert_pushes_none direct
}

@test "not for long where the pages do not stay" {
	local reads

	mount_slices "$temp/disk" 'a=@0+4M'
	# Each read is a request, of one page a time: the kernel is told to forget the rest.
	reads=$(reads_of /usr/bin/python3 - "$mnt/a" <<-'END'
		import os, sys
		fd = os.open(sys.argv[1], os.O_RDONLY)
		for i in range(300):
		    os.pread(fd, 4096, i * 37 % 1024 * 4096)
		    os.posix_fadvise(fd, 0, 0, os.POSIX_FADV_DONTNEED)
	END
	)
	[ "$reads" -ge 250 ]
	[ "$(stat_value pushes)" -ge 1 ]
	[ "$(stat_value pushes)" -le 32 ]
}

@test "what was written is what the next read gets" {
	mount_slices "$temp/disk" 'a=@12345+2M'

	push write "$mnt/a" 400 "$seed"
	[ "$(stat_value pushes)" -ge 10 ]
}

@test "what another program has changed is what the next open gets" {
	mount_slices "$temp/disk" 'a=@4096+2M'

	push change "$mnt/a" "$temp/disk" 4096 6000 "$seed"
	[ "$(stat_value pushes)" -ge 10 ]
}
