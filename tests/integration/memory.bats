#!/usr/bin/env bats
# SPDX-License-Identifier: MIT
#
# Memory policies, by what they do to the page caches and to the daemon; and images in memory.

# shellcheck source-path=SCRIPTDIR source=../lib/common.bash
source "$BATS_TEST_DIRNAME/../lib/common.bash"

# Only a disk's page cache can be dropped.
setup() {
	common_setup
	disk=$temp
	if [ "$(stat -f -c %T "$temp")" = tmpfs ]; then
		disk=$(mktemp -d /var/tmp/mmapfs-test.XXXXXX)
	fi
	image=$disk/image
}

teardown() {
	local result=0

	common_teardown || result=1
	[ "$disk" = "$temp" ] || rm -rf --one-file-system "$disk"
	return "$result"
}

# make_cold_image SIZE: its pages are on the disk, and only there
make_cold_image() {
	make_image "$image" "$1"
	make_cold
}

make_cold() {
	sync "$image"
	dd if="$image" iflag=nocache count=0 status=none
}

# resident FILE: its bytes in the page cache
resident() {
	fincore -b -n -o RES "$1" | tr -d ' '
}

resident_at_least() {
	[ "$(resident "$1")" -ge "$(bytes "$2")" ]
}

resident_at_most() {
	[ "$(resident "$1")" -le "$(bytes "$2")" ]
}

# status_of NAME: a line of the daemon's /proc/PID/status, in KiB
status_of() {
	awk -v name="$1:" '$1 == name { print $2 }' "/proc/$(daemon_process "$mnt")/status"
}

# refused MESSAGE ARGUMENT...: the mount fails and says so
refused() {
	local message=$1

	shift
	run timeout 20 "$MMAPFS" mount -f "$@" "$mnt"
	assert_equal "$status" 1
	assert_equal "$output" "$message"
	refute is_mounted "$mnt"
}

# --- drop-behind ---------------------------------------------------------------------------------

@test "drop-behind: what was streamed is in neither page cache" {
	make_image "$image" 48M
	sync "$image"
	mount_slices "$image" 'a=@12345+40M,drop-behind' 'b=@44M+1M'

	assert_range "$image" 12345 40M "$mnt/a"
	wait_until resident_at_most "$image" 9M # the 8 MiB around it, and a page
	assert_equal "$(resident "$mnt/a")" 0
	cat "$mnt/b" >/dev/null
	wait_until is_cached "$mnt/b"
	assert_range "$image" 12345 40M "$mnt/a"
}

@test "drop-behind: the stream is dropped while it flows" {
	make_image "$image" 48M
	sync "$image"
	mount_slices "$image" 'a=@0,drop-behind'

	exec 8<"$mnt/a"
	dd bs=64K count=704 of=/dev/null status=none <&8
	wait_until resident_at_most "$image" 17M # 4 MiB that are not read yet, 12 behind
	dd bs=64K <&8 2>/dev/null | cmp -i 0:46137344 - "$image"
	exec 8<&-
	wait_until resident_at_most "$image" 1M
}

@test "drop-behind: what was written leaves with fsync, and is all there" {
	make_image "$image" 32M
	make_image "$temp/new" 24M
	mount_slices "$image" 'a=@4M+24M,drop-behind'

	dd if="$temp/new" of="$mnt/a" bs=1M conv=notrunc,fsync status=none
	wait_until resident_at_most "$image" 9M
	assert_equal "$(resident "$mnt/a")" 0
	assert_range "$image" 4M 24M "$temp/new"
	cmp "$mnt/a" "$temp/new"
}

