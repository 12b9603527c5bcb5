#!/usr/bin/env bats
# SPDX-License-Identifier: MIT
#
# What scripts/bench does as root alone: loop devices.

# shellcheck source-path=SCRIPTDIR source=../lib/common.bash
source "$BATS_TEST_DIRNAME/../lib/common.bash"

setup() {
	common_setup
	METER=$(helper meter)
	export METER TMPDIR=$temp PYTHONDONTWRITEBYTECODE=1
	bench=(timeout 100 python3 "$checkout/tests/bench/bench.py" --size 16 --only loop)
}

devices() {
	losetup --noheadings --list --output NAME,BACK-FILE | grep -F " $temp/"
}

no_devices() {
	! devices
}

@test "a loop device has all cells but those of folders" {
	"${bench[@]}" --rounds 1 --json "$temp/json" >"$temp/out"
	python3 - "$temp/json" <<-'END'
		import json, sys
		cells = json.load(open(sys.argv[1]))["cells"]
		assert len(cells) > 20 and not any("readdir" in name for name in cells), list(cells)
		assert all(cell["samples"]["loop"][0] > 0 for cell in cells.values()), cells
	END
	no_devices
}

@test "a run that is killed leaves no loop device" {
	"${bench[@]}" --rounds 100 --cells ^random >"$temp/out" 2>&1 3>&- &
	local timeout_pid=$!
	helper_pids+=("$timeout_pid")
	wait_until devices
	kill -KILL "$(pgrep -P "$timeout_pid")"
	wait "$timeout_pid" || true
	wait_until no_devices
}
