# SPDX-License-Identifier: MIT
# shellcheck shell=bash
# Building the program for the scripts that only want to use it. Sourced.

# build_program ROOT DIR [MESON-OPTION...]: build just the program in DIR; say nothing when all is
# well, show what meson and the compiler said when not.
build_program() {
	local root=$1 dir=$2 said
	shift 2

	# shellcheck disable=SC2015 # one failure branch for both commands is meant
	said=$({ [[ -f $dir/build.ninja ]] || meson setup "$@" "$dir" "$root"; } 2>&1 &&
		meson compile -C "$dir" mmapfs 2>&1) || {
		printf '%s\n' "$said" "building mmapfs failed" >&2
		return 1
	}
}
