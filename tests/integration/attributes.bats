#!/usr/bin/env bats
# SPDX-License-Identifier: MIT

# shellcheck source-path=SCRIPTDIR source=../lib/common.bash
source "$BATS_TEST_DIRNAME/../lib/common.bash"

setup() {
	common_setup
	make_image "$temp/disk" 1M
}

@test "the size is true" {
	mount_slices "$temp/disk" 'a=@12345+500003' 'tail=@1000000' 'dir/b=@0+1'

	assert_equal "$(stat -c %s "$mnt/a" "$mnt/tail" "$mnt/dir/b")" $'500003\n48576\n1'
	assert_equal "$(stat -c %F "$mnt/a" "$mnt/dir")" $'regular file\ndirectory'
}

@test "st_blocks counts what the image has allocated" {
	make_sparse "$temp/sparse" 16M
	dd if="$temp/disk" of="$temp/sparse" bs=1M seek=4 conv=notrunc status=none
	sync "$temp/sparse"
	mount_slices "$temp/sparse" 'all=@0,ro' 'data=@4M+1M,ro' 'hole=@8M+4M,ro' 'half=@3584K+1M,ro'

	assert_equal "$(call stat "$mnt/data" blocks)" 2048
	assert_equal "$(call stat "$mnt/hole" blocks)" 0
	assert_equal "$(call stat "$mnt/half" blocks)" 1024
	assert_equal "$(call stat "$mnt/all" blocks)" 2048
}

# bats test_tags=writethrough
@test "st_blocks grows with a write into a hole" {
	make_sparse "$temp/sparse" 1M
	mount_slices "$temp/sparse" 'a=@64K+512K'

	assert_equal "$(call stat "$mnt/a" blocks)" 0
	call write "$mnt/a" 64K 64K
	call fsync "$mnt/a"
	assert_equal "$(call stat "$mnt/a" blocks)" 128
}

@test "st_blocks of an extent without an image is 0" {
	cat >"$temp/table" <<-END
		image  disk  disk  ro
		slice  many  disk  0   64K  ro
		extent       -     0   1M
		slice  zeros -     0   1M   ro
	END
	sync "$temp/disk"
	mount_table "$temp/table"

	assert_equal "$(call stat "$mnt/many" blocks)" 128
	assert_equal "$(call stat "$mnt/zeros" blocks)" 0
}

@test "owner and mode come from who mounts and from the image" {
	chmod 0640 "$temp/disk"
	mount_slices "$temp/disk" 'dir/a=@0+4K'

	assert_equal "$(stat -c '%u %g' "$mnt/dir/a" "$mnt/dir" "$mnt" | sort -u)" "$(id -u) $(id -g)"
	assert_equal "$(stat -c '%a %h' "$mnt/dir/a")" '640 1'
}

@test "mode, uid and gid of a table line and of the mount" {
	cat >"$temp/table" <<-END
		image  disk   disk  rw
		slice  line   disk  0   4K  rw,mode=0604
		slice  mount  disk  8K  4K  rw
		slice  owner  disk  16K 4K  rw,uid=12345,gid=54321
	END
	mount_table "$temp/table" -o mode=0640
	assert_equal "$(stat -c %a "$mnt/line" "$mnt/mount")" $'604\n640'
	assert_equal "$(stat -c '%u %g' "$mnt/owner")" '12345 54321'
	unmount

	mount_table "$temp/table" -o uid=1111,gid=2222
	assert_equal "$(stat -c '%u %g' "$mnt/line" "$mnt/owner")" $'1111 2222\n12345 54321'
}

@test "the mtime is the image's, stands still for reads, moves with a write" {
	touch -d @1000000000 "$temp/disk"
	mount_slices "$temp/disk" 'a=@0+4K' 'b=@8K+4K'

	assert_equal "$(stat -c %Y "$mnt/a")" 1000000000
	cat "$mnt/a" >/dev/null
	assert_equal "$(stat -c %Y "$mnt/a")" 1000000000
	before=$(date +%s)
	call write "$mnt/a" 0 10
	[ "$(stat -c %Y "$mnt/a")" -ge $((before - 1)) ]
}

@test "chmod is held for the life of the mount" {
	mount_slices "$temp/disk" 'a=@0+4K' 'b=@8K+4K'

	call chmod "$mnt/a" 0600
	assert_equal "$(stat -c %a "$mnt/a" "$mnt/b")" $'600\n644'
	chmod u+x "$mnt/a"
	assert_equal "$(stat -c %a "$mnt/a" "$temp/disk")" $'700\n644'
	remount
	assert_equal "$(stat -c %a "$mnt/a")" 644
}

@test "chown to oneself is accepted" {
	mount_slices "$temp/disk" 'a=@0+4K'

	call chown "$mnt/a" "$(id -u)" "$(id -g)"
	call chown "$mnt/a" -1 -1
	assert_equal "$(stat -c '%u %g' "$mnt/a")" "$(id -u) $(id -g)"
}

@test "utimens is held for the life of the mount" {
	touch -d @1000000000 "$temp/disk"
	mount_slices "$temp/disk" 'a=@0+4K' 'b=@8K+4K'

	call utimens "$mnt/a" 1234567890123456789 1111111111987654321
	assert_equal "$(call stat "$mnt/a" atime)" 1234567890123456789
	assert_equal "$(call stat "$mnt/a" mtime)" 1111111111987654321
	assert_equal "$(stat -c %Y "$mnt/b" "$temp/disk")" $'1000000000\n1000000000'
	touch "$mnt/a"
	[ "$(stat -c %Y "$mnt/a")" -gt 1600000000 ]
	remount
	assert_equal "$(stat -c %Y "$mnt/a")" 1000000000
}

@test "the mode decides who may open, as everywhere" {
	mount_slices "$temp/disk" 'a=@0+4K'

	call chmod "$mnt/a" 0000
	if [ "$(id -u)" -eq 0 ]; then
		call open "$mnt/a"
	else
		run_errno EACCES open "$mnt/a"
	fi
	call chmod "$mnt/a" 0400
	call open "$mnt/a"
}

@test "an executable slice runs" {
	cp "$call_program" "$temp/program"
	size=$(stat -c %s "$temp/program")
	{
		head -c 777 "$temp/disk"
		cat "$temp/program"
		head -c 999 "$temp/disk"
	} >"$temp/programs"
	mount_slices "$temp/programs" "run=@777+$size,ro,mode=0555"

	assert_equal "$("$mnt/run" stat "$temp/program" size)" "OK $size"
}

@test "statfs" {
	mount_slices "$temp/disk" 'a=@0+500K' 'dir/b=@512K+100K'

	assert_equal "$(call statfs "$mnt" namemax)" 255
	[ "$(call statfs "$mnt" bytes)" -ge 614400 ]
	assert_equal "$(call statfs "$mnt/a" bytes)" "$(call statfs "$mnt/dir/b" bytes)"
	df "$mnt" "$mnt/a"
	df -i "$mnt"
	assert_equal "$(findmnt -n -o FSTYPE "$mnt")" fuse.mmapfs
}
