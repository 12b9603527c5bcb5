# SPDX-License-Identifier: MIT
"""What is measured: cells, in groups of those that share one start of a provider."""

import contextlib
import json
import os
import re
import subprocess
import time

import providers

MIB = 1 << 20
PAGE = 4096
MARGIN = MIB  # before and behind the range

# Below this share of the image in memory, it is on the disk.
COLD = 0.02


class Cell:
    """A name, a unit, and a function from a Place to a number."""

    def __init__(self, name, unit, measure):
        self.name = name
        self.unit = unit
        self.measure = measure


class Group:
    """Cells that are measured one after the other on one start of a provider."""

    def __init__(self, *cells, prepare=None, part=None, serve=None):
        self.cells = cells
        self.prepare = prepare or make_hot
        self.part = part or whole
        self.serve = serve or serve_slice


# --- before a provider starts --------------------------------------------------------------------

def make_hot(image):
    """All of it in the page cache, and none of it dirty."""
    with open(image, "rb", buffering=0) as file:
        os.fsync(file.fileno())
        while file.read(MIB):
            pass


def make_cold(image):
    """None of it in the page cache, of which nothing else is dropped."""
    with open(image, "rb", buffering=0) as file:
        os.fsync(file.fileno())
        os.posix_fadvise(file.fileno(), 0, 0, os.POSIX_FADV_DONTNEED)
    resident = meter("resident", image)[0]
    if resident > COLD * os.path.getsize(image):
        raise providers.Cannot(f"{resident} bytes of the image do not leave the page cache")


def make_fresh(image):
    """Hot, and in pages as a plain reader makes them, whatever was done to the image before."""
    with contextlib.suppress(providers.Cannot):
        make_cold(image)
    make_hot(image)


def whole(image, size):
    return providers.Range(image, MARGIN, size - 2 * MARGIN)


def beginning_and_rest(image, size):
    rest = providers.Range(image, 2 * MARGIN, size - 3 * MARGIN)
    return providers.Range(image, MARGIN, MIB, rest)


def serve_slice(provider):
    return provider.serve


def serve_names(provider):
    return provider.serve_names


# --- measuring -----------------------------------------------------------------------------------

def meter(command, *words):
    """(amount, seconds)"""
    said = providers.run(os.environ["METER"], command, *map(str, words)).split()
    return int(said[0]), float(said[1])


