#!/usr/bin/env bats
# SPDX-License-Identifier: MIT

# shellcheck source-path=SCRIPTDIR source=../lib/common.bash
source "$BATS_TEST_DIRNAME/../lib/common.bash"

setup() {
	common_setup
	make_image "$temp/disk" 2M
	make_image "$temp/two" 1000003
	snapshot "$temp/disk"
	snapshot "$temp/two"
}

@test "inside one slice" {
	mount_slices "$temp/disk" 'a=@12345+1000003'

	assert_equal "$(call copy_file_range "$mnt/a" 1001 "$mnt/a" 500002 400003)" 400003
	cmp -i 1001:500002 -n 400003 "$mnt/a" "$mnt/a"
	cmp -i 13346:512347 -n 400003 "$temp/disk.snapshot" "$temp/disk"
	assert_untouched "$temp/disk" 512347 400003
}

@test "inside one slice, overlapping: EINVAL" {
	mount_slices "$temp/disk" 'a=@12345+1000003'

	run_errno EINVAL copy_file_range "$mnt/a" 1000 "$mnt/a" 2000 5000
	cmp "$temp/disk" "$temp/disk.snapshot"
}

@test "between slices of one image" {
	mount_slices "$temp/disk" 'a=@4K+600K' 'b=@1M+900K'

	cat "$mnt/b" >/dev/null
	assert_equal "$(call copy_file_range "$mnt/a" 77 "$mnt/b" 100001 500000)" 500000
	cmp -i 77:100001 -n 500000 "$mnt/a" "$mnt/b"
	assert_untouched "$temp/disk" $((1048576 + 100001)) 500000
}

@test "between overlapping slices, as if the source were read first" {
	mount_slices "$temp/disk" 'a=@12345+1000003' 'b=@20001+1000003'
	cut_out "$temp/disk" 12345 600000 "$temp/want"

	assert_equal "$(call copy_file_range "$mnt/a" 0 "$mnt/b" 1000 600000)" 600000
	cmp -i 0:1000 -n 600000 "$temp/want" "$mnt/b"
	assert_untouched "$temp/disk" 21001 600000

	cut_out "$temp/disk" 20001 600000 "$temp/want"
	assert_equal "$(call copy_file_range "$mnt/b" 0 "$mnt/a" 1000 600000)" 600000
	cmp -i 0:1000 -n 600000 "$temp/want" "$mnt/a"
}

@test "between images and over several extents" {
	cat >"$temp/table" <<-END
		image  disk  disk  rw
		image  two   two   rw
		slice  from  disk  12345  300001  ro
		extent       -     0      5000
		extent       disk  400001 300001
		slice  to    two   7      200000  rw
		extent       two   300001 500000
	END
	mount_table "$temp/table"

	assert_equal "$(call copy_file_range "$mnt/from" 3 "$mnt/to" 150001 450000)" 450000
	cmp -i 3:150001 -n 450000 "$mnt/from" "$mnt/to"
	cmp -n 150008 "$temp/two" "$temp/two.snapshot"
	cmp -i 200007 -n 99994 "$temp/two" "$temp/two.snapshot"
	cmp -i 700002 "$temp/two" "$temp/two.snapshot"
	cmp "$temp/disk" "$temp/disk.snapshot"
}

@test "a copy ends with its source, and is cut short where the target ends" {
	mount_slices "$temp/disk" 'a=@4K+8K' 'b=@64K+8K'

	assert_equal "$(call copy_file_range "$mnt/a" 8000 "$mnt/b" 0 1000)" 192
	assert_equal "$(call copy_file_range "$mnt/a" 8192 "$mnt/b" 0 1000)" 0
	assert_equal "$(call copy_file_range "$mnt/a" 0 "$mnt/b" 8000 1000)" 192
	run_errno ENOSPC copy_file_range "$mnt/a" 0 "$mnt/b" 8192 1000
	assert_equal "$(stat -c %s "$mnt/b")" 8192
	cmp -i $((72 << 10)) "$temp/disk" "$temp/disk.snapshot"
}

@test "a resize tail grows by a copy" {
	mount_slices "$temp/disk" 'a=@4K+100K' 'tail=@1M,resize'

	assert_equal "$(call copy_file_range "$mnt/a" 1 "$mnt/tail" 1M 100000)" 100000
	assert_equal "$(stat -c %s "$temp/disk")" $((2097152 + 100000))
	cmp -i 1:1048576 -n 100000 "$mnt/a" "$mnt/tail"
}

@test "the data goes through the daemon's hands only" {
	mount_slices "$temp/disk" 'a=@4K+600K' 'b=@1M+900K'

	before=$(stat_value read_bytes)
	assert_equal "$(call copy_file_range "$mnt/a" 0 "$mnt/b" 0 600K)" 614400
	[ $(($(stat_value read_bytes) - before)) -lt 65536 ]
}

@test "from and to files outside the mount, by cp" {
	mount_slices "$temp/disk" 'a=@12345+1000003'

	cp "$mnt/a" "$temp/out"
	assert_range "$temp/disk" 12345 1000003 "$temp/out"
	cp "$temp/two" "$mnt/a"
	assert_range "$temp/disk" 12345 1000003 "$temp/two"
	assert_untouched "$temp/disk" 12345 1000003
}

@test "what a mapping still holds is copied" {
	mount_slices "$temp/disk" 'a=@4K+600K' 'b=@1M+900K'

	/usr/bin/python3 - "$mnt/a" "$mnt/b" <<-'END'
		import mmap, os, sys
		a = open(sys.argv[1], "r+b")
		b = open(sys.argv[2], "r+b")
		from_view = mmap.mmap(a.fileno(), 0)
		to_view = mmap.mmap(b.fileno(), 0)
		from_view[1000:9000] = b"m" * 8000
		to_view[:20] = b"t" * 20
		assert os.copy_file_range(a.fileno(), b.fileno(), 8000, 1000, 10) == 8000
		assert to_view[:20] == b"t" * 10 + b"m" * 10
		assert to_view[10:8010] == b"m" * 8000
	END
}
