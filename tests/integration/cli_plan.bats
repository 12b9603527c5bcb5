#!/usr/bin/env bats
# SPDX-License-Identifier: MIT
#
# mmapfs plan prints the table that would be mounted: it mounts again, from anywhere, as the same.

# shellcheck source-path=SCRIPTDIR source=../lib/common.bash
source "$BATS_TEST_DIRNAME/../lib/common.bash"
# shellcheck source-path=SCRIPTDIR source=../lib/cli.bash
source "$BATS_TEST_DIRNAME/../lib/cli.bash"

setup() {
	cli_setup
	mkdir "$temp/img"
	make_image "$temp/img/disk" 1M
	make_image "$temp/img/two" 64K
}

# plan_is_stable ARGUMENT...: planning what plan prints gives the same bytes, from any folder; so
# does the table of the mount; and both mounts show the same files. Leaves the plan in $temp/plan.
plan_is_stable() {
	mmapfs plan "$@"
	assert_done
	cp "$temp/out" "$temp/plan"
	(cd / && mmapfs plan --table "$temp/plan" && assert_done)
	diff "$temp/plan" "$temp/out"
	(cd "$mnt" && mmapfs plan -t - <"$temp/plan" && assert_done)
	diff "$temp/plan" "$temp/out"

	mount_detached "$@" "$mnt"
	diff "$temp/plan" "$mnt/.mmapfs/table"
	contents >"$temp/contents"
	unmount_detached "$mnt"
	cd /
	mount_detached --table "$temp/plan" "$mnt"
	diff "$temp/plan" "$mnt/.mmapfs/table"
	contents | diff "$temp/contents" -
	unmount_detached "$mnt"
}

contents() {
	(
		cd "$mnt" || exit
		find . -printf '%i %m %U %G %s %p\n' | sort
		find . -type f -exec sha256sum {} + | sort
	)
}

@test "of an image: one tail slice" {
	plan_is_stable "$temp/img/disk"

	assert_equal "$(xargs <"$temp/plan")" "image disk $temp/img/disk rw slice disk disk 0 - rw"
}

@test "of slices" {
	cd "$temp/img"
	plan_is_stable -s 'a=@12345+5000' -s 'dir/b=two@4K+4K,ro' -s 'rest=disk@512K,resize' disk

	assert_equal "$(xargs <"$temp/plan")" "image disk $temp/img/disk rw image two $temp/img/two ro \
slice a disk 12345 5000 rw slice dir/b two 4K 4K ro slice rest disk 512K - rw,resize"
}

@test "of a table with everything" {
	cat >"$temp/img/table" <<-'END'
		# comments and order of columns do not survive, entries and their order do
		image   unused     two                 ro
		image   disk       disk                rw
		image   hard       two                 ro
		slice   z/y/x      disk  513         100K rw,mode=0640
		slice   joined     disk      0         4K ro,uid=5,gid=6
		extent             hard  63K           1K
		extent             -       0         4097
		extent             disk  1M             0
		slice   zeros      -       0           7E
		slice   none       disk  5              0
		slice   rest       disk   768K          - ro,mode=0400
		slice   a          hard      0x10      1s
		slice   tail       -         0         3
		extent             disk     1000K       -
	END
	# Hashing 7E of zeros takes its time.
	sed -i '/7E/s/7E/7M/' "$temp/img/table"
	plan_is_stable --table "$temp/img/table"

	assert_equal "$(wc -l <"$temp/plan")" 14
	assert_equal "$(awk '$1 == "slice" { print $2 }' "$temp/plan" | xargs)" \
		'z/y/x joined zeros none rest a tail'
}

@test "of names with odd bytes" {
	slices=()
	# shellcheck disable=SC1003 # a backslash
	for name in 'two words' '#' '#a' 'back\slash' '\040' '\\' $'new\nline' $'tab\there' 'ä€' \
		$'\377\001' $'\177' 'a,b' '%s' '*' '-' ' ' '"' "'" '...' 'x/.mmapfs' '  /#/\'; do
		slices+=(-s "$name=@1+2")
	done
	plan_is_stable "${slices[@]}" "$temp/img/disk"

	assert_equal "$(wc -l <"$temp/plan")" 22
	refute grep -q $'\t' "$temp/plan"
}

