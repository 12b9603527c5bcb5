#!/usr/bin/env bats
# SPDX-License-Identifier: MIT
#
# mmapfs plan --map, --svg and -h: what people see of a plan, wherever they look at it.

# shellcheck source-path=SCRIPTDIR source=../lib/common.bash
source "$BATS_TEST_DIRNAME/../lib/common.bash"
# shellcheck source-path=SCRIPTDIR source=../lib/cli.bash
source "$BATS_TEST_DIRNAME/../lib/cli.bash"

setup() {
	cli_setup
	unset NO_COLOR COLORTERM
	export COLUMNS=48
	mkdir "$temp/img"
	cd "$temp/img" || return
	make_image full 64K
	cat >table <<-'END'
		image  full  full
		slice  boot  full   4K  12K  ro
		slice  root  full  20K  28K
		slice  over  full  40K  16K
		slice  none  full  60K    0
	END
}

# shows PICTURE: what was printed is this, its image's path written as PATH
shows() {
	diff <(printf '%s\n' "$1") <(sed "s|$temp/img|PATH|" "$temp/out")
}

# on_terminal COLUMNS ARGUMENT...: mmapfs on a pseudo-terminal of its own; leaves $temp/out
on_terminal() {
	local columns=$1

	shift
	printf -v command '%q ' "$MMAPFS" "$@"
	env -u COLUMNS timeout 60 script --quiet --return --log-out /dev/null \
		--command "stty columns $columns; $command" </dev/null >"$temp/tty" 2>"$temp/err" \
		3>&- 4>&-
	tr -d '\r' <"$temp/tty" >"$temp/out"
	rm "$temp/tty"
}

escapes() {
	grep -c $'\033' "$temp/out" || true
}

# --- the bar -------------------------------------------------------------------------------------

@test "--map draws slices, gaps and overlaps to scale, in ASCII" {
	mmapfs plan --map -t table
	assert_done
	shows 'full  64K  rw  PATH/full

0           16K         32K         48K      64K
|-----------|-----------|-----------|----------|
...a- boot -...b= root =============      ...d..
                              c- over ----

    NAME           SIZE  OFFSET  ACCESS  FLAGS
 .  (unallocated)    4K       0
 a  boot            12K      4K  ro
 .  (unallocated)    4K     16K
 b  root            28K     20K  rw      alias
 c  over            16K     40K  rw      alias
 .  (unallocated)    8K     56K
 d  none              0     60K  rw

4 slices on 48K of the image (75 %);
16K in 3 gaps (25 %); 8K in more than one slice
. in no slice'
}

@test "--map draws with lines where the locale has them" {
	LC_ALL=C.UTF-8 mmapfs plan --map -t table
	assert_done
	shows 'full  64K  rw  PATH/full

0           16K         32K         48K      64K
├───────────┼───────────┼───────────┼──────────┤
···a─ boot ─···b━ root ━━━━━━━━━━━━━      ···d··
                              c─ over ────

    NAME           SIZE  OFFSET  ACCESS  FLAGS
 ·  (unallocated)    4K       0
 a  boot            12K      4K  ro
 ·  (unallocated)    4K     16K
 b  root            28K     20K  rw      alias
 c  over            16K     40K  rw      alias
 ·  (unallocated)    8K     56K
 d  none              0     60K  rw

4 slices on 48K of the image (75 %);
16K in 3 gaps (25 %); 8K in more than one slice
· in no slice'
}

@test "--map shows what of a sparse image is stored" {
	make_sparse sparse 8M
	dd if=full of=sparse bs=64K seek=32 conv=notrunc status=none
	dd if=/dev/zero of=sparse bs=1M seek=4 count=2 conv=notrunc status=none
	LC_ALL=C.UTF-8 mmapfs plan --map -s a=@0+2M -s b=@2M+5M sparse
	assert_done

	assert_equal "$(sed -n 5,6p "$temp/out")" \
		'a─ a ───────b━ b ━━━━━━━━━━━━━━━━━━━━━━━━━······
            ▃           ████████████'
	grep -qxF ' a  a                2M       0  rw      sparse' "$temp/out"
	grep -qF '5.9M of holes (74 %)' "$temp/out"
	grep -qxF '· in no slice, ▂▅█ stored, the rest is holes' "$temp/out"
	mmapfs plan -h -s data=@4M+2M -s none=@1M+0 -s both=@3M+2M -s hole=@1M+4K sparse
	assert_equal "$(grep sparse$ "$temp/out" | awk '{ print $1 }' | xargs)" 'both hole'
}

