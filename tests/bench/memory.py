#!/usr/bin/env python3
# SPDX-License-Identifier: MIT
"""Measure what memory policies do: the tables of docs/memory.md.

Everything is compared within one run: rounds are interleaved, medians are printed. An image is made
cold by POSIX_FADV_DONTNEED on it alone; the mount's page cache is cold since each cell mounts anew.
"""

import argparse
import ctypes
import mmap
import os
import random
import statistics
import subprocess
import sys
import tempfile
import time

MIB = 1 << 20
PAGE = mmap.PAGESIZE
libc = ctypes.CDLL(None, use_errno=True)


class View:
    """A file, mapped and not touched. To open an uncached file drops what is cached of it, so what
    reads have left there is seen only by whoever has it open before.
    """

    def __init__(self, path):
        self.size = os.path.getsize(path)
        with open(path, "rb") as file:
            self.mapped = mmap.mmap(file.fileno(), self.size, mmap.MAP_PRIVATE,
                                    mmap.PROT_READ | mmap.PROT_WRITE)

    def resident(self):
        """How much of it is in the page cache, in bytes."""
        vector = (ctypes.c_ubyte * ((self.size + PAGE - 1) // PAGE))()
        start = ctypes.addressof(ctypes.c_char.from_buffer(self.mapped))
        if libc.mincore(ctypes.c_void_p(start), ctypes.c_size_t(self.size), vector) < 0:
            raise OSError(ctypes.get_errno(), "mincore")
        return sum(byte & 1 for byte in vector) * PAGE


def resident(path):
    """How much of a file is in the page cache now, in bytes."""
    return View(path).resident()


def make_cold(path):
    """Drop a file from the page cache."""
    file = os.open(path, os.O_RDONLY)
    os.posix_fadvise(file, 0, 0, os.POSIX_FADV_DONTNEED)
    os.close(file)


def make_hot(path):
    """Read a file into the page cache."""
    with open(path, "rb", buffering=0) as file:
        while file.read(MIB):
            pass


class Mount:
    """One daemon with a slice that is all of the image but its last 4 KiB page."""

    def __init__(self, bench, image_options="", mount_options=""):
        self.bench = bench
        self.path = os.path.join(bench.mountpoint, "slice")
        table = f"image disk {bench.image} rw{image_options}\nslice slice disk 0 {bench.size}\n"
        with open(bench.table, "w", encoding="ascii") as file:
            file.write(table)
        arguments = [bench.program, "-f", "--table", bench.table]
        if mount_options:
            arguments += ["-o", mount_options]
        self.began = time.monotonic()
        self.daemon = subprocess.Popen(arguments + [bench.mountpoint])
        while not os.path.exists(self.path):
            if self.daemon.poll() is not None:
                sys.exit("the mount failed")
            time.sleep(0.002)
        self.took = time.monotonic() - self.began

    def faults(self):
        """Page faults of the daemon so far, minor and major."""
        with open(f"/proc/{self.daemon.pid}/stat", encoding="ascii") as file:
            fields = file.read().rsplit(")", 1)[1].split()
        return int(fields[7]) + int(fields[9])

    def __enter__(self):
        return self

    def __exit__(self, *ignored):
        subprocess.run([self.bench.program, "umount", self.bench.mountpoint], check=True)
        self.daemon.wait()


def read_all(path, size):
    """Read a file from its beginning in requests of size; MB/s."""
    buf = bytearray(size)
    total = 0
    began = time.monotonic()
    with open(path, "rb", buffering=0) as file:
        while got := file.readinto(buf):
            total += got
    return total / (time.monotonic() - began) / 1e6


def read_random(path, size, count, seed):
    """Read count blocks of size at random; microseconds each."""
    places = random.Random(seed)
    blocks = os.path.getsize(path) // size
    file = os.open(path, os.O_RDONLY)
    began = time.monotonic()
    for _ in range(count):
        os.pread(file, size, places.randrange(blocks) * size)
    took = time.monotonic() - began
    os.close(file)
    return took / count * 1e6


class Bench:
    """What the cells share."""

    def __init__(self, options, folder):
        self.program = os.path.abspath(options.mmapfs)
        self.size = options.size * MIB
        self.rounds = options.rounds
        self.image = os.path.join(folder, "image")
        self.table = os.path.join(folder, "table")
        self.mountpoint = os.path.join(folder, "mnt")
        os.mkdir(self.mountpoint)
        with open(self.image, "wb") as file:
            for _ in range(options.size):
                file.write(os.urandom(MIB))
            file.write(bytes(PAGE))
            os.fsync(file.fileno())

    def medians(self, cells):
        """Each cell, a function that gives a list of numbers, in turn; medians of its numbers."""
        results = {name: [] for name in cells}
        for _ in range(self.rounds):
            for name, cell in cells.items():
                results[name].append(cell())
        return {name: [statistics.median(column) for column in zip(*rows)]
                for name, rows in results.items()}

    def table_of(self, title, headers, cells):
        """Run the cells and print their medians."""
        print(f"\n{title}\n\n| | {' | '.join(headers)} |\n| --- |{' ---: |' * len(headers)}")
        for name, numbers in self.medians(cells).items():
            print(f"| {name} | {' | '.join(f'{number:.3g}' for number in numbers)} |", flush=True)

    def sequential(self, options, hot):
        """The image from its beginning."""
        (make_hot if hot else make_cold)(self.image)
        with Mount(self, options) as mount:
            return [read_all(mount.path, MIB)]

    def scattered(self, options, size, count, hot):
        """Blocks at random, and what is resident then, in MiB."""
        (make_hot if hot else make_cold)(self.image)
        with Mount(self, options) as mount:
            took = read_random(mount.path, size, count, self.rounds)
            return [took, resident(self.image) / MIB]

    def advice(self):
        """advice=..."""
        words = ["normal", "sequential", "random", "willneed"]
        self.table_of("Sequential, 1 MiB a read, MB/s", ["image cold", "hot"], {
            f"`{word}`": lambda word=word: self.sequential(f",advice={word}", False)
            + self.sequential(f",advice={word}", True) for word in words[:3]})
        for size, count in ((4096, 1000), (65536, 500)):
            self.table_of(f"Random, {size // 1024} KiB a read, {count} reads",
                          ["cold, us", "then resident, MiB", "hot, us"], {
                f"`{word}`": lambda word=word, size=size, count=count:
                self.scattered(f",advice={word}", size, count, False)
                + self.scattered(f",advice={word}", size, count, True)[:1]
                for word in ("normal", "random")})

    def huge(self, options, hot):
        """Uncached sequential reads, and what they cost in page faults."""
        (make_hot if hot else make_cold)(self.image)
        with Mount(self, ",drop-behind=off" + options) as mount:
            before = mount.faults()
            speed = read_all(mount.path, MIB)
            return [speed, mount.faults() - before]

    def hugepages(self):
        """hugepages"""
        self.table_of("Sequential, 1 MiB a read",
                      ["cold, MB/s", "faults", "hot, MB/s", "faults"], {
            name: lambda options=options: self.huge(options, False) + self.huge(options, True)
            for name, options in (("ordinary pages", ""), ("`hugepages`", ",hugepages"))})

    def populated(self, options):
        """The mount, a scattered read and a sequential one."""
        make_cold(self.image)
        with Mount(self, options) as mount:
            size = resident(self.image) / MIB
            return [mount.took * 1e3, size, read_random(mount.path, 65536, 500, 1)]

    def populate(self):
        """populate"""
        self.table_of("From a cold image", ["mounted, ms", "resident, MiB",
                                            "random 64 KiB, us"], {
            name: lambda options=options: self.populated(options)
            for name, options in (("without", ""), ("`populate`", ",populate"))})

    def dropped(self, options, size, hot=True):
        """Two reads; what is resident then, of the image and of the mounted file, in MiB."""
        (make_hot if hot else make_cold)(self.image)
        with Mount(self, options) as mount:
            view = View(mount.path)
            speeds = [read_all(mount.path, size), read_all(mount.path, size)]
            left = [resident(self.image) / MIB, view.resident() / MIB]
            view.mapped.close()
            return speeds + left

    def drop_behind(self):
        """drop-behind"""
        for size in (MIB, 128 << 10, 4096):
            self.table_of(f"Sequential, {size // 1024} KiB a read", [
                "first, MB/s", "again", "then resident of the image, MiB", "of the mount"], {
                name: lambda options=options, size=size, hot=hot: self.dropped(options, size, hot)
                for name, options, hot in (("image hot", "", True), ("image cold", "", False),
                                           ("image cold, `drop-behind`", ",drop-behind", False),
                                           ("image hot, `drop-behind`", ",drop-behind", True))})


def main():
    """The command line."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--mmapfs", default="build/mmapfs", help="the program (%(default)s)")
    parser.add_argument("--size", type=int, default=512, help="of the image, MiB (%(default)s)")
    parser.add_argument("--rounds", type=int, default=5, help="(%(default)s)")
    parser.add_argument("cells", nargs="*", choices=[[], "advice", "hugepages", "populate",
                                                     "drop_behind"],
                        help="what to measure (all)")
    options = parser.parse_args()
    with tempfile.TemporaryDirectory(prefix="mmapfs-memory.") as folder:
        bench = Bench(options, folder)
        print(f"Image of {options.size} MiB, {options.rounds} rounds, load "
              f"{os.getloadavg()[0]:.1f}.")
        for cell in options.cells or ["advice", "hugepages", "populate", "drop_behind"]:
            getattr(bench, cell)()


if __name__ == "__main__":
    main()
