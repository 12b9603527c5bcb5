#!/usr/bin/env bats
# SPDX-License-Identifier: MIT
#
# However a mount begins and ends: what was written is in the image, and no process, mount, lock or
# file is left behind.

# shellcheck source-path=SCRIPTDIR source=../lib/common.bash
source "$BATS_TEST_DIRNAME/../lib/common.bash"
# shellcheck source-path=SCRIPTDIR source=../lib/cli.bash
source "$BATS_TEST_DIRNAME/../lib/cli.bash"

setup() {
	cli_setup
	make_image "$temp/disk" 1M
	mkdir "$temp/tmp"
	export TMPDIR=$temp/tmp
	RANDOM=$seed
}

# nothing_left: of the mount at $mnt
nothing_left() {
	wait_until no_leftovers
	assert_equal "$(mounts_here)" ''
	call lock "$temp/disk" wr 0 0 >/dev/null
	assert_equal "$(ls -A "$temp/tmp" "$mnt")" "$(printf '%s:\n\n%s:' "$mnt" "$temp/tmp")"
}

# serve: in the foreground
serve() {
	start_mmapfs -s 'a=@12345+500003' -s 'tail=@600K,resize' "$temp/disk" "$mnt"
}

# filled FILE OFFSET LENGTH BYTE
filled() {
	assert_equal "$(cut_out "$1" "$2" "$3" | tr -d "$4" | wc -c)" 0
}

# --- start-up ------------------------------------------------------------------------------------

# interrupted SIGNAL ARGUMENT...: mmapfs gets it at some random moment of its start; leaves $status
#
# How long a start takes is found out on the way, so that about every second one is interrupted.
interrupted() {
	local signal=$1 pid moment

	shift
	startup=${startup:-20000}
	moment=$((RANDOM * 32768 % startup))
	env --default-signal=INT "$MMAPFS" "$@" </dev/null >/dev/null 2>"$temp/err" 3>&- 4>&- &
	pid=$!
	# Before that it is bash, or env, which do with signals what they like.
	until [ "/proc/$pid/exe" -ef "$MMAPFS" ] || is_gone "$pid"; do
		:
	done
	# Not for something to happen: which moment of the start it is, is what is random.
	sleep "$(printf '%d.%06d' $((moment / 1000000)) $((moment % 1000000)))"
	kill "-$signal" "$pid" 2>/dev/null || true
	status=0
	wait "$pid" 2>/dev/null || status=$?
	if [ "$status" -eq 0 ]; then
		startup=$((startup * 9 / 10 + 1))
	else
		startup=$((startup * 11 / 10))
	fi
}

# both ENDS: 1 when some were ended by the signal and some were not, else 0
both() {
	[[ $1 == *' 0'* && $1 == *' 1'* ]] && echo 1 || echo 0
}

@test "a signal during start-up, in the foreground, leaves nothing" {
	local ends='' round

	# Until both ways to end have come up, or the moments are no good.
	for ((round = 0; round < 16 || round < 60 && !$(both "$ends"); round++)); do
		for signal in TERM INT HUP; do
			interrupted "$signal" -f "$temp/disk" "$mnt"
			# By the signal, or as one that ends a mount.
			if [ "$status" -ne 0 ] && [ "$status" -ne $((128 + $(kill -l "$signal"))) ]; then
				fail "SIG$signal: status $status" "$(cat "$temp/err")"
			fi
			ends+=" $status"
			nothing_left
		done
	done
	[ "$(both "$ends")" = 1 ]
}

@test "a signal during start-up, in the background: the command is done, or nothing is left" {
	local ends='' round

	# Until both ways to end have come up, or the moments are no good.
	for ((round = 0; round < 16 || round < 60 && !$(both "$ends"); round++)); do
		for signal in TERM INT HUP; do
			interrupted "$signal" "$temp/disk" "$mnt"
			ends+=" $status"
			if [ "$status" -eq 0 ]; then
				adopt "$mnt"
				cmp "$temp/disk" "$mnt/disk"
				unmount_detached "$mnt"
			fi
			nothing_left
		done
	done
	[ "$(both "$ends")" = 1 ]
}

@test "SIGKILL of the daemon during start-up: mounting again works" {
	for _ in {1..12}; do
		interrupted KILL -f "$temp/disk" "$mnt"
		call lock "$temp/disk" wr 0 0 >/dev/null
		mmapfs "$temp/disk" "$mnt"
		[ "$status" -eq 0 ]
		adopt "$mnt"
		cmp "$temp/disk" "$mnt/disk"
		unmount_detached "$mnt"
		nothing_left
	done
}

# --- by other ways than `mmapfs umount` ----------------------------------------------------------

@test "fusermount3 -u refuses while a file is open, and ends the daemon when none is" {
	serve
	pid=$(daemon_process "$mnt")
	exec {file}<>"$mnt/a"
	printf xyz >&"$file"
	refute fusermount3 -u "$mnt" 2>/dev/null
	is_mounted "$mnt"
	run_errno EAGAIN lock "$temp/disk" wr 0 0
	call -o "$temp/got" read "fd:$file" 0 3
	assert_equal "$(<"$temp/got")" xyz
	exec {file}>&-

	fusermount3 -u "$mnt"
	daemon_reap "$mnt"
	is_ended "$pid"
	nothing_left
	assert_equal "$(cut_out "$temp/disk" 12345 3)" xyz
}

