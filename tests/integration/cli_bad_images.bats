#!/usr/bin/env bats
# SPDX-License-Identifier: MIT
#
# Images that cannot be served, or that somebody else is writing to.

# shellcheck source-path=SCRIPTDIR source=../lib/common.bash
source "$BATS_TEST_DIRNAME/../lib/common.bash"
# shellcheck source-path=SCRIPTDIR source=../lib/cli.bash
source "$BATS_TEST_DIRNAME/../lib/cli.bash"

setup() {
	cli_setup
	mkdir "$temp/img" "$temp/second"
	disk=$temp/img/disk
	make_image "$disk" 1M
}

# image_refused PATH REGEX: as IMAGE, in a SLICE, and in a table
image_refused() {
	local name=${1##*/}

	plan_refused 1 "^image '$name': .*$2" -- "$1"
	plan_refused 1 "^image '$name': .*$2" -- -s "a=$1@0+1"
	printf 'slice ok - 0 1\nimage d %s\nslice a d 0 1\n' "$1" >"$temp/table"
	plan_refused 1 "^$temp/table:2: image 'd': .*$2" -- --table "$temp/table"
}

# --- kinds ---------------------------------------------------------------------------------------

@test "an image that is not there" {
	untouched "$temp/img"
	image_refused "$temp/img/missing" "$temp/img/missing"
	image_refused "$disk/below" "$disk/below"
	ln -s nowhere "$temp/dangling"
	image_refused "$temp/dangling" dangling
	ln -s loop "$temp/loop"
	image_refused "$temp/loop" loop
	plan_refused 1 "^image '00000" -- -s "a=$temp/$(printf '%0300d' 0)@0"
}

@test "a folder" {
	image_refused "$temp/img" "$temp/img"
}

@test "an empty file" {
	: >"$temp/img/empty"
	untouched "$temp/img"
	image_refused "$temp/img/empty" "$temp/img/empty"
}

@test "a FIFO, which nobody has open at its other end" {
	mkfifo "$temp/img/fifo"
	untouched "$temp/img"
	image_refused "$temp/img/fifo" "$temp/img/fifo"
}

@test "a FIFO that is read at its other end does not notice" {
	mkfifo "$temp/img/fifo"
	timeout 60 cat "$temp/img/fifo" >"$temp/read" 3>&- 4>&- &
	reader=$!
	image_refused "$temp/img/fifo" "$temp/img/fifo"
	kill -0 "$reader"
	echo end >"$temp/img/fifo"
	wait "$reader"
	assert_equal "$(<"$temp/read")" end
}

@test "a socket" {
	/usr/bin/python3 -c 'import socket, sys; socket.socket(socket.AF_UNIX).bind(sys.argv[1])' \
		"$temp/img/socket"
	image_refused "$temp/img/socket" "$temp/img/socket"
}

@test "character devices" {
	for device in null zero full tty random; do
		image_refused "/dev/$device" "/dev/$device"
	done
}

@test "files that only look like some" {
	image_refused /proc/self/maps maps
	image_refused /proc/version version
	refused 1 "^image 'mem': " -- /proc/self/mem "$mnt"
}

@test "a file that may not be read" {
	ordinary
	install -m 0 "$disk" "$public/secret"
	mkdir "$public/closed"
	mkdir -m 777 "$public/open"
	cp "$disk" "$public/closed/disk"
	refused 1 "^image 'secret': .*$public/secret" -- plan "$public/secret"
	refused 1 "^image 'secret': .*$public/secret" -- -s "a=$public/secret@0+1" "$public/open"
	chmod 0 "$public/closed"
	refused 1 "^image 'disk': .*$public/closed/disk" -- plan "$public/closed/disk"
	chmod 755 "$public/closed"
}

@test "one of several images" {
	make_image "$temp/img/two" 4K
	untouched "$temp/img"
	plan_refused 1 "^image 'missing': " -- -s "a=$disk@0" -s "b=$temp/img/missing@0" \
		-s "c=$temp/img/two@0"
	plan_refused 1 "^image 'missing': " "^image 'gone': " -- -s "a=$temp/img/missing@0" \
		-s "b=$disk@0" -s "c=$temp/img/gone@0"
	# Those that were opened already are free again.
	call lock "$disk" wr 0 0
}

@test "one file under two names, once to write and once to read" {
	ln "$disk" "$temp/img/hard"
	ln -s disk "$temp/img/soft"
	untouched "$temp/img"
	printf 'image a img/disk rw\nimage b img/hard ro\nimage c img/soft ro\n' >"$temp/table"
	plan_refused 1 "^$temp/table:2: image 'b': .*'a'" "^$temp/table:3: image 'c': .*'a'" -- \
		--table "$temp/table"
}

# --- where it lies -------------------------------------------------------------------------------

@test "an image inside the mountpoint" {
	mkdir "$mnt/folder"
	cp "$disk" "$mnt/inner"
	cp "$disk" "$mnt/folder/inner"
	ln -s "$mnt/inner" "$temp/link"
	untouched "$mnt"
	for image in "$mnt/inner" "$mnt/folder/inner" "$mnt/folder/../inner" "$temp/link"; do
		refused 1 "^image '.*$mnt" -- "$image" "$mnt"
		refused 1 "^image '.*$mnt" -- mount -f "$image" "$mnt"
		refused 1 "^image '.*$mnt" -- -s "a=$disk@0" -s "b=$image@0" "$mnt"
	done
	cd "$mnt"
	refused 1 "^image '.*$mnt" -- inner .
	refused 1 "^image '.*$mnt" -- -s "a=folder/inner@0" ../mnt
	refused 1 "^image 'a': .*$mnt" "^image 'b': .*$mnt" -- --table - "$mnt" <<-'END'
		image a inner
		image b folder/inner
	END
	cd /
}

@test "an image beside the mountpoint, with a name that begins the same" {
	cp "$disk" "$temp/mnt.img"
	mount_detached "$temp/mnt.img" "$mnt"
	cmp "$disk" "$mnt/mnt.img"
}

@test "an image on the mount that it would replace" {
	mount_detached "$disk" "$mnt"
	refused 1 "$mnt" -- -o lock=off "$mnt/disk" "$mnt"
	cmp "$disk" "$mnt/disk"
}

# --- in use --------------------------------------------------------------------------------------

@test "a second writer is refused, by name" {
	mount_detached "$disk" "$mnt"
	untouched "$temp/img"
	refused 1 "^image 'disk': .*$disk" -- "$disk" "$temp/second"
	refused 1 "^image 'disk': .*$disk" -- mount -f "$disk" "$temp/second"
	ln -s disk "$temp/img/link"
	refused 1 "^image .*$temp/img" -- "$temp/img/link" "$temp/second"
	printf 'image d img/disk rw\nslice a d 0 1\n' >"$temp/table"
	refused 1 "^$temp/table:1: image 'd': .*$disk" -- --table "$temp/table" "$temp/second"
	rm "$temp/img/link"
	cmp "$disk" "$mnt/disk"
	untouched_folder=
	unmount_detached "$mnt"

	mount_detached "$disk" "$temp/second"
}

@test "readers do not keep each other out" {
	mount_detached -o ro "$disk" "$mnt"
	mount_detached -o ro "$disk" "$temp/second"

	cmp "$disk" "$mnt/disk"
	cmp "$disk" "$temp/second/disk"
}

@test "a writer keeps readers out, and readers a writer" {
	mount_detached "$disk" "$mnt"
	refused 1 "^image 'disk': .*$disk" -- -o ro "$disk" "$temp/second"
	unmount_detached "$mnt"

	mount_detached -o ro "$disk" "$mnt"
	refused 1 "^image 'disk': .*$disk" -- "$disk" "$temp/second"
	unmount_detached "$mnt"
	mount_detached "$disk" "$temp/second"
}

@test "of two writers that start together one wins" {
	for number in 1 2; do
		mountpoints[number]=$temp/race$number
		mkdir "${mountpoints[number]}"
	done
	for _ in {1..5}; do
		for number in 1 2; do
			timeout 30 "$MMAPFS" "$disk" "${mountpoints[number]}" 2>"$temp/err.$number" 3>&- 4>&- &
			starts[number]=$!
		done
		for number in 1 2; do
			ended=0
			wait "${starts[number]}" || ended=$?
			ends[number]=$ended
		done
		case ${ends[1]}${ends[2]} in
		01) won=1 lost=2 ;;
		10) won=2 lost=1 ;;
		*) fail "they ended with ${ends[*]}" "$(cat "$temp/err.1" "$temp/err.2")" ;;
		esac
		grep -q "^mmapfs: image 'disk': " "$temp/err.$lost"
		[ ! -s "$temp/err.$won" ]
		adopt "${mountpoints[won]}"
		unmount_detached "${mountpoints[won]}"
	done
}

