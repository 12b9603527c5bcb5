#!/usr/bin/env bats
# SPDX-License-Identifier: MIT
#
# What the daemon may do, and holds: a read-only image is read-only to the kernel, and the process
# that started the daemon can have been in any state.

# shellcheck source-path=SCRIPTDIR source=../lib/common.bash
source "$BATS_TEST_DIRNAME/../lib/common.bash"
# shellcheck source-path=SCRIPTDIR source=../lib/cli.bash
source "$BATS_TEST_DIRNAME/../lib/cli.bash"

setup() {
	cli_setup
	make_image "$temp/disk" 1M
	make_image "$temp/two" 256K
}

# rights PID IMAGE: each way in which the process can get at the image: of its mappings the
# protection, of its descriptors the access mode. (A bit of flags: 0 O_RDONLY, 1 O_WRONLY, 2 O_RDWR.)
rights() {
	local fd flags

	{
		awk -v image="$2" '$6 == image { print "map", $2 }' "/proc/$1/maps"
		for fd in "/proc/$1/fd/"*; do
			if [ "$(readlink "$fd")" = "$2" ]; then
				flags=$(awk '$1 == "flags:" { print $2 }' "/proc/$1/fdinfo/${fd##*/}")
				echo "fd $((flags & 3))"
			fi
		done
	} | sort -u | xargs
}

read_only='fd 0 map r--s'
read_write='fd 2 map rw-s'

# try_all FILE: reads, and tries to write in every way
try_all() {
	local flags

	cat "$1" >/dev/null
	for flags in rdwr wronly rdwr,direct wronly,trunc rdwr,append; do
		run_errno EROFS -f "$flags" open "$1"
	done
	run_errno EROFS truncate "$1" 5
	call fsync "$1"
}

# --- read-only -----------------------------------------------------------------------------------

@test "a read-only mount can only read its image: mappings and descriptors" {
	mount_detached -o ro -s 'a=@0+4K' -s 'b=@0' "$temp/disk" "$mnt"
	pid=$(daemon_of "$mnt")

	assert_equal "$(rights "$pid" "$temp/disk")" "$read_only"
	try_all "$mnt/a"
	try_all "$mnt/b"
	assert_equal "$(rights "$pid" "$temp/disk")" "$read_only"
}

@test "an image that may be written is open to write: the look itself can fail" {
	mount_detached "$temp/disk" "$mnt"

	assert_equal "$(rights "$(daemon_of "$mnt")" "$temp/disk")" "$read_write"
}

@test "in a table one image is read-only, the other not" {
	cat >"$temp/table" <<-END
		image  disk  disk  ro
		image  two   two   rw
		slice  a     disk  0  4K
		slice  both  two   0  4K  ro
		extent       disk  0  4K
		slice  b     two   5  4K  rw
	END
	mount_detached --table "$temp/table" "$mnt"
	pid=$(daemon_of "$mnt")

	for _ in 1 2; do
		assert_equal "$(rights "$pid" "$temp/disk")" "$read_only"
		assert_equal "$(rights "$pid" "$temp/two")" "$read_write"
		try_all "$mnt/a"
		try_all "$mnt/both"
		call write "$mnt/b" 0 100 x
	done
}

@test "an image whose slices are all read-only is open to read" {
	mount_detached -s 'a=@0+4K,ro' -s 'b=@8K,ro' "$temp/disk" "$mnt"

	assert_equal "$(rights "$(daemon_of "$mnt")" "$temp/disk")" "$read_only"
}

@test "an image that cannot be written is open to read" {
	make_read_only "$temp/disk"
	mount_detached -o mode=0644 "$temp/disk" "$mnt"

	assert_equal "$(rights "$(daemon_of "$mnt")" "$temp/disk")" "$read_only"
	try_all "$mnt/disk"
}

@test "images stay out of core dumps and of children" {
	mount_detached "$temp/disk" "$mnt"
	cat "$mnt/disk" >/dev/null
	call write "$mnt/disk" 0 100000

	# dd: not in dumps; dc: not in children
	awk -v image="$temp/disk" '$6 == image { found = 1 }
		$1 == "VmFlags:" && found { print; found = 0 }' "/proc/$(daemon_of "$mnt")/smaps" \
		>"$temp/flags"
	[ -s "$temp/flags" ]
	refute grep -v ' dd ' "$temp/flags"
	refute grep -v ' dc ' "$temp/flags"
}

