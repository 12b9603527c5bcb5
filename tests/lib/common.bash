# SPDX-License-Identifier: MIT
#
# What every integration test shares: images, mounts, exact errno, and the promise that a mount
# ends clean. setup() and teardown() come with it. A test file starts with
#
#   # shellcheck source-path=SCRIPTDIR source=../lib/common.bash
#   source "$BATS_TEST_DIRNAME/../lib/common.bash"
#
#   $temp       this test's own folder          $mnt     the first mountpoint, made and empty
#   $MMAPFS     the program under test          $seed    of everything random in this test
#
#   make_image PATH SIZE                        a file of random bytes
#   make_sparse PATH SIZE                       a file of one hole
#   cut_out FILE OFFSET LENGTH [OUT]            the range, cut out with dd
#   assert_range FILE OFFSET LENGTH WANTED      the range holds the bytes of the file WANTED
#   snapshot FILE                               remembers FILE for ...
#   assert_untouched FILE OFFSET LENGTH         ... nothing outside the range has changed since
#
#   mount_slices IMAGE 'name=@0+4K' ... [-- OPTION...]      at $mnt
#   mount_table FILE [OPTION...]                            at $mnt
#   start_mmapfs ARGUMENT...                                any command line; the last is the mountpoint
#   unmount [MOUNTPOINT]                        by `mmapfs umount`; fails on a dirty end
#   remount                                     the same command line once more
#   expect_log REGEX                            such lines are due in the daemon's log
#   expect_hugepages_note IMAGE                 that hugepages cannot be had for an image in memory
#   expect_exit STATUS                          the daemon will end with this, not with 0
#   stat_value NAME                             a counter of .mmapfs/stats
#   reads_of COMMAND...                         how many READ requests it made
#   is_cached FILE                              reading it makes none
#
#   call CALL ARGUMENT...                       one system call (call.c says which); prints its value
#   run_errno ERRNO CALL ARGUMENT...            the call must fail with exactly this
#   refute COMMAND...                           the command must fail
#   assert_equal GOT WANTED
#
# A daemon runs under timeout(1): where it hangs it is killed, every call on its mount fails, and
# the test ends.
#
# The environment may set MMAPFS, MMAPFS_TEST_TMP (where the folders are made, else
# BATS_TEST_TMPDIR), MMAPFS_TEST_SEED, MMAPFS_TEST_HELPERS (folders with helpers that are compiled
# already, separated by colons; else they are compiled once a run), and MMAPFS_TEST_WRITEBACK=1: then
# every mount that start_mmapfs makes has -o writeback where it can be had, and $writeback is set. What
# a test says must hold even so, unless its tags have `writethrough`.

# shellcheck shell=bash disable=SC2034 # the variables are for the tests

bats_require_minimum_version 1.5.0

checkout=$(cd "${BASH_SOURCE[0]%/*}/../.." && pwd)
MMAPFS=${MMAPFS:-$checkout/build/mmapfs}
daemon_limit=${MMAPFS_TEST_LIMIT:-120} # seconds that one daemon may live

# A bare `return` within a trap, and a teardown after a failure is one, would not give the status of
# the command before it: every return here says its own.

# What a sanitizer says is never expected.
sanitizer_report='Sanitizer|runtime error:|==[0-9]+==ERROR'

# libfuse prints these by itself, past its log, where nothing is wrong: a page that was truncated
# between the look at the size and the reply, and an unmount that meets a request on its way.
libfuse_says='^fuse: (writing device: Bad address|reading device: Software caused connection abort)$'

# ThreadSanitizer looks up the names in a race before it finds that it must not mind, and takes the
# mapped image for a program.
tsan_says='^LLVMSymbolizer: error reading file'

setup() {
	common_setup
}

teardown() {
	common_teardown
}

common_setup() {
	umask 022
	export LC_ALL=C
	if [ -n "${MMAPFS_TEST_TMP:-}" ]; then
		mkdir -p "$MMAPFS_TEST_TMP"
		temp=$(mktemp -d "$MMAPFS_TEST_TMP/test.XXXXXX")
	else
		temp=$BATS_TEST_TMPDIR
	fi
	mnt=$temp/mnt
	mkdir "$mnt"
	seed=${MMAPFS_TEST_SEED:-$((RANDOM * 32768 + RANDOM))}
	echo "seed $seed (set MMAPFS_TEST_SEED to repeat)"
	image_count=0
	daemon_count=0
	expected_exit=0
	expected_log=()
	last_start=()
	helper_pids=()
	declare -gA daemon_pid=() daemon_log=()
	call_program=$(helper call)
}

common_teardown() {
	local status=0 mountpoint pid

	for pid in "${helper_pids[@]}"; do
		end_child "$pid"
	done
	for mountpoint in "${!daemon_pid[@]}"; do
		if ! unmount "$mountpoint"; then
			status=1
			force_unmount "$mountpoint"
		fi
	done
	logs_check_expected || status=1
	[ -z "${MMAPFS_TEST_TMP:-}" ] || rm -rf --one-file-system "$temp"
	return "$status"
}

