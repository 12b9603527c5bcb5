#!/usr/bin/env bats
# SPDX-License-Identifier: MIT
#
# Needs root. Everything works with no new privileges, one capability and few system calls: all that
# mmapfs does here runs in sandbox.py, where any other call ends it.

# shellcheck source-path=SCRIPTDIR source=../lib/common.bash
source "$BATS_TEST_DIRNAME/../lib/common.bash"
# shellcheck source-path=SCRIPTDIR source=../lib/cli.bash
source "$BATS_TEST_DIRNAME/../lib/cli.bash"

setup() {
	cli_setup
	make_image "$temp/disk" 1M
	sandbox=(/usr/bin/python3 "$BATS_TEST_DIRNAME/sandbox.py")
	if grep -q __asan_init "$MMAPFS"; then
		sandbox+=(--sanitizer)
	fi
	if [ -e /run/mount/utab ] &&
		grep -qF /run/mount/utab "$(ldd "$MMAPFS" | awk '/libfuse3/ { print $3 }')"; then
		sandbox+=(--mount-program)
	fi
	printf '#!/bin/sh\nexec %s "$@"\n' "${sandbox[*]@Q} ${MMAPFS@Q}" >"$temp/sandboxed"
	chmod +x "$temp/sandboxed"
	MMAPFS=$temp/sandboxed
	program=$MMAPFS
}

# A daemon that was killed for a call ends with SIGSYS, which nobody expects.
serve() {
	start_mmapfs -o xattr -s 'a=@12345+200001' -s 'b=@300K+100001' -s 'over=@350K+100001' \
		-s 'tail=@600K,resize' "$temp/disk" "$mnt"
}

# All kinds of requests, each with what it has to give.
use_mount() {
	local pids=()

	assert_equal "$(find "$mnt" -type f | wc -l)" 4
	assert_range "$temp/disk" 12345 200001 "$mnt/a"
	for flags in wronly rdwr rdwr,dsync wronly,direct; do
		make_image "$temp/put" 70001
		call -f "$flags" write "$mnt/a" 777 - <"$temp/put" >/dev/null
		cmp -i 777:0 -n 70001 "$mnt/a" "$temp/put"
		call -f "$flags" write "$mnt/b" 777 - <"$temp/put" >/dev/null
		cmp -i $((307200 + 777)):0 -n 70001 "$temp/disk" "$temp/put"
	done
	call fsync "$mnt/a"
	call fdatasync "$mnt/tail"
	call fsync "$mnt"
	/usr/bin/python3 - "$mnt" <<-'END'
		import fcntl, mmap, os, sys
		a, tail = (os.open(f"{sys.argv[1]}/{name}", os.O_RDWR) for name in ("a", "tail"))
		mapping = mmap.mmap(a, 0)
		mapping[100000:100005] = b"hello"
		mapping.flush()
		os.fsync(a)
		assert os.copy_file_range(a, tail, 5, 100000, 3) == 5
		assert os.pread(tail, 5, 3) == b"hello"
		os.ftruncate(tail, 500001)
		end = os.open(f"{sys.argv[1]}/tail", os.O_WRONLY | os.O_APPEND)
		assert os.write(end, b"end") == 3
		assert os.fstat(tail).st_size == 500004
		assert os.lseek(tail, 0, os.SEEK_HOLE) > 0
		fcntl.flock(a, fcntl.LOCK_EX)
		fcntl.lockf(a, fcntl.LOCK_EX)
		os.fchmod(a, 0o600)
		os.fchown(a, 1, 2)
		os.utime(a, (1, 2))
		assert "user.mmapfs.image" in os.listxattr(a)
	END
	assert_equal "$(stat -c '%a %u %g %Y' "$mnt/a")" '600 1 2 2'
	call fallocate "$mnt/a" punch_hole 4096 8192
	call fallocate "$mnt/tail" keep_size 0 600000
	# Many at once: more workers.
	for _ in {1..16}; do
		cat "$mnt/over" "$mnt/b" "$mnt/tail" >/dev/null 3>&- 4>&- &
		pids+=("$!")
	done
	wait "${pids[@]}"
	grep -q '^slice' "$mnt/.mmapfs/table"
	mmapfs where "$mnt/a"
	assert_done
	assert_equal "$(<"$temp/out")" "$mnt/a $temp/disk 12345 200001"
}

