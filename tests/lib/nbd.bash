# SPDX-License-Identifier: MIT
#
# Images that fail, stall and keep a log on demand, on top of common.bash: each is the one file of an
# nbdfuse(1) mount, and what answers behind it is nbdkit(1) with its filters. A test file starts with
#
#   # shellcheck source-path=SCRIPTDIR source=../lib/common.bash
#   source "$BATS_TEST_DIRNAME/../lib/common.bash"
#   # shellcheck source-path=SCRIPTDIR source=../lib/nbd.bash
#   source "$BATS_TEST_DIRNAME/../lib/nbd.bash"
#
#   nbd_serve NAME SIZE [PARAMETER...]   makes $temp/NAME.raw of random bytes and serves it as the image
#                                        $temp/NAME.nbd/NAME; the parameters are nbdkit's
#   nbd_start NAME ARGUMENT...           the same with any other command line of nbdkit
#   nbd_stop NAME
#   nbd_break NAME read|write            from here on every such request fails with EIO, or as many
#                                        of them as error-pread-rate=, error-pwrite-rate= say ...
#   nbd_mend NAME read|write             ... until here
#   nbd_pause NAME                       requests are not answered, for a minute at most ...
#   nbd_resume NAME                      ... until here
#   nbd_forget NAME                      drops what the kernel has cached of the image
#   nbd_attach FILE [OPTION...]          as root: a loop device, $loop, over the file, and its file
#                                        system mounted at $temp/fs, with mount's options
#   nbd_detach                           takes both away; teardown does, too
#   nbd_log NAME                         the writes and flushes that were done, in order, one a line:
#                                        "write OFFSET END" or "flush", bytes in decimal
#
# The image is a file of another FUSE mount. Its page cache is the kernel's: a pwrite goes through to
# nbdkit at once, stores into a mapping wait for msync. Whoever opens the file drops its page cache,
# and whoever closes it writes back what is dirty, so a test leaves it to the daemon.

# shellcheck shell=bash
# shellcheck disable=SC2154 # the variables are those of common.bash

PATH=$PATH:/usr/sbin:/sbin

setup() {
	nbd_setup
}

teardown() {
	nbd_teardown
}

nbd_setup() {
	common_setup
	declare -gA nbd_pid=()
	declare -gA nbd_watchdog=()
	loop=
}

nbd_teardown() {
	local result=0 name folder=${MMAPFS_TEST_TMP:+$temp}

	rm -f "$temp"/*.broken
	for name in "${!nbd_watchdog[@]}"; do
		nbd_resume "$name"
	done
	MMAPFS_TEST_TMP= # the folder goes after the images in it
	common_teardown || result=1
	nbd_detach || result=1
	for name in "${!nbd_pid[@]}"; do
		nbd_stop "$name" || result=1
	done
	[ -z "$folder" ] || rm -rf --one-file-system "$folder"
	return "$result"
}

nbd_serve() {
	local name=$1 size=$2

	shift 2
	make_image "$temp/$name.raw" "$size"
	nbd_start "$name" --filter=log --filter=pause --filter=error file "$temp/$name.raw" \
		logfile="$temp/$name.log" pause-control="$temp/$name.pause" \
		error-pread-rate=1 error-pread-file="$temp/$name.read.broken" \
		error-pwrite-rate=1 error-pwrite-file="$temp/$name.write.broken" "$@"
}

nbd_start() {
	local name=$1 folder=$temp/$1.nbd

	shift
	mkdir "$folder"
	nbdfuse "$folder/$name" [ nbdkit --exit-with-parent "$@" ] \
		</dev/null >"$temp/$name.said" 2>&1 3>&- 4>&- &
	nbd_pid[$name]=$!
	if ! wait_until is_mounted "$folder"; then
		fail "$name is not served:" "$(cat "$temp/$name.said")"
	fi
}

nbd_stop() {
	local name=$1 pid=${nbd_pid[$1]} status=0

	unset "nbd_pid[$name]"
	if ! wait_until fusermount3 -u "$temp/$name.nbd" || ! wait_until is_gone "$pid"; then
		fusermount3 -u -z "$temp/$name.nbd" || true
		end_child "$pid" KILL
		status=1
	fi
	wait "$pid" || true
	return "$status"
}

nbd_break() {
	: >"$temp/$1.$2.broken"
}

nbd_mend() {
	rm "$temp/$1.$2.broken"
}

# Who waits for a paused image cannot even be killed; so a test that has hung gets it back.
nbd_pause() {
	nbd_tell "$1" p P 0
	nbd_tell "$1" r R 60 >/dev/null 2>&1 3>&- 4>&- &
	nbd_watchdog[$1]=$!
}

nbd_resume() {
	# By its number only while that is still its own.
	if grep -qs "^PPid:.$$\$" "/proc/${nbd_watchdog[$1]}/status"; then
		kill "${nbd_watchdog[$1]}"
	fi
	unset "nbd_watchdog[$1]"
	nbd_tell "$1" r R 0
}

nbd_attach() {
	loop=$(losetup --find --show "$1")
	mkdir -p "$temp/fs"
	mount "${@:2}" "$loop" "$temp/fs"
}

nbd_detach() {
	if mountpoint -q "$temp/fs"; then
		umount "$temp/fs" || return
	fi
	[ -z "$loop" ] || losetup -d "$loop" || return
	loop=
}

# nbd_tell NAME COMMAND ANSWER DELAY
nbd_tell() {
	/usr/bin/python3 - "$temp/$1.pause" "$2" "$3" "$4" <<-'END'
		import socket, sys, time
		path, command, answer, delay = sys.argv[1:]
		time.sleep(int(delay))
		with socket.socket(socket.AF_UNIX) as control:
		    control.connect(path)
		    control.send(command.encode())
		    assert control.recv(1).decode() == answer
	END
}

# nbdfuse lets the kernel keep nothing from one open to the next.
nbd_forget() {
	call open "$temp/$1.nbd/$1" >/dev/null
}

# A flush stands where it began: it vouches for what was done by then.
nbd_log() {
	/usr/bin/python3 - "$temp/$1.log" <<-'END'
		import re, sys
		done, pending = [], {}
		for line in open(sys.argv[1]):
		    found = re.search(r" (\.\.\.)?(Write|Flush) id=(\d+)(.*)", line)
		    if not found:
		        continue
		    ended, action, key, rest = found.groups()
		    if not ended and action == "Write":
		        offset, count = (int(n, 16) for n in re.findall(r"=(0x\w+)", rest))
		        pending[key] = f"write {offset} {offset + count}"
		    elif not ended:
		        pending[key] = len(done)
		        done.append(None)
		    elif "return=0" in rest and action == "Write":
		        done.append(pending[key])
		    elif "return=0" in rest:
		        done[pending[key]] = "flush"
		print("\n".join(filter(None, done)))
	END
}
