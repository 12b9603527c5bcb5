# SPDX-License-Identifier: MIT
#
# What the tests of the command line share, on top of common.bash: mounts as users make them, in
# the background, and refusals that must leave nothing behind. A test file starts with
#
#   # shellcheck source-path=SCRIPTDIR source=../lib/common.bash
#   source "$BATS_TEST_DIRNAME/../lib/common.bash"
#   # shellcheck source-path=SCRIPTDIR source=../lib/cli.bash
#   source "$BATS_TEST_DIRNAME/../lib/cli.bash"
#
#   mmapfs ARGUMENT...            runs it; leaves $status, $temp/out and $temp/err
#   assert_done                   it exited 0 and said nothing on standard error
#   assert_failed STATUS REGEX... it exited so, and said one line for each of these
#   assert_said REGEX...          it said one line for each of these, in any order, and nothing else
#   literally TEXT                a regex for the text
#   refused STATUS REGEX... -- ARGUMENT...
#                                 mmapfs ARGUMENT... exits so, says so, and mounts nothing
#   plan_refused STATUS REGEX... -- ARGUMENT...
#                                 the same of `plan`, and of a mount at $mnt
#   mount_detached ARGUMENT...    a mount in the background; the last argument is the mountpoint
#   adopt MOUNTPOINT              the same for a mount that the test has made by itself
#   unmount_detached MOUNTPOINT   its end, clean
#   kill_daemon MOUNTPOINT        its end by SIGKILL; the mount is then the test's to remove
#   daemon_of MOUNTPOINT          its process
#   forget MOUNTPOINT             it has ended in another way, that the test has looked at
#   dirty_mapping FILE BYTE       a client with stores that nobody has synced
#   is_ended PID                  the process is gone, or but a zombie
#   make_read_only FILE           even for root
#   untouched FOLDER              nothing in there may have changed by the end of the test
#   make_public                   $public, a folder that everybody can get at
#   ordinary                      from here on mmapfs runs without privileges, as somebody who can
#                                 get at $public
#
# For root alone, who has called make_public and put call(1) there:
#
#   as USER COMMAND...            as this user
#   as_errno USER ERRNO CALL ARGUMENT...    the call of this user fails with exactly this
#   apart COMMAND...              in a mount namespace of its own, where all may use /dev/fuse
#
# The end of each test finds what is still mounted in $temp, or still running: both are failures.

# shellcheck shell=bash disable=SC2034 # the variables are for the tests
# shellcheck disable=SC2154 # others are those of common.bash

setup() {
	cli_setup
}

teardown() {
	cli_teardown
}

cli_setup() {
	common_setup
	detached_mountpoint=()
	detached_pid=()
	watcher_pids=()
	bound_files=()
	untouched_folder=
	public=$temp
	prefix=()
	program=$MMAPFS
}

cli_teardown() {
	local result=0 mountpoint pid

	program=$MMAPFS
	prefix=()
	end_processes "${helper_pids[@]}"
	helper_pids=()
	for mountpoint in "${detached_mountpoint[@]}"; do
		pid=$(daemon_of "$mountpoint")
		if ! unmount_detached "$mountpoint"; then
			result=1
			fusermount3 -u -z "$mountpoint" 2>/dev/null || umount -l "$mountpoint" || true
			kill -KILL "$pid" 2>/dev/null || true
		fi
	done
	end_processes "${watcher_pids[@]}"
	for mountpoint in "${!daemon_pid[@]}"; do
		unmount "$mountpoint" || result=1
	done
	for mountpoint in "${bound_files[@]}"; do
		umount "$mountpoint" || result=1
	done
	if [ -n "$untouched_folder" ] && ! fingerprint "$untouched_folder" | diff "$temp/print" -; then
		fail 'this has changed what it must leave alone' || result=1
	fi
	common_teardown || result=1
	if ! wait_until no_leftovers; then
		for pid in $(leftovers); do
			tr '\0' ' ' <"/proc/$pid/cmdline" >&2
			kill -KILL "$pid" 2>/dev/null || true
		done
		result=1
	fi
	remove_mounts || result=1
	[ "$public" = "$temp" ] || rm -rf --one-file-system "$public"
	return "$result"
}

end_processes() {
	local pid

	for pid; do
		end_child "$pid"
	done
}

remove_mounts() {
	local mountpoint result=0

	while read -r _ _ _ _ mountpoint _; do
		echo "still mounted: $mountpoint" >&2
		mountpoint=$(printf %b "$mountpoint")
		fusermount3 -u -z "$mountpoint" 2>/dev/null || umount -l "$mountpoint" || true
		result=1
	done < <(mounts_here)
	return "$result"
}

