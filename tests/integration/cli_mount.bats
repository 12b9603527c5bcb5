#!/usr/bin/env bats
# SPDX-License-Identifier: MIT
#
# The command that mounts, in all its forms, and how the daemon leaves the terminal.

# shellcheck source-path=SCRIPTDIR source=../lib/common.bash
source "$BATS_TEST_DIRNAME/../lib/common.bash"
# shellcheck source-path=SCRIPTDIR source=../lib/cli.bash
source "$BATS_TEST_DIRNAME/../lib/cli.bash"

setup() {
	cli_setup
	make_image "$temp/disk" 1M
}

# The names in the mount, in one line
listing() {
	find "$mnt" -type f -printf '%P\n' | sort | xargs -d '\n'
}

# mount_mmapfs ARGUMENT...: called by the name that mount(8) looks for; SOURCE MOUNTPOINT come first
mount_mmapfs() {
	ln -sf "$MMAPFS" "$temp/mount.mmapfs"
	program=$temp/mount.mmapfs
	mmapfs "$@"
	program=$MMAPFS
	assert_done
	adopt "$2"
}

# --- forms ---------------------------------------------------------------------------------------

@test "a bare IMAGE is one tail slice, named after the file" {
	mount_detached "$temp/disk" "$mnt"

	assert_equal "$(listing)" disk
	cmp "$temp/disk" "$mnt/disk"
}

@test "the mount answers when the command returns" {
	for _ in {1..10}; do
		mmapfs "$temp/disk" "$mnt"
		assert_equal "$(call stat "$mnt/disk" size)" 1048576
		assert_done
		adopt "$mnt"
		unmount_detached "$mnt"
	done
}

@test "the word mount may be given, and options may come anywhere" {
	mount_detached mount "$temp/disk" -s 'a=@1+2' -o mode=0640 -s 'b=@3' "$mnt"

	assert_equal "$(listing)" 'a b'
	assert_equal "$(stat -c %a "$mnt/a")" 640
	cmp -i 1:0 -n 2 "$temp/disk" "$mnt/a"
	cmp -i 3:0 "$temp/disk" "$mnt/b"
}

@test "long options" {
	mount_detached mount --options mode=0640 --slice 'a=@1+2' --slice=b=@3 "$temp/disk" "$mnt"

	assert_equal "$(listing)" 'a b'
	assert_equal "$(stat -c %a "$mnt/a")" 640
}

@test "an image whose name looks like a verb, behind --" {
	cp "$temp/disk" "$temp/plan"
	cp "$temp/disk" "$temp/-s"
	cd "$temp"
	mount_detached mount plan mnt
	unmount_detached mnt

	mount_detached -- -s mnt
	assert_equal "$(listing)" -s
	unmount_detached mnt
}

@test "slices name their own images" {
	make_image "$temp/two" 64K
	mount_detached -s "a=$temp/disk@1+2" -s "b=$temp/two@3+4" -s "dir/c=$temp/disk@5" "$mnt"

	assert_equal "$(listing)" 'a b dir/c'
	cmp -i 1:0 -n 2 "$temp/disk" "$mnt/a"
	cmp -i 3:0 -n 4 "$temp/two" "$mnt/b"
	cmp -i 5:0 "$temp/disk" "$mnt/dir/c"
}

@test "a slice may leave out the image where IMAGE is given" {
	make_image "$temp/two" 64K
	mount_detached -s 'a=@1+2' -s "b=$temp/two@3+4" "$temp/disk" "$mnt"

	cmp -i 1:0 -n 2 "$temp/disk" "$mnt/a"
	cmp -i 3:0 -n 4 "$temp/two" "$mnt/b"
}

@test "NAME ends at the first '=', IMAGE at the last '@'" {
	cp "$temp/disk" "$temp/a=b@7+c,d"
	mount_detached -s "x@1+2,ro=$temp/a=b@7+c,d@11+5,mode=0600" "$mnt"

	assert_equal "$(listing)" 'x@1+2,ro'
	assert_equal "$(stat -c '%s %a' "$mnt/x@1+2,ro")" '5 600'
	cmp -i 11:0 -n 5 "$temp/disk" "$mnt/x@1+2,ro"
}

