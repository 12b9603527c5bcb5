#!/usr/bin/python3
# SPDX-License-Identifier: MIT
"""Kills the daemon in the middle of writes, again and again, and looks at what it leaves.

    crash.py MMAPFS IMAGE MOUNTPOINT ROUNDS SEED

Each round mounts, starts a writer of every kind, kills the daemon with SIGKILL at a random moment,
and compares the image with what the writers remember: bytes that a write has returned for are
there; those of the one write that was under way are the old or the new ones; no others have
changed. The dead mount is taken away by `mmapfs umount` in one round and by the next mount in the
other, and says ENOTCONN until then.
"""

import errno
import mmap
import os
import random
import select
import signal
import subprocess
import sys
import time

SIZE = 100_003
LARGEST = 70_000  # of a write: more than goes by memcpy, less than a slice


class Writer:
    """One process that writes to its own range, and what it remembers, in shared memory."""

    def __init__(self, name, offset, flags, mapped=False):
        self.name, self.offset, self.flags, self.mapped = name, offset, flags, mapped
        self.acknowledged = mmap.mmap(-1, SIZE)
        self.attempted = mmap.mmap(-1, SIZE)
        self.count = mmap.mmap(-1, 8)  # of writes that have returned

    def run(self, path, seed):
        pid = os.fork()
        if pid == 0:
            try:
                self.write_for_ever(path, random.Random(seed))
            except OSError:
                os._exit(0)
            finally:
                os._exit(1)
        return pid

    def write_for_ever(self, path, dice):
        file = os.open(path, self.flags)
        view = mmap.mmap(file, SIZE) if self.mapped else None
        while True:
            size = dice.choice((1, 100, 5000, dice.randrange(1, LARGEST)))
            offset = dice.randrange(SIZE - size + 1)
            data = dice.randbytes(size)
            self.attempted[offset:offset + size] = data
            if view:
                view[offset:offset + size] = data
                view.flush()
                written = size
            else:
                written = os.pwrite(file, data, offset)
            self.acknowledged[offset:offset + written] = data[:written]
            if written < size:
                raise OSError
            self.count[0] = min(255, self.count[0] + 1)

    def begin(self, image):
        """From here on the image holds what it holds now."""
        self.acknowledged[:] = self.attempted[:] = image[self.offset:self.offset + SIZE]
        self.count[0] = 0

    def check(self, image):
        got = image[self.offset:self.offset + SIZE]
        old, new = self.acknowledged[:], self.attempted[:]
        if got != old and any(g not in (o, n) for g, o, n in zip(got, old, new)):
            sys.exit(f"{self.name}: lost what write had returned for")


def wait_until(condition):
    deadline = time.monotonic() + 60
    while not condition():
        if time.monotonic() > deadline:
            sys.exit("this never came true")
        time.sleep(0.001)


def fails_with(number, call, *arguments):
    try:
        call(*arguments)
    except OSError as error:
        return error.errno == number
    return False


def kill_daemon(mountpoint):
    with open(f"{mountpoint}/.mmapfs/stats") as stats:
        pid = int(dict(line.split() for line in stats)["pid"])
    watch = os.pidfd_open(pid)
    signal.pidfd_send_signal(watch, signal.SIGKILL)
    select.select([watch], [], [])
    os.close(watch)


def round_of(writers, mmapfs, image_path, mountpoint, dice):
    slices = [f"-s{writer.name}=@{writer.offset}+{SIZE}" for writer in writers]
    # An alias of all that begins with "alias", so that these go past the page cache.
    slices.append("-sshadow=@400009+250000")
    subprocess.run([mmapfs, *slices, image_path, mountpoint], check=True, timeout=60)
    with open(image_path, "rb") as file:
        before = file.read()
    for writer in writers:
        writer.begin(before)
    pids = [writer.run(f"{mountpoint}/{writer.name}", dice.random()) for writer in writers]
    try:
        wait_until(lambda: all(writer.count[0] for writer in writers))
        time.sleep(dice.random() * 0.02)
    finally:
        kill_daemon(mountpoint)
        for pid in pids:
            os.waitpid(pid, 0)

    with open(image_path, "rb") as file:
        after = file.read()
    end = 0
    for writer in sorted(writers, key=lambda writer: writer.offset):
        if after[end:writer.offset] != before[end:writer.offset]:
            sys.exit(f"bytes before {writer.name} have changed")
        writer.check(after)
        end = writer.offset + SIZE
    if after[end:] != before[end:]:
        sys.exit("bytes behind the slices have changed")
    if not fails_with(errno.ENOTCONN, os.stat, f"{mountpoint}/cached"):
        sys.exit("the mount is not dead")


def umount(mmapfs, mountpoint):
    """Of a dead mount: it goes, but nobody can say that all is on the disk."""
    done = subprocess.run([mmapfs, "umount", mountpoint], timeout=60, stderr=subprocess.PIPE)
    if done.returncode != 1 or b"not flushed" not in done.stderr or os.path.ismount(mountpoint):
        sys.exit(f"umount of a dead mount: {done}")


def main():
    mmapfs, image, mountpoint, rounds, seed = sys.argv[1:]
    dice = random.Random(int(seed))
    writers = [
        Writer("cached", 12_345, os.O_RDWR),
        Writer("direct", 150_001, os.O_WRONLY),
        Writer("mapped", 280_000, os.O_RDWR, mapped=True),
        Writer("alias1", 400_009, os.O_RDWR),
        Writer("alias2", 400_009 + SIZE, os.O_WRONLY),
    ]
    for number in range(int(rounds)):
        round_of(writers, mmapfs, image, mountpoint, dice)
        if number % 2:
            umount(mmapfs, mountpoint)
    print(f"{rounds} rounds")


main()
