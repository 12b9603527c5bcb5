#!/usr/bin/python3
# SPDX-License-Identifier: MIT
"""usage: push.py CHECK FILE [ARGUMENT...]

Reads a slice at random, so that the daemon pushes pages of it into the kernel's page cache.

  read FILE BYTES SEED [direct]     each page once, at random, and compares with the file BYTES
  fill FILE STATS SEED              pages of each piece that is pushed, until STATS counts a push for it
  write FILE ROUNDS SEED            random readers all the time; what was written by a descriptor
                                    of its own is what the next read gets, by an old descriptor or
                                    a new one
  change FILE IMAGE OFFSET ROUNDS SEED     the same, written into IMAGE, where FILE begins at OFFSET:
                                    what the next descriptor gets
"""

import mmap
import os
import random
import sys
import threading
import time

PAGE = 4096
PIECE = 256 << 10


def pages_of(path):
    return os.path.getsize(path) // PAGE


def open_for_random(path, flags=0):
    """Each read is of one page."""
    fd = os.open(path, os.O_RDONLY | flags)
    os.posix_fadvise(fd, 0, 0, os.POSIX_FADV_RANDOM)
    return fd


def read(path, wanted, seed, *flags):
    with open(wanted, "rb") as file:
        want = file.read()
    fd = open_for_random(path, os.O_DIRECT if "direct" in flags else 0)
    offsets = list(range(0, len(want), PAGE))
    random.Random(seed).shuffle(offsets)
    page = mmap.mmap(-1, PAGE)
    for offset in offsets:
        got = os.preadv(fd, [page], offset)
        if page[:got] != want[offset:offset + PAGE]:
            sys.exit(f"wrong bytes at {offset}")
    os.close(fd)


def pushes(stats):
    with open(stats, encoding="ascii") as file:
        return int(dict(line.split() for line in file)["pushes"])


def pushed_one(stats, before):
    """Whether there is one more, after a while: what was just written may not be pushed yet."""
    for _ in range(20):
        if pushes(stats) > before:
            return True
        time.sleep(0.005)
    return False


def fill(path, stats, seed):
    source = random.Random(seed)
    size = os.path.getsize(path)
    fd = open_for_random(path)
    # As many as there are pieces in it are only counted.
    first = list(range(0, PIECE, PAGE))
    source.shuffle(first)
    for _ in range(size // PIECE - 1):
        os.pread(fd, PAGE, first.pop())
    if pushes(stats) > 0:
        sys.exit("pushed too soon")
    for number, start in enumerate(range(0, size, PIECE)):
        offsets = first if start == 0 else list(range(start, min(start + PIECE, size), PAGE))
        source.shuffle(offsets)
        for offset in offsets:
            os.pread(fd, PAGE, offset)
            if pushed_one(stats, number):
                break
        else:
            sys.exit(f"no push for the piece at {start}")
    os.close(fd)


class Readers:
    """Two threads whose reads are requests, since they drop from the page cache what they have."""

    def __init__(self, path, seed):
        self.path = path
        self.stop = False
        self.threads = [threading.Thread(target=self.run, args=(random.Random(f"{seed} {i}"),))
                        for i in range(2)]

    def run(self, source):
        count = pages_of(self.path)
        while not self.stop:
            fd = os.open(self.path, os.O_RDONLY)
            for _ in range(count // 8):
                os.pread(fd, PAGE, source.randrange(count) * PAGE)
            os.posix_fadvise(fd, 0, 0, os.POSIX_FADV_DONTNEED)
            os.close(fd)

    def __enter__(self):
        for thread in self.threads:
            thread.start()

    def __exit__(self, *error):
        self.stop = True
        for thread in self.threads:
            thread.join()


def check(fd, offset, want, what):
    got = os.pread(fd, PAGE, offset)
    if got != want:
        sys.exit(f"{what} at {offset}: {got[:8]}, not {want[:8]}")


def race(path, rounds, seed, store):
    """What store(source, offset, page) has written is what a new descriptor gets."""
    source = random.Random(seed)
    count = pages_of(path)
    with Readers(path, seed):
        for number in range(int(rounds)):
            offset = source.randrange(count) * PAGE
            page = number.to_bytes(8, "little") * (PAGE // 8)
            store(source, offset, page)
            fd = os.open(path, os.O_RDONLY)
            check(fd, offset, page, "a new descriptor")
            os.close(fd)


def write(path, rounds, seed):
    old = os.open(path, os.O_RDONLY)

    def store(source, offset, page):
        fd = os.open(path, source.choice([os.O_RDWR, os.O_WRONLY]))
        os.pwrite(fd, page, offset)
        check(old, offset, page, "an old descriptor")
        os.close(fd)
        check(old, offset, page, "an old descriptor, after close")

    race(path, rounds, seed, store)
    os.close(old)


def change(path, image, start, rounds, seed):
    target = os.open(image, os.O_WRONLY)
    race(path, rounds, seed, lambda _, offset, page: os.pwrite(target, page, int(start) + offset))
    os.close(target)


if __name__ == "__main__":
    if len(sys.argv) < 3:
        sys.exit(__doc__)
    {"read": read, "fill": fill, "write": write, "change": change}[sys.argv[1]](*sys.argv[2:])
