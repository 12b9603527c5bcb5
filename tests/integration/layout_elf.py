# SPDX-License-Identifier: MIT
"""What readelf says of an ELF file, against a mount of its members.

    layout_elf.py compare FILE MOUNT    every section and segment is there, with its name, place,
                                        bytes and attributes, and nothing else
    layout_elf.py dump PID FILE         a core dump of a process that sleeps: its memory, as it
                                        is in /proc
    layout_elf.py memory PID MOUNT      the files of such a dump's mount hold that memory

The mount is made with -o xattr.
"""

import os
import re
import struct
import subprocess
import sys

SECTION = re.compile(
    r"\s*\[ *(\d+)\] (\S*) +([A-Za-z_0-9]+(?: SECTION INDICES)?) +[0-9a-f]{8,16} ([0-9a-f]+) "
    r"([0-9a-f]+) [0-9a-f]+ +([A-Za-z]*) +\d+ +\d+ +(\d+)$"
)
SEGMENT = re.compile(
    r"  ([A-Z_]+|[A-Z]+\+0x[0-9a-f]+) +0x([0-9a-f]+) 0x([0-9a-f]+) 0x[0-9a-f]+ 0x([0-9a-f]+) "
    r"0x([0-9a-f]+) (.{3}) "
)
FLAGS = str.maketrans(" RWE", "-rwx")


def readelf(option, file):
    environment = dict(os.environ, LC_ALL="C")
    out = subprocess.run(
        ["readelf", "--wide", option, file], env=environment, check=True, capture_output=True
    )
    return out.stdout.decode().splitlines()


def sections(file):
    """By number: name, offset, and attributes of each that has bytes."""
    result = {}
    for line in readelf("--sections", file):
        if match := SECTION.match(line):
            number, name, kind, offset, size, flags, alignment = match.groups()
            if kind not in ("NULL", "NOBITS") and int(size, 16) > 0:
                result[int(number)] = (
                    name.replace("/", "_") or f"section{number}",
                    int(offset, 16),
                    int(size, 16),
                    # o: another one, of which only the system knows
                    {"type": kind, "flags": flags.replace("o", ""), "alignment": alignment},
                )
    return result


def segments(file):
    result = {}
    number = 0
    core = "CORE" in next(line for line in readelf("--file-header", file) if "Type:" in line)
    digits = 16 if "ELF64" in "".join(readelf("--file-header", file)) else 8
    for line in readelf("--segments", file):
        if match := SEGMENT.match(line):
            kind, offset, address, size, memory, flags = match.groups()
            start, length = int(address, 16), int(size, 16)
            if length > 0:
                name = f"segments/{number:02}-{kind}"
                if core and kind == "LOAD":
                    name = f"memory/{start:0{digits}x}-{start + length:0{digits}x}"
                result[number] = (
                    name,
                    int(offset, 16),
                    length,
                    {
                        "type": kind,
                        "flags": flags.translate(FLAGS),
                        "address": hex(start),
                        "memory-size": str(int(memory, 16)),
                    },
                )
            number += 1
    return result


def attribute(path, name):
    try:
        return os.getxattr(path, "user.mmapfs." + name).decode()
    except OSError:
        return ""


def members(folder):
    """By number, of which names that are there twice do not tell."""
    if not os.path.isdir(folder):
        return {}
    return {int(attribute(entry.path, "index")): entry.path for entry in os.scandir(folder)}


def same(what, got, wanted):
    if got != wanted:
        sys.exit(f"{what}: got {got!r}, wanted {wanted!r}")


def compare_table(image, mount, got, wanted):
    same("numbers", sorted(got), sorted(wanted))
    for number, (name, offset, size, attributes) in wanted.items():
        path = got[number]
        same("name", re.sub(r"~\d+$", "", os.path.relpath(path, mount)), name)
        with open(path, "rb") as file:
            same(f"bytes of {path}", file.read() == image[offset : offset + size], True)
        same(f"size of {path}", os.stat(path).st_size, size)
        for key, value in attributes.items():
            same(f"{key} of {path}", attribute(path, key), value)


def compare(path, mount):
    with open(path, "rb") as file:
        image = file.read()
    wanted = {
        number: ("sections/" + name, *rest) for number, (name, *rest) in sections(path).items()
    }
    compare_table(image, mount, members(mount + "/sections"), wanted)
    found = members(mount + "/segments") | members(mount + "/memory")
    compare_table(image, mount, found, segments(path))
    same("folders", set(os.listdir(mount)) <= {"sections", "segments", "memory", ".mmapfs"}, True)
    print(len(wanted) + len(found))


def ranges(pid):
    """Those that can be read: start, end, flags, bytes."""
    with open(f"/proc/{pid}/maps") as maps, open(f"/proc/{pid}/mem", "rb", 0) as memory:
        for line in maps:
            start, end, flags = re.match(r"(\w+)-(\w+) (...)", line).groups()
            start, end = int(start, 16), int(end, 16)
            if flags[0] == "r" and "[v" not in line:
                memory.seek(start)
                yield start, end, flags, memory.read(end - start)


def dump(pid, path):
    loads = list(ranges(pid))
    note = struct.pack("<III8s", 5, 0, 1, b"CORE")
    at = 64 + 56 * (len(loads) + 1)
    headers = [struct.pack("<IIQQQQQQ", 4, 0, at, 0, 0, len(note), 0, 4)]
    at = first = -(-(at + len(note)) // 4096) * 4096
    for start, end, flags, _ in loads:
        bits = sum(bit for flag, bit in zip(flags, (4, 2, 1)) if flag != "-")
        size = end - start
        headers.append(struct.pack("<IIQQQQQQ", 1, bits, at, start, 0, size, size, 4096))
        at += size
    with open(path, "wb") as file:
        file.write(b"\x7fELF\2\1\1".ljust(16, b"\0"))
        file.write(struct.pack("<HHIQQQ", 4, 62, 1, 0, 64, 0))
        file.write(struct.pack("<IHHHHHH", 0, 64, 56, len(headers), 64, 0, 0))
        file.write(b"".join(headers) + note)
        file.seek(first)
        for *_, data in loads:
            file.write(data)


def memory(pid, mount):
    wanted = {f"{start:016x}-{end:016x}": (flags, data) for start, end, flags, data in ranges(pid)}
    same("ranges", sorted(os.listdir(mount + "/memory")), sorted(wanted))
    for name, (flags, data) in wanted.items():
        path = f"{mount}/memory/{name}"
        same(f"flags of {name}", attribute(path, "flags"), flags)
        with open(path, "rb") as file:
            same(f"bytes of {name}", file.read() == data, True)
    print(len(wanted))


{"compare": compare, "dump": dump, "memory": memory}[sys.argv[1]](*sys.argv[2:])
