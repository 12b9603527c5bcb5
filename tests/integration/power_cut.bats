#!/usr/bin/env bats
# SPDX-License-Identifier: MIT
#
# The machine loses power: what fsync had vouched for is on the disk, and nothing else has changed.

# shellcheck source-path=SCRIPTDIR source=../lib/common.bash
source "$BATS_TEST_DIRNAME/../lib/common.bash"
# shellcheck source-path=SCRIPTDIR source=../lib/nbd.bash
source "$BATS_TEST_DIRNAME/../lib/nbd.bash"

@test "power cuts after and between flushes" {
	make_image "$temp/disk.raw" 1M
	snapshot "$temp/disk.raw"
	: >"$temp/journal"
	nbd_start disk python "$checkout/tests/lib/recorder.py" disk="$temp/disk.raw" \
		journal="$temp/journal"
	mount_slices "$temp/disk.nbd/disk" a=@12345+100003 b=@300001+100003 c=@500001+100003 \
		d=@550000+20000 e=@700001+60000
	/usr/bin/python3 "$BATS_TEST_DIRNAME/power_cut.py" --slices "$mnt" --journal "$temp/journal" \
		--disk "$temp/disk.raw.snapshot" --cuts 150 --seed "$seed"
}
