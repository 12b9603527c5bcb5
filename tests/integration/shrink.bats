#!/usr/bin/env bats
# SPDX-License-Identifier: MIT
#
# Somebody else truncates the image below the mount, to nothing or to the middle of a page. What is
# lost is EIO, and nothing else is; the image never grows by what fails; grown back it works again.
#
# Every test ends with recovers(), which is where most of this is checked.

# shellcheck source-path=SCRIPTDIR source=../lib/common.bash
source "$BATS_TEST_DIRNAME/../lib/common.bash"

setup() {
	common_setup
	# Where the slices begin in the image "disk". `middle` goes through the kernel's page cache, and
	# none of its pages is one of the image; `left` and `right` each share a byte
	# with `seam`: aliases, and direct.
	declare -gA start=([first]=0 [middle]=65636 [read_only]=3276800 [left]=3407872
		[right]=4907873 [joined]=5505024 [tail]=5767168)
	make_image "$temp/disk" 6M
	make_image "$temp/other" 1M
	# What the images have to hold in the end.
	cp "$temp/disk" "$temp/disk.want"
	cp "$temp/other" "$temp/other.want"
	cat >"$temp/table" <<-END
		image  disk       disk  rw
		image  other      other rw
		slice  first      disk  ${start[first]}      64K     rw
		slice  middle     disk  ${start[middle]}     3145731 rw
		slice  read_only  disk  ${start[read_only]}  100000  ro
		slice  left       disk  ${start[left]}       1500001 rw
		slice  right      disk  ${start[right]}      500000  rw
		slice  seam       disk  $((start[right] - 1)) 2      rw
		slice  joined     disk  ${start[joined]}     100001  rw
		extent            other 512K                 50000
		slice  tail       disk  ${start[tail]}       -       rw
		slice  other      other 0                    256K    rw
	END
	mount_table "$temp/table"
	image_size=6291456
	process=$(stat_value pid)
}

# With nothing in the kernel's page cache; handles that are open keep what they have in there.
mount_anew() {
	remount
	process=$(stat_value pid)
}

# lose SLICE HELD: the image ends behind HELD bytes of the slice; for HELD 0 nothing of it is left.
lose() {
	held=$2
	image_size=0
	[ "$held" -eq 0 ] || image_size=$((start[$1] + held))
	truncate -s "$image_size" "$temp/disk"
}

assert_image_size() {
	assert_equal "$(stat -c %s "$temp/disk")" "$image_size"
}

# The image grows back by its own bytes, in order.
grow_back() {
	assert_image_size
	tail -c +$((image_size + 1)) "$temp/disk.want" >>"$temp/disk"
	image_size=$(stat -c %s "$temp/disk.want")
}

# assert_held IMAGE SLICE OFFSET: the whole slice reads as it should
assert_held() {
	cut_out "$temp/$1.want" "$3" "$(stat -c %s "$mnt/$2")" "$temp/held"
	cmp "$temp/held" "$mnt/$2"
}

# The rest of the mount has not taken part; and the image, grown back, is what it has to be.
recovers() {
	local slice

	put other other 1000 5000
	call -f rdwr fsync "$mnt/other" >/dev/null
	assert_held other other 0
	if [ "$image_size" -ge 65536 ]; then
		put disk first 3000 5000
		call -f rdwr fsync "$mnt/first" >/dev/null
		assert_held disk first 0
	fi
	grow_back
	assert_held disk read_only "${start[read_only]}"
	cmp "$temp/disk" "$temp/disk.want"
	cmp "$temp/other" "$temp/other.want"
	for slice in first middle left right tail; do
		assert_held disk "$slice" "${start[$slice]}"
		call -f rdwr fsync "$mnt/$slice" >/dev/null
	done
	assert_equal "$(stat_value pid)" "$process"
}