# --- running -------------------------------------------------------------------------------------

mmapfs() {
	status=0
	timeout --kill-after=5 60 "${prefix[@]}" "$program" "$@" \
		>"$temp/out" 2>"$temp/err" 3>&- 4>&- || status=$?
}

assert_done() {
	if [ "$status" -ne 0 ] || [ -s "$temp/err" ]; then
		fail "mmapfs ended with $status" "$(cat "$temp/err")"
	fi
}

assert_failed() {
	if [ "$status" -ne "$1" ]; then
		fail "mmapfs ended with $status, wanted $1" "$(cut -c 1-400 "$temp/err")"
		return
	fi
	shift
	assert_said "$@"
}

assert_said() {
	local line regex found
	local -a lines

	mapfile -t lines <"$temp/err"
	if [ "${#lines[@]}" -ne $# ]; then
		fail "mmapfs said ${#lines[@]} lines, wanted $#:" "$(cut -c 1-400 "$temp/err")"
		return
	fi
	for line in "${lines[@]}"; do
		if [[ $line != 'mmapfs: '?* ]]; then
			fail "a message begins with 'mmapfs: ', not: $line"
			return
		fi
		if [[ $line == *[[:cntrl:]]* ]]; then
			fail 'control bytes in a message:' "$(cat -v "$temp/err")"
			return
		fi
	done
	for regex; do
		found=
		for line in "${lines[@]}"; do
			if [[ ${line#mmapfs: } =~ $regex ]]; then
				found=yes
			fi
		done
		if [ -z "$found" ]; then
			fail "mmapfs did not say: $regex" "but: $(cut -c 1-400 "$temp/err")"
			return
		fi
	done
}

literally() {
	# shellcheck disable=SC2001 # no pattern of bash can put one before what it finds
	sed 's/[][\\.*^$+?(){}|]/\\&/g' <<<"$1"
}

refused() {
	local want=$1 before
	local -a regexes=()

	shift
	while [ "$1" != -- ]; do
		regexes+=("$1")
		shift
	done
	shift
	before=$(mounts_here)
	mmapfs "$@"
	if [ "$(mounts_here)" != "$before" ]; then
		fail "this mounted something: mmapfs $*"
		return
	fi
	if ! assert_failed "$want" "${regexes[@]}"; then
		fail "this was: mmapfs $(printf '%.200s ' "$@")"
		return
	fi
	if [ -s "$temp/out" ]; then
		fail "mmapfs $*" 'said on standard output:' "$(head -c 400 "$temp/out")"
	fi
}

plan_refused() {
	local -a regexes=()

	while [ "$1" != -- ]; do
		regexes+=("$1")
		shift
	done
	shift
	refused "${regexes[@]}" -- plan "$@" || return
	refused "${regexes[@]}" -- "$@" "$mnt"
}

# The lines of the kernel's list about what FUSE has mounted in this test's folders
mounts_here() {
	awk -v temp="$temp/" -v public="$public/" \
		'(index($5, temp) == 1 || index($5, public) == 1) && / - fuse/' /proc/self/mountinfo
}

# The processes of mmapfs that this test has started, and that are to have ended.
leftovers() {
	local file pid name expected=" ${detached_pid[*]} "

	while read -r file; do
		pid=${file//[!0-9]/}
		if { read -r name <"/proc/$pid/comm"; } 2>/dev/null &&
			[[ $name == *mmapfs && $expected != *" $pid "* ]] && ! is_foreground "$pid" &&
			! is_ended "$pid"; then
			echo "$pid"
		fi
	done < <(grep -lsaF -e "$temp" -e "$public" /proc/[0-9]*/cmdline)
}

no_leftovers() {
	[ -z "$(leftovers)" ]
}

# Whether start_mmapfs runs it.
is_foreground() {
	local runner

	for runner in "${daemon_pid[@]}"; do
		if [[ " $(cat "/proc/$runner/task/$runner/children" 2>/dev/null)" == *" $1 "* ]]; then
			return
		fi
	done
	return 1
}

# A zombie that has other threads is none yet.
is_ended() {
	local stat threads=("/proc/$1/task/"*)

	{ read -r stat <"/proc/$1/stat"; } 2>/dev/null || return 0
	stat=${stat##*) }
	[ "${stat:0:1}" = Z ] && [ "${#threads[@]}" -eq 1 ]
}

# --- mounts in the background --------------------------------------------------------------------

mount_detached() {
	mmapfs "$@"
	assert_done
	adopt "${!#}"
}

# adopt MOUNTPOINT: an mmapfs is mounted there, and this test will end it.
#
# Should its daemon hang, then so would whoever looks at the mount: it gets as long as the others.
adopt() {
	local pid

	pid=$(stat_value pid "$1")
	detached_mountpoint+=("$1")
	detached_pid+=("$pid")
	{ timeout "$daemon_limit" tail -s 0.1 -f --pid="$pid" /dev/null || kill -KILL "$pid"; } \
		</dev/null >/dev/null 2>&1 3>&- 4>&- &
	watcher_pids+=("$!")
}

forget() {
	local index

	index=$(detached_index "$1")
	unset "detached_mountpoint[$index]" "detached_pid[$index]"
}

daemon_of() {
	local index

	index=$(detached_index "$1")
	echo "${detached_pid[index]}"
}

# An associative array would read more into a name like '\x' than there is.
detached_index() {
	local index

	for index in "${!detached_mountpoint[@]}"; do
		if [ "${detached_mountpoint[index]}" = "$1" ]; then
			echo "$index"
			return
		fi
	done
	fail "no mount of this test: $1"
}

unmount_detached() {
	local pid

	pid=$(daemon_of "$1") || return
	mmapfs umount "$1"
	assert_done || return
	if ! is_ended "$pid"; then
		fail "mmapfs umount has returned, and process $pid is still there"
		return
	fi
	forget "$1"
	if is_mounted "$1"; then
		fail "$1 is still mounted"
	fi
}

kill_daemon() {
	local pid

	pid=$(daemon_of "$1")
	kill -KILL "$pid"
	forget "$1"
	wait_until is_ended "$pid"
}

# --- images --------------------------------------------------------------------------------------

make_read_only() {
	if [ "$EUID" -eq 0 ]; then
		mount --bind "$1" "$1"
		bound_files+=("$1")
		mount -o remount,bind,ro "$1"
	else
		chmod a-w "$1"
	fi
}

# --- what must not change ------------------------------------------------------------------------

untouched() {
	untouched_folder=$1
	fingerprint "$1" >"$temp/print"
}

fingerprint() {
	find "$1" -printf '%y %m %s %T@ %P\n' | sort
	find "$1" -type f -readable -exec sha256sum {} + | sort
}

# --- who -----------------------------------------------------------------------------------------

make_public() {
	public=$(mktemp -d)
	chmod 755 "$public"
	cp "$MMAPFS" "$public/mmapfs"
}

ordinary() {
	if [ "$EUID" -eq 0 ]; then
		make_public
		program=$public/mmapfs
		prefix=(runuser -u nobody --)
	fi
}

# as USER COMMAND...: bounded
as() {
	timeout 60 runuser -u "$1" -- "${@:2}" 3>&- 4>&-
}

# as_errno USER ERRNO CALL ARGUMENT...: the call of this user fails with exactly this
as_errno() {
	assert_equal "${*:3}: $(as "$1" "$public/call" "${@:3}")" "${*:3}: $2"
}

# apart COMMAND...: in a mount namespace of its own, where everybody can have /dev/fuse. What is
# mounted there goes with it. Other tests' mounts are taken out of it, or they could not end.
apart() {
	# shellcheck disable=SC2016 # for the inner shell
	timeout -s KILL 60 unshare --mount --propagation private bash -euc '
		while read -r _ _ _ _ mountpoint _; do
			umount -l "$(printf %b "$mountpoint")"
		done < <(grep -F " - fuse.mmapfs " /proc/self/mountinfo)
		mkdir "$1"
		mount -t tmpfs none "$1"
		mknod "$1/fuse" c 10 229
		chmod 666 "$1/fuse"
		mount --bind "$1/fuse" /dev/fuse
		shift
		exec "$@"' apart "$temp/dev.$RANDOM" "$@" 3>&- 4>&-
}

# dirty_mapping FILE BYTE [close]: a client that has stored BYTE all over FILE through a shared mapping,
# has told nobody, and keeps the mapping until $client_input is closed; with close not the descriptor.
dirty_mapping() {
	local answer

	coproc CLIENT {
		exec /usr/bin/python3 -c '
import mmap, os, sys
fd = os.open(sys.argv[1], os.O_RDWR)
mapping = mmap.mmap(fd, 0)
if sys.argv[3:]:
    os.closerange(3, 256)  # and the copy that the mapping keeps
mapping[:] = sys.argv[2].encode() * len(mapping)
print("stored", flush=True)
sys.stdin.read()
os._exit(0)' "$@" 3>&- 4>&-
	}
	helper_pids+=("$CLIENT_PID")
	client=$CLIENT_PID
	client_input=${CLIENT[1]}
	read -r -t 20 -u "${CLIENT[0]}" answer
	assert_equal "$answer" stored
}
