#!/usr/bin/env bats
# SPDX-License-Identifier: MIT
#
# .mmapfs: there when named, but not listed. root_cli.bats has what other users see of it.

# shellcheck source-path=SCRIPTDIR source=../lib/common.bash
source "$BATS_TEST_DIRNAME/../lib/common.bash"
# shellcheck source-path=SCRIPTDIR source=../lib/cli.bash
source "$BATS_TEST_DIRNAME/../lib/cli.bash"

setup() {
	cli_setup
	make_image "$temp/disk" 1M
}

@test "it is not listed" {
	mount_detached -s 'dir/a=@0+1' -s 'b=@1+1' "$temp/disk" "$mnt"

	assert_equal "$(ls -A "$mnt")" $'b\ndir'
	assert_equal "$(call readdir "$mnt" | sort | xargs)" '. .. b dir'
	assert_equal "$(cd "$mnt" && find . | sort | xargs)" '. ./b ./dir ./dir/a'
	# Having been named does not change that.
	stat "$mnt/.mmapfs" >/dev/null
	assert_equal "$(ls -A "$mnt")" $'b\ndir'
}

@test "it is there when named, for its owner to read" {
	mount_detached "$temp/disk" "$mnt"

	assert_equal "$(stat -c '%A %u %g' "$mnt/.mmapfs")" "dr-x------ $(id -u) $(id -g)"
	for file in table stats; do
		assert_equal "$(stat -c '%A %u %g' "$mnt/.mmapfs/$file")" "-r-------- $(id -u) $(id -g)"
		[ -n "$(cat "$mnt/.mmapfs/$file")" ]
	done
	assert_equal "$(ls -A "$mnt/.mmapfs")" $'stats\ntable'
	assert_equal "$(cd "$mnt/.mmapfs/.." && pwd -P)" "$mnt"
	run_errno ENOENT open "$mnt/.mmapfs/other"
}

@test "its owner is who mounts, and its mode its own, whatever the options" {
	mount_detached -o uid=12345,gid=54321,mode=0777 "$temp/disk" "$mnt"

	assert_equal "$(stat -c '%a %u %g' "$mnt/.mmapfs" "$mnt/.mmapfs/table" | xargs)" \
		"500 $(id -u) $(id -g) 400 $(id -u) $(id -g)"
}

@test "nothing in it can be changed" {
	mount_detached "$temp/disk" "$mnt"

	for file in .mmapfs/table .mmapfs/stats; do
		for flags in wronly rdwr rdwr,trunc wronly,append; do
			refute call -f "$flags" write "$mnt/$file" 0 1
		done
		refute call truncate "$mnt/$file" 0
		refute call unlink "$mnt/$file"
		refute call rename "$mnt/$file" "$mnt/new"
	done
	refute call chmod "$mnt/.mmapfs/table" 0666
	refute call creat "$mnt/.mmapfs/new"
	refute call mkdir "$mnt/.mmapfs/new"
	refute call rmdir "$mnt/.mmapfs"
	assert_equal "$(stat -c %a "$mnt/.mmapfs/table")" 400
}

@test "only the one at the root is special" {
	mount_detached -s 'dir/.mmapfs=@0+5' -s '.mmapfs2=@5+6' "$temp/disk" "$mnt"

	assert_equal "$(ls -A "$mnt")" $'.mmapfs2\ndir'
	assert_equal "$(ls -A "$mnt/dir")" .mmapfs
	cmp -n 5 "$temp/disk" "$mnt/dir/.mmapfs"
	cmp -i 5:0 -n 6 "$temp/disk" "$mnt/.mmapfs2"
}

@test "table is what plan prints" {
	mmapfs plan -s 'dir/a=@0+4K' -s 'b=@5,resize,mode=0600' "$temp/disk"
	assert_done
	cp "$temp/out" "$temp/plan"
	mount_detached -s 'dir/a=@0+4K' -s 'b=@5,resize,mode=0600' "$temp/disk" "$mnt"

	cmp "$temp/plan" "$mnt/.mmapfs/table"
	# In one read or in many
	dd if="$mnt/.mmapfs/table" bs=7 status=none | cmp "$temp/plan" -
	tail -c 20 "$mnt/.mmapfs/table" | cmp <(tail -c 20 "$temp/plan") -
}

@test "a big table reads whole" {
	awk 'BEGIN {
		print "image d disk ro"
		for (i = 0; i < 50000; i++)
			printf "slice slice-number-%d d %d %d\n", i, i, i % 53
	}' >"$temp/table"
	mount_detached --table "$temp/table" "$mnt"
	mmapfs plan --table "$temp/table"
	assert_done

	[ "$(stat -c %s "$temp/out")" -gt $((2 << 20)) ]
	cmp "$temp/out" "$mnt/.mmapfs/table"
}

@test "stats is one name and value a line" {
	mount_detached -s 'a=@0+4K' -s 'b=@4K+4K' -s 'c=@8K+4K' "$temp/disk" "$mnt"
	cat "$mnt/.mmapfs/stats" >"$temp/stats"

	refute grep -vxE '[a-z_]+ [0-9a-zA-Z.]+' "$temp/stats"
	assert_equal "$(cut -d ' ' -f 1 "$temp/stats" | sort | uniq -d)" ''
	assert_equal "$(stat_value images) $(stat_value slices)" '1 3'
	assert_equal "$(stat_value version)" "$("$MMAPFS" --version | cut -d ' ' -f 2)"
	grep -qF "$temp/disk" "/proc/$(stat_value pid)/maps"
}

# moves COUNTER COMMAND...: the command must raise it
moves() {
	local name=$1 before

	shift
	before=$(stat_value "$name")
	"$@" >/dev/null
	if [ "$(stat_value "$name")" -le "$before" ]; then
		fail "$name does not move with: $*"
	fi
}

@test "stats move with what is done" {
	mount_detached -s 'a=@0+512K' -s 'b=@512K,ro' "$temp/disk" "$mnt"

	moves reads cat "$mnt/a"
	moves read_bytes cat "$mnt/b"
	moves writes call write "$mnt/a" 0 1000
	moves write_bytes call write "$mnt/a" 0 1000
	moves lookups run_errno ENOENT open "$mnt/missing"
	moves opens call open "$mnt/a"
	moves fsyncs call fsync "$mnt/a"
	moves errors_eperm run_errno EPERM truncate "$mnt/a" 5
	moves errors_enospc run_errno ENOSPC write "$mnt/a" 512K 1
}

@test "it is there on a mount without any slice" {
	mount_detached --table /dev/null "$mnt"

	assert_equal "$(ls -A "$mnt")" ''
	assert_equal "$(cat "$mnt/.mmapfs/table")" ''
	assert_equal "$(stat_value images) $(stat_value slices)" '0 0'
}