# put IMAGE SLICE OFFSET LENGTH: a write that succeeds
put() {
	assert_equal "$(call write "$mnt/$2" "$3" "$4" x)" "$4"
	wanted "$1" "$2" "$3" "$4"
}

# wanted IMAGE SLICE OFFSET LENGTH: so many bytes were written there
wanted() {
	call write "$temp/$1.want" $((${start[$2]:-0} + $3)) "$4" x >/dev/null
}

# assert_read FILE SLICE OFFSET LENGTH WANTED: so many bytes come, and they are the right ones
assert_read() {
	assert_equal "$(call -o "$temp/got" read "$1" "$3" "$4")" "$5"
	assert_range "$temp/disk.want" $((start[$2] + $3)) "$5" "$temp/got"
}

# A cached reader has lost the whole of its page that the end lies in.
assert_reads_cached() {
	local file=$1 slice=$2 size=$3 page=$((held / 4096 * 4096)) offset before

	for ((offset = page; offset < size; offset += 77 * 4096)); do
		run_errno EIO read "$file" "$offset" 1
		run_errno EIO read "$file" "$offset" 300000
	done
	run_errno EIO read "$file" $((size - 1)) 1
	for before in 1 10001 "$page"; do
		[ "$page" -eq 0 ] || assert_read "$file" "$slice" $((page - before)) 2M "$before"
	done
}

assert_reads_direct() {
	local file=$1 slice=$2 size=$3 offset

	for ((offset = held; offset < size; offset += 77777)); do
		run_errno EIO read "$file" "$offset" 1
		run_errno EIO read "$file" "$offset" 300000
	done
	run_errno EIO read "$file" $((size - 1)) 1
	[ "$held" -eq 0 ] || assert_read "$file" "$slice" 0 1500001 "$held"
	[ "$held" -eq 0 ] || assert_read "$file" "$slice" $((held - 1)) 2 1
}

# --- readers -------------------------------------------------------------------------------------

@test "a cached reader gets EIO for the pages that are lost, and the others" {
	for held in 0 1500001; do
		mount_anew
		exec {before}<"$mnt/middle"
		lose middle "$held"
		assert_reads_cached "fd:$before" middle 3145731
		assert_reads_cached "$mnt/middle" middle 3145731
		recovers
		assert_read "fd:$before" middle 1400000 300000 300000
		exec {before}<&-
	done
}

@test "a direct reader gets what comes before the new end, then EIO" {
	for held in 0 700001; do
		exec {before}<"$mnt/left"
		lose left "$held"
		assert_reads_direct "fd:$before" left 1500001
		assert_reads_direct "$mnt/left" left 1500001
		run_errno EIO read "$mnt/right"
		recovers
		assert_read "fd:$before" left 0 1M 1048576
		exec {before}<&-
	done
}

@test "O_DIRECT gets EIO for what touches the lost part, and the rest" {
	for held in 0 1500001; do
		lose middle "$held"
		for offset in "$held" $((held + 1)) 2000000 3145730; do
			run_errno EIO -f rdonly,direct read "$mnt/middle" "$offset" 4096
		done
		if [ "$held" -gt 0 ]; then
			call -f rdonly,direct -o "$temp/got" read "$mnt/middle" 4096 $((held - 4096))
			assert_range "$temp/disk.want" $((65636 + 4096)) $((held - 4096)) "$temp/got"
		fi
		recovers
	done
}

@test "a cached page that is lost is read anew by the next open, not taken for held" {
	cmp -n 3145731 "$mnt/middle" <(tail -c +65637 "$temp/disk.want")
	lose middle 1500001
	assert_reads_cached "$mnt/middle" middle 3145731
	recovers
}

@test "a read-only slice" {
	for held in 0 30001; do
		lose read_only "$held"
		assert_reads_cached "$mnt/read_only" read_only 100000
		recovers
	done
}