@test "the lock lies on the file, not on its name" {
	mount_detached "$disk" "$mnt"
	ln "$disk" "$temp/img/hard"
	refused 1 "^image 'hard': .*$temp/img/hard" -- "$temp/img/hard" "$temp/second"
	cp "$disk" "$temp/img/copy"
	mount_detached "$temp/img/copy" "$temp/second"
}

# qemu_has ACCESS: a qemu-storage-daemon exports the image, to "on" (write) or "off"
qemu_has() {
	local pid

	timeout 30 qemu-storage-daemon --daemonize --pidfile "$temp/qemu.pid" \
		--blockdev "driver=file,node-name=disk,filename=$disk,read-only=$([ "$1" = on ] &&
			echo off || echo on)" \
		--nbd-server "addr.type=unix,addr.path=$temp/nbd" \
		--export "type=nbd,id=export,node-name=disk,writable=$1" 3>&- 4>&-
	pid=$(<"$temp/qemu.pid")
	helper_pids+=("$pid")
}

@test "qemu has it open to write: refused, by name" {
	qemu_has on
	refused 1 "^image 'disk': .*$disk" -- "$disk" "$mnt"
	refused 1 "^image 'disk': .*$disk" -- -o ro "$disk" "$mnt"

	mount_detached -o ro,lock=off "$disk" "$mnt"
	cmp "$disk" "$mnt/disk"
	unmount_detached "$mnt"
}

@test "qemu reads it: so may others" {
	qemu_has off
	mount_detached -o ro "$disk" "$mnt"

	cmp "$disk" "$mnt/disk"
}

@test "qemu finds it locked while it is mounted" {
	mount_detached "$disk" "$mnt"
	refute timeout 20 qemu-img bench -q -w -c 1 -f raw "$disk" 3>&- 4>&-
	refute timeout 20 qemu-img bench -q -c 1 -f raw "$disk" 3>&- 4>&-
	unmount_detached "$mnt"
	timeout 20 qemu-img bench -q -w -c 1 -f raw "$disk" 3>&- 4>&-
}

@test "whoever holds a lock of his own: refused, by name" {
	coproc HOLDER { exec "$call_program" lock "$disk" wr 5 1 hold 3>&- 4>&-; }
	helper_pids+=("$HOLDER_PID")
	read -r -t 20 -u "${HOLDER[0]}" answer
	assert_equal "$answer" 'OK 0'

	refused 1 "^image 'disk': .*$disk" -- "$disk" "$mnt"
	refused 1 "^image 'disk': .*$disk" -- -o ro "$disk" "$mnt"
	mount_detached -o lock=off "$disk" "$mnt"
}
