#!/usr/bin/python3
# SPDX-License-Identifier: MIT
"""usage: tree_listing.py [-m] [-t] [-o] [-l] FOLDER

Prints one line for each thing below FOLDER, sorted: its kind, path, and what a file holds or a
symlink says. -m adds permission bits, -t times in nanoseconds, -T in seconds, -o owners, -l the
names that are of one file. What is no file, folder or symlink is passed over, and so is .mmapfs.
"""

import hashlib
import os
import stat
import sys


def listing(folder, flags):
    names_of = {}
    lines = {}
    for path, folders, files in os.walk(folder):
        for name in folders + files:
            full = os.path.join(path, name)
            relative = os.path.relpath(full, folder)
            if relative.split(b"/")[0] == b".mmapfs":
                continue
            status = os.lstat(full)
            words = describe(full, status)
            if words is None:
                continue
            if not stat.S_ISLNK(status.st_mode):
                if "m" in flags:
                    words.append("%o" % (status.st_mode & 0o777))
                if "t" in flags:
                    words.append("%d" % status.st_mtime_ns)
                if "T" in flags:
                    words.append("%d" % (status.st_mtime_ns // 10**9))
            if "o" in flags:
                words.append("%d:%d" % (status.st_uid, status.st_gid))
            if stat.S_ISREG(status.st_mode):
                names_of.setdefault(status.st_ino, []).append(relative)
            lines[relative] = words
    if "l" in flags:
        for names in names_of.values():
            for name in names:
                lines[name].append("names: %r" % sorted(names))
    return ["%r %s" % (name, " ".join(lines[name])) for name in sorted(lines)]


def describe(full, status):
    if stat.S_ISDIR(status.st_mode):
        return ["directory"]
    if stat.S_ISLNK(status.st_mode):
        return ["symlink to %r" % os.readlink(full)]
    if not stat.S_ISREG(status.st_mode):
        return None
    digest = hashlib.sha256()
    with open(full, "rb") as file:
        while block := file.read(1 << 20):
            digest.update(block)
    return ["file of %d bytes" % status.st_size, digest.hexdigest()]


def main():
    flags = "".join(word[1:] for word in sys.argv[1:-1])
    print("\n".join(listing(os.fsencode(sys.argv[-1]), flags)))


main()