@test "modes and owners of what is in .mmapfs: for its owner alone" {
	mount_detached -o mode=0666 -s 'dir/a=@0+1' "$temp/disk" "$mnt"

	assert_equal "$(stat -c '%a %u' "$mnt/.mmapfs")" "500 $EUID"
	assert_equal "$(stat -c '%a %u' "$mnt/.mmapfs/table")" "400 $EUID"
	assert_equal "$(stat -c '%a %u' "$mnt/.mmapfs/stats")" "400 $EUID"
	run_errno EPERM chmod "$mnt/.mmapfs" 0777
	run_errno EPERM chmod "$mnt/.mmapfs/table" 0666
}

# --- how it was started --------------------------------------------------------------------------

# works: the mount at $mnt serves the image as it is, and ends clean
works() {
	adopt "$mnt"
	cmp "$temp/disk" "$mnt/disk"
	call write "$mnt/disk" 4321 10001 w
	assert_equal "$(cut_out "$temp/disk" 4321 10001 | tr -d w)" ''
	call fsync "$mnt/disk"
	cmp "$temp/disk" "$mnt/disk"
	unmount_detached "$mnt"
	cmp -n 4321 "$temp/disk" "$temp/disk.snapshot"
	cmp -i $((4321 + 10001)) "$temp/disk" "$temp/disk.snapshot"
}

@test "with standard input, output or errors closed, in the background" {
	snapshot "$temp/disk"
	for closed in '<&-' '>&-' '2>&-' '<&- >&-' '<&- 2>&-' '>&- 2>&-' '<&- >&- 2>&-'; do
		timeout 20 bash -c "exec \"\$@\" 3>&- 4>&- $closed" closed "$MMAPFS" "$temp/disk" "$mnt" \
			2>/dev/null || fail "$closed: $?"
		works
	done
}

@test "with standard input, output or errors closed, in the foreground" {
	snapshot "$temp/disk"
	for closed in '<&-' '>&-' '2>&-' '<&- >&-' '<&- 2>&-' '>&- 2>&-' '<&- >&- 2>&-'; do
		timeout -s KILL "$daemon_limit" bash -c "exec \"\$@\" 3>&- 4>&- $closed" closed "$MMAPFS" \
			-f "$temp/disk" "$mnt" 2>/dev/null &
		pid=$!
		wait_until is_mounted "$mnt"
		adopt "$mnt"
		daemon=$(daemon_of "$mnt")
		for number in 0 1 2; do
			refute test "/proc/$daemon/fd/$number" -ef "$temp/disk"
			refute test "/proc/$daemon/fd/$number" -ef /dev/fuse
			[[ $(readlink "/proc/$daemon/fd/$number") != socket:* ]]
		done
		# What it says now must not go into the image.
		kill -TERM "$daemon"
		wait "$pid"
		forget "$mnt"
		cmp "$temp/disk" "$temp/disk.snapshot"
	done
}

@test "it keeps nothing of its caller open" {
	exec {kept}>"$temp/kept"
	flock "$kept"
	mmapfs "$temp/disk" "$mnt"
	assert_done
	exec {kept}>&-
	adopt "$mnt"
	timeout 5 flock -n "$temp/kept" true
}

@test "with a umask that permits nothing, or everything" {
	snapshot "$temp/disk"
	for mask in 0777 0000; do
		(umask "$mask" && exec timeout 20 "$MMAPFS" -s 'dir/a=@0+4K' -s 'disk=@0' "$temp/disk" \
			"$mnt" 3>&- 4>&-)
		assert_equal "$(stat -c %a "$mnt/disk" "$mnt/dir" | xargs)" '644 755'
		works
	done
}

@test "from a folder that was removed" {
	snapshot "$temp/disk"
	mkdir "$temp/gone"
	(cd "$temp/gone" && rmdir "$temp/gone" && exec timeout 20 "$MMAPFS" "$temp/disk" "$mnt" 3>&- 4>&-)
	works

	mkdir "$temp/gone"
	cd "$temp/gone"
	rmdir "$temp/gone"
	refused 1 "mountpoint '../mnt': " -- "$temp/disk" ../mnt
	cd /
}

