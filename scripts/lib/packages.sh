# SPDX-License-Identifier: MIT
# shellcheck shell=bash
# Which Debian packages each command needs, and the one way to get them. Sourced.
# shellcheck disable=SC2034 # the lists are for the scripts that source this file

packages_build=(gcc libarchive-dev libc6-dev libelf-dev libfdisk-dev libfuse3-dev libjansson-dev
	libmount-dev libseccomp-dev meson pkg-config)
packages_demo=("${packages_build[@]}" e2fsprogs fdisk fuse3 python3)
packages_quick=("${packages_demo[@]}" attr bats binutils btrfs-progs coreboot-utils cpio
	dosfstools file fio fuse2fs gcab grub-rescue-pc jq libarchive-tools libc6-i386
	libc6-powerpc-cross libc6-s390x-cross libcmocka-dev libnbd-bin libsystemd-dev libxml2-utils
	memtest86+ nbdkit nbdkit-plugin-python python3-numpy python3-pip-whl python3-seccomp
	qemu-system-common qemu-utils rsync sqlite3 systemd unzip util-linux-extra vboot-kernel-utils
	xfsprogs xorriso zip)
packages_check=("${packages_quick[@]}" bsdextrautils clang clang-format clang-tidy cppcheck
	libclang-rt-dev llvm man-db mandoc shellcheck)
packages_libfuse=(debian-archive-keyring dpkg-dev gcc libc6-dev meson pkg-config)
packages_fuzz=("${packages_build[@]}" clang libclang-rt-dev llvm)
packages_bench=("${packages_build[@]}" bindfs fio fuse3 gnuplot-nox libnbd-bin mount nbdkit python3
	qemu-system-common util-linux)
packages_bench_newer=(fusefile) # not in Debian 12

# packages_install PACKAGE...: install those that are missing; touch nothing when none is.
packages_install() {
	local package missing=() sudo=()

	if ! command -v dpkg-query >/dev/null; then
		echo "not a Debian system; these packages, or their like, are needed: $*" >&2
		return 0
	fi
	for package; do
		case $(dpkg-query -W -f='${db:Status-Status}' "$package" 2>/dev/null) in
		installed*) ;;
		*) missing+=("$package") ;;
		esac
	done
	if ((${#missing[@]} == 0)); then
		return 0
	fi
	if ((EUID != 0)); then
		if ! sudo -n true 2>/dev/null; then
			echo "packages are missing; please run:" >&2
			echo "  sudo apt-get install ${missing[*]}" >&2
			return 1
		fi
		sudo=(sudo -n)
	fi

	echo "installing ${missing[*]}"
	local said get=("${sudo[@]}" env DEBIAN_FRONTEND=noninteractive apt-get -qq
		-o DPkg::Lock::Timeout=300)
	local install=("${get[@]}" install -y --no-install-recommends "${missing[@]}")
	# Without package lists, or with old ones, the first try fails.
	said=$("${install[@]}" </dev/null 2>&1) || said=$({
		"${get[@]}" update && "${install[@]}"
	} </dev/null 2>&1) || {
		printf '%s\n' "$said" >&2
		return 1
	}
}

# packages_available PACKAGE...: prints those of them that could be installed.
packages_available() {
	local package

	for package; do
		if apt-cache show --no-all-versions "$package" >/dev/null 2>&1; then
			printf '%s\n' "$package"
		fi
	done
}
