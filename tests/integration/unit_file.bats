#!/usr/bin/env bats
# SPDX-License-Identifier: MIT
#
# The service in the manual: systemd takes it, and it allows all that mmapfs needs, which is what
# root_sandbox.bats lets it live with.

# shellcheck source-path=SCRIPTDIR source=../lib/common.bash
source "$BATS_TEST_DIRNAME/../lib/common.bash"

setup() {
	common_setup
	sed -n '/^\[Service\]$/,/^\.Ed$/p' "$checkout/docs/man/mmapfs.1.in" | grep -v '^\.' \
		>"$temp/mmapfs-test.service"
	[ -s "$temp/mmapfs-test.service" ]
}

# setting NAME: what the unit sets it to
setting() {
	sed -n "s/^$1=//p" "$temp/mmapfs-test.service"
}

@test "systemd knows all of its settings" {
	sed -i "s|/usr/bin/mmapfs|$MMAPFS|" "$temp/mmapfs-test.service"
	systemd-analyze verify --man=no --recursive-errors=no "$temp/mmapfs-test.service" >"$temp/said" 2>&1
	refute grep -F mmapfs-test "$temp/said"

	echo 'MemoryDenyWriteExcute=yes' >>"$temp/mmapfs-test.service"
	systemd-analyze verify --man=no --recursive-errors=no "$temp/mmapfs-test.service" \
		>"$temp/said" 2>&1 || true
	grep -F mmapfs-test "$temp/said"
}

@test "its system calls are those of the sandbox and more" {
	local groups=()

	read -ra groups <<<"$(setting SystemCallFilter)"
	# Groups name groups.
	for ((i = 0; i < ${#groups[@]}; i++)); do
		if [[ ${groups[i]} != @* ]]; then
			echo "${groups[i]}" >>"$temp/allowed"
			continue
		fi
		systemd-analyze syscall-filter "${groups[i]}" | sed 's/#.*//' | tr -s ' \t' '\n' >"$temp/group"
		grep -v '^@' "$temp/group" >>"$temp/allowed" || true
		while read -r group; do
			[[ " ${groups[*]} " == *" $group "* ]] || groups+=("$group")
		done < <(grep '^@' "$temp/group")
	done
	sort -u "$temp/allowed" >"$temp/unit"
	/usr/bin/python3 "$checkout/tests/integration/sandbox.py" --list >"$temp/sandbox"
	[ "$(wc -l <"$temp/sandbox")" -gt 50 ]
	comm -23 <(sort "$temp/sandbox") "$temp/unit" >"$temp/missing"
	assert_equal "$(cat "$temp/missing")" ''
}

@test "its other limits are those of the sandbox" {
	assert_equal "$(setting NoNewPrivileges)" yes
	assert_equal "$(setting CapabilityBoundingSet)" CAP_SYS_ADMIN
	assert_equal "$(setting RestrictAddressFamilies)" AF_UNIX
	assert_equal "$(setting MemoryDenyWriteExecute)" yes
	# These would hide the mount: each gives the service a mount namespace.
	refute grep -E '^(Protect|Private|ReadOnly|ReadWrite|Inaccessible|TemporaryFile|Root)' \
		"$temp/mmapfs-test.service"
}
