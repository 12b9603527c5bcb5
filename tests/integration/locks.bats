#!/usr/bin/env bats
# SPDX-License-Identifier: MIT
#
# flock and POSIX locks hold between the users of one mount.

# shellcheck source-path=SCRIPTDIR source=../lib/common.bash
source "$BATS_TEST_DIRNAME/../lib/common.bash"

setup() {
	common_setup
	make_image "$temp/disk" 64K
	mount_slices "$temp/disk" 'a=@0+4K' 'b=@8K+4K'
}

# hold CALL...: a coprocess that has the lock until `release`
hold() {
	local answer

	coproc HOLDER { exec "$call_program" "$@" 3>&-; }
	helper_pids+=("$HOLDER_PID")
	read -r -t 20 -u "${HOLDER[0]}" answer
	assert_equal "$answer" 'OK 0'
}

release() {
	local pid=$HOLDER_PID input=${HOLDER[1]}

	exec {input}>&-
	wait "$pid"
}

@test "flock: exclusive keeps everybody out" {
	hold flock "$mnt/a" ex hold
	run_errno EAGAIN flock "$mnt/a" ex
	run_errno EAGAIN flock "$mnt/a" sh
	call flock "$mnt/b" ex
	release
	call flock "$mnt/a" ex
}

@test "flock: shared keeps only exclusive out" {
	hold flock "$mnt/a" sh hold
	call flock "$mnt/a" sh
	run_errno EAGAIN flock "$mnt/a" ex
	release
	call flock "$mnt/a" ex
}

@test "fcntl: a write lock on a range" {
	hold lock "$mnt/a" wr 100 50 hold
	run_errno EAGAIN lock "$mnt/a" rd 149 1
	run_errno EAGAIN lock "$mnt/a" wr 0 101
	run_errno EAGAIN lock "$mnt/a" wr 0 0
	call lock "$mnt/a" wr 150 10
	call lock "$mnt/a" wr 0 100
	call lock "$mnt/b" wr 100 50
	release
	call lock "$mnt/a" wr 0 0
}

@test "fcntl: read locks go together" {
	hold lock "$mnt/a" rd 100 50 hold
	call lock "$mnt/a" rd 0 0
	run_errno EAGAIN lock "$mnt/a" wr 120 1
	release
	call lock "$mnt/a" wr 120 1
}

@test "a lock ends with its owner" {
	hold flock "$mnt/a" ex hold
	run_errno EAGAIN flock "$mnt/a" ex
	kill -KILL "$HOLDER_PID"
	wait_until call flock "$mnt/a" ex
}

@test "flock(1) waits for its turn" {
	: >"$temp/order"
	hold flock "$mnt/a" ex hold
	timeout 60 flock "$mnt/a" sh -c "echo waiter >>'$temp/order'" 3>&- &
	waiter=$!
	run_errno EAGAIN flock "$mnt/a" sh
	echo holder >>"$temp/order"
	release
	wait "$waiter"
	assert_equal "$(<"$temp/order")" $'holder\nwaiter'
}