@test "--map shows what lies past the end of a truncated image, and no more than a third of it" {
	mmapfs plan --map -o lenient -s a=@0+32K -s b=@60K+10K -s c=@1T+1T full
	assert_done

	assert_equal "$(sed -n 3,5p "$temp/out")" \
		'0        16K      32K      48K      64K    85.3K
|--------|--------|--------|--------|----------|
a- a -------------................b==b!!       c'
	grep -qxE ' b  b +10K     60K  rw      outside' "$temp/out"
	grep -qxF "2 slices past the image's end" "$temp/out"
	grep -qF "! past the image's end" "$temp/out"
}

@test "--map gives each image its bar, and zeros none" {
	make_image two 4K
	mmapfs plan --map -s "a=full@0+4K" -s "b=two@0+1K"
	assert_done
	assert_equal "$(grep -cE '^\|-+.*\|$' "$temp/out")" 2
	assert_equal "$(grep -oE '^(full|two)  [0-9]+K  rw' "$temp/out" | xargs)" 'full 64K rw two 4K rw'

	printf 'image f full\nslice z - 0 4K\nslice both f 0 4K\nextent - 0 4K\n' >zeros
	mmapfs plan --map -t zeros
	assert_done
	grep -qxE ' a  both +8K       0  rw      2 parts,zeros' "$temp/out"
	refute grep -qE '^ .  z ' "$temp/out"
}

@test "--map of a partition table shows types and labels" {
	truncate -s 10M gpt
	printf '%s\n' 'label: gpt' 'start=1M, size=2M, name=boot' 'start=4M, size=4M, name=data' |
		sfdisk --quiet gpt
	COLUMNS=80 mmapfs plan --map gpt
	assert_done

	assert_equal "$(sed -n 5p "$temp/out")" \
		'........a- p1-boot -----........b= p2-data =====================................'
	grep -qxE ' a  p1-boot +2M      1M  Linux filesystem  boot   rw      sparse' "$temp/out"
	grep -qxF 'gpt: gpt, 2 files' "$temp/out"
}

@test "--map tells at any width what there is" {
	for columns in 1 20 21 33 80 200 1000 99999 x ''; do
		COLUMNS=$columns mmapfs plan --map -t table
		assert_done
		for name in boot root over none; do
			grep -qE "^ [a-d]  $name " "$temp/out"
		done
		case $columns in
		1 | 20) wanted=20 ;;
		x | '') wanted=80 ;;
		99999) wanted=1000 ;;
		*) wanted=$columns ;;
		esac
		assert_equal "$(sed -n 4p "$temp/out" | wc -c)" $((wanted + 1))
	done
}

@test "--map of names that are long, or odd: cut in the middle, escaped, one line each" {
	long=$(printf 'long%.0s' {1..50})
	LC_ALL=C.UTF-8 mmapfs plan --map -s "$long=@0+1K" -s $'new\nline=@1K+1K' -s $'\033[31mred=@2K+1K' \
		-s $'\342\200\256turned=@3K+1K' -s "ää$long=@4K+60K" full
	assert_done

	assert_equal "$(wc -l <"$temp/out")" 15
	[ "$(tail -n +2 "$temp/out" | LC_ALL=C.UTF-8 wc -L)" -le 48 ] # below the image's path
	refute grep -q $'\033' "$temp/out"
	refute grep -q $'\342\200\256' "$temp/out"
	LC_ALL=C.UTF-8 grep -qE '^ a  lon[long]*…[long]*ong ' "$temp/out"
	LC_ALL=C.UTF-8 grep -qE '^ e  äälo[long]*…[long]*ong ' "$temp/out"
	COLUMNS=80 mmapfs plan --map -s $'new\nline=@1K+1K' -s 'ä=@3K+1K' full
	grep -qF ' a  new\012line ' "$temp/out"
	grep -qF ' b  \303\244 ' "$temp/out"
}

