#!/usr/bin/env bats
# SPDX-License-Identifier: MIT
#
# Tables that are made to do harm: each ends at a limit, in one message and in memory that is known.

# shellcheck source-path=SCRIPTDIR source=../lib/common.bash
source "$BATS_TEST_DIRNAME/../lib/common.bash"
# shellcheck source-path=SCRIPTDIR source=../lib/cli.bash
source "$BATS_TEST_DIRNAME/../lib/cli.bash"

# bomb MIB: plans the table on standard input, which must not take more memory; three times as much
# where the address sanitizer keeps what was freed.
bomb() {
	local peak limit=$1

	if grep -q __asan_init "$MMAPFS"; then
		limit=$((3 * limit))
	fi
	status=0
	timeout 400 python3 -c '
import resource, subprocess, sys
with open(sys.argv[1], "w") as out, open(sys.argv[2], "w") as err, open(sys.argv[3], "w") as peak:
    status = subprocess.call(sys.argv[4:], stdout=out, stderr=err)
    print(resource.getrusage(resource.RUSAGE_CHILDREN).ru_maxrss // 1024, file=peak)
sys.exit(status)' "$temp/out" "$temp/err" "$temp/peak" "$MMAPFS" plan --table - || status=$?
	peak=$(<"$temp/peak")
	echo "peak: $peak MiB"
	if ((peak > limit)); then
		fail "it took $peak MiB, and may take $limit"
	fi
}

# gives_up MIB TEXT: so does the table on standard input, and that is all it says.
gives_up() {
	bomb "$1" && assert_failed 1 "^standard input:$2\$" && [ ! -s "$temp/out" ]
}

# The same, with the 50 messages that come in words, and the number of the others
gives_up_after_errors() {
	bomb "$1" || return
	if [ "$status" -ne 1 ] || [ "$(wc -l <"$temp/err")" -ne 51 ]; then
		fail "mmapfs ended with $status" "$(cut -c 1-400 "$temp/err")"
		return
	fi
	if [ "$(head -n 50 "$temp/err" | grep -cE "^mmapfs: standard input:[0-9]+: $2\$")" -ne 50 ]; then
		fail 'these were not expected:' "$(cut -c 1-400 "$temp/err")"
		return
	fi
	assert_equal "$(tail -n 1 "$temp/err")" "mmapfs: and $3 more errors"
}

# endless LINE
endless() {
	yes "$1" 2>/dev/null || true
}

long_name() {
	printf '%255s/' {1..16} | tr ' ' "$1" | head -c 4095
}

@test "extents without end" {
	gives_up 900 '33554433: more than 33554432 extents' < <(
		echo 'slice a - 0 1'
		endless 'extent - 0 1'
	)
}

@test "names without end" {
	gives_up 1200 '262145: more than 1073741824 bytes of names' < <(
		endless "slice $(long_name x) - 0 1"
	)
}

@test "folders without end" {
	local deep

	deep=$(printf 'x/%.0s' {1..2000})
	# 2001 folders and a file each
	gives_up 1000 '[0-9]*: more than 33554432 slices and folders' < <(
		seq -f "slice %.0f/${deep}x - 0 1" 17000 2>/dev/null
	)
}

@test "images without end" {
	gives_up 30 '1025: more than 1024 images' < <(seq -f 'image %.0f disk' 1000000 2>/dev/null)
}

@test "lines without end that say nothing" {
	gives_up 30 '67108865: more than 67108864 lines' < <(endless '')
}

@test "a line without end" {
	gives_up 30 '1: line is longer than 16777216 bytes' < <(endless '# x' | tr -d '\n')
	gives_up 30 '2: line is longer than 16777216 bytes' < <(
		echo 'slice a - 0 1'
		tr '\0' x </dev/zero 2>/dev/null
	)
}

@test "nothing but NUL bytes" {
	gives_up 30 '1: line is longer than 16777216 bytes' </dev/zero
	gives_up_after_errors 30 'line holds a NUL byte' 999950 < <(endless '-' | tr - '\0')
}

@test "errors without end" {
	gives_up_after_errors 30 "unknown entry 'y'" 999950 < <(endless y)
	gives_up_after_errors 80 "slice '[^']*': unknown image 'nobody'" 999950 < <(
		endless "slice a nobody 0 1"
	)
	gives_up_after_errors 60 "unknown entry 'x{80}'" 999950 < <(
		endless "$(printf 'x%.0s' {1..1000})"
	)
}

@test "one name a million times" {
	gives_up_after_errors 250 "slice 'a': name given twice, first in line 1" 999949 < <(
		endless 'slice a - 0 1' | head -n 1000000
	)
}

@test "a file in whose place a million others want a folder" {
	gives_up_after_errors 250 \
		"slice 'a/[0-9]+': 'a' is the name of a slice, and cannot be a folder, too" 999950 < <(
			echo 'slice a - 0 1'
			seq -f 'slice a/%.0f - 0 1' 1000000
		)
}

@test "a million extents over a thousand images" {
	(cd "$temp" && seq -f 'disk%.0f' 1000 | xargs truncate -s 1M)
	bomb 200 < <(
		seq 1000 | sed "s,.*,image disk& $temp/disk&,"
		echo 'slice a disk1 0 1'
		for i in {1..1000}; do
			seq -f "extent disk%.0f $i 1" 1000
		done
	)
	assert_done
	assert_equal "$(grep -c '^extent .* 1000 *1$' "$temp/out")" 1000
}

@test "a thousand images can be mounted with the usual number of descriptors" {
	ulimit -S -n 1024
	for i in {1..1000}; do
		echo "$i" >"$temp/disk$i"
	done
	{
		seq 1000 | sed "s,.*,image disk& $temp/disk&,"
		seq 1000 | sed 's,.*,slice & disk& 0 -,'
	} >"$temp/table"

	mount_detached --table "$temp/table" "$mnt"
	(cd "$mnt" && seq 1000 | xargs cat) | diff - <(seq 1000)
}
