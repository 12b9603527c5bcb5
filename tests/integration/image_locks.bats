#!/usr/bin/env bats
# SPDX-License-Identifier: MIT
#
# The lock on an image: whom it keeps out, and that it goes with the daemon, in whatever way that
# ends. (cli_bad_images.bats has what a refused mount says, and its races.)

# shellcheck source-path=SCRIPTDIR source=../lib/common.bash
source "$BATS_TEST_DIRNAME/../lib/common.bash"
# shellcheck source-path=SCRIPTDIR source=../lib/cli.bash
source "$BATS_TEST_DIRNAME/../lib/cli.bash"

setup() {
	cli_setup
	mkdir "$temp/second"
	disk=$temp/disk
	make_image "$disk" 1M
	qemu=
}

# refused_here MOUNTPOINT OPTION...: the image is in use, and the message names it
refused_here() {
	refused 1 "^image 'disk': $disk" -- "${@:2}" "$disk" "$1"
}

# locked_as TYPE: exactly one lock lies on the image. Who reads leaves bytes to QEMU.
locked_as() {
	local inode
	local -A ranges=([WRITE]='0-EOF' [READ]='0-100 201-201 203-203 300-EOF')

	inode=$(stat -c %i "$disk")
	assert_equal "$(awk -v inode=":$inode\$" -v type="$1" \
		'$6 ~ inode { print ($2 == "OFDLCK" && $4 == type) ? $7 "-" $8 : $0 }' /proc/locks |
		sort -n | xargs)" "${1:+${ranges[$1]}}"
}

# --- mounts --------------------------------------------------------------------------------------

@test "a second mount, in each combination of reading and writing" {
	local first second

	for first in rw ro; do
		mount_detached -o "$first" "$disk" "$mnt"
		for second in rw ro; do
			if [ "$first $second" = 'ro ro' ]; then
				mount_detached -o "$second" "$disk" "$temp/second"
				cmp "$disk" "$temp/second/disk"
				unmount_detached "$temp/second"
			else
				refused_here "$temp/second" -o "$second"
			fi
		done
		unmount_detached "$mnt"
		locked_as ''
	done
}

@test "the lock is all over the file, and only as strong as it has to be" {
	mount_detached "$disk" "$mnt"
	locked_as WRITE
	run_errno EAGAIN lock "$disk" rd 2M 1
	unmount_detached "$mnt"
	for options in '-o ro' '-s a=@0+4K,ro'; do
		# shellcheck disable=SC2086 # two words
		mount_detached $options "$disk" "$mnt"
		locked_as READ
		call lock "$disk" rd 0 0
		run_errno EAGAIN lock "$disk" wr 2M 1
		unmount_detached "$mnt"
	done
	locked_as ''
}

@test "a refused mount leaves the locks of the first as they are" {
	mount_detached -o ro "$disk" "$mnt"
	refused_here "$temp/second"
	locked_as READ
	refused 1 "^image 'missing': " -- -s "a=$disk@0+1,ro" -s "b=$temp/missing@0" "$temp/second"
	locked_as READ
	unmount_detached "$mnt"
}

@test "lock=off neither asks nor tells" {
	mount_detached "$disk" "$mnt"
	mount_detached -o lock=off "$disk" "$temp/second"
	locked_as WRITE
	call write "$temp/second/disk" 100 10 x
	assert_equal "$(cut_out "$disk" 100 10)" xxxxxxxxxx
	unmount_detached "$mnt"
	locked_as ''
	mount_detached "$disk" "$mnt"
}

@test "plan locks nothing, and minds no lock" {
	mount_detached "$disk" "$mnt"
	mmapfs plan "$disk"
	assert_done
	locked_as WRITE
}

# --- QEMU ----------------------------------------------------------------------------------------

# qemu_holds on|off: a qemu-storage-daemon has the image open, to write or to read. Its status.
qemu_holds() {
	timeout 30 qemu-storage-daemon --daemonize --pidfile "$temp/qemu.pid" \
		--blockdev "driver=file,node-name=disk,filename=$disk,read-only=$([ "$1" = on ] &&
			echo off || echo on)" \
		--nbd-server "addr.type=unix,addr.path=$temp/nbd" \
		--export "type=nbd,id=export,node-name=disk,writable=$1" 2>"$temp/qemu.err" 3>&- 4>&- ||
		return
	qemu=$(<"$temp/qemu.pid")
	helper_pids+=("$qemu")
}

