#!/usr/bin/env bats
# SPDX-License-Identifier: MIT

# shellcheck source-path=SCRIPTDIR source=../lib/common.bash
source "$BATS_TEST_DIRNAME/../lib/common.bash"

setup() {
	common_setup
	make_image "$temp/disk" 2M
	mount_slices "$temp/disk" 'a=@12345+1000003' 'ro=@1500000+100,ro'
}

# delta NAME COMMAND...: by how much the command moves the counter
delta() {
	local name=$1 before

	shift
	before=$(stat_value "$name")
	"$@" >/dev/null 2>&1 || true
	echo $(($(stat_value "$name") - before))
}

@test "one name and one value a line" {
	refute grep -vxE '[a-z0-9_]+ [^ ]+' "$mnt/.mmapfs/stats"
	[ "$(wc -l <"$mnt/.mmapfs/stats")" -ge 10 ]
	assert_equal "$(cut -d ' ' -f 1 "$mnt/.mmapfs/stats" | sort | uniq -d)" ''
}

@test "reads and their bytes" {
	[ "$(delta reads cat "$mnt/a")" -ge 1 ]
	remount
	[ "$(delta read_bytes cat "$mnt/a")" -ge 1000003 ]
}

# bats test_tags=writethrough
@test "writes and their bytes" {
	assert_equal "$(delta writes call write "$mnt/a" 0 1000)" 1
	assert_equal "$(delta write_bytes call write "$mnt/a" 5 100001)" 100001
}

@test "fsyncs and msyncs" {
	call write "$mnt/a" 0 1000
	assert_equal "$(delta fsyncs call fsync "$mnt/a")" 1
	call write "$mnt/a" 0 1000
	[ "$(delta msyncs call fsync "$mnt/a")" -ge 1 ]
	call write "$mnt/a" 0 100000
	[ "$(delta msync_microseconds call fsync "$mnt/a")" -ge 1 ]
}

@test "errors by kind" {
	assert_equal "$(delta errors_enospc call write "$mnt/a" 1000003 1)" 1
	assert_equal "$(delta errors_eperm call truncate "$mnt/a" 5)" 1
	truncate -s 200000 "$temp/disk"
	[ "$(delta errors_eio call -f rdonly,direct read "$mnt/a" 500000 10)" -ge 1 ]
}

@test "page tables" {
	cat "$mnt/a" >/dev/null
	[ "$(stat_value page_table_bytes)" -gt 0 ]
}

@test "are true at every read of one descriptor" {
	exec {stats}<"$mnt/.mmapfs/stats"
	first=$(cat <&"$stats")
	exec {stats}<&-
	call write "$mnt/a" 0 1000
	[ "$first" != "$(cat "$mnt/.mmapfs/stats")" ]
}
