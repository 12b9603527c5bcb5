#!/usr/bin/env bats
# SPDX-License-Identifier: MIT

# shellcheck source-path=SCRIPTDIR source=../lib/common.bash
source "$BATS_TEST_DIRNAME/../lib/common.bash"

# put FILE OFFSET LENGTH FLAGS: writes fresh random bytes with one system call, leaves them in
# $temp/put
put() {
	make_image "$temp/put" "$3"
	assert_equal "$(call -f "$4" write "$1" "$2" - <"$temp/put")" "$(bytes "$3")"
}

@test "a write reaches the image at once and leaves its neighbours alone" {
	make_image "$temp/disk" 3M
	snapshot "$temp/disk"
	mount_slices "$temp/disk" 'a=@12345+1000003'

	make_image "$temp/put" 1000003
	cp "$temp/put" "$mnt/a"
	assert_range "$temp/disk" 12345 1000003 "$temp/put"
	assert_untouched "$temp/disk" 12345 1000003
	cmp "$temp/put" "$mnt/a"
	unmount
	assert_range "$temp/disk" 12345 1000003 "$temp/put"
	assert_untouched "$temp/disk" 12345 1000003
}

@test "writes at odd offsets, with every way to open" {
	make_image "$temp/disk" 4M
	snapshot "$temp/disk"
	mount_slices "$temp/disk" 'a=@777+3M'
	cut_out "$temp/disk" 777 3M "$temp/want"

	for flags in rdwr wronly rdwr,direct wronly,direct rdwr,sync wronly,dsync; do
		for range in '0 1' '4095 2' '65535 4099' '1048575 1100001'; do
			read -r offset length <<<"$range"
			put "$mnt/a" "$offset" "$length" "$flags"
			call -f wronly write "$temp/want" "$offset" - <"$temp/put" >/dev/null
		done
		cmp "$temp/want" "$mnt/a"
	done
	assert_range "$temp/disk" 777 3M "$temp/want"
	assert_untouched "$temp/disk" 777 3M
}

@test "one write of 5 MiB" {
	make_image "$temp/disk" 8M
	snapshot "$temp/disk"
	mount_slices "$temp/disk" 'a=@513+7M'

	for flags in rdwr wronly; do
		put "$mnt/a" 4097 5M "$flags"
		assert_range "$temp/disk" 4610 5M "$temp/put"
	done
	assert_untouched "$temp/disk" 4610 5M
}

# bats test_tags=writethrough
@test "a write past the end takes what fits, then ENOSPC" {
	make_image "$temp/disk" 1M
	snapshot "$temp/disk"
	mount_slices "$temp/disk" 'a=@100+5000'

	for flags in rdwr wronly rdwr,direct wronly,direct; do
		assert_equal "$(call -f $flags write "$mnt/a" 4990 100)" 10
		run_errno ENOSPC -f $flags write "$mnt/a" 5000 1
		run_errno ENOSPC -f $flags write "$mnt/a" 1G 10
		assert_equal "$(stat -c %s "$mnt/a")" 5000
	done
	assert_untouched "$temp/disk" 5090 10
}

@test "O_APPEND has no room in a slice of fixed size" {
	make_image "$temp/disk" 64K
	snapshot "$temp/disk"
	mount_slices "$temp/disk" 'a=@100+5000'

	run_errno ENOSPC -f wronly,append write "$mnt/a" 0 1
	run_errno ENOSPC -f rdwr,append write "$mnt/a" 0 10
	cmp "$temp/disk" "$temp/disk.snapshot"
}

# bats test_tags=writethrough
@test "a tail slice without resize does not grow its image" {
	make_image "$temp/disk" 10000
	snapshot "$temp/disk"
	mount_slices "$temp/disk" 'tail=@4097'

	assert_equal "$(call write "$mnt/tail" 5900 10)" 3
	run_errno ENOSPC write "$mnt/tail" 5903 1
	assert_untouched "$temp/disk" 9997 3
}

@test "a write goes through several extents and images" {
	make_image "$temp/one" 1M
	make_image "$temp/two" 300001
	snapshot "$temp/one"
	snapshot "$temp/two"
	cat >"$temp/table" <<-END
		image  one  one  rw
		image  two  two  rw
		slice  joined  one  4097    10001  rw
		extent         two  1       299999
		extent         one  500001  333333
	END
	mount_table "$temp/table"

	put "$mnt/joined" 9999 400000 rdwr
	cmp -i 9999:0 -n 400000 "$mnt/joined" "$temp/put"
	unmount
	cmp -i 14096:0 -n 2 "$temp/one" "$temp/put"
	cmp -i 1:2 -n 299999 "$temp/two" "$temp/put"
	cmp -i 500001:300001 -n 99999 "$temp/one" "$temp/put"
	cmp -n 14096 "$temp/one" "$temp/one.snapshot"
	cmp -i 14098 -n 485903 "$temp/one" "$temp/one.snapshot"
	cmp -i 600000 "$temp/one" "$temp/one.snapshot"
	assert_untouched "$temp/two" 1 299999
}

