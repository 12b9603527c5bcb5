#!/usr/bin/env bats
# SPDX-License-Identifier: MIT
#
# Needs root. Who gets in, and what the programs that the daemon starts can get at.

# shellcheck source-path=SCRIPTDIR source=../lib/common.bash
source "$BATS_TEST_DIRNAME/../lib/common.bash"
# shellcheck source-path=SCRIPTDIR source=../lib/cli.bash
source "$BATS_TEST_DIRNAME/../lib/cli.bash"

PATH=$PATH:/usr/sbin:/sbin

setup() {
	cli_setup
	make_image "$temp/disk" 1M
	make_public
	mkdir "$public/mnt"
	cp "$call_program" "$public/call"
	install -d -o nobody "$public/own"
	install -o nobody -m 644 "$temp/disk" "$public/disk"
}

# --- other users ---------------------------------------------------------------------------------

@test "a user's mount is for this user alone: root, too, stays outside" {
	# shellcheck disable=SC2016 # for the inner shell
	apart bash -euc '
		errno() {
			want=$1 user=$2
			shift 2
			got=$(runuser -u "$user" -- "$public/call" "$@" 2>/dev/null) || true
			[ "$got" = "$want" ] || { echo "$user: $*: $got, not $want" >&2; exit 1; }
		}
		public=$1
		runuser -u nobody -- "$public/mmapfs" "$public/disk" "$public/own"
		trap "umount -l \"$public/own\"" EXIT
		for user in root daemon; do
			errno EACCES "$user" stat "$public/own/disk" size
			errno EACCES "$user" open "$public/own/disk"
			errno EACCES "$user" write "$public/own/disk" 0 1
			errno EACCES "$user" readdir "$public/own"
			errno EACCES "$user" open "$public/own/.mmapfs/table"
			errno EACCES "$user" chmod "$public/own" 0777
		done
		errno "OK 1048576" nobody stat "$public/own/disk" size
		runuser -u nobody -- cat "$public/own/disk" | cmp - "$public/disk"
		runuser -u nobody -- "$public/mmapfs" umount "$public/own"
		trap - EXIT' outside "$public"
}

@test "a mode without other users: the group may read, others not" {
	mount_detached -o allow_other,mode=0640,uid=0,gid=65534 -s 'dir/a=@0+4K' "$temp/disk" \
		"$public/mnt"
	file=$public/mnt/dir/a

	as nobody cat "$file" | cmp -n 4K - "$temp/disk"
	as_errno nobody EACCES -f rdwr open "$file"
	as_errno nobody EACCES truncate "$file" 4096
	as_errno daemon EACCES open "$file"
	as_errno daemon EACCES readdir "$public/mnt/dir"
	call write "$file" 0 10 r
}

@test "chmod within the mount is enforced at once, and is for owners" {
	mount_detached -o allow_other,mode=0640 -s 'a=@0+4K' "$temp/disk" "$public/mnt"
	file=$public/mnt/a
	call chmod "$public/mnt" 0755
	as_errno nobody EACCES open "$file"
	as_errno nobody EPERM chmod "$file" 0666
	for _ in 1 2; do
		call chmod "$file" 0644
		as nobody cat "$file" | cmp -n 4K - "$temp/disk"
		as_errno nobody EACCES -f wronly open "$file"
		call chmod "$file" 0666
		as nobody "$public/call" write "$file" 0 10 n
		call chmod "$file" 0600
		as_errno nobody EACCES open "$file"
	done
	assert_equal "$(cut_out "$temp/disk" 0 10)" nnnnnnnnnn
}

