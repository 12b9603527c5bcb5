#!/usr/bin/env bats
# SPDX-License-Identifier: MIT
#
# Needs root: power cuts below a file system that holds the image, and recovers from its journal.

# shellcheck source-path=SCRIPTDIR source=../lib/common.bash
source "$BATS_TEST_DIRNAME/../lib/common.bash"
# shellcheck source-path=SCRIPTDIR source=../lib/nbd.bash
source "$BATS_TEST_DIRNAME/../lib/nbd.bash"

@test "power cuts below ext4" {
	make_sparse "$temp/disk.raw" 16M
	mkfs.ext4 -q -F "$temp/disk.raw"
	nbd_attach "$temp/disk.raw"
	make_image "$temp/image" 1M
	# A hole where c and d overlap: blocks that are yet to be allocated.
	dd if=/dev/zero of="$temp/image" bs=4096 seek=130 count=10 conv=notrunc status=none
	cp --sparse=always "$temp/image" "$temp/fs/image"
	nbd_detach
	snapshot "$temp/disk.raw"
	: >"$temp/journal"
	nbd_start disk python "$checkout/tests/lib/recorder.py" disk="$temp/disk.raw" \
		journal="$temp/journal"
	nbd_attach "$temp/disk.nbd/disk"
	mount_slices "$temp/fs/image" a=@12345+100003 b=@300001+100003 c=@500001+100003 \
		d=@550000+20000 e=@700001+60000
	cd "$temp"
	/usr/bin/python3 "$BATS_TEST_DIRNAME/power_cut.py" --slices "$mnt" --journal journal \
		--disk disk.raw.snapshot --image image --cuts 30 --seed "$seed"
}
