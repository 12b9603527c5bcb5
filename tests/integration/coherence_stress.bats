#!/usr/bin/env bats
# SPDX-License-Identifier: MIT
#
# Several processes write and read the same bytes through many slices and by all ways to open them:
# a read that begins when a write has returned sees it. (coherence_stress.c says how it knows.)

# shellcheck source-path=SCRIPTDIR source=../lib/common.bash
source "$BATS_TEST_DIRNAME/../lib/common.bash"

size=$((256 * 1024)) # of what is written to; behind it the image may grow and shrink

setup() {
	common_setup
	make_image "$temp/disk" 320K
	snapshot "$temp/disk"
}

# stress OPTION... WAYS:FILE:EXTENTS...; afterwards the image holds what was written
stress() {
	timeout 110 "$(helper coherence_stress)" --seed "$seed" --size "$size" --dump "$temp/model" "$@"
	cmp -n "$(stat -c %s "$temp/model")" "$temp/model" "$temp/disk"
}

# stress_aliases OPTION...
stress_aliases() {
	local all=ruwyRUW

	cat >"$temp/table" <<-END
		image  disk    disk  rw
		slice  whole   disk  0       256K    rw
		slice  first   disk  0       98304   rw
		slice  second  disk  98304   100001  rw
		slice  third   disk  198305  63839   rw
		slice  odd     disk  12345   200001  rw
		slice  joined  disk  150001  70003   rw
		extent         disk  4096    60000
		extent         disk  100     3000
		extent         -     0       5000
		extent         disk  250000  12144
		slice  view    disk  0       200000  ro
		slice  tail    disk  77777   -       rw
		slice  grow    disk  131072  -       rw,resize
	END
	mount_table "$temp/table"
	stress "$@" --operations 15000 --resize "$mnt/grow" "ruw:$temp/disk:0+$size" "$all:$mnt/whole:0+$size" \
		"$all:$mnt/first:0+98304" "$all:$mnt/second:98304+100001" "$all:$mnt/third:198305+63839" \
		"$all:$mnt/odd:12345+200001" "rR:$mnt/view:0+200000" "$all:$mnt/tail:77777+184367" \
		"$all:$mnt/grow:131072+131072" \
		"$all:$mnt/joined:150001+70003,4096+60000,100+3000,$size+5000,250000+12144"
	unmount
	cmp -n "$(stat -c %s "$temp/model")" "$temp/model" "$temp/disk"
}

@test "many slices over the same bytes, page by page" {
	stress_aliases --record 64
}

@test "many slices over the same bytes, with records across pages" {
	stress_aliases --record 97
}

# stress_one CACHE WAYS: one slice, which goes through the kernel's page cache
stress_one() {
	mount_slices "$temp/disk" 'a=@12345+200001' -- -o "cache=$1"
	stress --record 97 --processes 4 --operations 15000 "r:$temp/disk:0+$size" \
		"$2:$mnt/a:12345+200001"
	unmount
	cmp -n "$(stat -c %s "$temp/model")" "$temp/model" "$temp/disk"
	cmp -i "$size" "$temp/disk" "$temp/disk.snapshot"
}

# bats test_tags=writethrough
@test "one slice, cached, which is opened and closed in all ways at all times" {
	for cache in auto none always; do
		stress_one "$cache" ruwyRUWl
	done
}

@test "a few pages of a cached slice that everybody is at" {
	size=16384
	mount_slices "$temp/disk" 'a=@0+16K'
	stress --record 97 --processes 4 --operations 40000 "ruwRUWl:$mnt/a:0+16384"
}

# Stores reach the image at msync, so they cannot be looked for there, and mixing them with O_DIRECT
# is what open(2) warns of.
@test "one slice, cached, with stores through mappings" {
	for cache in auto none always; do
		mount_slices "$temp/disk" 'a=@0+256K' -- -o "cache=$cache"
		stress --record 97 --processes 4 --operations 15000 "ruwls:$mnt/a:0+$size"
		unmount
		cmp -n "$(stat -c %s "$temp/model")" "$temp/model" "$temp/disk"
		cmp -i "$size" "$temp/disk" "$temp/disk.snapshot"
	done
}

@test "a cached tail that is resized meanwhile" {
	mount_slices "$temp/disk" 'tail=@12345,resize'
	stress --record 97 --processes 4 --operations 15000 --resize "$mnt/tail" \
		"r:$temp/disk:0+$size" "ruwRUWl:$mnt/tail:12345+$((size - 12345))"
}

# The stress itself: two copies are not the same bytes.
@test "the stress passes on one file, and fails on two" {
	stress --operations 500 "ruwls:$temp/disk:0+$size"
	run stress --operations 500 "ruw:$temp/disk:0+$size" "r:$temp/disk.snapshot:0+$size"
	assert_equal "$status" 1
	[[ $output == *'seed'*'had been written'*'stale: '* ]]
}
