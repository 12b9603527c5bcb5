#!/usr/bin/env bats
# SPDX-License-Identifier: MIT
#
# mmapfs umount: when it returns, the daemon has gone, and it says how that went.

# shellcheck source-path=SCRIPTDIR source=../lib/common.bash
source "$BATS_TEST_DIRNAME/../lib/common.bash"
# shellcheck source-path=SCRIPTDIR source=../lib/cli.bash
source "$BATS_TEST_DIRNAME/../lib/cli.bash"

setup() {
	cli_setup
	make_image "$temp/disk" 1M
}

# busy MOUNTPOINT: umount fails, with a line that says why, and the mount lives on
busy() {
	mmapfs umount "$1"
	assert_failed 1 "$mnt: .*busy"
	is_mounted "$mnt"
	cmp "$temp/disk" "$mnt/disk"
	call write "$mnt/disk" 4321 10 b
	assert_equal "$(cut_out "$temp/disk" 4321 10)" bbbbbbbbbb
}

@test "umount returns when the daemon has gone and its locks with it" {
	for byte in {a..j}; do
		mount_detached "$temp/disk" "$mnt"
		pid=$(daemon_of "$mnt")
		run_errno EAGAIN lock "$temp/disk" wr 0 0
		call write "$mnt/disk" 777 100000 "$byte"

		mmapfs umount "$mnt"
		is_ended "$pid"
		call lock "$temp/disk" wr 0 0
		assert_done
		refute is_mounted "$mnt"
		forget "$mnt"
		head -c 100000 /dev/zero | tr '\0' "$byte" | cmp -i 0:777 -n 100000 - "$temp/disk"
	done
}

@test "umount waits for a daemon that takes its time" {
	mount_detached "$temp/disk" "$mnt"
	pid=$(daemon_of "$mnt")
	exec {file}<"$mnt/disk"
	exec {file}<&-
	# Nothing is asked of it any more: it has but to end.
	stat "$mnt" >/dev/null
	kill -STOP "$pid"
	timeout 60 "$MMAPFS" umount "$mnt" >"$temp/out" 2>"$temp/err" 3>&- 4>&- &
	umount=$!
	refute timeout 0.5 tail -s 0.1 -f --pid="$umount" /dev/null
	kill -CONT "$pid"
	wait "$umount"
	is_ended "$pid"
	[ ! -s "$temp/err" ]
	forget "$mnt"
}

@test "a mountpoint by way of '..', a slash at the end, or a link" {
	ln -s mnt "$temp/link"
	cd "$temp"
	for path in mnt mnt/ ./mnt/../mnt "$mnt//" link link/; do
		mount_detached "$temp/disk" "$mnt"
		pid=$(daemon_of "$mnt")
		mmapfs umount "$path"
		assert_done
		is_ended "$pid"
		refute is_mounted "$mnt"
		forget "$mnt"
	done
}

@test "busy: an open file" {
	mount_detached "$temp/disk" "$mnt"
	exec {file}<"$mnt/disk"

	busy "$mnt"
	call -o "$temp/got" read "fd:$file" 0 1000
	exec {file}<&-
	unmount_detached "$mnt"
}

@test "busy: a folder that somebody works in" {
	mount_detached "$temp/disk" "$mnt"
	cd "$mnt"

	busy "$mnt"
	busy .
	cd /
	unmount_detached "$mnt"
}

@test "busy: a mapped file" {
	mount_detached "$temp/disk" "$mnt"
	coproc CLIENT {
		exec /usr/bin/python3 -c '
import mmap, os, sys
fd = os.open(sys.argv[1], os.O_RDWR)
mapping = mmap.mmap(fd, 0)
os.close(fd)
print("mapped", flush=True)
sys.stdin.read()' "$mnt/disk" 3>&- 4>&-
	}
	helper_pids+=("$CLIENT_PID")
	client=$CLIENT_PID input=${CLIENT[1]}
	read -r -t 20 -u "${CLIENT[0]}" answer
	assert_equal "$answer" mapped

	busy "$mnt"
	exec {input}>&-
	wait "$client"
	unmount_detached "$mnt"
}

@test "busy: another mount on a file of this one" {
	mkdir "$temp/upper"
	mount_detached "$temp/disk" "$mnt"
	mount_detached "$mnt/disk" "$temp/upper"

	mmapfs umount "$mnt"
	assert_failed 1 "$mnt: .*busy"
	unmount_detached "$temp/upper"
	unmount_detached "$mnt"
}

# no_mount PATH: exits 1, with a line that names it
no_mount() {
	mmapfs umount "$1"
	assert_failed 1 "^$(literally "$1"): "
	[ ! -s "$temp/out" ]
}

@test "what is no mount of ours" {
	mkdir "$temp/folder"
	ln -s nowhere "$temp/dangling"
	before=$(cat /proc/self/mountinfo)
	no_mount "$temp/folder"
	no_mount "$temp/disk"
	no_mount "$temp/missing"
	no_mount "$temp/dangling"
	no_mount "$temp/disk/x"
	no_mount /proc
	no_mount /dev/null
	no_mount ''
	[[ "$(cat /proc/self/mountinfo)" == *"$(grep ' /proc ' <<<"$before")"* ]]
}