# end_child PID [SIGNAL]: a process that was started here, unless it has ended; its number may be
# somebody else's by then. One that went to the background by itself is known by what it works on.
end_child() {
	if grep -qs "^PPid:.$$\$" "/proc/$1/status" || grep -qsF "$temp/" "/proc/$1/cmdline"; then
		kill "-${2:-TERM}" "$1" 2>/dev/null || true
	fi
	wait "$1" 2>/dev/null || true
}

fail() {
	printf '%s\n' "$@" >&2
	return 1
}

refute() {
	if "$@"; then
		fail "this was to fail: $*"
	fi
}

assert_equal() {
	[ "$1" = "$2" ] || fail "got:    $1" "wanted: $2"
}

# helper NAME: the path of a helper program, compiled once in a run of bats where need be.
helper() {
	local name=$1 folder source program=$BATS_RUN_TMPDIR/$1
	local -a folders

	IFS=: read -ra folders <<<"${MMAPFS_TEST_HELPERS:-}"
	for folder in "${folders[@]}"; do
		if [ -x "$folder/$name" ]; then
			echo "$folder/$name"
			return 0
		fi
	done
	for source in "$checkout"/tests/{lib,integration,bench}/"$name.c"; do
		[ -e "$source" ] || continue
		(
			flock 9
			[ -x "$program" ] || "${CC:-cc}" -std=gnu11 -O2 -o "$program" "${source%.c}"*.c
		) 9>"$program.lock" >&2
	done
	echo "$program"
}

# --- images --------------------------------------------------------------------------------------

make_image() {
	image_count=$((image_count + 1))
	"$call_program" random "$1" "$2" $((seed + image_count)) >/dev/null
}

make_sparse() {
	truncate -s "$2" "$1"
}

cut_out() {
	dd if="$1" ${4:+of="$4"} bs=1M iflag=skip_bytes,count_bytes skip="$2" count="$3" status=none
}

assert_range() {
	assert_equal "$(stat -c %s "$4")" "$(bytes "$3")"
	cut_out "$1" "$2" "$3" | cmp - "$4"
}

# bytes SIZE: 4K is 4096
bytes() {
	numfmt --from=iec "$1"
}

snapshot() {
	cp --sparse=always "$1" "$1.snapshot"
}

assert_untouched() {
	local end=$(($(bytes "$2") + $(bytes "$3"))) size

	size=$(stat -c %s "$1.snapshot")
	assert_equal "$(stat -c %s "$1")" "$size"
	cmp -n "$(bytes "$2")" "$1" "$1.snapshot"
	cmp -i "$end" "$1" "$1.snapshot"
}

# --- mounts --------------------------------------------------------------------------------------