@test "with an empty environment" {
	snapshot "$temp/disk"
	timeout 20 env -i "$MMAPFS" "$temp/disk" "$mnt" 3>&- 4>&-
	works
}

@test "with signals ignored or blocked" {
	snapshot "$temp/disk"
	timeout 20 /usr/bin/python3 - "$MMAPFS" "$temp/disk" "$mnt" 3>&- 4>&- <<-'END'
		import os, signal, sys
		for number in (signal.SIGCHLD, signal.SIGPIPE, signal.SIGUSR1, signal.SIGXFSZ):
		    signal.signal(number, signal.SIG_IGN)
		signal.pthread_sigmask(signal.SIG_BLOCK, range(1, 32))
		os.execv(sys.argv[1], sys.argv[1:])
	END
	works

	timeout 20 env --ignore-signal=CHLD,TERM,HUP,INT --block-signal=CHLD,USR1 "$MMAPFS" \
		"$temp/disk" "$mnt" 3>&- 4>&-
	adopt "$mnt"
	call write "$mnt/disk" 0 100 x
	pid=$(daemon_of "$mnt")
	kill -TERM "$pid"
	wait_until is_ended "$pid"
	forget "$mnt"
	assert_equal "$(mounts_here)" ''
}

# --- limits --------------------------------------------------------------------------------------

# limited LIMIT... -- ARGUMENT...: mmapfs under prlimit(1)
limited() {
	local limits=()

	while [ "$1" != -- ]; do
		limits+=("$1")
		shift
	done
	shift
	prefix=(env --default-signal=XFSZ prlimit "${limits[@]}")
	mmapfs "$@"
	prefix=()
}

@test "few descriptors: refused in a line, or served" {
	local count

	snapshot "$temp/disk"
	for count in 5 6 7 8 9 10 12 16 20 24 32; do
		limited --nofile="$count" -- "$temp/disk" "$mnt"
		if [ "$status" -eq 0 ]; then
			served=$count
			works
		else
			refused=$count
			[ "$status" -eq 1 ]
			[ "$(wc -l <"$temp/err")" -eq 1 ]
			[ -z "$(mounts_here)" ]
		fi
	done
	[ "$refused" -lt 16 ]
	assert_equal "$served" 32
}

@test "few descriptors, and many readers" {
	local readers=()

	limited --nofile=16 -- -s 'disk=@0' -s 'over=@5' "$temp/disk" "$mnt"
	assert_done
	adopt "$mnt"
	for _ in {1..20}; do
		cmp -i 5:0 "$temp/disk" "$mnt/over" 3>&- 4>&- &
		readers+=("$!")
	done
	for reader in "${readers[@]}"; do
		wait "$reader"
	done
	unmount_detached "$mnt"
}

# Which numbers are free then, is a matter of luck.
@test "at the limit of its descriptors it ends clean" {
	local number

	for _ in {1..5}; do
		mount_detached "$temp/disk" "$mnt"
		call write "$mnt/disk" 0 100000 x >/dev/null
		pid=$(daemon_of "$mnt")
		number=0
		while [ -e "/proc/$pid/fd/$number" ]; do
			number=$((number + 1))
		done
		prlimit --nofile="$number" --pid "$pid"
		unmount_detached "$mnt"
	done
}

@test "RLIMIT_FSIZE: a write behind it fails with EFBIG, and the daemon lives" {
	limited --fsize=600000 -- -s 'a=@0+1M' -s 'tail=@1M,resize' "$temp/disk" "$mnt"
	assert_done
	adopt "$mnt"

	call write "$mnt/a" 0 100000 x
	run_errno EFBIG write "$mnt/a" 700000 100000
	run_errno EFBIG -f rdwr write "$mnt/tail" 0 100000
	run_errno EFBIG truncate "$mnt/tail" 100000
	run_errno EFBIG fallocate "$mnt/tail" default 0 100000
	cmp -n 1M "$temp/disk" "$mnt/a"
	assert_equal "$(stat -c %s "$temp/disk")" 1048576
	unmount_detached "$mnt"
}

@test "other limits: no core, no locked memory, no message queues" {
	snapshot "$temp/disk"
	limited --core=0 --memlock=0 --msgqueue=0 -- "$temp/disk" "$mnt"
	assert_done
	works
}
