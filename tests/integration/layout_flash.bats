#!/usr/bin/env bats
# SPDX-License-Identifier: MIT
#
# Flash images. The maps are made by coreboot's tools and read by vboot's; mtdparts are only text.

# shellcheck source-path=SCRIPTDIR source=../lib/common.bash
source "$BATS_TEST_DIRNAME/../lib/common.bash"
# shellcheck source-path=SCRIPTDIR source=../lib/cli.bash
source "$BATS_TEST_DIRNAME/../lib/cli.bash"

setup() {
	cli_setup
	PATH=$PATH:/usr/sbin # of coreboot's tools
}

# make_flash FILE: 1 MiB of firmware with two CBFS, all else random
make_flash() {
	cat >"$temp/layout.fmd" <<-'END'
		FLASH@0xfff00000 1M {
			SI_ALL@0 64K {
				SI_DESC@0 4K
				SI_ME@4K 60K
			}
			RW_SECTION_A@64K 256K {
				VBLOCK_A@0 8K
				FW_MAIN_A(CBFS)@8K 0x3dfc0
				RW_FWID_A@0x3ffc0 0x40
			}
			RW_NVRAM(PRESERVE)@320K 16K
			WP_RO@512K 512K {
				FMAP@0 2K
				RO_FRID@2K 0x40
				COREBOOT(CBFS)@4K 508K
			}
		}
	END
	fmaptool "$temp/layout.fmd" "$temp/layout.fmap" >/dev/null 2>&1
	cbfstool "$1" create -M "$temp/layout.fmap" -r COREBOOT,FW_MAIN_A
	make_image "$temp/random" 60K
	dd if="$temp/random" of="$1" bs=4K seek=1 conv=notrunc status=none
	cbfstool "$1" add -r FW_MAIN_A -f "$temp/layout.fmd" -n layout -t raw
}

@test "areas are those that futility lists, and what it extracts" {
	local name offset size

	make_flash "$temp/flash"
	mkdir "$temp/out"
	futility dump_fmap -p "$temp/flash" >"$temp/wanted"
	(cd "$temp/out" && futility dump_fmap -x "$temp/flash" >"$temp/extracted")
	start_mmapfs "$temp/flash" "$mnt"

	assert_equal "$(wc -l <"$temp/wanted")" 12
	assert_equal "$(ls "$mnt")" "$(cut -d ' ' -f 1 "$temp/wanted" | sort)"
	while read -r name offset size; do
		assert_range "$temp/flash" "$offset" "$size" "$mnt/$name"
		cmp "$temp/out/$name" "$mnt/$name"
	done <"$temp/wanted"
}

@test "attributes tell the layout and the flags" {
	make_flash "$temp/flash"
	start_mmapfs -o xattr "$temp/flash" "$mnt"

	assert_equal "$(call getxattr "$mnt/RW_NVRAM" user.mmapfs.flags)" preserve
	run_errno ENODATA getxattr "$mnt/COREBOOT" user.mmapfs.flags
	assert_equal "$(call getxattr "$mnt/COREBOOT" user.mmapfs.layout)" fmap
}

@test "an area that is copied from another image works there" {
	make_flash "$temp/flash"
	cp "$temp/flash" "$temp/other"
	printf 'what is new' >"$temp/news"
	cbfstool "$temp/other" add -r COREBOOT -f "$temp/news" -n news -t raw
	cut_out "$temp/other" 516K 508K "$temp/area"
	refute cmp -s "$temp/flash" "$temp/other"
	snapshot "$temp/flash"
	start_mmapfs "$temp/flash" "$mnt"
	dd if="$temp/area" of="$mnt/COREBOOT" bs=64K conv=notrunc,fsync status=none
	unmount

	cbfstool "$temp/flash" extract -r COREBOOT -n news -f "$temp/extracted"
	cmp "$temp/news" "$temp/extracted"
	assert_untouched "$temp/flash" 516K 508K
}