@test "two images of the same name in two folders" {
	mkdir "$temp/1" "$temp/2"
	make_image "$temp/1/disk" 4K
	make_image "$temp/2/disk" 8K
	mount_detached -s "a=$temp/1/disk@0" -s "b=$temp/2/disk@0" "$mnt"

	cmp "$temp/1/disk" "$mnt/a"
	cmp "$temp/2/disk" "$mnt/b"
}

@test "the same image under two names is one image" {
	ln "$temp/disk" "$temp/hard"
	ln -s disk "$temp/soft"
	mount_detached -s "a=$temp/disk@0+4K" -s "b=$temp/hard@8K+4K" -s "c=$temp/soft@16K+4K" "$mnt"

	assert_equal "$(grep -c "$temp/\(disk\|hard\)\$" "/proc/$(daemon_of "$mnt")/maps")" 1
	cmp -i 8K:0 -n 4K "$temp/disk" "$mnt/b"
	cmp -i 16K:0 -n 4K "$temp/disk" "$mnt/c"
}

@test "sizes in all their units" {
	make_sparse "$temp/big" 3G
	mount_detached -s 'b=@0+513' -s 'K=@1K+2K' -s 'M=@1M+2M' -s 'G=@1G+2G' -s 'KiB=@1KiB+2KiB' \
		-s 'GiB=@1GiB+2GiB' -s 'KB=@1KB+2KB' -s 'MB=@1MB+2MB' -s 'GB=@1GB+2GB' -s 's=@2048s+34s' \
		-s 'x=@0x10+0xFf' -s 'X=@0x1K+0x2s' "$temp/big" "$mnt"

	mmapfs where "$mnt"/*
	assert_done
	sed "s|^$mnt/\([^ ]*\) [^ ]* |\1 |" "$temp/out" | sort >"$temp/got"
	sort >"$temp/wanted" <<-'END'
		b 0 513
		K 1024 2048
		M 1048576 2097152
		G 1073741824 2147483648
		KiB 1024 2048
		GiB 1073741824 2147483648
		KB 1000 2000
		MB 1000000 2000000
		GB 1000000000 2000000000
		s 1048576 17408
		x 16 255
		X 1024 1024
	END
	diff "$temp/wanted" "$temp/got"
}

# --- tables --------------------------------------------------------------------------------------

@test "a table's paths are relative to its own folder" {
	mkdir "$temp/tables"
	cp "$temp/disk" "$temp/tables/image"
	printf 'image d image rw\nslice a d 1 2\nimage up ../disk ro\nslice b up 3 -\n' \
		>"$temp/tables/table"
	cd /
	mount_detached --table "$temp/tables/table" "$mnt"

	cmp -i 1:0 -n 2 "$temp/disk" "$mnt/a"
	cmp -i 3:0 "$temp/disk" "$mnt/b"
}

@test "'-' is standard input, relative to the working folder" {
	cd "$temp"
	mount_detached -t - mnt <<-'END'
		image d disk rw
		slice a d 1 2
	END

	cmp -i 1:0 -n 2 disk mnt/a
	unmount_detached mnt
}

@test "comments, blank lines, tabs, CR LF, escapes, and a last line that does not end" {
	printf '%s' '# a comment
		image   disk\0401   disk  # another

	slice	a	disk\0401	1	2	ro
' $'slice b disk\\0401 3 4\r\nslice c disk\\0401 5 6' >"$temp/table"
	mount_detached --table "$temp/table" "$mnt"

	cmp -i 1:0 -n 2 "$temp/disk" "$mnt/a"
	run_errno EROFS -f rdwr open "$mnt/a"
	cmp -i 3:0 -n 4 "$temp/disk" "$mnt/b"
	cmp -i 5:0 -n 6 "$temp/disk" "$mnt/c"
}

@test "a comment line of 65,535 bytes" {
	printf 'image d disk\n#%065534d\nslice a d 0 1\n' 0 >"$temp/table"
	mount_detached --table "$temp/table" "$mnt"

	assert_equal "$(listing)" a
}

@test "100,000 slices" {
	{
		echo 'image d disk rw'
		seq -f 'dir%g' 0 99999 | awk '{ i = NR - 1
			printf "slice dir%d/slice-%06d d %d 100\n", i % 100, i, i * 10 }'
	} >"$temp/table"
	mount_detached --table "$temp/table" "$mnt"

	assert_equal "$(find "$mnt" -type f -size 100c | wc -l)" 100000
	assert_equal "$(find "$mnt" -mindepth 1 -type d | wc -l)" 100
	cmp -i 777770:0 -n 100 "$temp/disk" "$mnt/dir77/slice-077777"
	mmapfs where "$mnt/dir99/slice-099999"
	assert_done
	assert_equal "$(<"$temp/out")" "$mnt/dir99/slice-099999 $temp/disk 999990 100"
	assert_equal "$(wc -l <"$mnt/.mmapfs/table")" 100001
}

# --- mount.mmapfs --------------------------------------------------------------------------------

@test "mount.mmapfs SOURCE MOUNTPOINT -o LIST" {
	mount_mmapfs "$temp/disk" "$mnt" -o rw,mode=0640

	assert_equal "$(stat -c '%a %s' "$mnt/disk")" '640 1048576'
	cmp "$temp/disk" "$mnt/disk"
}

@test "mount.mmapfs without options" {
	mount_mmapfs "$temp/disk" "$mnt"

	assert_equal "$(listing)" disk
}

@test "mount.mmapfs with the letters that mount(8) may add" {
	mount_mmapfs "$temp/disk" "$mnt" -s -n -v -t fuse.mmapfs -o rw

	assert_equal "$(listing)" disk
}

@test "mount.mmapfs -f is mount(8)'s: it only looks" {
	ln -s "$MMAPFS" "$temp/mount.mmapfs"
	program=$temp/mount.mmapfs

	mmapfs "$temp/disk" "$mnt" -f -o rw
	assert_done
	refute is_mounted "$mnt"
	refused 1 'missing' -- "$temp/missing" "$mnt" -f -o rw
}

@test "mount.mmapfs takes a table with -o table" {
	printf 'image d disk ro\nslice a d 1 2\n' >"$temp/table"
	mount_mmapfs "$temp/table" "$mnt" -o ro,table

	assert_equal "$(listing)" a
}

@test "-o table goes with the bare command, too" {
	printf 'image d disk ro\nslice a d 1 2\n' >"$temp/table"
	mount_detached -o table "$temp/table" "$mnt"

	assert_equal "$(listing)" a
}

@test "words of fstab are ignored" {
	mount_mmapfs "$temp/disk" "$mnt" \
		-o rw,_netdev,nofail,noauto,user,x-systemd.automount,x-mine=1,x-,defaults,nosuid,nodev

	assert_equal "$(listing)" disk
	unmount_detached "$mnt"
	mount_detached -o _netdev -o nofail -o noauto,user -o x-systemd.requires=/a "$temp/disk" "$mnt"
}

@test "the last of ro and rw wins" {
	mount_detached -o ro,rw "$temp/disk" "$mnt"
	call write "$mnt/disk" 0 10 x
	unmount_detached "$mnt"

	mount_detached -o rw -o ro "$temp/disk" "$mnt"
	run_errno EROFS -f rdwr open "$mnt/disk"
}

# --- daemon --------------------------------------------------------------------------------------

@test "the daemon has a session, a folder and descriptors of its own" {
	cd "$temp"
	mount_detached "$temp/disk" "$mnt"
	pid=$(daemon_of "$mnt")

	# state, parent, process group, session, terminal
	read -r _ _ group session terminal _ < <(sed 's/.*) //' "/proc/$pid/stat")
	assert_equal "$session $group $terminal" "$pid $pid 0"
	assert_equal "$(readlink "/proc/$pid/cwd")" /
	for number in 0 1 2; do
		assert_equal "$(readlink "/proc/$pid/fd/$number")" /dev/null
	done
}

@test "whoever reads the command's output comes to its end" {
	# shellcheck disable=SC2016 # for the inner shell
	timeout 20 sh -c '"$@" 2>&1 | cat' sh "$MMAPFS" "$temp/disk" "$mnt" 3>&- 4>&-
	adopt "$mnt"
}

@test "the daemon outlives its terminal" {
	timeout 20 /usr/bin/python3 - "$MMAPFS" "$temp/disk" "$mnt" 3>&- 4>&- <<-'END'
		import os, pty, sys
		pid, terminal = pty.fork()
		if pid == 0:
		    os.execv(sys.argv[1], sys.argv[1:])
		assert os.waitstatus_to_exitcode(os.waitpid(pid, 0)[1]) == 0
		os.close(terminal)
	END
	adopt "$mnt"

	cmp "$temp/disk" "$mnt/disk"
}

@test "the folder that the command ran in can be unmounted or removed" {
	mkdir "$temp/folder"
	cd "$temp/folder"
	mount_detached ../disk ../mnt
	cd /
	rmdir "$temp/folder"

	cmp "$temp/disk" "$mnt/disk"
	forget ../mnt
	adopt "$mnt"
}

@test "-f stays in the foreground, and exits 0 when unmounted" {
	start_mmapfs "$temp/disk" "$mnt"

	assert_equal "$(daemon_process "$mnt")" "$(stat_value pid)"
	cmp "$temp/disk" "$mnt/disk"
	unmount
	assert_equal "$(cat "$temp/mmapfs.1.log.out")" ''
}

@test "-d stays in the foreground, and traces requests" {
	timeout -s KILL "$daemon_limit" "$MMAPFS" -d "$temp/disk" "$mnt" \
		</dev/null >"$temp/trace.out" 2>"$temp/trace" 3>&- 4>&- &
	pid=$!
	wait_until is_mounted "$mnt"
	adopt "$mnt"

	before=$(wc -l <"$temp/trace")
	cat "$mnt/disk" >/dev/null
	[ "$(wc -l <"$temp/trace")" -gt "$before" ]
	grep -q READ "$temp/trace"
	unmount_detached "$mnt"
	wait "$pid"
	[ ! -s "$temp/trace.out" ]
}

# notified OPTION...: mounts, and prints what the service manager is told. At that very moment the
# mount has to answer.
notified() {
	timeout 30 /usr/bin/python3 - "$temp/notify" "$mnt" "$MMAPFS" "$@" "$temp/disk" "$mnt" \
		3>&- 4>&- <<-'END'
		import os, socket, subprocess, sys
		path, mountpoint = sys.argv[1:3]
		listener = socket.socket(socket.AF_UNIX, socket.SOCK_DGRAM)
		listener.bind(path)
		listener.settimeout(20)
		subprocess.Popen(sys.argv[3:], env=dict(os.environ, NOTIFY_SOCKET=path),
		                 stdin=subprocess.DEVNULL, stdout=subprocess.DEVNULL)
		print(listener.recv(4096).decode())
		assert os.listdir(mountpoint) == ["disk"]
	END
}

@test "a service manager is told READY=1 once the mount answers" {
	notified -f >"$temp/told"
	adopt "$mnt"
	grep -qxF READY=1 "$temp/told"
	grep -qxF "MAINPID=$(daemon_of "$mnt")" "$temp/told"
	unmount_detached "$mnt"
	rm "$temp/notify"

	notified >"$temp/told"
	adopt "$mnt"
	grep -qxF READY=1 "$temp/told"
	grep -qxF "MAINPID=$(daemon_of "$mnt")" "$temp/told"
}

# --- mountpoints ---------------------------------------------------------------------------------

@test "a mountpoint by way of '..', a slash at the end, or a link" {
	ln -s mnt "$temp/link"
	cd "$temp"
	for mountpoint in mnt/ ./mnt/../mnt "$mnt//" link link/; do
		mount_detached "$temp/disk" "$mountpoint"
		is_mounted "$mnt"
		assert_equal "$(listing)" disk
		unmount_detached "$mountpoint"
	done
}

@test "mountpoints and images with odd names" {
	for name in 'two words' '#' 'back\slash' '\040' $'new\nline' 'ä€' $'\377\001' 'a,b' '%s%n' '*'; do
		mkdir "$temp/$name"
		cp "$temp/disk" "$temp/$name.img"
		mount_detached "$temp/$name.img" "$temp/$name"
		cmp "$temp/disk" "$temp/$name/$name.img"
		unmount_detached "$temp/$name"
	done
}

@test "a mountpoint that is not empty" {
	echo hidden >"$mnt/hidden"
	mount_detached "$temp/disk" "$mnt"
	assert_equal "$(listing)" disk
	unmount_detached "$mnt"

	assert_equal "$(<"$mnt/hidden")" hidden
}

@test "the mountpoint may be where somebody works" {
	cd "$mnt"
	mmapfs "$temp/disk" .
	assert_done
	adopt "$mnt"
	cd /

	assert_equal "$(listing)" disk
}
