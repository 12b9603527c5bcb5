#!/usr/bin/env bats
# SPDX-License-Identifier: MIT
#
# What the options do, and what happens to those that nobody knows.

# shellcheck source-path=SCRIPTDIR source=../lib/common.bash
source "$BATS_TEST_DIRNAME/../lib/common.bash"
# shellcheck source-path=SCRIPTDIR source=../lib/cli.bash
source "$BATS_TEST_DIRNAME/../lib/cli.bash"

setup() {
	cli_setup
	mkdir "$temp/img"
	disk=$temp/img/disk
	make_image "$disk" 1M
}

# image_flags: how the daemon has the image open, as open(2) counts it: 0 to read, 2 to read and write
image_flags() {
	local pid fd

	pid=$(daemon_of "$mnt")
	for fd in /proc/"$pid"/fd/*; do
		if [ "$(readlink "$fd")" = "$disk" ]; then
			echo $(($(awk '$1 == "flags:" { print $2 }' "/proc/$pid/fdinfo/${fd##*/}") & 3))
		fi
	done
}

# How the daemon has the image mapped: r--s
image_mapping() {
	awk -v path="$disk" '$6 == path { print $2 }' "/proc/$(daemon_of "$mnt")/maps"
}

# --- access --------------------------------------------------------------------------------------

@test "images are opened and mapped to read and write" {
	mount_detached "$disk" "$mnt"

	assert_equal "$(image_flags)" 2
	assert_equal "$(image_mapping)" rw-s
}

@test "-o ro opens and maps them to read only, and every write is EROFS" {
	mount_detached -o ro -s 'a=@0+4K' -s 'b=@4K,resize' "$disk" "$mnt"

	assert_equal "$(image_flags)" 0
	assert_equal "$(image_mapping)" r--s
	for file in a b; do
		run_errno EROFS -f rdwr open "$mnt/$file"
		run_errno EROFS -f wronly,trunc open "$mnt/$file"
		run_errno EROFS truncate "$mnt/$file" 0
	done
	run_errno EROFS mkdir "$mnt/new"
	cmp -n 4K "$disk" "$mnt/a"
	cmp -i 4K:0 "$disk" "$mnt/b"
}

@test "-o ro wins over the rw of a table" {
	printf 'image d disk rw\nslice a d 0 4K rw\nslice b d 4K - rw,resize\n' >"$temp/img/table"
	mount_detached -o ro --table "$temp/img/table" "$mnt"

	assert_equal "$(image_flags)" 0
	assert_equal "$(awk '{ print $NF }' "$mnt/.mmapfs/table" | xargs)" 'ro ro ro'
}

@test "an image that a table calls ro is opened to read only; its slices are ro" {
	printf 'image d disk ro\nslice a d 0 4K\n' >"$temp/img/table"
	mount_detached --table "$temp/img/table" "$mnt"

	assert_equal "$(image_flags)" 0
	assert_equal "$(image_mapping)" r--s
	run_errno EROFS -f rdwr open "$mnt/a"
}

@test "an image that all slices call ro is opened to read only" {
	mount_detached -s 'a=@0+4K,ro' -s 'b=@4K,ro' "$disk" "$mnt"

	assert_equal "$(image_flags)" 0
	assert_equal "$(image_mapping)" r--s
	run_errno EROFS -f rdwr open "$mnt/a"
}

@test "a slice may be ro on an image that is rw" {
	mount_detached -s 'a=@0+4K,ro' -s 'b=@4K+4K' "$disk" "$mnt"

	run_errno EROFS -f rdwr open "$mnt/a"
	call write "$mnt/b" 0 10 x
}

@test "where only reading is permitted the slices are ro" {
	make_read_only "$disk"
	mount_detached -o mode=0644 "$disk" "$mnt"

	assert_equal "$(image_flags)" 0
	assert_equal "$(image_mapping)" r--s
	run_errno EROFS -f rdwr open "$mnt/disk"
	cmp "$disk" "$mnt/disk"
	unmount_detached "$mnt"
	mmapfs plan "$disk"
	assert_done
	assert_equal "$(awk '{ print $NF }' "$temp/out" | xargs)" 'ro ro'
}

@test "rw is refused where only reading is permitted" {
	make_read_only "$disk"
	plan_refused 1 "^slice 'a': .*image 'disk'" -- -s 'a=@0+4K,rw' "$disk"
	printf 'image d disk rw\nslice a d 0 4K\n' >"$temp/img/table"
	plan_refused 1 "^$temp/img/table:1: image 'd': " -- --table "$temp/img/table"
	printf 'image d disk\nslice a d 0 4K rw\n' >"$temp/img/table"
	plan_refused 1 "^$temp/img/table:2: slice 'a': .*image 'd'" -- --table "$temp/img/table"
}

# --- attributes ----------------------------------------------------------------------------------