@test "an extent that is lost, before another that is not" {
	lose joined 50001
	run_errno EIO read "$mnt/joined" 53248 100
	run_errno EIO read "$mnt/joined" 100000 100
	call -o "$temp/got" read "$mnt/joined" 102400 100000
	assert_range "$temp/other.want" $((524288 + 2399)) 47601 "$temp/got"
	run_errno EIO -f rdwr write "$mnt/joined" 99991 20
	assert_equal "$(call -f rdwr write "$mnt/joined" 100001 20 x)" 20
	call write "$temp/other.want" 512K 20 x
	recovers
}

@test "more extents than one reply has room for" {
	unmount
	{
		echo "image disk disk rw"
		echo "slice many disk 5500001 100 rw"
		for ((i = 1; i < 1000; i++)); do
			echo "extent disk $((5500001 + i * 150)) 100"
		done
		echo "slice other disk 0 4K rw"
	} >"$temp/many.table"
	mount_table "$temp/many.table"
	cat "$mnt/many" >"$temp/many"

	truncate -s $((5500001 + 700 * 150 + 50)) "$temp/disk"
	run_errno EIO read "$mnt/many" 69632 4096
	run_errno EIO read "$mnt/many" 99999 1
	call -o "$temp/got" read "$mnt/many" 0 69632
	cmp -n 69632 "$temp/got" "$temp/many"
	call -f rdonly,direct -o "$temp/got" read "$mnt/many" 10 60000
	cmp -i 0:10 -n 60000 "$temp/got" "$temp/many"
	run_errno EIO -f rdonly,direct read "$mnt/many" 10 80000
	assert_equal "$(call read "$mnt/other")" 4096
	image_size=$(stat -c %s "$temp/disk")
	grow_back
	cmp "$temp/many" "$mnt/many"
}

# --- writers -------------------------------------------------------------------------------------

# assert_writes SLICE FLAGS...: at and behind the new end EIO, over it what fits
assert_writes() {
	local slice=$1 flags size before

	for flags in "${@:2}"; do
		for size in 1 4096 65535 65536 1100000; do
			for offset in "$held" $((held + 1)) $((held + 5000)) $((held + 300000)); do
				run_errno EIO -f "$flags" write "$mnt/$slice" "$offset" "$size" x
			done
			assert_image_size
			before=$((size / 2))
			if [ "$before" -gt 0 ] && [ "$held" -gt 0 ]; then
				offset=$((held - before))
				assert_equal "$(call -f "$flags" write "$mnt/$slice" "$offset" "$size" x)" \
					"$before"
				wanted disk "$slice" "$offset" "$before"
				assert_image_size
			fi
		done
	done
}

@test "a write-only writer" {
	for held in 0 1500001; do
		lose middle "$held"
		assert_writes middle wronly wronly,dsync wronly,direct
		recovers
	done
}

@test "a cached writer" {
	for held in 0 1500001; do
		lose middle "$held"
		assert_writes middle rdwr rdwr,sync rdwr,direct
		recovers
	done
}

@test "a writer of an alias" {
	for held in 0 700001; do
		lose left "$held"
		assert_writes left wronly rdwr rdwr,sync rdwr,direct
		run_errno EIO write "$mnt/right" 0 1
		recovers
	done
}

@test "a writer into pages that were written just before" {
	for slice in middle left; do
		for held in 0 700001; do
			for ((offset = 600001; offset < 800000; offset += 50000)); do
				put disk "$slice" "$offset" 50000
			done
			lose "$slice" "$held"
			assert_writes "$slice" wronly rdwr
			recovers
		done
	done
}

