# SPDX-License-Identifier: MIT
#
# Folders compared as a whole, on top of common.bash:
#
#   list FLAGS FOLDER                   what is in it; tree_listing.py says which flags there are
#   assert_same FLAGS FOLDER FOLDER     both have the same, and anything at all

# shellcheck shell=bash

list() {
	python3 "${BASH_SOURCE[0]%/*}/tree_listing.py" "$@"
}

assert_same() {
	diff <(list "-$1" "$2") <(list "-$1" "$3")
	[ -n "$(list "-$1" "$2")" ]
}