@test "the sandbox holds: privileges, capabilities, calls" {
	serve
	status=/proc/$(daemon_process "$mnt")/status
	grep -qE '^NoNewPrivs:.1$' "$status"
	grep -qE '^Seccomp:.2$' "$status"
	for set in CapPrm CapEff CapBnd; do
		grep -qE "^$set:.0000000000200000$" "$status"
	done
	run "${sandbox[@]}" chroot /
	assert_equal "$status" 159 # SIGSYS
}

@test "in the foreground: mount, use, umount" {
	serve
	use_mount
	unmount
	assert_equal "$(cut_out "$temp/disk" $((600 * 1024 + 3)) 5)" hello
}

@test "in the background, with a table" {
	printf 'image d disk rw\nslice a d 5 100000\n' >"$temp/table"
	mount_detached --table "$temp/table" "$mnt"
	call write "$mnt/a" 10 50000 x
	call fsync "$mnt/a"
	unmount_detached "$mnt"
	assert_equal "$(cut_out "$temp/disk" 15 50000 | tr -d x)" ''
	mmapfs plan "$temp/disk"
	assert_done
}

@test "ended by a signal, with pages that a client has dirtied" {
	serve
	expect_log ': unmounting '
	coproc CLIENT {
		exec /usr/bin/python3 -c '
import mmap, os, sys
mapping = mmap.mmap(os.open(sys.argv[1], os.O_RDWR), 0)
mapping[:] = b"x" * len(mapping)
print("stored", flush=True)
sys.stdin.read()
os._exit(0)' "$mnt/a" 3>&- 4>&-
	}
	helper_pids+=("$CLIENT_PID")
	read -r -t 20 -u "${CLIENT[0]}" answer
	assert_equal "$answer" stored
	kill -TERM "$(daemon_process "$mnt")"
	daemon_reap "$mnt"
	assert_equal "$(cut_out "$temp/disk" 12345 200001 | tr -d x)" ''
}

@test "when the image shrinks, requests fail and nothing else" {
	serve
	truncate -s 100000 "$temp/disk"
	run_errno EIO read "$mnt/b" 0 1000
	run_errno EIO -f wronly write "$mnt/b" 0 1000
	cmp -i 12345:0 -n 80000 "$temp/disk" "$mnt/a"
	truncate -s 1M "$temp/disk"
	call read "$mnt/b" 0 1000
	unmount
}

@test "an unmount by somebody else, and a dead daemon's mount" {
	serve
	umount "$mnt"
	daemon_reap "$mnt"
	mount_detached "$temp/disk" "$mnt"
	kill_daemon "$mnt"
	mmapfs umount "$mnt"
	assert_failed 1 "^$mnt: the daemon had died"
	[ -z "$(mounts_here)" ]
}

@test "a service manager is told" {
	timeout 30 /usr/bin/python3 - "$temp/notify" "$MMAPFS" -f "$temp/disk" "$mnt" 3>&- 4>&- <<-'END'
		import os, socket, subprocess, sys
		listener = socket.socket(socket.AF_UNIX, socket.SOCK_DGRAM)
		listener.bind(sys.argv[1])
		listener.settimeout(20)
		subprocess.Popen(sys.argv[2:], env=dict(os.environ, NOTIFY_SOCKET=sys.argv[1]),
		                 stdin=subprocess.DEVNULL, stdout=subprocess.DEVNULL)
		assert b"READY=1" in listener.recv(4096)
	END
	adopt "$mnt"
	unmount_detached "$mnt"
}