@test "--map and --svg of 300,000 slices: a picture like any other" {
	awk 'BEGIN {
		print "image d full ro"
		for (i = 0; i < 300000; i++)
			printf "slice %d/%d d %d %d\n", i % 100, i, i * 7919 % 65536, i % 2 * 100
	}' >many
	COLUMNS=80 mmapfs plan --map --svg many.svg -o lenient -t many
	assert_done

	grep -q '  and 299,980 more, none of them larger$' "$temp/out"
	grep -q '^300,000 slices on ' "$temp/out"
	[ "$(wc -l <"$temp/out")" -le 50 ]
	[ "$(wc -c <"$temp/out")" -le 8000 ]
	[ "$(wc -c <many.svg)" -le 2000000 ]
	xmllint --noout many.svg
}

# --- colours -------------------------------------------------------------------------------------

@test "a terminal gets colours, as many as it has" {
	TERM=xterm-256color on_terminal 60 plan --map -t table
	[ "$(escapes)" -ge 6 ]
	grep -q $'\033\[48;5;' "$temp/out"
	TERM=xterm on_terminal 60 plan --map -t table
	[ "$(escapes)" -ge 6 ]
	refute grep -q $'\033\[48;5;' "$temp/out"
	grep -q $'\033\[4[0-9];3[0-9]m' "$temp/out"
}

@test "with colours the picture is the same, but for the fill" {
	TERM=xterm on_terminal 48 plan --map -t table
	sed -i $'s/\033\\[[0-9;]*m//g' "$temp/out"
	assert_equal "$(sed -n '5,6{s/ *$//;p}' "$temp/out")" \
		'...a boot   ...b root                     ...d..
                              c over'
	mmapfs plan --map -t table
	cp "$temp/out" "$temp/plain"
	TERM=dumb on_terminal 48 plan --map -t table
	diff "$temp/plain" "$temp/out"
}

@test "a terminal that is as wide as it is gets a picture as wide" {
	for columns in 30 133; do
		TERM=dumb on_terminal "$columns" plan --map -t table
		assert_equal "$(sed -n 4p "$temp/out" | wc -c)" $((columns + 1))
	done
}

@test "no colours for NO_COLOR, TERM=dumb, a file, a pipe" {
	NO_COLOR=1 TERM=xterm on_terminal 60 plan --map -t table
	assert_equal "$(escapes)" 0
	TERM=dumb on_terminal 60 plan --map -t table
	assert_equal "$(escapes)" 0
	TERM='' on_terminal 60 plan --map -t table
	assert_equal "$(escapes)" 0
	TERM=xterm mmapfs plan --map -t table
	assert_equal "$(escapes)" 0
	NO_COLOR='' TERM=xterm on_terminal 60 plan --map -t table
	[ "$(escapes)" -ge 6 ]
}

# --- SVG -----------------------------------------------------------------------------------------

@test "--svg writes well-formed XML with every name, and nothing to standard output" {
	names=('two words' '<b>&"' "it's" $'new\nline' 'ä€' $'\377x' 'a/b/c')
	slices=()
	for i in "${!names[@]}"; do
		slices+=(-s "${names[i]}=@${i}K+1K")
	done
	mmapfs plan --svg out.svg "${slices[@]}" -s rest=@20K full
	assert_done
	[ ! -s "$temp/out" ]

	xmllint --noout out.svg
	/usr/bin/python3 - <<-'END'
		import xml.etree.ElementTree as tree
		root = tree.parse("out.svg").getroot()
		svg = "{http://www.w3.org/2000/svg}"
		titles = [title.text for title in root.iter(svg + "title")]
		texts = ["".join(text.itertext()) for text in root.iter(svg + "text")]
		for name in ["two words", '<b>&"', "it's", "new\\012line", "ä€", "\\377x", "a/b/c", "rest"]:
		    assert any(title.startswith(name + ": ") for title in titles), name
		    assert name in texts, name
		assert "rest: 44K at 20K (45056 bytes at 20480), rw, tail" in titles, titles
		assert not list(root.iter(svg + "script")) and not list(root.iter(svg + "image"))
		height, width = float(root.get("height")), float(root.get("width"))
		for box in root.iter(svg + "rect"):
		    if box.get("y"):
		        assert 0 <= float(box.get("x")) <= width - float(box.get("width"))
		        assert 0 <= float(box.get("y")) <= height - float(box.get("height"))
	END
}

