#!/usr/bin/env bats
# SPDX-License-Identifier: MIT
#
# scripts/bench, but for what it installs and builds: that every cell can be measured, that reports say
# what was measured, and that nothing stays behind. How fast anything is, is none of this.

# shellcheck source-path=SCRIPTDIR source=../lib/common.bash
source "$BATS_TEST_DIRNAME/../lib/common.bash"

setup() {
	common_setup
	METER=$(helper meter)
	mkdir "$temp/tmp"
	export MMAPFS METER TMPDIR=$temp/tmp PYTHONDONTWRITEBYTECODE=1
	bench=(timeout 100 python3 "$checkout/tests/bench/bench.py")
}

# The folder stands in the command line of all that a run starts, and not in its own.
teardown() {
	local pid

	for pid in $(started); do
		kill -KILL "$pid" || true
	done
	remove_mounts
	common_teardown
}

remove_mounts() {
	local mountpoint

	for mountpoint in $(mounts); do
		fusermount3 -u -z "$mountpoint" || true
	done
}

bench() {
	"${bench[@]}" "$@"
}

started() {
	pgrep -f -- "$temp/tmp/" || true
}

mounts() {
	awk -v below="$temp/tmp/" 'index($5, below) == 1 { print $5 }' /proc/self/mountinfo
}

nothing_left() {
	[ -z "$(started)$(mounts)" ]
}

# interrupted SIGNAL: a run that gets this signal, and gets it again, while mmapfs serves an image
interrupted() {
	"${bench[@]}" --rounds 100 --size 16 --only mmapfs --cells ^random >"$temp/out" 2>&1 3>&- &
	local timeout_pid=$! pid
	helper_pids+=("$timeout_pid")
	wait_until serving
	pid=$(pgrep -P "$timeout_pid")
	kill "-$1" "$pid"
	kill "-$1" "$pid" || true
	status=0
	wait "$timeout_pid" || status=$?
}

serving() {
	[ -n "$(mounts)" ]
}

@test "each cell has a positive number for the image and for mmapfs" {
	bench --size 16 --rounds 1 --only native,mmapfs,mmapfs-alias --json "$temp/json" >"$temp/out"
	python3 - "$temp/json" <(bench --list) "$(stat -f -c %T "$temp")" <<-'END'
		import json, sys
		got = json.load(open(sys.argv[1]))["cells"]
		wanted = open(sys.argv[2]).read().splitlines()
		assert len(wanted) > 20 and set(got) == set(wanted), set(got) ^ set(wanted)
		for name, cell in got.items():
		    # What lies in memory is not on a disk.
		    if name.startswith("image on disk") and sys.argv[3] == "tmpfs":
		        continue
		    for who in ["native", "mmapfs"]:
		        assert cell["samples"][who][0] > 0, (name, who)
		    alias = cell["samples"].get("mmapfs-alias")
		    assert alias[0] > 0 if alias else "readdir" in name, (name, alias)
	END
	nothing_left
	assert_equal "$(ls "$temp/tmp")" ''
}

@test "ratios are made within a round, and less milliseconds are faster" {
	cat >"$temp/json" <<-'END'
		{"facts": {"kernel": "1", "cpus": 2, "filesystem": "ext4", "libfuse": "3", "image_mib": 16,
		  "rounds": 3, "seconds": 1, "load_before": 1, "load_after": 2},
		 "providers": {"native": {"kind": "base", "version": null},
		  "qemu": {"kind": "peer", "version": "7"}, "bindfs": {"kind": "peer", "version": null},
		  "mmapfs": {"kind": "ours", "version": null}},
		 "cells": {
		  "mmap scan, first": {"unit": "MB/s", "samples": {"native": [100, 200, 400],
		   "qemu": [1, 2, 50], "bindfs": [2, 1, null], "mmapfs": [10, 100, 100]}},
		  "fsync of a clean slice, the rest dirty": {"unit": "ms", "samples":
		   {"native": [100, 100, 100], "qemu": [5, 50, 5], "mmapfs": [4, 1, 1]}}}}
	END
	bench --from "$temp/json" >"$temp/out"
	grep -qF '| mmap scan, first, MB/s | 200 | 2.00 | 1.50 | 100 | 0.25 | 5.00 |' "$temp/out"
	grep -qF '| fsync of a clean slice, the rest dirty, ms | 100 | 5.00 | - | 1.00 | 100 | 5.00 |' \
		"$temp/out"
	grep -qF '| mmapfs: mmap scan, first | the best FUSE peer | 4 | 5.00 | reached |' "$temp/out"
	grep -qF '| mmapfs: fsync of a clean slice, the rest dirty | native | 50 | 100 | reached |' \
		"$temp/out"
}

@test "the tables go between their marks, and nothing else on the page changes" {
	bench --size 16 --rounds 1 --only mmapfs --cells '^stat$' --json "$temp/json" >"$temp/out"
	printf '%s\n' before '<!-- bench:begin -->' old '<!-- bench:end -->' after >"$temp/page.md"
	bench --from "$temp/json" --page "$temp/page.md" >"$temp/out"
	assert_equal "$(sed '/bench:begin/,/bench:end/d' "$temp/page.md" | xargs)" 'before after'
	sed -n '/bench:begin/,/bench:end/p' "$temp/page.md" | sed '1d;$d' | cmp - "$temp/out"
	grep -q '^| stat, 1/s | [0-9]' "$temp/page.md"
	echo none >"$temp/page.md"
	refute bench --from "$temp/json" --page "$temp/page.md" 2>"$temp/err"
	grep -qx 'bench: .*/page.md has no <!-- bench:begin --> and <!-- bench:end -->' "$temp/err"
	assert_equal "$(cat "$temp/page.md")" none
}

@test "a provider that fails leaves a gap, and the run fails" {
	printf '%s\n' '#!/bin/sh' 'case $* in --*) echo mmapfs 1 ;; *) exit 3 ;; esac' >"$temp/broken"
	chmod +x "$temp/broken"
	status=0
	MMAPFS=$temp/broken bench --size 16 --rounds 1 --only native,mmapfs --cells '^stat$' \
		>"$temp/out" 2>"$temp/err" || status=$?
	assert_equal "$status" 1
	grep -q 'mmapfs failed: .* does not mount' "$temp/err"
	grep -qE '^\| stat, 1/s \| [0-9]+ \| - \| - \|' "$temp/out"
}

@test "a run that is interrupted leaves nothing mounted, running or in the way" {
	interrupted INT
	assert_equal "$status" 130
	nothing_left
	assert_equal "$(ls "$temp/tmp")" ''
	interrupted TERM
	assert_equal "$status" 143
	nothing_left
	assert_equal "$(ls "$temp/tmp")" ''
}

@test "a run that is killed leaves nothing mounted or running" {
	interrupted KILL
	wait_until nothing_left
}