@test "of images with odd names, in folders with odd names" {
	for name in 'two words' '#' 'back\slash' '\040' $'new\nline' 'ä€' $'\377\001' '-' 'a,b@c=d'; do
		mkdir "$temp/img/x$name"
		cp "$temp/img/disk" "$temp/img/x$name/$name"
		cd "$temp/img/x$name"
		plan_is_stable -s "a=./$name@1+2" -s "b=$temp/img/disk@3"
	done
}

@test "of long names" {
	long=$(printf '\\%.0s' {1..255})
	deep=$(printf '# #/%.0s' {1..1000})
	mmapfs plan -s "$long=@0+1" -s "${deep}x=@1+1" "$temp/img/disk"
	assert_done
	cp "$temp/out" "$temp/plan"
	mmapfs plan --table "$temp/plan"
	assert_done
	cmp "$temp/plan" "$temp/out"
}

@test "of images of the same name, and of one image under several" {
	mkdir "$temp/img/1" "$temp/img/2"
	cp "$temp/img/disk" "$temp/img/1/disk"
	cp "$temp/img/disk" "$temp/img/2/disk"
	ln "$temp/img/disk" "$temp/img/hard"
	ln -s disk "$temp/img/soft"
	cd "$temp/img"
	plan_is_stable -s 'a=1/disk@1' -s 'b=2/disk@2' -s 'c=disk@0+3' -s 'd=hard@3+4' -s 'e=soft@9+5' \
		-s 'f=../img/disk@20+6'

	assert_equal "$(awk '{ print $1 }' "$temp/plan" | uniq -c | xargs)" '4 image 6 slice'
}

@test "of many slices" {
	awk 'BEGIN {
		print "image d disk ro"
		for (i = 0; i < 20000; i++)
			printf "slice %d/%d d %d %d\n", i * 7919 % 100, i, i * 52, i % 53
	}' >"$temp/img/table"
	mmapfs plan --table "$temp/img/table"
	assert_done
	cp "$temp/out" "$temp/plan"
	mmapfs plan --table "$temp/plan"
	cmp "$temp/plan" "$temp/out"
	assert_equal "$(wc -l <"$temp/plan")" 20001
}

@test "nothing is opened to write, locked, or changed" {
	untouched "$temp/img"
	mount_detached "$temp/img/disk" "$mnt"

	mmapfs plan "$temp/img/disk"
	assert_done
	mmapfs plan -s "a=$temp/img/disk@0,resize" -s "b=$temp/img/two@1+2"
	assert_done
	cmp "$temp/img/disk" "$mnt/disk"
}

@test "with -o ro everything is ro" {
	mmapfs plan -o ro -s 'a=@0+1' -s 'b=@1,resize' "$temp/img/disk"
	assert_done

	assert_equal "$(awk '{ print $NF }' "$temp/out" | xargs)" 'ro ro ro'
}

json_sizes() {
	from_json 'print("\n".join(s["name"] + " " + str(s["size"]) for s in plan["slices"]))'
}

