#!/usr/bin/env bats
# SPDX-License-Identifier: MIT
#
# Numbers, names and tables that are wrong: a clear line each, nothing mounted, nothing changed.

# shellcheck source-path=SCRIPTDIR source=../lib/common.bash
source "$BATS_TEST_DIRNAME/../lib/common.bash"
# shellcheck source-path=SCRIPTDIR source=../lib/cli.bash
source "$BATS_TEST_DIRNAME/../lib/cli.bash"

setup() {
	cli_setup
	mkdir "$temp/img"
	make_image "$temp/img/disk" 64K
	make_image "$temp/img/two" 4K
	table=$temp/table
	disk=$temp/img/disk
	untouched "$temp/img"
}

# slice_refused SPEC REGEX...
slice_refused() {
	local spec=$1

	shift
	refused 1 "$@" -- -s "$spec" "$disk" "$mnt"
}

# table_refused REGEX... : the table on standard input, which names the image img/disk 'd' in line 1
# and begins in line 2
table_refused() {
	{
		echo 'image d img/disk'
		cat
	} >"$table"
	plan_refused 1 "${@/#/^$table:}" -- --table "$table"
}

# line_refused LINE REGEX...: as line 2 of a table
line_refused() {
	local line=$1

	shift
	table_refused "${@/#/2: .*}" <<<"$line"
}

# --- numbers -------------------------------------------------------------------------------------

@test "numbers that are none" {
	for number in x -1 +1 1.5 1,5 1e3 1k 1kb 1Kb 1KIB 1KBi 1Ki 1KiBB 1B 1KK 1K1 1ss 1S 0x 0xg 0X10 \
		x10 '1 K' ' 1' '1 ' '' '#' '-' '--1' '1-' 1_000 ٣ NaN inf $'1\n'; do
		# What would end the offset, or begin the options, is tried as a length.
		if [[ $number != *[,+]* ]]; then
			slice_refused "a=@$number+1" "^slice 'a=@"
		fi
		if [[ $number != *,* ]]; then
			slice_refused "a=@0+$number" "^slice 'a=@0\\+"
		fi
	done
	slice_refused 'a=@0+1,5' "'5'"
	slice_refused 'a=@1++1' "'\\+1'"
	slice_refused 'a=@x+y' "'x'" "'y'"
	line_refused 'slice a d -1 1' "offset '-1'"
	line_refused 'slice a d 0 -1' "length '-1'"
	line_refused 'slice a d 1x 0x' "offset '1x'" "length '0x'"
	line_refused 'slice a d - 1' "offset '-'"
	line_refused 'slice a - -1 1' "offset '-1'"
}

@test "numbers that are too large" {
	for number in 9223372036854775808 18446744073709551615 18446744073709551616 \
		18446744073709551617 99999999999999999999999999 0x8000000000000000 \
		0x10000000000000001 8E 16E 17E 8EiB 10EB 20EB 99999999999999999999E 18014398509481985s \
		36028797018963969s 9007199254740993K 18014398509481984K; do
		slice_refused "a=@$number+1" "'$number'"
		slice_refused "a=@0+$number" "'$number'"
	done
	line_refused 'slice a d 8E 16E' "offset '8E'" "length '16E'"
}

@test "numbers that are too long" {
	long=$(printf '%0100000d' 0)
	slice_refused "a=@1$long+1" "^slice 'a=@1000"
	slice_refused "a=@0+1$long" "^slice 'a=@0\\+1000"
	slice_refused "a=@0+1,mode=1$long" "^slice 'a=@0\\+1,mode"
	line_refused "slice a d 0 1${long:0:60000}" "length '1000"
	refused 2 "'uid'" -- -o "uid=1$long" "$disk" "$mnt"
	# It has but too many zeros.
	mmapfs plan -s "a=@0+${long}4" "$disk"
	assert_done
}

@test "sums that are too large" {
	table_refused "3: slice 'z'" <<<$'slice z - 0 7E\nextent - 0 7E'
	table_refused "4: slice 'z'" <<-'END'
		slice z - 0 4E
		extent - 0 3E
		extent - 0 9223372036854775807
	END
	slice_refused 'a=@9223372036854775807+9223372036854775807' "slice 'a'"
}

# --- places --------------------------------------------------------------------------------------