def of_range(command, *more, share=2):
    """MB/s of a command of meter over a part of the range."""
    def measure(place):
        amount, seconds = meter(command, place.path, place.offset, place.size // share, *more)
        return amount / seconds / 1e6
    return measure


def of_path(command):
    """Calls or names a second."""
    def measure(place):
        amount, seconds = meter(command, place.path)
        return amount / seconds
    return measure


def touch(place):
    amount, seconds = meter("touch", place.path, place.offset, place.size)
    return amount / seconds


def cat(place):
    """Of the whole file: of the image where the provider shows that."""
    before = time.monotonic()
    with subprocess.Popen(["cat", place.path], stdout=subprocess.DEVNULL) as process:
        pass
    seconds = time.monotonic() - before
    if process.returncode != 0:
        raise RuntimeError(f"cat ended with {process.returncode}")
    with open(place.path, "rb") as file:
        return file.seek(0, os.SEEK_END) / seconds / 1e6


def fsync_beside(place):
    """Milliseconds, when all of the rest has just been written."""
    meter("dirty", place.rest.path, place.rest.offset, place.rest.size, MIB)
    return meter("fsync", place.path)[1] * 1e3


def fio(direction, block, jobs, *options, within=None, part=None):
    """IOPS at random by so many jobs, half a second at most, each over a 16th of the range; or so
    often within its first bytes; or all of its first part, however long that takes."""
    def measure(place):
        size = place.size // part // PAGE * PAGE if part else within or place.size
        amount = size if part else place.size // (4 if within else 16)
        answer = providers.run(
            "fio", "--name=bench", "--output-format=json", "--ioengine=psync", "--thread",
            f"--rw=rand{direction}", f"--bs={block}", f"--numjobs={jobs}", "--group_reporting",
            f"--filename={place.path}", f"--offset={place.offset}",
            f"--size={size}", f"--io_size={amount // PAGE * PAGE}",
            *([] if part else ["--runtime=500ms"]),
            # Leave the page cache of the image, and the file itself, as they are.
            "--invalidate=0", "--fallocate=none", "--allow_file_create=0", *options)
        iops = json.loads(answer[answer.index("{"):])["jobs"][0][direction]["iops"]
        if not iops > 0:
            raise RuntimeError("fio has done nothing")
        return iops
    return measure


# In the order of the report. A cell "again" needs the ones before it.
GROUPS = [
    Group(Cell("sequential read, 1 MiB, first", "MB/s", of_range("read", MIB, share=1)),
          Cell("sequential read, 1 MiB, again", "MB/s", of_range("read", MIB, share=1)),
          Cell("sequential read, 64 KiB, again", "MB/s", of_range("read", 64 << 10))),
    Group(Cell("sequential read, 64 KiB, first", "MB/s", of_range("read", 64 << 10))),
    Group(Cell("cat, first", "MB/s", cat)),
    Group(Cell("random 4 KiB read, first, 1 job", "IOPS", fio("read", "4k", 1))),
    Group(Cell("random 4 KiB read, first, 4 jobs", "IOPS", fio("read", "4k", 4))),
    Group(Cell("random 4 KiB read, all of 1/4, 1 job", "IOPS",
               fio("read", "4k", 1, part=4))),
    Group(Cell("random 64 KiB read, first, 1 job", "IOPS", fio("read", "64k", 1))),
    Group(Cell("random 64 KiB read, first, 4 jobs", "IOPS", fio("read", "64k", 4))),
    Group(Cell("O_DIRECT sequential read, 1 MiB, first", "MB/s", of_range("read", MIB, "direct")),
          Cell("O_DIRECT random 4 KiB read, 1 job", "IOPS",
               fio("read", "4k", 1, "--direct=1"))),
    Group(Cell("mmap scan, first", "MB/s", of_range("scan"))),
    Group(Cell("mmap random touch, first", "pages/s", touch)),
    Group(Cell("O_WRONLY write, 1 MiB, + fsync", "MB/s", of_range("write", MIB, "wronly"))),
    Group(Cell("O_RDWR write, 1 MiB, + fsync", "MB/s", of_range("write", MIB, "rdwr"))),
    Group(Cell("random 4 KiB write, 1 job", "IOPS", fio("write", "4k", 1))),
    Group(Cell("random 4 KiB write, 4 jobs", "IOPS", fio("write", "4k", 4))),
    Group(Cell("random 4 KiB write, fsync each, 1 job", "IOPS",
               fio("write", "4k", 1, "--fsync=1"))),
    Group(Cell("random 4 KiB write, fsync each, 4 jobs", "IOPS",
               fio("write", "4k", 4, "--fsync=1"))),
    Group(Cell("hot 4 KiB overwrite", "IOPS",
               fio("write", "4k", 1, "--norandommap", within=256 << 10))),
    Group(Cell("open + close", "1/s", of_path("open")),
          Cell("stat", "1/s", of_path("stat"))),
    Group(Cell("readdir + stat, 1000 names, first", "names/s", of_path("walk")),
          Cell("readdir, 1000 names, again", "names/s", of_path("list")), serve=serve_names),
    Group(Cell("fsync of a clean slice, the rest dirty", "ms", fsync_beside),
          part=beginning_and_rest),
    Group(Cell("image on disk: sequential read, 1 MiB", "MB/s", of_range("read", MIB)),
          prepare=make_cold),
]


def selected(pattern):
    """The groups of which a cell has such a name."""
    wanted = re.compile(pattern or "", re.IGNORECASE)
    return [group for group in GROUPS if any(wanted.search(cell.name) for cell in group.cells)]