# bats test_tags=writethrough
@test "a write into an extent without an image gets ENOSPC" {
	make_image "$temp/disk" 64K
	snapshot "$temp/disk"
	cat >"$temp/table" <<-END
		image  disk  disk  rw
		slice  padded  disk  100  1000  rw
		extent         -     0    1000
		extent         disk  5000 1000
	END
	mount_table "$temp/table"

	for flags in rdwr wronly rdwr,direct; do
		run_errno ENOSPC -f $flags write "$mnt/padded" 1000 1
		run_errno ENOSPC -f $flags write "$mnt/padded" 1500 10
		assert_equal "$(call -f $flags write "$mnt/padded" 990 100)" 10
		assert_equal "$(call -f $flags write "$mnt/padded" 2000 10)" 10
	done
	head -c 1000 /dev/zero | cmp -i 0:1000 -n 1000 - "$mnt/padded"
	cmp -n 1090 "$temp/disk" "$temp/disk.snapshot"
	cmp -i 1100 -n 3900 "$temp/disk" "$temp/disk.snapshot"
	cmp -i 5010 "$temp/disk" "$temp/disk.snapshot"
}

@test "a read-only slice refuses to be opened for writing with EROFS" {
	make_image "$temp/disk" 64K
	snapshot "$temp/disk"
	mount_slices "$temp/disk" 'a=@100+5000,ro'

	for flags in rdwr wronly wronly,append wronly,trunc; do
		run_errno EROFS -f $flags open "$mnt/a"
	done
	cmp -i 100:0 -n 5000 "$temp/disk" "$mnt/a"
	cmp "$temp/disk" "$temp/disk.snapshot"
}

@test "an image mounted ro, and a mount with -o ro" {
	make_image "$temp/disk" 64K
	snapshot "$temp/disk"
	cat >"$temp/table" <<-END
		image  disk  disk  ro
		slice  a     disk  100  5000  ro
	END
	mount_table "$temp/table"
	run_errno EROFS -f rdwr open "$mnt/a"
	unmount

	mount_slices "$temp/disk" 'a=@100+5000' -- -o ro
	run_errno EROFS -f rdwr open "$mnt/a"
	cmp "$temp/disk" "$temp/disk.snapshot"
}

@test "an image that may only be read gives slices that may only be read" {
	make_image "$temp/disk" 64K
	chmod 0444 "$temp/disk"
	if [ "$(id -u)" -eq 0 ]; then
		# Root may write whatever the mode says; `ro` does what the mode does for others.
		mount_slices "$temp/disk" 'a=@100+5000,ro'
		run_errno EROFS -f rdwr open "$mnt/a"
	else
		mount_slices "$temp/disk" 'a=@100+5000'
		run_errno EACCES -f rdwr open "$mnt/a"
	fi
	assert_equal "$(stat -c %a "$mnt/a")" 444
	cmp -i 100:0 -n 5000 "$temp/disk" "$mnt/a"
}

@test "eight writers at once, each in its own part" {
	make_image "$temp/disk" 9M
	snapshot "$temp/disk"
	mount_slices "$temp/disk" 'a=@4097+8M'

	make_image "$temp/put" 8M
	pids=()
	for ((i = 0; i < 8; i++)); do
		dd if="$temp/put" of="$mnt/a" bs=7919 iflag=skip_bytes,count_bytes oflag=seek_bytes \
			skip="${i}M" seek="${i}M" count=1M conv=notrunc status=none 3>&- &
		pids+=("$!")
	done
	for pid in "${pids[@]}"; do
		wait "$pid"
	done
	assert_range "$temp/disk" 4097 8M "$temp/put"
	assert_untouched "$temp/disk" 4097 8M
}

@test "what write() returned for is not lost when the daemon is killed" {
	make_image "$temp/disk" 1M
	mount_slices "$temp/disk" 'a=@4097+500000'

	put "$mnt/a" 123 300000 rdwr
	kill -KILL "$(daemon_process "$mnt")"
	wait_until is_gone "${daemon_pid[$mnt]}"
	unset "daemon_pid[$mnt]"
	fusermount3 -u -z "$mnt"
	assert_range "$temp/disk" 4220 300000 "$temp/put"
}