@test "slices outside their image" {
	slice_refused 'a=@64K+1' "^slice 'a': offset 64K \\+ length 1 exceeds image 'disk' \\(64K\\)$"
	slice_refused 'a=@0+65537' "slice 'a': offset 0 \\+ length 65537 .*'disk'"
	slice_refused 'a=@1+64K' "slice 'a': offset 1 \\+ length 64K .*'disk'"
	slice_refused 'a=@65535+2' "slice 'a'.*'disk'"
	slice_refused 'a=@65537+0' "slice 'a'.*'disk'"
	slice_refused 'a=@65537' "slice 'a': offset 65537 .*'disk' \\(64K\\)"
	slice_refused 'a=@7E+1' "slice 'a': offset 7E \\+ length 1 .*'disk'"
	slice_refused 'a=@1+9223372036854775807' "slice 'a'.*'disk'"
	slice_refused 'a=@65537,resize' "slice 'a'.*'disk'"
	line_refused 'slice a d 64K 1' "slice 'a': offset 64K \\+ length 1 exceeds image 'd' \\(64K\\)$"
	table_refused "3: slice 'a': offset 64K" "4: slice 'a': offset 65537" <<-'END'
		slice a d 0 1
		extent d 64K 1
		extent d 65537 -
	END
}

@test "the message of the contract" {
	make_sparse "$temp/disk.img" 4G
	{
		echo 'image   disk       disk.img            rw'
		printf '\n%.0s' {1..10}
		echo 'slice   boot disk 5G 1G'
	} >"$temp/disk.table"
	cd "$temp"
	refused 1 "^disk.table:12: slice 'boot': offset 5G \\+ length 1G exceeds image 'disk' \\(4G\\)$" \
		-- --table disk.table mnt
}

@test "the edges of the image are inside" {
	mmapfs plan -s 'a=@64K' -s 'b=@64K+0' -s 'c=@65535+1' -s 'd=@0+65536' -s 'e=@0+0' "$disk"
	assert_done
}

# --- names ---------------------------------------------------------------------------------------

@test "hostile names" {
	for name in '' . .. ./a ../a a/. a/.. a/./b a/../b / /a a/ a//b // .mmapfs .mmapfs/a \
		.mmapfs/table ../../etc/passwd; do
		slice_refused "$name=@0" "^slice '$(literally "$name")': name "
		if [ -n "$name" ]; then
			line_refused "slice $name d 0 1" "slice '$(literally "$name")': name "
		fi
	done
	line_refused 'slice \056\056 d 0 1' "slice '\\.\\.': name "
	line_refused 'slice a\057\057b d 0 1' "slice 'a//b': name "
	line_refused 'slice a\000b d 0 1' '\\000'
	line_refused 'slice \000 d 0 1' '\\000'
}

@test "long names" {
	slice_refused "$(printf '%0256d' 0)=@0" "^slice '00000"
	slice_refused "a/$(printf '%0256d' 0)/b=@0" "^slice 'a/00000"
	slice_refused "$(printf 'a/%.0s' {1..2048})a=@0" "^slice 'a/a/a"
	slice_refused "$(printf '%0100000d' 0)=@0" "^slice '00000"
	line_refused "slice $(printf '%0256d' 0) d 0 1" "slice '00000"
}

@test "control bytes in a name do not reach the message" {
	slice_refused $'a\nmmapfs: b\033[31m/..=@0' "a.012mmapfs: b.033"
	slice_refused $'a\nb=@x' 'a.012b'
	line_refused 'slice a\012\033b/.. d 0 1' "a.012.033b/"
	line_refused $'slice a d 0 1 ro,\033x' '.033x'
	line_refused $'bogus\033x' '.033x'
	echo bogus >"$temp/new"$'\n'line
	plan_refused 1 'new.012line:1: ' -- --table "$temp/new"$'\n'line
}

@test "a name given twice" {
	plan_refused 1 "slice 'a': .*twice" -- -s a=@0 -s b=@1 -s a=@2 "$disk"
	table_refused "4: slice 'x/a': .*twice.* 2$" <<-'END'
		slice x/a d 0 1
		slice x/b d 0 1
		slice x/a d 5 1
	END
	table_refused "3: slice 'a': .*twice" "4: slice 'a': .*twice" <<-'END'
		slice a d 0 1
		slice a d 0 1
		slice a d 0 1
	END
	line_refused 'image d img/two' "image 'd': .*twice"
	table_refused "3: slice 'dä': .*twice" <<-'END'
		slice dä d 0 1
		slice d\303\244 d 1 1
	END
}