@test "what a cached writer could not write is not read afterwards" {
	lose middle 1500001
	/usr/bin/python3 - "$mnt/middle" "$temp/disk" "$temp/disk.want" <<-'END'
		import errno, os, sys
		slice_path, image, want = sys.argv[1:]
		right = open(want, "rb").read()
		size = os.stat(image).st_size
		def append(): # the image grows back
		    with open(image, "ab") as file:
		        file.write(right[size:])
		for warm in (False, True):
		    append()
		    fd = os.open(slice_path, os.O_RDWR)
		    for at in range(1490944, 1600000, 4096) if warm else ():
		        os.pread(fd, 4096, at)
		    os.truncate(image, size)
		    for at in (1500001, 1500100, 1503232, 1550000):
		        try:
		            os.pwrite(fd, b"?" * 3000, at)
		            sys.exit("written")
		        except OSError as error:
		            assert error.errno == errno.EIO, error
		        try: # from the cache, where it was in there before
		            assert os.pread(fd, 5000, at) == right[65636 + at:65636 + at + 5000], at
		        except OSError as error:
		            assert error.errno == errno.EIO, error
		    os.close(fd)
	END
	recovers
}

# --- mappings ------------------------------------------------------------------------------------

@test "a load from a mapping of what is lost raises SIGBUS" {
	for held in 0 1500001; do
		lose middle "$held"
		for offset in $((held + 1)) $((held + 10000)) 3145730; do
			run_errno SIGBUS mmap shared "$mnt/middle" "$offset" 1
			run_errno SIGBUS mmap private "$mnt/middle" "$offset" 1
		done
		if [ "$held" -gt 0 ]; then
			call -o "$temp/got" mmap shared "$mnt/middle" 0 1499136
			assert_range "$temp/disk.want" 65636 1499136 "$temp/got"
		fi
		recovers
	done
}

@test "a load from a private mapping of an alias" {
	for held in 0 700001; do
		lose left "$held"
		run_errno SIGBUS mmap private "$mnt/left" $((held + 10000)) 1
		run_errno SIGBUS mmap private "$mnt/left" $((held + 1)) 1
		recovers
	done
}

