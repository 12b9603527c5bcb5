#!/usr/bin/env bats
# SPDX-License-Identifier: MIT
#
# Needs root: other users, mount(8), block devices, and mountpoints on top of something else.

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
	loop=
}

teardown() {
	local result=0

	cli_teardown || result=1
	if [ -n "$loop" ]; then
		losetup -d "$loop" || result=1
	fi
	return "$result"
}

# apart_refused STATUS REGEX COMMAND...: as nobody, apart
apart_refused() {
	status=0
	apart runuser -u nobody -- "${@:3}" >"$temp/out" 2>"$temp/err" || status=$?
	assert_failed "$1" "$2"
}

# --- other users ---------------------------------------------------------------------------------

@test "other users stay outside" {
	mount_detached "$temp/disk" "$public/mnt"

	as_errno nobody EACCES stat "$public/mnt/disk" size
	as_errno nobody EACCES open "$public/mnt/disk"
	as_errno nobody EACCES readdir "$public/mnt"
	as_errno nobody EACCES open "$public/mnt/.mmapfs/table"
}

@test "allow_other lets them in, as far as the modes go" {
	chmod 644 "$temp/disk"
	mount_detached -o allow_other -s 'a=@0+4K' -s 'b=@4K+4K,mode=0600' -s 'c=@8K+4K,mode=0666' \
		"$temp/disk" "$public/mnt"

	assert_equal "$(as nobody ls "$public/mnt" | xargs)" 'a b c'
	as nobody cat "$public/mnt/a" | cmp -n 4K - "$temp/disk"
	as_errno nobody EACCES -f rdwr open "$public/mnt/a"
	as_errno nobody EACCES open "$public/mnt/b"
	as nobody "$public/call" write "$public/mnt/c" 0 10 x
	assert_equal "$(cut_out "$temp/disk" 8192 10)" xxxxxxxxxx
}

@test "allow_other does not let them into .mmapfs" {
	mount_detached -o allow_other "$temp/disk" "$public/mnt"

	for file in .mmapfs/table .mmapfs/stats; do
		as_errno nobody EACCES open "$public/mnt/$file"
		as_errno nobody EACCES stat "$public/mnt/$file" size
	done
	as_errno nobody EACCES readdir "$public/mnt/.mmapfs"
	# Nor when somebody who may has just been there.
	cat "$public/mnt/.mmapfs/table" >/dev/null
	as_errno nobody EACCES open "$public/mnt/.mmapfs/table"
}

@test "uid= gives the files away, but not .mmapfs" {
	mount_detached -o allow_other,uid=65534,gid=65534,mode=0600 "$temp/disk" "$public/mnt"

	as nobody cat "$public/mnt/disk" | cmp - "$temp/disk"
	as nobody "$public/call" write "$public/mnt/disk" 5 10 x
	as_errno daemon EACCES open "$public/mnt/disk"
	as_errno nobody EACCES open "$public/mnt/.mmapfs/table"
	assert_equal "$(stat -c '%u %a' "$public/mnt/.mmapfs")" '0 500'
}

@test "where tells others that they may not look" {
	mount_detached -o allow_other "$temp/disk" "$public/mnt"
	program=$public/mmapfs
	prefix=(runuser -u nobody --)

	mmapfs where "$public/mnt/disk"
	assert_failed 1 "$public/mnt"
}

@test "others cannot unmount it" {
	mount_detached -o allow_other "$temp/disk" "$public/mnt"
	program=$public/mmapfs
	prefix=(runuser -u nobody --)
	mmapfs umount "$public/mnt"
	assert_failed 1 "^$public/mnt: "

	is_mounted "$public/mnt"
	cmp "$temp/disk" "$public/mnt/disk"
}

# --- mountpoints ---------------------------------------------------------------------------------

@test "a mountpoint that is somebody else's" {
	mkdir "$public/sticky" "$public/closed"
	chmod 1777 "$public/sticky"
	chmod 755 "$public/closed"
	cp "$temp/disk" "$public/disk"

	apart_refused 1 "$public/closed" "$public/mmapfs" "$public/disk" "$public/closed"
	apart_refused 1 "$public/sticky" "$public/mmapfs" "$public/disk" "$public/sticky"
	call lock "$public/disk" wr 0 0
}