@test "areas within one another see each other's writes" {
	make_flash "$temp/flash"
	start_mmapfs "$temp/flash" "$mnt"
	printf 'abcdef' | dd of="$mnt/RW_FWID_A" conv=notrunc status=none

	assert_equal "$(tail -c 64 "$mnt/RW_SECTION_A" | head -c 6)" abcdef
}

@test "what is larger than a flash is searched when asked to" {
	make_flash "$temp/flash"
	truncate -s 65M "$temp/flash"
	"$MMAPFS" plan "$temp/flash" >"$temp/plan"
	refute grep COREBOOT "$temp/plan"
	"$MMAPFS" plan -o layout=fmap "$temp/flash" >"$temp/plan" 2>"$temp/err"
	grep -E '^slice +COREBOOT ' "$temp/plan"
	grep 'the flash map is of 1048576 bytes, the image has 68157440' "$temp/plan" "$temp/err"
}

@test "an image that only contains a firmware image is not taken for one" {
	make_flash "$temp/flash"
	make_image "$temp/disk" 300001
	cat "$temp/flash" >>"$temp/disk"
	start_mmapfs "$temp/disk" "$mnt"

	cmp "$temp/disk" "$mnt/disk"
}

@test "without a map there is none" {
	make_image "$temp/disk" 1M
	plan_refused 1 'no flash map \(FMAP\) is in these bytes' -- -o layout=fmap "$temp/disk"
}

# --- mtdparts ------------------------------------------------------------------------------------

@test "mtdparts: parts where the kernel has them" {
	make_image "$temp/flash" 2M
	start_mmapfs -o 'layout=mtdparts,mtdparts="mtdparts=spi0.0:256k(u-boot)ro,64k@0x50000(env),128k,-(rootfs)"' \
		"$temp/flash" "$mnt"

	assert_equal "$(echo "$mnt"/* | sed "s|$mnt/||g")" 'env part2 rootfs u-boot'
	assert_range "$temp/flash" 0 256K "$mnt/u-boot"
	assert_range "$temp/flash" 320K 64K "$mnt/env"
	assert_range "$temp/flash" 384K 128K "$mnt/part2"
	assert_range "$temp/flash" 512K 1536K "$mnt/rootfs"
}

@test "mtdparts: ro is read-only, all else is not" {
	make_image "$temp/flash" 1M
	snapshot "$temp/flash"
	start_mmapfs -o 'layout=mtdparts,mtdparts="256k(u-boot)ro,64k(env)"' "$temp/flash" "$mnt"
	run_errno EROFS -f rdwr open "$mnt/u-boot"
	call write "$mnt/env" 0 65536 x
	call fsync "$mnt/env"

	assert_untouched "$temp/flash" 256K 64K
	assert_equal "$(tr -d x <"$mnt/env")" ''
}

@test "mtdparts: what is wrong is shown where it is" {
	make_image "$temp/flash" 1M
	plan_refused 1 "mtdparts, character 18: a ',' is missing: 'x\\(env\\),-'" -- \
		-o 'layout=mtdparts,mtdparts="256k(u-boot)ro,64x(env),-"' "$temp/flash"
	plan_refused 1 'no parts are given: mtdparts=STRING' -- -o layout=mtdparts "$temp/flash"
}

@test "mtdparts: a part beyond the end of the image is refused, but with lenient" {
	make_image "$temp/flash" 1M
	"$MMAPFS" plan -o 'layout=mtdparts,mtdparts="512k(a),1M(b)"' "$temp/flash" >"$temp/plan"
	grep -E '^slice +b .* reaches outside' "$temp/plan"
	refute timeout 20 "$MMAPFS" -o 'layout=mtdparts,mtdparts="512k(a),1M(b)"' "$temp/flash" "$mnt"
	start_mmapfs -o 'lenient,layout=mtdparts,mtdparts="512k(a),1M(b)"' "$temp/flash" "$mnt"

	assert_equal "$(stat -c %s "$mnt/b")" 1048576
	cut_out "$temp/flash" 512K 512K | cmp -n 524288 - "$mnt/b"
	run_errno EIO read "$mnt/b" 524288 100
}
