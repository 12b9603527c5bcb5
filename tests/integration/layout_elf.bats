#!/usr/bin/env bats
# SPDX-License-Identifier: MIT
#
# The members of ELF files, against readelf, objcopy, and what the programs do.

# shellcheck source-path=SCRIPTDIR source=../lib/common.bash
source "$BATS_TEST_DIRNAME/../lib/common.bash"

witness=(/usr/bin/python3 "$BATS_TEST_DIRNAME/layout_elf.py")

# mount_file FILE [OPTION...]: a copy of it
mount_file() {
	local file=$1

	shift
	cp "$file" "$temp/file"
	start_mmapfs -o xattr "$@" "$temp/file" "$mnt"
}

# compare_file FILE LEAST: its members are what readelf says, and so many at least
compare_file() {
	mount_file "$1"
	count=$("${witness[@]}" compare "$temp/file" "$mnt")
	[ "$count" -ge "$2" ]
	unmount
}

@test "a program: what readelf lists is there, and nothing else" {
	compare_file /bin/ls 35
}

@test "a library: what readelf lists is there, and nothing else" {
	compare_file /lib/x86_64-linux-gnu/libc.so.6 60
}

@test "objects: what readelf lists is there, and nothing else" {
	compare_file /usr/lib/x86_64-linux-gnu/crt1.o 10
	compare_file /usr/lib/x86_64-linux-gnu/Scrt1.o 10
}

@test "of other machines: 32 bits, and big-endian of 32 and 64 bits" {
	compare_file /lib32/libc.so.6 50
	compare_file /usr/powerpc-linux-gnu/lib/libc.so.6 50
	compare_file /usr/s390x-linux-gnu/lib/libc.so.6 50
}

@test "a section is what objcopy dumps" {
	mount_file /bin/ls

	for name in .text .rodata .data .dynstr .eh_frame .init_array; do
		objcopy --dump-section "$name=$temp/dumped" /bin/ls "$temp/ignored"
		cmp "$temp/dumped" "$mnt/sections/$name"
	done
}

@test "a compressed section says so, and holds what objcopy decompresses" {
	{
		echo 'struct all {'
		printf 'int member_of_the_structure_%d;\n' {1..100}
		echo '} all;'
	} >"$temp/a.c"
	gcc -g -gz=zlib -c -o "$temp/a.o" "$temp/a.c"
	objcopy --decompress-debug-sections "$temp/a.o" "$temp/plain.o"
	objcopy --dump-section ".debug_str=$temp/dumped" "$temp/plain.o" "$temp/ignored"
	mount_file "$temp/a.o"

	assert_equal "$(call getxattr "$mnt/sections/.debug_str" user.mmapfs.compressed)" zlib
	run_errno ENODATA getxattr "$mnt/sections/.symtab" user.mmapfs.compressed
	# Behind a header of 24 bytes.
	/usr/bin/python3 -c 'import sys, zlib
sys.stdout.buffer.write(zlib.decompress(sys.stdin.buffer.read()[24:]))' \
		<"$mnt/sections/.debug_str" | cmp - "$temp/dumped"
}

@test "sections of one name are all there" {
	cat >"$temp/a.s" <<-'END'
		.section twice,"a",@progbits,unique,1
		.ascii "one"
		.section twice,"a",@progbits,unique,2
		.ascii "two"
		.section folder/and/file,"a"
		.ascii "three"
	END
	as -o "$temp/a.o" "$temp/a.s"
	compare_file "$temp/a.o" 4
	mount_file "$temp/a.o"

	assert_equal "$(cat "$mnt/sections/twice" "$mnt/sections/twice~2")" onetwo
	assert_equal "$(cat "$mnt/sections/folder_and_file")" three
}

@test "more sections than the header can count" {
	cat >"$temp/a.s" <<-'END'
		.altmacro
		.macro section number
		.section s\number, "a"
		.byte 1
		.endm
		.set number, 0
		.rept 66000
		section %number
		.set number, number + 1
		.endr
	END
	as -o "$temp/a.o" "$temp/a.s"
	readelf --wide --sections "$temp/a.o" >"$temp/wanted"
	mount_file "$temp/a.o"

	call getxattr "$mnt/sections/s65999" user.mmapfs.index >"$temp/index"
	grep -E "^ +\[$(cat "$temp/index")\] s65999 " "$temp/wanted"
	assert_equal "$(find "$mnt/sections" -name 's[0-9]*' -size 1c -printf x | wc -c)" 66000
}