@test "allow_other of a user where fuse.conf does not permit it" {
	install -d -o nobody "$public/own"
	cp "$temp/disk" "$public/disk"
	: >"$temp/fuse.conf"
	status=0
	# shellcheck disable=SC2016 # for the inner shell
	apart bash -euc 'mount --bind "$1" /etc/fuse.conf; shift; exec runuser -u nobody -- "$@"' conf \
		"$temp/fuse.conf" "$public/mmapfs" -o allow_other "$public/disk" "$public/own" \
		>"$temp/out" 2>"$temp/err" || status=$?
	assert_failed 1 "$public/own"
}

@test "a user mounts and unmounts without any privilege" {
	install -d -o nobody "$public/own"
	cp "$temp/disk" "$public/disk"
	# shellcheck disable=SC2016 # for the inner shell
	apart runuser -u nobody -- bash -euc '
		"$1" "$2" "$3"
		trap "fusermount3 -u -z -q \"$3\"" EXIT
		cmp "$2" "$3/disk"
		"$1" umount "$3"
		trap - EXIT' user "$public/mmapfs" "$public/disk" "$public/own"
}

@test "umount by a user: a busy mount is one line, and it lives on" {
	install -d -o nobody "$public/own"
	cp "$temp/disk" "$public/disk"
	status=0
	# shellcheck disable=SC2016 # for the inner shell
	apart runuser -u nobody -- bash -uc '
		"$1" "$2" "$3" || exit
		trap "fusermount3 -u -z -q \"$3\"" EXIT
		exec 5<"$3/disk"
		"$1" umount "$3" 2>&6
		status=$?
		cmp "$2" "$3/disk" || exit 9
		exit "$status"' user "$public/mmapfs" "$public/disk" "$public/own" 6>"$temp/err" || status=$?
	assert_failed 1 "$public/own: .*busy"
}

@test "the root folder is no mountpoint" {
	status=0
	apart "$MMAPFS" mount -f "$temp/disk" / >"$temp/out" 2>"$temp/err" || status=$?
	assert_failed 1 "mountpoint '/'"
}

@test "a mountpoint that another file system is mounted on is busy" {
	status=0
	# shellcheck disable=SC2016 # for the inner shell
	apart bash -euc 'mount -t tmpfs none "$1"; shift; exec "$@"' busy "$mnt" \
		"$MMAPFS" mount -f "$temp/disk" "$mnt" >"$temp/out" 2>"$temp/err" || status=$?
	assert_failed 1 "mountpoint '$mnt'"
}

# --- mount(8) ------------------------------------------------------------------------------------

# with_mount8 SCRIPT: run apart, where mount(8) finds mount.mmapfs, with strict bash. $disk, $mnt
# and $temp are what they are here; $mmapfs is the program.
with_mount8() {
	mkdir "$temp/sbin"
	ln -s "$MMAPFS" "$temp/sbin/mount.mmapfs"
	# shellcheck disable=SC2016 # for the inner shell
	apart env temp="$temp" disk="$temp/disk" mnt="$mnt" mmapfs="$MMAPFS" bash -euc '
		mount --bind "$temp/sbin" "$(readlink -f /sbin)"
		trap "! mountpoint -q \"$mnt\" || umount -l \"$mnt\"" EXIT
		'"$1"
}

@test "mount -t mmapfs" {
	# shellcheck disable=SC2016 # for the inner shell
	with_mount8 '
		mount -t mmapfs -o mode=0640,x-mine=1,noauto,nofail,_netdev "$disk" "$mnt"
		[ "$(stat -c %a "$mnt/disk")" = 640 ]
		cmp "$disk" "$mnt/disk"
		"$mmapfs" umount "$mnt"
		mount -t mmapfs -r "$disk" "$mnt"
		! : 2>/dev/null >>"$mnt/disk"
		umount "$mnt"'
}

