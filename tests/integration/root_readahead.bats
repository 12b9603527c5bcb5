#!/usr/bin/env bats
# SPDX-License-Identifier: MIT
#
# How far the kernel reads ahead on a mount, which only root may change.

# shellcheck source-path=SCRIPTDIR source=../lib/common.bash
source "$BATS_TEST_DIRNAME/../lib/common.bash"

setup() {
	common_setup
	make_image "$temp/disk" 1M
}

readahead() {
	cat "/sys/class/bdi/$(mountpoint -d "$mnt")/read_ahead_kb"
}

@test "as much as a request can bring" {
	mount_slices "$temp/disk" 'a=@0+1M'

	assert_equal "$(readahead)" 1024
}

@test "as the kernel likes where all is read at random" {
	mount_slices "$temp/disk" 'a=@0+1M' -- -o advice=random

	[ "$(readahead)" -lt 1024 ]
}