@test "a lazy unmount of an idle mount ends the daemon" {
	serve
	call write "$mnt/a" 0 100000 l
	fusermount3 -u -z "$mnt"
	daemon_reap "$mnt"
	nothing_left
	filled "$temp/disk" 12345 100000 l
}

@test "a lazy unmount while files are open: they work, and the daemon ends with the last one" {
	serve
	pid=$(daemon_process "$mnt")
	exec {reader}<"$mnt/a" {writer}<>"$mnt/tail"
	fusermount3 -u -z "$mnt"
	refute is_mounted "$mnt"

	cut_out "$temp/disk" 12345 500003 "$temp/wanted"
	call -o "$temp/got" read "fd:$reader" 0 500003
	cmp "$temp/got" "$temp/wanted"
	call write "fd:$writer" 100 100000 z
	call ftruncate "fd:$writer" 300000
	call fsync "fd:$writer"
	refute is_ended "$pid"
	run_errno EAGAIN lock "$temp/disk" wr 0 0
	exec {reader}<&-
	call write "fd:$writer" 0 100 y
	refute is_ended "$pid"
	run_errno EAGAIN lock "$temp/disk" wr 0 0

	exec {writer}>&-
	daemon_reap "$mnt"
	nothing_left
	filled "$temp/disk" 614400 100 y
	filled "$temp/disk" 614500 100000 z
	assert_equal "$(stat -c %s "$temp/disk")" $((614400 + 300000))
}

@test "a lazy unmount with dirty pages of a mapping: they arrive when the client ends" {
	serve
	pid=$(daemon_process "$mnt")
	dirty_mapping "$mnt/a" m close
	fusermount3 -u -z "$mnt"
	refute is_ended "$pid"
	exec {client_input}>&-
	wait "$client"
	daemon_reap "$mnt"
	nothing_left
	filled "$temp/disk" 12345 500003 m
}

@test "a signal after a lazy unmount ends the daemon, and its files fail" {
	expect_log ': unmounting '
	serve
	exec {file}<>"$mnt/a"
	printf xyz >&"$file"
	pid=$(daemon_process "$mnt")
	fusermount3 -u -z "$mnt"
	kill -TERM "$pid"
	daemon_reap "$mnt"
	nothing_left
	run_errno ENOTCONN read "fd:$file" 0 100
	exec {file}>&-
	assert_equal "$(cut_out "$temp/disk" 12345 3)" xyz
}

@test "SIGKILL: what write() had returned for is there, and nothing holds the image" {
	mount_detached "$temp/disk" "$mnt"
	exec {file}<>"$mnt/disk"
	call write "$mnt/disk" 777 300000 k
	kill_daemon "$mnt"
	call lock "$temp/disk" wr 0 0
	filled "$temp/disk" 777 300000 k
	run_errno ENOTCONN read "fd:$file" 0 100
	exec {file}>&-
	mmapfs umount "$mnt"
	assert_failed 1 "^$mnt: the daemon had died"
	nothing_left
}

@test "a second signal leaves while a client keeps its pages dirty" {
	expected_log=('unmounting |second signal')
	serve
	dirty_mapping "$mnt/a" t close
	pid=$(daemon_process "$mnt")
	kill -TERM "$pid"
	for _ in {1..200}; do
		is_ended "$pid" && break
		kill -TERM "$pid" 2>/dev/null || true
		sleep 0.02
	done
	daemon_reap "$mnt"
	exec {client_input}>&-
	wait "$client" || true
	nothing_left
}

@test "readers, writers and mappings at SIGTERM: all end, and no write is half done" {
	expect_log ': unmounting '
	local round=0 pids

	for signal in TERM INT HUP; do
		serve
		dirty_mapping "$mnt/tail" "${signal:0:1}" close
		pids=()
		: >"$temp/written"
		for _ in 1 2; do
			timeout 60 cat "$mnt/a" "$mnt/a" "$mnt/a" "$mnt/a" >/dev/null 2>&1 3>&- 4>&- &
			pids+=("$!")
		done
		# Blocks of one byte each: all of a block that was reported written must be there.
		timeout 60 /usr/bin/python3 - "$mnt/a" >>"$temp/written" 2>/dev/null 3>&- 4>&- <<-'END' &
			import os, sys
			fd = os.open(sys.argv[1], os.O_RDWR)
			for turn in range(100000):
			    if os.pwrite(fd, bytes([turn % 251]) * 4999, turn % 100 * 5000) != 4999:
			        break
			    os.write(1, b"%d\n" % turn)
		END
		pids+=("$!")
		wait_until test -s "$temp/written"
		kill "-$signal" "$(daemon_process "$mnt")"
		daemon_reap "$mnt"
		for pid in "${pids[@]}"; do
			wait "$pid" || true
		done
		exec {client_input}>&-
		wait "$client"
		nothing_left
		filled "$temp/disk" 614400 434176 "${signal:0:1}"
		/usr/bin/python3 - "$temp/disk" "$(tail -n 1 "$temp/written")" <<-'END'
			import sys
			data = open(sys.argv[1], "rb").read()[12345:]
			last = int(sys.argv[2])
			for turn in range(max(0, last - 99), last + 1):
			    at = turn % 100 * 5000
			    # The write after the last that returned may have been at work.
			    wanted = {bytes([turn % 251]) * 4999, bytes([(turn + 100) % 251]) * 4999}
			    got = data[at:at + 4999]
			    assert got in wanted or turn + 100 == last + 1, (turn, last, set(got))
		END
		round=$((round + 1))
	done
	assert_equal "$round" 3
}