qemu_ends() {
	kill "$qemu"
	wait_until is_ended "$qemu"
	rm -f "$temp/nbd" "$temp/qemu.pid"
}

@test "QEMU first: who writes keeps all out, who reads keeps out who writes" {
	qemu_holds on
	refused_here "$mnt" -o rw
	refused_here "$mnt" -o ro
	qemu_ends
	mount_detached "$disk" "$mnt"
	unmount_detached "$mnt"

	qemu_holds off
	refused_here "$mnt" -o rw
	mount_detached -o ro "$disk" "$mnt"
	cmp "$disk" "$mnt/disk"
	unmount_detached "$mnt"
	qemu_ends
	mount_detached "$disk" "$mnt"
}

@test "mmapfs first: who writes keeps all out, who reads keeps out who writes" {
	mount_detached "$disk" "$mnt"
	for writable in on off; do
		refute qemu_holds $writable
		grep -F lock "$temp/qemu.err"
	done
	unmount_detached "$mnt"
	mount_detached -o ro "$disk" "$mnt"
	refute qemu_holds on
	grep -F lock "$temp/qemu.err"
	qemu_holds off
	unmount_detached "$mnt"
	qemu_ends
	qemu_holds on
}

@test "qemu-img converts next to a reader, but not next to a writer" {
	mount_detached "$disk" "$mnt"
	refute timeout 20 qemu-img convert -f raw -O raw "$disk" "$temp/copy" 2>"$temp/err"
	grep -F lock "$temp/err"
	unmount_detached "$mnt"
	timeout 20 qemu-img convert -f raw -O raw "$disk" "$temp/copy"
	mount_detached -o ro "$disk" "$mnt"
	timeout 20 qemu-img convert -f raw -O raw "$disk" "$temp/copy"
}

@test "lock=off with QEMU, both ways round" {
	qemu_holds on
	mount_detached -o lock=off "$disk" "$mnt"
	cmp "$disk" "$mnt/disk"
	unmount_detached "$mnt"
	qemu_ends
	mount_detached -o lock=off "$disk" "$mnt"
	qemu_holds on
}

# --- the end -------------------------------------------------------------------------------------

# gone: no lock, and nobody has the image open or mapped. At once: whoever returned has waited.
gone() {
	locked_as ''
	call lock "$disk" wr 0 0 >/dev/null
	assert_equal "$(find /proc/[0-9]*/fd /proc/[0-9]*/map_files -lname "$disk" 2>/dev/null)" ''
}

@test "after mmapfs umount" {
	for _ in {1..5}; do
		mount_detached "$disk" "$mnt"
		call write "$mnt/disk" 0 100000
		unmount_detached "$mnt"
		gone
	done
}

@test "after fusermount3 -u, SIGTERM, SIGINT, SIGHUP, SIGKILL, SIGABRT, when the process has gone" {
	local way pid

	for way in unmount lazy TERM INT HUP KILL ABRT; do
		mount_detached "$disk" "$mnt"
		call write "$mnt/disk" 0 100000
		pid=$(daemon_of "$mnt")
		exec {file}<"$mnt/disk"
		locked_as WRITE
		case $way in
		unmount)
			exec {file}<&-
			fusermount3 -u "$mnt"
			;;
		lazy)
			fusermount3 -u -z "$mnt"
			exec {file}<&-
			;;
		*) (ulimit -c 0 && kill "-$way" "$pid") ;;
		esac
		wait_until is_ended "$pid"
		gone
		exec {file}<&-
		forget "$mnt"
		fusermount3 -u -z "$mnt" 2>/dev/null || true
	done
}

@test "while a killed daemon's clients still have files open" {
	mount_detached "$disk" "$mnt"
	exec {file}<>"$mnt/disk"
	kill_daemon "$mnt"
	gone
	mmapfs "$disk" "$mnt"
	assert_equal "$status" 0
	adopt "$mnt"
	locked_as WRITE
	exec {file}>&-
}

@test "no child and no program that it starts keeps the lock" {
	# The daemon's own descriptors and mappings are the only ones on the image.
	mount_detached "$disk" "$mnt"
	pid=$(daemon_of "$mnt")
	assert_equal "$(find /proc/[0-9]*/fd -lname "$disk" 2>/dev/null | cut -d/ -f3 | sort -u)" "$pid"
	assert_equal "$(cat "/proc/$pid/task/"*/children)" ''
}