mount_slices() {
	local image=$1
	local -a slices=()

	shift
	while [ $# -gt 0 ] && [ "$1" != -- ]; do
		slices+=(-s "$1")
		shift
	done
	[ $# -eq 0 ] || shift
	start_mmapfs "$@" "${slices[@]}" "$image" "$mnt"
}

mount_table() {
	local table=$1

	shift
	start_mmapfs "$@" --table "$table" "$mnt"
}

# Runs the daemon in the foreground as our child and returns when it answers.
#
# Bash lets children in the background ignore SIGINT; they get the default back here.
start_mmapfs() {
	local mountpoint=${!#} log pid

	if [ -n "${daemon_pid[$mountpoint]:-}" ]; then
		fail "$mountpoint is mounted already"
		return 1
	fi
	daemon_count=$((daemon_count + 1))
	log=$temp/mmapfs.$daemon_count.log
	last_start=("$@")
	writeback=
	if [ -n "${MMAPFS_TEST_WRITEBACK:-}" ] && has_writeback "$@"; then
		set -- -o writeback "$@"
		writeback=1
	fi
	timeout --kill-after=1 --signal=KILL "$daemon_limit" \
		env --default-signal=INT,QUIT "$MMAPFS" mount -f "$@" \
		</dev/null >"$log.out" 2>"$log" 3>&- 4>&- &
	pid=$!
	daemon_pid[$mountpoint]=$pid
	daemon_log[$mountpoint]=$log
	wait_for_mount "$mountpoint"
}

# has_writeback ARGUMENT...: of a mount, the last is the mountpoint
has_writeback() {
	local said

	said=$("$MMAPFS" plan -o writeback "${@:1:$#-1}" 2>&1 >/dev/null) || true
	[[ $said != *'does not go with writeback'* ]]
}

remount() {
	unmount "${last_start[-1]}"
	start_mmapfs "${last_start[@]}"
}

is_mounted() {
	timeout 20 mountpoint -q "$1" 2>/dev/null
}

wait_for_mount() {
	local mountpoint=$1 pid=${daemon_pid[$1]} try

	for ((try = 0; try < 1000; try++)); do
		if is_mounted "$mountpoint"; then
			return 0
		fi
		if is_gone "$pid"; then
			wait "$pid" || true
			unset "daemon_pid[$mountpoint]"
			fail 'mmapfs ended before it mounted:' "$(cat "${daemon_log[$mountpoint]}")"
			return 1
		fi
		sleep 0.02
	done
	fail 'mmapfs does not mount'
}

# wait_until COMMAND...: till it succeeds, but not for ever
wait_until() {
	local try

	for ((try = 0; try < 500; try++)); do
		if "$@"; then
			return 0
		fi
		sleep 0.02
	done
	fail "this never came true: $*"
}

unmount() {
	local mountpoint=${1:-$mnt} status=0

	timeout 60 "$MMAPFS" umount "$mountpoint" || status=$?
	if [ "$status" -ne 0 ] && [ "$expected_exit" -eq 0 ]; then
		fail "mmapfs umount ended with $status"
		return 1
	fi
	daemon_reap "$mountpoint"
}

# is_gone PID: also where bash has not taken note yet
is_gone() {
	! grep -qsE '^State:[[:blank:]]+[^Z[:blank:]]' "/proc/$1/status"
}

# daemon_reap MOUNTPOINT: the daemon must end by itself, clean, and have said nothing unexpected.
daemon_reap() {
	local mountpoint=$1 pid=${daemon_pid[$1]} status=0

	if ! wait_until is_gone "$pid"; then
		fail 'mmapfs does not end'
		return 1
	fi
	wait "$pid" || status=$?
	unset "daemon_pid[$mountpoint]"
	log_check "${daemon_log[$mountpoint]}" || return 1
	if [ "$status" -ne "$expected_exit" ]; then
		fail "mmapfs ended with $status" "$(cat "${daemon_log[$mountpoint]}")"
		return 1
	fi
	if is_mounted "$mountpoint"; then
		fail "$mountpoint is still mounted"
	fi
}

# Ends a daemon that could not be ended cleanly; the test has failed already.
force_unmount() {
	local mountpoint=$1 pid=${daemon_pid[$1]:-}

	fusermount3 -u -z "$mountpoint" 2>/dev/null || true
	if [ -n "$pid" ]; then
		kill -KILL -- "-$pid" 2>/dev/null || kill -KILL "$pid" 2>/dev/null || true
		wait "$pid" 2>/dev/null || true
		unset "daemon_pid[$mountpoint]"
	fi
	cat "${daemon_log[$mountpoint]}" >&2
}

# daemon_process MOUNTPOINT: the process id of the daemon itself, below its timeout(1)
daemon_process() {
	local pid=${daemon_pid[$1]}

	tr -d ' ' <"/proc/$pid/task/$pid/children"
}

expect_exit() {
	expected_exit=$1
}

expect_log() {
	expected_log+=("$1")
}

log_check() {
	local log=$1 line regex
	local -a lines

	mapfile -t lines <"$log"
	if printf '%s\n' "${lines[@]}" | grep -E "$sanitizer_report"; then
		fail 'a sanitizer reports:' "${lines[@]}"
		return 1
	fi
	for line in "${lines[@]}"; do
		if [[ $line =~ $libfuse_says || $line =~ $tsan_says ]]; then
			continue
		fi
		for regex in "${expected_log[@]}"; do
			if [[ $line =~ $regex ]]; then
				continue 2
			fi
		done
		fail "unexpected in the daemon's log: $line"
		return 1
	done
}

# expect_hugepages_note IMAGE: where the system keeps its huge pages from memory
expect_hugepages_note() {
	if ! grep -qsE '\[(always|within_size|advise|force)\]' \
		/sys/kernel/mm/transparent_hugepage/shmem_enabled; then
		expect_log "image '$1': hugepages: this system has none for memory"
	fi
}

# logs_check_expected: what was announced must be there, in the log of one of the test's daemons.
logs_check_expected() {
	local regex

	for regex in "${expected_log[@]}"; do
		if ! cat "$temp"/mmapfs.*.log | grep -qE -- "$regex"; then
			fail "not in any daemon's log: $regex"
			return 1
		fi
	done
}

# A background process that is ended with the test: helper_pids+=("$!") after starting it.

stat_value() {
	awk -v name="$1" '$1 == name { print $2; found = 1 } END { exit !found }' \
		"${2:-$mnt}/.mmapfs/stats"
}

reads_of() {
	local before

	before=$(stat_value reads)
	"$@" >/dev/null
	echo $(($(stat_value reads) - before))
}

# The kernel may take pages back whenever memory is short, so what says that they are kept need only
# come true once (wait_until).
is_cached() {
	[ "$(reads_of cat "$1")" -eq 0 ]
}

# --- calls ---------------------------------------------------------------------------------------

# call [OPTION...] CALL ARGUMENT...: must succeed; prints its value.
call() {
	local answer

	answer=$(timeout 60 "$call_program" "$@" 2>&1) || {
		fail "$*: $answer"
		return 1
	}
	printf '%s\n' "${answer#OK }"
}

# run_errno ERRNO [OPTION...] CALL ARGUMENT...
run_errno() {
	local want=$1 answer

	shift
	answer=$(timeout 60 "$call_program" "$@" 2>/dev/null) || true
	[ "$answer" = "$want" ] || fail "$*: got '$answer', wanted $want"
}