@test "sizes come out as they went in" {
	cat >"$temp/img/table" <<-'END'
		slice b   - 0 1
		slice K   - 0 3K
		slice KiB - 0 3KiB
		slice KB  - 0 3KB
		slice M   - 0 3M
		slice MiB - 0 3MiB
		slice MB  - 0 3MB
		slice G   - 0 3G
		slice GiB - 0 3GiB
		slice GB  - 0 3GB
		slice T   - 0 3T
		slice TiB - 0 3TiB
		slice TB  - 0 3TB
		slice P   - 0 3P
		slice PiB - 0 3PiB
		slice PB  - 0 3PB
		slice E   - 0 3E
		slice EiB - 0 3EiB
		slice EB  - 0 3EB
		slice s   - 0 3s
		slice x   - 0 0x3
		slice xs  - 0 0xaFs
		slice 0   - 0 000000000000000000000000000000003
		slice max - 0 9223372036854775807
	END
	cat >"$temp/wanted" <<-'END'
		b 1
		K 3072
		KiB 3072
		KB 3000
		M 3145728
		MiB 3145728
		MB 3000000
		G 3221225472
		GiB 3221225472
		GB 3000000000
		T 3298534883328
		TiB 3298534883328
		TB 3000000000000
		P 3377699720527872
		PiB 3377699720527872
		PB 3000000000000000
		E 3458764513820540928
		EiB 3458764513820540928
		EB 3000000000000000000
		s 1536
		x 3
		xs 89600
		0 3
		max 9223372036854775807
	END
	mmapfs plan --json --table "$temp/img/table"
	assert_done
	json_sizes | diff "$temp/wanted" -
	mmapfs plan --table "$temp/img/table"
	cp "$temp/out" "$temp/plan"
	mmapfs plan --json --table "$temp/plan"
	json_sizes | diff "$temp/wanted" -
}

# --- JSON ----------------------------------------------------------------------------------------

# from_json STATEMENT: of Python, on the plan that was just printed
from_json() {
	/usr/bin/python3 -c "import json, sys; plan = json.load(open(sys.argv[1])); $1" "$temp/out"
}

@test "--json holds the same" {
	cat >"$temp/img/table" <<-'END'
		image   d          disk                rw
		image   r          two                 ro
		slice   dir/a      d     513         100K rw
		slice   joined     d         0         4K ro
		extent             r       63K         1K
		extent             -         0         5
		extent             d      1000K        -
		slice   rest       d      512K         -  rw,resize
	END
	mmapfs plan --json --table "$temp/img/table"
	assert_done

	/usr/bin/python3 - "$temp/out" "$temp/img" <<-'END'
		import json, sys
		plan = json.load(open(sys.argv[1]))
		folder = sys.argv[2]

		def only(have, **wanted):
		    for name, value in wanted.items():
		        assert have[name] == value, (name, have[name], value)

		disk, two = plan["images"]
		only(disk, name="d", path=folder + "/disk", access="rw", size=1 << 20)
		only(two, name="r", path=folder + "/two", access="ro", size=1 << 16)
		a, joined, rest = plan["slices"]
		only(a, name="dir/a", access="rw", size=102400, tail=False, resize=False)
		only(a, extents=[{"image": "d", "offset": 513, "length": 102400}])
		only(joined, name="joined", access="ro", size=4096 + 1024 + 5 + 24576, tail=True)
		only(joined, extents=[{"image": "d", "offset": 0, "length": 4096},
		                      {"image": "r", "offset": 64512, "length": 1024},
		                      {"image": None, "offset": 0, "length": 5},
		                      {"image": "d", "offset": 1024000, "length": 24576}])
		only(rest, name="rest", access="rw", size=1 << 19, tail=True, resize=True)
		only(rest, extents=[{"image": "d", "offset": 1 << 19, "length": 1 << 19}])
	END
}

@test "--json of names with odd bytes is JSON, and UTF-8" {
	mmapfs plan --json -s $'new\nline=@0' -s '"=@1' -s 'back\slash=@2' -s 'ä€=@3' -s $'\377=@4' \
		-s $'\001\177=@5' -s 'two words=@6' -s $'a\303=@7' "$temp/img/disk"
	assert_done

	from_json 'print([s["name"] for s in plan["slices"]] == ["new\nline", "\"", "back\\slash", "ä€",
		"\ufffd", "\x01\x7f", "two words", "a\ufffd"])' | grep -qx True
}

@test "--json of nothing" {
	mmapfs plan --json --table /dev/null
	assert_done

	from_json 'print(plan["images"], plan["slices"])' | grep -qxF '[] []'
}