@test "--svg - is standard output, and the same bytes" {
	mmapfs plan --svg out.svg -t table
	assert_done
	mmapfs plan --svg - -t table
	assert_done
	cmp out.svg "$temp/out"
}

@test "--svg of several images, of none, and of an empty one" {
	make_image two 4K
	: >empty
	mmapfs plan --svg out.svg -s a=full@0+1 -s b=two@0+1 -s c=empty@0,resize
	assert_done
	xmllint --noout out.svg
	assert_equal "$(grep -o 'class="h">[a-z]*' out.svg | xargs)" 'class=h>full class=h>two class=h>empty'
	mmapfs plan --svg out.svg -t /dev/null
	assert_done
	xmllint --noout out.svg
}

@test "--svg that cannot be written: a message, and exit 1" {
	mmapfs plan --svg no/such/folder.svg full
	assert_failed 1 '^no/such/folder.svg: No such file'
	mmapfs plan --svg . full
	assert_failed 1 '^\.: Is a directory'
	mmapfs plan --svg /dev/full full
	assert_failed 1 '^/dev/full: No space left'
	mmapfs plan --svg full -t table
	assert_failed 1 '^full: this is an image'
	ln full link
	mmapfs plan --svg link -t table
	assert_failed 1 '^link: this is an image'
	assert_equal "$(stat -c %s full)" 65536
}

@test "--svg takes the place of a longer file, and keeps its mode" {
	make_image out.svg 100000
	chmod 600 out.svg
	mmapfs plan --svg out.svg -t table
	assert_done
	mmapfs plan --svg - -t table
	cmp out.svg "$temp/out"
	assert_equal "$(stat -c %a out.svg)" 600
}

# --- listing -------------------------------------------------------------------------------------

@test "-h beside a source lists everything in columns, with rounded sizes" {
	cat >all <<-'END'
		image      full   full
		slice      data/a full  0      1500
		slice      b      full  4K     - resize,mode=0640
		slice      zeros  -     0      1E
		directory  empty
		symlink    soft   ../x
		link       hard   data/a
	END
	for option in -h -H --human; do
		mmapfs plan "$option" -t all
		assert_done
		shows 'NAME    SIZE  OFFSET  ACCESS  FLAGS
data/a  1.5K       0  rw      2 names
b        60K      4K  rw      resize
zeros     1E          ro      zeros
empty                         folder
soft                          symbolic link to ../x
hard                          another name of data/a'
	done
}

@test "-h of several images says which, and cuts no name" {
	make_image two 4K
	long=$(printf 'x%.0s' {1..200})
	mmapfs plan -h -s "$long=full@0+1K" -s b=two@1K+2K,ro
	assert_done
	assert_equal "$(awk '{ print length($1), $2, $3, $4, $5 }' "$temp/out" | xargs)" \
		'4 SIZE OFFSET IMAGE ACCESS 200 1K 0 full rw 1 2K 1K two ro'
}

@test "plan -h alone is help, and so is --help beside a source" {
	mmapfs plan -h
	assert_done
	grep -q '^Usage:' "$temp/out"
	mmapfs plan --help -t table
	assert_done
	grep -q '^Usage:' "$temp/out"
}

@test "what does not go together is refused; what does goes" {
	refused 2 'json.*map' -- plan --json --map full
	refused 2 'json.*-h' -- plan --json -h full
	for option in --json --map -h; do
		refused 2 'standard output' -- plan "$option" --svg - full
	done
	mmapfs plan --json --svg out.svg full
	assert_done
	/usr/bin/python3 -m json.tool "$temp/out" >/dev/null
	xmllint --noout out.svg
	rm out.svg
	mmapfs plan -h --map --svg out.svg full
	assert_done
	grep -q '^|-' "$temp/out"
	xmllint --noout out.svg
}

@test "pictures leave the image as it is, and a mount alone" {
	untouched "$temp/img"
	mount_detached "$temp/img/full" "$mnt"
	mmapfs plan --map --svg "$temp/out.svg" full
	assert_done
	cmp full "$mnt/full"
}