@test "a line of fstab" {
	printf 'image d disk\nslice a d 0 4K\nslice dir/b d 4K -\n' >"$temp/table"
	cat >"$temp/fstab" <<-END
		$temp/disk  $mnt  mmapfs  rw,user,noauto,nofail,_netdev,x-systemd.automount  0 0
	END
	cat >"$temp/fstab.table" <<-END
		$temp/table $mnt  mmapfs  ro,table,defaults  0 0
	END
	# shellcheck disable=SC2016 # for the inner shell
	with_mount8 '
		mount -T "$temp/fstab" "$mnt"
		cmp "$disk" "$mnt/disk"
		"$mmapfs" umount "$mnt"
		mount -T "$temp/fstab.table" -a
		cmp -n 4K "$disk" "$mnt/a"
		cmp -i 4K:0 "$disk" "$mnt/dir/b"
		"$mmapfs" umount "$mnt"'
}

@test "mount -f looks, and mounts nothing" {
	# shellcheck disable=SC2016 # for the inner shell
	with_mount8 '
		mount -f -t mmapfs "$disk" "$mnt"
		! mountpoint -q "$mnt"'
}

@test "mount(8) hears of failures" {
	# shellcheck disable=SC2016 # for the inner shell
	with_mount8 '
		status=0
		mount -t mmapfs "$temp/missing" "$mnt" 2>"$temp/err" || status=$?
		[ "$status" -ne 0 ]
		! mountpoint -q "$mnt"
		mount -t mmapfs -o bogus "$disk" "$mnt" 2>>"$temp/err" && exit 1
		! mountpoint -q "$mnt"'
	grep -q "^mmapfs: image 'missing': " "$temp/err"
}

@test "umount(8) ends the daemon" {
	mount_detached "$temp/disk" "$mnt"
	pid=$(daemon_of "$mnt")
	call write "$mnt/disk" 5 100000 x
	timeout 60 umount "$mnt"
	forget "$mnt"
	wait_until is_ended "$pid"
	head -c 100000 /dev/zero | tr '\0' x | cmp -i 0:5 -n 100000 - "$temp/disk"
}

# --- block devices -------------------------------------------------------------------------------

@test "a block device that is mounted, or that another daemon writes to, is refused" {
	mkdir "$temp/second"
	truncate -s 16M "$temp/disk"
	mkfs.ext4 -q -F "$temp/disk"
	loop=$(losetup --find --show "$temp/disk")
	mount_detached -s 'a=@0+4K' "$loop" "$mnt"
	refused 1 "^image '${loop##*/}': $loop" -- "$loop" "$temp/second"
	unmount_detached "$mnt"

	mount "$loop" "$temp/second"
	mmapfs "$loop" "$mnt"
	umount "$temp/second"
	assert_failed 1 "^image '${loop##*/}': $loop"
	mount_detached "$loop" "$mnt"
	unmount_detached "$mnt"
}

@test "a block device that is read-only gives slices that are ro" {
	loop=$(losetup --find --show --read-only "$temp/disk")
	mount_detached "$loop" "$mnt"

	run_errno EROFS -f rdwr open "$mnt/${loop##*/}"
	cmp "$temp/disk" "$mnt/${loop##*/}"
	unmount_detached "$mnt"
	refused 1 "^slice 'a': .*'${loop##*/}'" -- -s 'a=@0+4K,rw' "$loop" "$mnt"
}

# --- file handles ---------------------------------------------------------------------------------

@test "file handles that name no node are stale, and the daemon lives" {
	mount_detached -s 'a=@0+1000' "$temp/disk" "$mnt"

	timeout 20 /usr/bin/python3 - "$mnt" <<-'EOF'
		import ctypes, errno, os, struct, sys

		libc = ctypes.CDLL(None, use_errno=True)
		mount = os.open(sys.argv[1], os.O_RDONLY | os.O_DIRECTORY)
		for node in (0, 3, 9999, 0x100000003, 0xffffffffffffffff):
		    # struct file_handle, and in it what FUSE encodes: FILEID_INO64_GEN
		    handle = struct.pack("IiIII", 12, 0x81, node >> 32, node & 0xffffffff, 0)
		    assert libc.open_by_handle_at(mount, handle, os.O_RDONLY) == -1
		    assert ctypes.get_errno() == errno.ESTALE, (node, ctypes.get_errno())
		handle = struct.pack("IiIII", 12, 0x81, 0, 2, 0)
		assert libc.open_by_handle_at(mount, handle, os.O_RDONLY) >= 0
	EOF
	cmp -n 1000 "$mnt/a" "$temp/disk"
	unmount_detached "$mnt"
}