@test "a name that is a file and a folder" {
	plan_refused 1 "'a/b'.*'a'" -- -s a=@0 -s a/b=@1 "$disk"
	plan_refused 1 "'a/b/c'.*'a'" -- -s a/b/c=@0 -s a=@1 "$disk"
	table_refused "[2-5]: slice 'x/a/b'.*'x/a'" <<-'END'
		slice x/a d 0 1
		slice x/aa d 0 1
		slice x/a- d 0 1
		slice x/a/b d 5 1
	END
}

# --- slices and lines ----------------------------------------------------------------------------

@test "a SLICE that is none" {
	for spec in a '' = a= a=x "a=$disk" @0 a@0 ','; do
		slice_refused "$spec" "^slice '"
	done
	plan_refused 1 "^slice 'a=@0': " -- -s a=@0
	slice_refused 'a=@0,' "''"
	for option in x rx RO mode mode= mode=8 mode=1777 mode=-1 uid= uid=-1 uid=x uid=4294967295 gid=x \
		resize=1 ' ro' cow; do
		slice_refused "a=@0,ro,$option" "'$(literally "$option")'"
	done
	slice_refused 'a=@0,x,y,mode=z' "'x'" "'y'" "'mode=z'"
	slice_refused 'a=@0+5,resize' "slice 'a': resize"
	slice_refused 'a=@0,ro,resize' "slice 'a': resize"
}

@test "lines that are none" {
	line_refused bogus "'bogus'"
	line_refused 'Slice a d 0 1' "'Slice'"
	line_refused slice slice
	line_refused 'slice a' slice
	line_refused 'slice a d 0' slice
	line_refused 'slice a d 0 1 rw x' 'is not KEY=VALUE'
	line_refused "slice a d 0 1 ro $(printf 'k=%d ' {1..40})" columns
	line_refused 'image e' image
	line_refused 'image e img/two rw x' image
	line_refused 'image e img/two rx' "'rx'"
	line_refused 'image - img/two' "'-'"
	line_refused 'extent d 0 1' extent
	line_refused 'extent' extent
	line_refused 'slice a e 0 1' "slice 'a': .*'e'"
	line_refused 'slice a - 0 -' "slice 'a'"
	line_refused 'slice a img/disk 0 1' "'img/disk'"
	line_refused 'layout p d' layout
	line_refused $'\357\273\277slice a d 0 1' ''
}

@test "extents that are none" {
	table_refused '3: extent' <<-'END'
		slice a d 0 1
		extent d 0
	END
	table_refused "3: slice 'a'" <<-'END'
		slice a d 0 -
		extent d 0 1
	END
	table_refused "3: slice 'a': .*'e'" <<-'END'
		slice a d 0 1
		extent e 0 1
	END
	table_refused '4: extent' <<-'END'
		slice a d 0 1
		image e img/two
		extent d 0 1
	END
}

@test "NUL bytes" {
	printf 'image d img/disk\nslice a\0b d 0 1\n' >"$table"
	plan_refused 1 "^$table:2: .*NUL" -- --table "$table"
	printf 'image d img/disk\nslice a d 0 1\n\0' >"$table"
	plan_refused 1 "^$table:3: .*NUL" -- --table "$table"
	head -c 1000 /dev/zero >"$table"
	plan_refused 1 "^$table:1: .*NUL" -- --table "$table"
}

@test "a line of 70,000 bytes, and the lines behind it are still read" {
	for start in '#' 'slice a d 0 1 ' 'slice ' ' '; do
		{
			echo 'image d img/disk'
			printf '%s%070000d\n' "$start" 0
			echo 'slice b d x 1'
		} >"$table"
		plan_refused 1 "^$table:2: line" "^$table:3: offset 'x'" -- --table "$table"
	done
}

@test "a bad last line that does not end" {
	printf 'image d img/disk\nslice a d 0' >"$table"
	plan_refused 1 "^$table:2: slice" -- --table "$table"
}

