#!/usr/bin/env bats
# SPDX-License-Identifier: MIT
#
# Somebody else truncates the image and grows it back, again and again, under load. shrinker.c says
# what is right then.

# shellcheck source-path=SCRIPTDIR source=../lib/common.bash
source "$BATS_TEST_DIRNAME/../lib/common.bash"

setup() {
	common_setup
	make_image "$temp/disk" 300001
	make_image "$temp/other" 300001
	cp "$temp/disk" "$temp/disk.want"
	cat >"$temp/table" <<-END
		image  disk      disk  rw
		image  other     other rw
		slice  a         disk  33     100100 rw
		slice  b         disk  102400 77777  rw
		slice  left      disk  184320 50001  rw
		slice  right     disk  234321 65680  rw
		slice  seam      disk  234320 2      rw
		slice  a.copy    other 4096   110000 rw
		slice  left.copy other 131072 60000  rw
		slice  other     other 262144 30000  rw
	END
	mount_table "$temp/table"
	process=$(stat_value pid)
	# Linux (seen on 6.18) sends no copies any more when the first two come at the same time.
	call copy_file_range "$mnt/a" 0 "$mnt/a.copy" 0 1 >/dev/null
	shrinker=$(helper shrinker)
	a=$mnt/a:33:100100
	b=$mnt/b:102400:77777
	left=$mnt/left:184320:50001
	right=$mnt/right:234321:65680
}

# load WORKER...: all the answers are right, and all is as before in the end.
load() {
	local name

	"$shrinker" "$temp/disk" "$temp/disk.want" 2000 "$seed" "$@"
	assert_equal "$(stat_value pid)" "$process"
	cmp "$temp/disk" "$temp/disk.want"
	for name in a b left right other; do
		call -f rdwr fsync "$mnt/$name"
	done
	cmp -i 33:0 -n 100100 "$temp/disk.want" "$mnt/a"
	cmp -i 102400:0 -n 77777 "$temp/disk.want" "$mnt/b"
	cmp -i 184320:0 -n 50001 "$temp/disk.want" "$mnt/left"
	cmp -i 262144:0 -n 30000 "$temp/other" "$mnt/other"
}

@test "cached readers" {
	load "cached:$a" "cached:$b" "cached:$a" "cached:$b"
}

@test "direct readers" {
	load "direct:$left" "direct:$right" "direct:$left" "direct:$right"
}

@test "mappings" {
	load "map:$a" "map:$b" "map:$a" "map:$b"
}

@test "write-only writers" {
	load "write:$a" "write:$b" "write:$left" "write:$right"
}

@test "cached writers that flush" {
	load "update:$a" "update:$b" "update:$a" "update:$b"
}

@test "copies" {
	load "copy:$a" "copy:$left"
}

@test "all of them at once" {
	load "cached:$a" "direct:$left" "map:$b" "copy:$a" "write:$right" "update:$b"
}