@test "uid=, gid= and mode= go to all files and folders" {
	mount_detached -o uid=12345,gid=54321,mode=0444 -s 'a=@0+1' -s 'dir/b=@0+1' "$disk" "$mnt"

	assert_equal "$(stat -c '%u %g %a' "$mnt/a" "$mnt/dir/b" | sort -u)" '12345 54321 444'
	assert_equal "$(stat -c '%u %g' "$mnt" "$mnt/dir" | sort -u)" '12345 54321'
}

@test "by default they are those of the user and of the image" {
	chmod 640 "$disk"
	mount_detached -s 'a=@0+1' "$disk" "$mnt"

	assert_equal "$(stat -c '%u %g %a' "$mnt/a")" "$(id -u) $(id -g) 640"
	assert_equal "$(stat -c '%u %g' "$mnt")" "$(id -u) $(id -g)"
}

@test "what a slice says itself wins over uid=, gid= and mode=" {
	mount_detached -o mode=0600 -s 'a=@0+1,mode=0444,uid=77,gid=88' -s 'b=@0+1' "$disk" "$mnt"

	assert_equal "$(stat -c '%u %g %a' "$mnt/a")" '77 88 444'
	assert_equal "$(stat -c '%u %a' "$mnt/b")" "$(id -u) 600"
}