@test "a file or a folder in a mount is not the mount" {
	mount_detached -s 'dir/a=@0+1' "$temp/disk" "$mnt"
	mkdir "$temp/other"

	no_mount "$mnt/dir"
	no_mount "$mnt/dir/a"
	no_mount "$mnt/.mmapfs"
	no_mount "$mnt/missing"
	is_mounted "$mnt"
}

@test "one line, even where the name has a newline" {
	mmapfs umount "$temp/new"$'\n'"line"
	assert_failed 1 'new.*line'
}

@test "one of two mounts" {
	mkdir "$temp/second"
	make_image "$temp/two" 64K
	mount_detached "$temp/disk" "$mnt"
	mount_detached "$temp/two" "$temp/second"
	unmount_detached "$mnt"

	cmp "$temp/two" "$temp/second/two"
	unmount_detached "$temp/second"
}

@test "a mount that its owner cannot look into" {
	mmapfs -o uid=12345,gid=54321,mode=0600 "$temp/disk" "$mnt"
	assert_done
	pid=$(leftovers)
	mmapfs umount "$mnt"
	assert_done
	is_ended "$pid"
	refute is_mounted "$mnt"
}

@test "two at once: the mount goes, and both return" {
	mount_detached "$temp/disk" "$mnt"
	pid=$(daemon_of "$mnt")
	call write "$mnt/disk" 5 1000 x
	for number in 1 2; do
		timeout 30 "$MMAPFS" umount "$mnt" 2>"$temp/err.$number" 3>&- 4>&- &
		umounts[number]=$!
	done
	good=0
	for number in 1 2; do
		status=0
		wait "${umounts[number]}" || status=$?
		[ "$status" -le 1 ]
		good=$((good + (status == 0)))
	done

	[ "$good" -ge 1 ]
	is_ended "$pid"
	refute is_mounted "$mnt"
	forget "$mnt"
}

@test "umount asks the daemon of this mount, not one that has lost its own and lives on" {
	mkdir "$temp/second"
	make_image "$temp/two" 64K
	mount_detached "$temp/disk" "$mnt"
	first=$(daemon_of "$mnt")
	kill -STOP "$first"
	fusermount3 -u -z "$mnt"
	forget "$mnt"
	# The kernel gives the number of the first mount to this one.
	mount_detached "$temp/two" "$temp/second"
	second=$(daemon_of "$temp/second")

	status=0
	timeout -s KILL 10 "$MMAPFS" umount "$temp/second" 2>"$temp/err" 3>&- 4>&- || status=$?
	kill -CONT "$first"
	assert_done
	is_ended "$second"
	forget "$temp/second"
	wait_until is_ended "$first"
}

# --- a daemon that was killed --------------------------------------------------------------------

@test "a stale mount goes, with a line that says so, and exit status 1" {
	mount_detached "$temp/disk" "$mnt"
	call write "$mnt/disk" 5 1000 x
	kill_daemon "$mnt"

	mmapfs umount "$mnt"
	assert_equal "$(mounts_here)" ''
	assert_failed 1 "^$mnt: "
	assert_equal "$(mounts_here)" ''
	head -c 1000 /dev/zero | tr '\0' x | cmp -i 0:5 -n 1000 - "$temp/disk"
}

@test "a stale mount goes even while files on it are open" {
	mount_detached "$temp/disk" "$mnt"
	exec {file}<"$mnt/disk"
	kill_daemon "$mnt"

	mmapfs umount "$mnt"
	assert_equal "$(mounts_here)" ''
	assert_failed 1 "^$mnt: "
	exec {file}<&-
}

@test "a stale mount goes even while its daemon is still dying" {
	for _ in {1..20}; do
		mount_detached "$temp/disk" "$mnt"
		pid=$(daemon_of "$mnt")
		exec {file}<"$mnt/disk"
		forget "$mnt"
		# shellcheck disable=SC2016 # for the inner shell
		prefix=(sh -c 'kill -KILL "$0" && exec "$@"' "$pid")
		mmapfs umount "$mnt"
		prefix=()
		assert_equal "$(mounts_here)" ''
		assert_failed 1 "^$mnt: "
		exec {file}<&-
		wait_until is_ended "$pid"
	done
}

# remounts: over a stale mount, which must go
remounts() {
	local lines

	mmapfs "$temp/disk" "$mnt"
	assert_failed 0 "$mnt"
	lines=$(mounts_here)
	assert_equal "$(wc -l <<<"$lines")" 1
	adopt "$mnt"
	cmp "$temp/disk" "$mnt/disk"
	unmount_detached "$mnt"
	assert_equal "$(mounts_here)" ''
}

@test "mounting again over a stale mount" {
	mount_detached "$temp/disk" "$mnt"
	kill_daemon "$mnt"

	remounts
}

@test "mounting again over a stale mount that somebody has noticed" {
	mount_detached "$temp/disk" "$mnt"
	kill_daemon "$mnt"
	run_errno ENOTCONN open "$mnt/.mmapfs/stats"

	remounts
}

@test "mounting again over a stale mount while files on it are open" {
	mount_detached "$temp/disk" "$mnt"
	exec {file}<"$mnt/disk"
	kill_daemon "$mnt"

	remounts
	exec {file}<&-
}