@test "what is written to a section, the program does" {
	cat >"$temp/a.c" <<-'END'
		#include <stdio.h>
		static volatile const char word[8] __attribute__((section(".word"))) = "before";
		int main(void)
		{
			for (const volatile char *at = word; *at; at++)
				putchar(*at);
			return 0;
		}
	END
	gcc -o "$temp/file" "$temp/a.c"
	assert_equal "$("$temp/file")" before
	snapshot "$temp/file"
	start_mmapfs "$temp/file" "$mnt"
	printf 'after\0' | dd of="$mnt/sections/.word" conv=notrunc,fsync status=none
	unmount

	assert_equal "$("$temp/file")" after
	offset=$(readelf --wide --sections "$temp/file" | awk '$2 == ".word" || $3 == ".word" {
		sub(/.*PROGBITS +/, ""); print $2 }')
	assert_untouched "$temp/file" $((0x$offset)) 8
}

@test "a core dump shows the memory of its process by address" {
	local pid

	sleep 1000 3>&- 4>&- &
	pid=$!
	helper_pids+=("$pid")
	wait_until grep -qs sleep "/proc/$pid/comm"
	wait_until grep -q 'State:[[:blank:]]S' "/proc/$pid/status"
	"${witness[@]}" dump "$pid" "$temp/core"
	start_mmapfs -o xattr "$temp/core" "$mnt"

	[ "$("${witness[@]}" memory "$pid" "$mnt")" -ge 10 ]
	[ "$("${witness[@]}" compare "$temp/core" "$mnt")" -ge 11 ]
}

@test "a core dump that was cut: refused, and with lenient what there is of it" {
	/usr/bin/python3 - "$temp/core" <<-'END'
		import struct, sys
		header = b"\x7fELF\2\1\1".ljust(16, b"\0") + struct.pack("<HHIQQQIHHHHHH", 4, 62, 1, 0,
		    64, 0, 0, 64, 56, 2, 64, 0, 0)
		header += struct.pack("<IIQQQQQQ", 1, 4, 4096, 0x400000, 0, 4096, 4096, 4096)
		header += struct.pack("<IIQQQQQQ", 1, 6, 8192, 0x7ff000001000, 0, 8192, 8192, 4096)
		open(sys.argv[1], "wb").write(header.ljust(4096, b"\0") + b"a" * 4096 + b"b" * 4096)
	END
	"$MMAPFS" plan "$temp/core" >"$temp/plan"
	assert_equal "$(grep -c 'reaches outside' "$temp/plan")" 1
	grep -E '^slice +memory/00007ff000001000-00007ff000003000 .* reaches outside' "$temp/plan"
	refute timeout 20 "$MMAPFS" "$temp/core" "$mnt"
	refute is_mounted "$mnt"
	start_mmapfs -o lenient "$temp/core" "$mnt"

	cut_out "$temp/core" 4096 4096 | cmp - "$mnt/memory/0000000000400000-0000000000401000"
	cmp -n 4096 <(tr '\0' b </dev/zero | head -c 4096) \
		"$mnt/memory/00007ff000001000-00007ff000003000"
	run_errno EIO read "$mnt/memory/00007ff000001000-00007ff000003000" 4096 100
}

@test "what has no bytes is counted" {
	"$MMAPFS" plan --json /bin/ls >"$temp/plan"
	wanted=$(readelf --wide --sections --segments /bin/ls |
		grep -cE ' NOBITS | GNU_STACK +0x0+ 0x0+ 0x0+ 0x0+ 0x0+ ')

	assert_equal "$(/usr/bin/python3 -c 'import json, sys
print([(x["reason"], x["count"]) for x in json.load(sys.stdin)["layouts"][0]["left_out"]])' \
		<"$temp/plan")" "[('no bytes', $wanted)]"
}