@test "values that are none are refused, and named" {
	untouched "$temp/img"
	for option in uid=x uid= uid=-1 uid=+1 uid=0x10 uid=1.5 'uid= 1' uid=4294967295 \
		uid=99999999999999999999 gid=x gid= gid=-1 gid=4294967295 mode=8 mode=rw mode= mode=-1 \
		mode=1777 mode=99999999999999999999999 cache=x cache= cache=AUTO cache=autox lock=x lock= \
		lock=yes memory=x memory= memory=0 memory=1K memory=on; do
		refused 2 "option '${option%%=*}'.*'$(literally "${option#*=}")'" -- -o "$option" "$disk" "$mnt"
	done
	for option in uid gid mode cache lock memory; do
		refused 2 "option '$option'" -- -o "$option" "$disk" "$mnt"
	done
	for option in ro=1 rw=no xattr=x allow_other=1 table=x; do
		refused 2 "option '${option%%=*}'" -- -o "$option" "$disk" "$mnt"
	done
}

@test "every bad value of a list is reported" {
	untouched "$temp/img"
	refused 2 "'uid'" "'mode'" "'cache'" -- -o uid=x,mode=9,cache=z "$disk" "$mnt"
	refused 2 "'uid'" "'mode'" -- -o uid=x -o ro,mode=9 "$disk" "$mnt"
}

# --- cache and lock ------------------------------------------------------------------------------

@test "each way to cache, writeback, memory and xattr can be had" {
	for option in cache=auto cache=none cache=always writeback xattr lock=on memory=64M \
		memory=off writeback,ro,xattr; do
		mount_detached -o "$option" "$disk" "$mnt"
		cmp "$disk" "$mnt/disk"
		unmount_detached "$mnt"
	done
}

@test "lock=off lets a second writer in" {
	mkdir "$temp/second"
	mount_detached "$disk" "$mnt"
	refused 1 "^image 'disk': " -- "$disk" "$temp/second"

	mount_detached -o lock=off "$disk" "$temp/second"
	call write "$temp/second/disk" 5 10 x
	assert_equal "$(call -o "$temp/got" -f rdonly,direct read "$mnt/disk" 5 10)" 10
	assert_equal "$(<"$temp/got")" xxxxxxxxxx
	unmount_detached "$temp/second"
}

@test "lock=off takes no lock" {
	mkdir "$temp/second"
	mount_detached -o lock=off "$disk" "$mnt"

	mount_detached "$disk" "$temp/second"
	unmount_detached "$temp/second"
}

# --- unknown -------------------------------------------------------------------------------------

@test "an unknown option exits 2, with a line that names it" {
	untouched "$temp/img"
	refused 2 "'--bogus'" -- --bogus "$disk" "$mnt"
	refused 2 "'--bogus=5'" -- --bogus=5 "$disk" "$mnt"
	refused 2 "'-Q'" -- -Q "$disk" "$mnt"
	refused 2 "'-Q'" -- "$disk" -fQ "$mnt"
	refused 2 "'-Q'" "'--bogus'" -- -Q --bogus "$disk" "$mnt"
	refused 2 "'-f'" -- plan -f "$disk"
	refused 2 "'--json'" -- mount --json "$disk" "$mnt"
	refused 2 "'--bogus'" -- where --bogus "$disk"
	refused 2 "'--bogus'" -- umount --bogus "$mnt"
	refused 2 "'-l'" -- umount -l "$mnt"
}

@test "an unknown mount option exits 2, with a line that names it" {
	untouched "$temp/img"
	refused 2 bogus -- -o bogus "$disk" "$mnt"
	refused 2 bogus=5 -- -o ro,bogus=5 "$disk" "$mnt"
	refused 2 uidx -- -o uidx=5 "$disk" "$mnt"
	refused 2 offset=512 -- -o offset=512 "$disk" "$mnt"
	refused 2 new -- -o $'new\nline' "$disk" "$mnt"
	refused 2 bogus -- mount -f -o bogus "$disk" "$mnt"
	ln -s "$MMAPFS" "$temp/mount.mmapfs"
	program=$temp/mount.mmapfs
	refused 2 bogus -- "$disk" "$mnt" -o rw,bogus
	refused 2 "'-X'" -- "$disk" "$mnt" -X
}

@test "plan refuses a mount option that the mount would refuse" {
	untouched "$temp/img"
	refused 2 bogus -- plan -o bogus "$disk"
	refused 2 "'uid'" -- plan -o uid=x "$disk"
}

@test "libfuse's own options are taken" {
	mount_detached -o 'fsname=my disk,nosuid,nodev,noexec,noatime' "$disk" "$mnt"

	awk -v mountpoint="$mnt" '$5 == mountpoint' /proc/self/mountinfo >"$temp/line"
	grep -qF ' fuse.mmapfs my\040disk ' "$temp/line"
	for option in nosuid nodev noexec noatime; do
		grep -q "[ ,]${option}[ ,]" "$temp/line"
	done
}

@test "a libfuse option that cannot be had is an error, not a mount that has gone" {
	for option in max_read=4096 max_read=131072 max_read=1048576; do
		mmapfs -o "$option" "$disk" "$mnt"
		if [ "$status" -eq 0 ]; then
			assert_done
			adopt "$mnt"
			cmp "$disk" "$mnt/disk"
			unmount_detached "$mnt"
		else
			assert_said ''
		fi
	done
}

# From 3.18 on libfuse takes the option, and a variable; it then copies replies in the daemon, which a
# page that has gone would kill.
@test "io_uring is refused, and the variable that asks libfuse for it changes nothing" {
	refused 2 io_uring -- -o io_uring "$disk" "$mnt"
	refused 2 io_uring -- -o noatime,io_uring_q_depth=8 "$disk" "$mnt"
	refused 2 io_uring -- plan -o io_uring "$disk"

	FUSE_URING_ENABLE=1 mount_detached "$disk" "$mnt"
	cmp "$disk" "$mnt/disk"
	refute grep -q '^fuse-ring' /proc/"$(daemon_of "$mnt")"/task/*/comm
	unmount_detached "$mnt"
}

@test "whatever the options, umount knows the mount again" {
	mmapfs -o subtype=other "$disk" "$mnt"
	if [ "$status" -eq 0 ]; then
		adopt "$mnt"
		unmount_detached "$mnt"
	else
		assert_said subtype
	fi
}

# --- usage ---------------------------------------------------------------------------------------

@test "wrong usage exits 2, with a line" {
	untouched "$temp/img"
	refused 2 MOUNTPOINT --
	refused 2 MOUNTPOINT -- mount
	refused 2 "^nothing to mount on 'disk.img': give IMAGE, -s SLICE or --table FILE$" -- disk.img
	refused 2 '' -- "$mnt"
	refused 2 '' -- mount -f "$mnt"
	refused 2 "'extra'" -- "$disk" extra "$mnt"
	refused 2 table -- --table "$temp/img/table" "$disk" "$mnt"
	refused 2 table -- --table "$temp/img/table" -s a=@0 "$mnt"
	refused 2 "'-s'" -- "$disk" "$mnt" -s
	refused 2 "'--table'" -- "$mnt" --table
	refused 2 "'-o'" -- "$disk" "$mnt" -o
	refused 2 '' -- plan
	refused 2 "'extra'" -- plan "$disk" extra
	refused 2 table -- plan --table "$temp/img/table" "$disk"
	refused 2 FILE -- where
	refused 2 MOUNTPOINT -- umount
	refused 2 MOUNTPOINT -- umount "$mnt" "$mnt"
}

@test "--help says how, on standard output" {
	for verb in '' mount plan where umount; do
		# shellcheck disable=SC2086 # none is no word
		mmapfs $verb --help
		assert_done
		for word in plan where umount -- --table --slice --json allow_other uid= gid= mode= cache= \
			writeback xattr lock= _netdev nofail noauto; do
			grep -qF -e "$word" "$temp/out"
		done
	done
	mmapfs -h
	assert_done
	[ "$(wc -L <"$temp/out")" -le 80 ]
}

@test "--version says which, on standard output" {
	for option in --version -V; do
		mmapfs "$option"
		assert_done
		assert_equal "$(wc -l <"$temp/out")" 1
		grep -qE '^mmapfs [0-9]+\.[0-9]+' "$temp/out"
	done
}

@test "output that cannot be written is a failure" {
	for verb in --help --version; do
		status=0
		timeout 20 "$MMAPFS" "$verb" >/dev/full 2>"$temp/err" || status=$?
		assert_equal "$verb $status" "$verb 1"
	done
	mount_detached "$disk" "$mnt"
	for verb in plan 'plan --json' where; do
		status=0
		# shellcheck disable=SC2086 # two words
		timeout 20 "$MMAPFS" $verb "$mnt/disk" >/dev/full 2>"$temp/err" || status=$?
		assert_equal "$verb $status" "$verb 1"
		assert_said ''
	done
}