@test "a store into what is lost is an error of msync" {
	for held in 0 1500001; do
		/usr/bin/python3 - "$mnt/middle" "$temp/disk" "$held" <<-'END'
			import errno, mmap, os, sys
			path, image, held = sys.argv[1], sys.argv[2], int(sys.argv[3])
			def fails(view, offset, length):
			    try:
			        view.flush(offset, min(length, len(view) - offset))
			        sys.exit("msync of %d+%d succeeds" % (offset, length))
			    except OSError as error:
			        assert error.errno == errno.EIO, error
			fd = os.open(path, os.O_RDWR)
			view = mmap.mmap(fd, 3145731)
			sum(view[::4096])
			size = 65636 + held if held else 0
			os.truncate(image, size)
			for at in (held, held + 4000, held + 70000, 3145730):
			    view[at] = ord("?")
			    fails(view, at // 4096 * 4096, 4096)
			    assert os.stat(image).st_size == size
			view[held + 9000] = ord("?")
			try:
			    os.fsync(fd)
			    sys.exit("fsync succeeds")
			except OSError as error:
			    assert error.errno == errno.EIO, error
			assert os.stat(image).st_size == size
		END
		image_size=$((held > 0 ? 65636 + held : 0))
		recovers
		# That stores got lost is told once more.
		refute timeout 60 "$MMAPFS" umount "$mnt"
		daemon_reap "$mnt"
		start_mmapfs "${last_start[@]}"
		process=$(stat_value pid)
	done
}

@test "a store into a page before that of the new end reaches the image" {
	/usr/bin/python3 - "$mnt/middle" "$temp/disk" <<-'END'
		import mmap, os, sys
		path, image = sys.argv[1:]
		with open(path, "r+b") as file:
		    view = mmap.mmap(file.fileno(), 3145731)
		    sum(view[::4096])
		    os.truncate(image, 65636 + 1500001)
		    for at in (0, 1000000, 1499000):
		        view[at] = ord("x")
		        try:
		            view.flush(at // 4096 * 4096, 4096)
		        except OSError:
		            pass
		    with open(image, "rb") as check:
		        for at in (0, 1000000, 1499000):
		            check.seek(65636 + at)
		            assert check.read(1) == b"x", at
	END
	image_size=$((65636 + 1500001))
	for offset in 0 1000000 1499000; do
		wanted disk middle "$offset" 1
	done
	recovers
}

# --- the other calls -----------------------------------------------------------------------------

@test "copy_file_range from what is lost" {
	for held in 0 700001; do
		for slice in middle left; do
			lose "$slice" "$held"
			for offset in "$held" $((held + 1)) $((held + 400000)); do
				run_errno EIO copy_file_range "$mnt/$slice" "$offset" "$mnt/other" 0 100000
			done
			if [ "$held" -gt 0 ]; then
				from=$((held - 50000))
				got=$(call copy_file_range "$mnt/$slice" "$from" "$mnt/other" 7 200000)
				assert_equal "$got" 50000
				cut_out "$temp/disk.want" $((start[$slice] + from)) 50000 |
					call write "$temp/other.want" 7 -
			fi
			recovers
		done
	done
}

@test "copy_file_range into what is lost" {
	for held in 0 700001; do
		for slice in middle left; do
			lose "$slice" "$held"
			for offset in "$held" $((held + 1)) $((held + 400000)); do
				run_errno EIO copy_file_range "$mnt/other" 0 "$mnt/$slice" "$offset" 100000
			done
			assert_image_size
			if [ "$held" -gt 0 ]; then
				to=$((held - 50000))
				got=$(call copy_file_range "$mnt/other" 7 "$mnt/$slice" "$to" 200000)
				assert_equal "$got" 50000
				cut_out "$temp/other.want" 7 50000 |
					call write "$temp/disk.want" $((start[$slice] + to)) -
			fi
			recovers
		done
	done
}

@test "fallocate of what is lost" {
	for held in 0 700001; do
		for slice in middle left; do
			lose "$slice" "$held"
			for mode in default keep_size punch_hole zero_range zero_range,keep_size; do
				for offset in "$held" $((held + 1)) $((held + 200000)); do
					run_errno EIO fallocate "$mnt/$slice" "$mode" "$offset" 100000
				done
				assert_image_size
			done
			recovers
		done
	done
}

@test "fsync of a writable slice that its image does not hold is EIO, and of others not" {
	for held in 0 700001; do
		for slice in middle left; do
			exec {before}<>"$mnt/$slice"
			lose "$slice" "$held"
			for sync in fsync fdatasync; do
				run_errno EIO "$sync" "fd:$before"
				run_errno EIO -f rdwr "$sync" "$mnt/$slice"
				run_errno EIO -f wronly "$sync" "$mnt/$slice"
				run_errno EIO -f rdwr "$sync" "$mnt/right"
				call -f rdwr "$sync" "$mnt/other"
				call "$sync" "$mnt/read_only"
				call -f rdwr "$sync" "$mnt/tail"
			done
			assert_image_size
			recovers
			call fsync "fd:$before"
			call -f rdwr fsync "$mnt/$slice"
			exec {before}<&-
		done
	done
}

@test "a tail slice ends where its image ends" {
	exec {before}<>"$mnt/tail"
	for image_size in 0 5767167 5767168 5770001 6000000; do
		truncate -s "$image_size" "$temp/disk"
		size=$((image_size > 5767168 ? image_size - 5767168 : 0))
		assert_equal "$(call stat "$mnt/tail" size)" "$size"
		assert_equal "$(call stat "fd:$before" size)" "$size"
		assert_equal "$(call seek_end "fd:$before" 0)" "$size"
		for file in "fd:$before" "$mnt/tail"; do
			assert_equal "$(call read "$file" "$size" 4096)" 0
			assert_read "$file" tail 0 1M "$size"
			run_errno ENOSPC write "$file" "$size" 1
		done
		assert_image_size
		recovers
		assert_equal "$(call stat "$mnt/tail" size)" 524288
	done
	exec {before}<&-
}
