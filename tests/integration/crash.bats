#!/usr/bin/env bats
# SPDX-License-Identifier: MIT
#
# The daemon is killed. What the machine's own crash leaves: power_cut.bats.

# shellcheck source-path=SCRIPTDIR source=../lib/common.bash
source "$BATS_TEST_DIRNAME/../lib/common.bash"
# shellcheck source-path=SCRIPTDIR source=../lib/cli.bash
source "$BATS_TEST_DIRNAME/../lib/cli.bash"

@test "killed a hundred times, it has lost no byte that write had returned for" {
	make_image "$temp/disk" 1M
	/usr/bin/python3 "$BATS_TEST_DIRNAME/crash.py" "$MMAPFS" "$temp/disk" "$mnt" 100 "$seed"
}