@test "chown within the mount is enforced at once, and is for root" {
	mount_detached -o allow_other,mode=0600 -s 'a=@0+4K' "$temp/disk" "$public/mnt"
	file=$public/mnt/a
	call chmod "$public/mnt" 0755
	as_errno nobody EACCES open "$file"
	as_errno nobody EPERM chown "$file" 65534 65534
	chown nobody "$file"
	as nobody "$public/call" write "$file" 0 10 n
	as_errno daemon EACCES open "$file"
	as_errno nobody EPERM chown "$file" 1 1
	as nobody "$public/call" chmod "$file" 0444
	as_errno nobody EACCES -f wronly open "$file"
	as daemon cat "$file" | cmp -n 4K - "$temp/disk"
	# The image itself stays whose it was.
	assert_equal "$(stat -c '%u %a' "$temp/disk")" '0 644'
}

@test "a program in a slice runs, but never as somebody else" {
	printf '#!/bin/sh\necho ran\n' >"$temp/script"
	mount_detached -o allow_other,mode=0755 "$temp/script" "$public/mnt"

	[[ $(grep -F " $public/mnt " /proc/self/mountinfo) == *nosuid,nodev* ]]
	run_errno EPERM chmod "$public/mnt/script" 04755
	assert_equal "$(as nobody "$public/mnt/script")" ran
}

# --- what children inherit -----------------------------------------------------------------------

# spy SCRIPT: in bash, as nobody, apart, with $mmapfs, $own, $disk and $call. There fusermount3 notes
# in $public/spy what it has been given, and what its parent holds, before it is the real one.
spy() {
	mkdir -m 777 "$public/spy"
	: >"$public/real"
	cat >"$public/fusermount3" <<-END
		#!/bin/bash
		{
			echo "arguments \$*"
			for fd in /proc/\$\$/fd/*; do
				echo "own \$(readlink "\$fd")"
			done
			sed 's/^/own /' /proc/\$\$/maps
			cat /proc/\$\$/fdinfo/* | sed -n 's/^lock:/own lock:/p'
			for fd in /proc/\$PPID/fd/*; do
				echo "parent \$(readlink "\$fd")"
			done
			sed 's/^/parent /' /proc/\$PPID/maps
		} >"$public/spy/\$\$"
		exec "$public/real" "\$@"
	END
	chmod 755 "$public/fusermount3"
	# shellcheck disable=SC2016 # for the inner shell
	apart bash -euc '
		mount --bind /usr/bin/fusermount3 "$1/real"
		mount --bind "$1/fusermount3" /usr/bin/fusermount3
		runuser -u nobody -- env mmapfs="$1/mmapfs" own="$1/own" disk="$1/disk" call="$1/call" \
			bash -euc "trap '\''\"$1/real\" -u -z -q \"\$own\" || true'\'' EXIT; $2"' \
		spy "$public" "$1"
}

# Neither the image nor /dev/fuse, a lock or the mountpoint came along in any of the calls.
assert_nothing_inherited() {
	assert_equal "$(cat "$public/spy"/* | grep -c '^arguments ')" "$1"
	refute grep -hE "^own .*($public/disk|/dev/fuse|$public/own|lock:)" "$public/spy"/*
}

@test "fusermount3 inherits neither the image nor its lock" {
	spy '
		"$mmapfs" "$disk" "$own"
		cmp "$disk" "$own/disk"
		"$mmapfs" umount "$own"'
	assert_nothing_inherited 2
	# The mount's gets the socket over which /dev/fuse comes back, and no other.
	file=$(grep -l "^arguments .*subtype=mmapfs" "$public/spy"/*)
	assert_equal "$(grep -c '^own socket:' "$file")" 1
}

@test "at SIGTERM, too, and the child that detaches holds none of the daemon's descriptors" {
	spy '
		"$mmapfs" "$disk" "$own"
		exec 5<>"$own/disk"
		printf x >&5
		pid=$(sed -n "s/^pid //p" "$own/.mmapfs/stats")
		kill -TERM "$pid"
		while kill -0 "$pid" 2>/dev/null; do sleep 0.02; done
		"$call" lock "$disk" wr 0 0 >/dev/null'
	assert_nothing_inherited 2
	file=$(grep -l '^arguments -u' "$public/spy"/*)
	refute grep -E "^parent .*($public/disk|/dev/fuse|socket:)" "$file"
}