# An open drops what is cached of such a file, so this looks through a mapping that is there before.
@test "drop-behind: what sendfile leaves behind goes with the close" {
	make_image "$image" 1M
	mount_slices "$image" 'a=@0,drop-behind'

	python3 - "$mnt/a" "$temp/sent" <<-'END'
		import ctypes, mmap, os, sys, time
		size = os.path.getsize(sys.argv[1])
		keeper = os.open(sys.argv[1], os.O_RDONLY)
		mapped = mmap.mmap(keeper, size, mmap.MAP_PRIVATE, mmap.PROT_READ | mmap.PROT_WRITE)
		start = ctypes.c_void_p(ctypes.addressof(ctypes.c_char.from_buffer(mapped)))

		def resident():
		    vector = (ctypes.c_ubyte * (size // mmap.PAGESIZE))()
		    assert ctypes.CDLL(None).mincore(start, ctypes.c_size_t(size), vector) == 0
		    return sum(byte & 1 for byte in vector)

		source = os.open(sys.argv[1], os.O_RDONLY)
		target = os.open(sys.argv[2], os.O_WRONLY | os.O_CREAT)
		while os.sendfile(target, source, None, 1 << 20):
		    pass
		assert resident() > 0
		os.close(source)
		for _ in range(500):
		    if resident() == 0:
		        sys.exit(0)
		    time.sleep(0.02)
		sys.exit(1)
	END
	cmp "$temp/sent" "$image"
}

@test "drop-behind: locked memory stays" {
	make_cold_image 48K
	mount_slices "$image" 'a=@0,drop-behind,lock-memory'

	cat "$mnt/a" >/dev/null
	cat "$mnt/a" >/dev/null
	resident_at_least "$image" 48K
	assert_equal "$(status_of VmLck)" 48
}

# --- populate, lock-memory -----------------------------------------------------------------------

@test "populate: a slice is in memory and in the mapping when the mount answers" {
	make_cold_image 24M
	mount_slices "$image" 'a=@8M+8M,populate' 'b=@0+4K'

	resident_at_least "$image" 8M
	[ "$(status_of RssFile)" -ge 8192 ]
	assert_range "$image" 8M 8M "$mnt/a"
}

@test "populate: -o populate is for all slices, but those that say otherwise" {
	make_cold_image 12M
	mount_slices "$image" 'a=@0+4M' 'b=@4M+8M,populate=off' -- -o populate

	[ "$(status_of RssFile)" -ge 4096 ]
	unmount
	make_cold
	mount_slices "$image" 'a=@0+4M,populate=off' 'b=@4M+8M,populate=off' -- -o populate
	resident_at_most "$image" 1M
}

@test "populate: more than the memory that is available is refused" {
	cat >"$temp/table" <<-'END'
		image m memory size=4T,populate
		slice a m 0 -
	END
	run timeout 20 "$MMAPFS" mount -f --table "$temp/table" "$mnt"
	assert_equal "$status" 1
	[[ $output =~ ^'mmapfs: populate: wants 4T of memory, and '[0-9.]+[KMGT]' are available'$ ]]
	refute is_mounted "$mnt"
}

@test "populate: of a sparse image only what has data counts" {
	make_sparse "$image" 1T
	make_image "$temp/data" 1M
	dd if="$temp/data" of="$image" bs=1M oflag=seek_bytes seek=512G conv=notrunc status=none
	make_cold
	mount_slices "$image" 'a=@0,populate'

	resident_at_least "$image" 1M
	[ "$(status_of RssFile)" -ge 1024 ]
}

@test "lock-memory: exactly the slice's pages are locked" {
	make_cold_image 2M
	mount_slices "$image" 'a=@1048577+32K,lock-memory' 'b=@0+4K'

	assert_equal "$(status_of VmLck)" 36
	resident_at_least "$image" 36K
	assert_range "$image" 1048577 32K "$mnt/a"
}

@test "lock-memory: past RLIMIT_MEMLOCK the mount is refused, and the limit named" {
	local -a limited=(prlimit --memlock=65536:65536)

	# root may lock what it likes, unless it gives that up
	[ "$(id -u)" -ne 0 ] || limited+=(setpriv --bounding-set=-ipc_lock)
	make_image "$image" 1M
	run timeout 20 "${limited[@]}" "$MMAPFS" mount -f -s "a=@0+128K,lock-memory" "$image" "$mnt"
	assert_equal "$status" 1
	assert_equal "$output" \
		'mmapfs: lock-memory: wants 128K, and RLIMIT_MEMLOCK permits 64K: see ulimit -l'
	refute is_mounted "$mnt"
}

# --- advice --------------------------------------------------------------------------------------

@test "advice=random: what is asked for is read from the disk, and no more" {
	make_cold_image 24M
	mount_slices "$image" 'a=@0,advice=random'

	for ((i = 1; i < 20; i++)); do
		dd if="$mnt/a" bs=64K count=1 iflag=direct,skip_bytes skip=$((i * 1234944)) \
			of="$temp/read.$i" status=none
	done
	resident_at_most "$image" $((19 * 68))K
	for ((i = 1; i < 20; i++)); do
		cmp -n 65536 -i 0:$((i * 1234944)) "$temp/read.$i" "$image"
	done
}

@test "advice=willneed: all of a slice is read when it is opened" {
	make_cold_image 24M
	mount_slices "$image" 'a=@4M+16M,advice=willneed' 'small=@22M+64K,advice=willneed'

	exec 8<"$mnt/small"
	wait_until resident_at_least "$image" 64K
	exec 8<&- 9<"$mnt/a"
	wait_until resident_at_least "$image" 16M
	exec 9<&-
	assert_range "$image" 4M 16M "$mnt/a"
}

@test "advice=sequential: streams of all sizes read right, at their ends, too" {
	make_cold_image 14M
	mount_slices "$image" 'a=@4097+12345678,advice=sequential,hugepages' 'b=@13M,advice=sequential'

	for size in 5000 128K 1M 8M; do
		make_cold
		dd if="$mnt/a" bs="$size" status=none | cmp -i 0:4097 -n 12345678 - "$image"
		dd if="$mnt/b" bs="$size" iflag=direct status=none | cmp -i 0:13631488 - "$image"
	done
}

# --- who goes before whom ------------------------------------------------------------------------

@test "a slice goes before its image, and that before the command line" {
	make_image "$image" 1M
	cp "$image" "$disk/other"
	cat >"$temp/table" <<-END
		image image $image rw,drop-behind=off
		image other $disk/other rw
		slice kept image 0 64K rw
		slice dropped image 64K 64K rw,drop-behind
		slice by-default other 0 64K rw
		slice exempt other 64K 64K rw,drop-behind=off
	END
	mount_table "$temp/table" -o drop-behind

	cat "$mnt/kept" "$mnt/exempt" >/dev/null
	wait_until is_cached "$mnt/kept"
	wait_until is_cached "$mnt/exempt"
	cat "$mnt/dropped" "$mnt/by-default" >/dev/null
	[ "$(reads_of cat "$mnt/dropped")" -gt 0 ]
	[ "$(reads_of cat "$mnt/by-default")" -gt 0 ]
}

@test "plan and the mounted table say the same, and can be mounted again" {
	make_image "$image" 1M
	cat >"$temp/table" <<-END
		image   image   $image ro,advice=random,hugepages
		image   scratch memory rw,size=1G,hugepages,populate=off
		slice   a image             0        64K ro,advice=normal,populate,lock-memory=off
		slice   b scratch           0          - rw,drop-behind
	END
	"$MMAPFS" plan --table "$temp/table" >"$temp/planned"
	"$MMAPFS" plan --table "$temp/planned" | cmp - "$temp/planned"
	diff -b "$temp/table" "$temp/planned"
	expect_hugepages_note scratch
	mount_table "$temp/planned"
	cmp "$mnt/.mmapfs/table" "$temp/planned"
	assert_equal "$("$MMAPFS" plan -j --table "$temp/table" |
		jq -c '[.images[], .slices[]] | map(.memory)')" \
		'["advice=random,hugepages","hugepages,populate=off","advice=normal,populate,lock-memory=off","drop-behind"]'
}

@test "bad memory options are refused, each in its place" {
	make_image "$image" 1M
	refused "mmapfs: option 'advice': bad value 'rand', wants normal|sequential|random|willneed" \
		-o advice=rand "$image" || [ "$status" -eq 2 ]
	cat >"$temp/table" <<-END
		image   a $image advice=always
		image   b $image populate=maybe
		slice   c - 0 1 ro,huge
		directory d populate
	END
	run "$MMAPFS" plan --table "$temp/table"
	assert_equal "$status" 1
	assert_equal "$output" "mmapfs: $temp/table:1: image option 'advice=always': bad value
mmapfs: $temp/table:2: image option 'populate=maybe': bad value
mmapfs: $temp/table:3: unknown slice option 'huge'
mmapfs: $temp/table:4: memory options are for images and slices"
}

@test "two names of one file want the same options" {
	make_image "$image" 1M
	printf 'image a %s rw,populate\nimage b %s rw\nslice s a 0 1\nslice t b 1 1\n' \
		"$image" "$image" >"$temp/table"
	refused "mmapfs: $temp/table:2: image 'b': the same file as image 'a'; give both the same options" \
		--table "$temp/table"
}