@test "a table on standard input is called so" {
	echo bogus | refused 1 "^standard input:1: .*'bogus'" -- --table - "$mnt"
	echo bogus | refused 1 "^standard input:1: .*'bogus'" -- plan --table -
}

@test "a table that is not there, or not a file" {
	plan_refused 1 "$temp/missing" -- --table "$temp/missing"
	plan_refused 1 "$temp/img" -- --table "$temp/img"
	plan_refused 1 "$temp/img/disk/x" -- --table "$temp/img/disk/x"
	plan_refused 1 '' -- --table ''
	ordinary
	install -m 0 /dev/null "$public/unreadable"
	refused 1 "$public/unreadable" -- plan --table "$public/unreadable"
}

@test "every fault of a table is reported, and those of its images" {
	cat >"$table" <<-'END'
		image   d      img/disk
		image   gone   img/missing
		image   folder img
		slice   ok     d      0    1
		slice   a      d      1M   1
		slice   b      gone   0    1
		slice   ..     d      0    1
		slice   c      d      1x   1
		slice   e      d      0    -1
		slice   f      nobody 0    1
		slice   g      d      0    1   what,mode=9
		extent         d      0    1
		slice   ok     d      5    5
		slice   ok/x   d      5    5
		bogus
		image   d      img/two
		slice   h      d      0
	END
	plan_refused 1 "^$table:2: image 'gone': .*img/missing" "^$table:3: image 'folder': .*img" \
		"^$table:5: slice 'a'" "^$table:7: slice '\\.\\.'" "^$table:8: .*'1x'" "^$table:9: .*'-1'" \
		"^$table:10: slice 'f': .*'nobody'" "^$table:11: .*'what'" "^$table:11: .*'mode=9'" \
		"^$table:13: slice 'ok': .*twice" "^$table:1[34]: slice 'ok/x'" "^$table:15: .*'bogus'" \
		"^$table:16: image 'd': .*twice" "^$table:17: slice" -- --table "$table"
}

@test "every bad slice of the command line is reported" {
	plan_refused 1 "'1x'" "slice '\\.\\.'" "slice 'b'" -- -s a=@1x -s ..=@0 -s b=@1M -s c=@0 "$disk"
}

# --- floods --------------------------------------------------------------------------------------

# Bounded: no more than 600 MB of address space (which the sanitizers alone exceed), and 30 seconds.
flood_refused() {
	local lines verb

	for verb in plan mount; do
		status=0
		(
			grep -q __asan_init "$MMAPFS" || ulimit -v 600000
			if [ "$verb" = mount ]; then
				set -- "$@" "$mnt"
			fi
			exec timeout -s KILL 30 "$MMAPFS" "$verb" --table "$@"
		) >"$temp/out" 2>"$temp/err" 3>&- 4>&- || status=$?
		assert_equal "$status" 1
		[ ! -s "$temp/out" ]
		lines=$(wc -l <"$temp/err")
		[ "$lines" -ge 1 ]
		[ "$lines" -le 1000 ]
		refute grep -av '^mmapfs: ' "$temp/err"
		head -n 1 "$temp/err" | grep -qaF "$table:"
		assert_equal "$(mounts_here)" ''
	done
}

@test "100 MB of noise" {
	head -c 100M /dev/urandom >"$table"
	flood_refused "$table"
	refute grep -qa $'[\001-\011\013-\037]' "$temp/err"
}

@test "100 MB without a newline" {
	head -c 100M /dev/zero | tr '\0' a >"$table"
	flood_refused "$table"
}

@test "100 MB of slices of an image that nobody knows" {
	head -c 100M < <(yes 'slice a d 0 1') >"$table"
	flood_refused "$table"
}

@test "100 MB of one slice, given twice" {
	{
		echo 'image d img/two ro'
		head -c 20M < <(yes 'slice a d 0 1')
	} >"$table"
	flood_refused "$table"
}

@test "a million levels, and a million extents outside the image" {
	{
		echo 'image d img/two ro'
		yes 'slice a/b/c/d/e/f/g/h/i/j/k/l/m/n/o/p/q/r/s/t/u/v/w/x/y/z/.. d 0 1' | head -n 200000
		echo 'slice a d 0 1'
		yes 'extent d 4095 2' | head -n 1000000
	} >"$table"
	flood_refused "$table"
}
