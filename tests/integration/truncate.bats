#!/usr/bin/env bats
# SPDX-License-Identifier: MIT
#
# A slice of fixed size is like a block device: O_TRUNC and its own size are accepted and change
# nothing, any other size is refused.

# shellcheck source-path=SCRIPTDIR source=../lib/common.bash
source "$BATS_TEST_DIRNAME/../lib/common.bash"

@test "O_TRUNC is accepted and changes nothing" {
	make_image "$temp/disk" 64K
	snapshot "$temp/disk"
	mount_slices "$temp/disk" 'a=@100+5000'

	call -f rdwr,trunc open "$mnt/a"
	call -f wronly,trunc open "$mnt/a"
	call -f wronly,creat,trunc open "$mnt/a"
	assert_equal "$(stat -c %s "$mnt/a")" 5000
	cmp -i 100:0 -n 5000 "$temp/disk" "$mnt/a"
	cmp "$temp/disk" "$temp/disk.snapshot"
}

@test "a shell's > writes over the beginning" {
	make_image "$temp/disk" 64K
	snapshot "$temp/disk"
	mount_slices "$temp/disk" 'a=@100+5000'

	printf 'hello' >"$mnt/a"
	assert_equal "$(head -c 5 "$mnt/a")" hello
	assert_equal "$(stat -c %s "$mnt/a")" 5000
	assert_untouched "$temp/disk" 100 5
}

@test "truncate to the same size is accepted, by path and by descriptor" {
	make_image "$temp/disk" 64K
	snapshot "$temp/disk"
	mount_slices "$temp/disk" 'a=@100+5000'

	call truncate "$mnt/a" 5000
	call ftruncate "$mnt/a" 5000
	call -f wronly ftruncate "$mnt/a" 5000
	cmp "$temp/disk" "$temp/disk.snapshot"
}

@test "truncate to any other size is EPERM, by path and by descriptor" {
	make_image "$temp/disk" 64K
	snapshot "$temp/disk"
	mount_slices "$temp/disk" 'a=@100+5000' 'tail=@60K'

	for size in 0 1 4999 5001 1G; do
		run_errno EPERM truncate "$mnt/a" "$size"
		run_errno EPERM ftruncate "$mnt/a" "$size"
		run_errno EPERM truncate "$mnt/tail" "$size"
	done
	assert_equal "$(stat -c %s "$mnt/a" "$mnt/tail")" $'5000\n4096'
	cmp -i 100:0 -n 5000 "$temp/disk" "$mnt/a"
	cmp "$temp/disk" "$temp/disk.snapshot"
}

@test "a refused truncate leaves a mapping alive" {
	make_image "$temp/disk" 64K
	mount_slices "$temp/disk" 'a=@0+20000'

	/usr/bin/python3 - "$mnt/a" <<-'END'
		import mmap, os, sys
		with open(sys.argv[1], "r+b") as file:
		    view = mmap.mmap(file.fileno(), 0)
		    before = view[:]
		    for size in (0, 4096, 40000):
		        try:
		            os.ftruncate(file.fileno(), size)
		            sys.exit("truncated")
		        except PermissionError:
		            pass
		        assert view[:] == before and file.seek(0) == 0 and file.read() == before
	END
}

@test "truncate of a read-only slice is EROFS" {
	make_image "$temp/disk" 64K
	mount_slices "$temp/disk" 'a=@100+5000,ro'

	run_errno EROFS truncate "$mnt/a" 0
	run_errno EROFS truncate "$mnt/a" 5001
	run_errno EROFS -f wronly,trunc open "$mnt/a"
	assert_equal "$(stat -c %s "$mnt/a")" 5000
}
