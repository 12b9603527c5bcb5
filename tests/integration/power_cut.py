#!/usr/bin/python3
# SPDX-License-Identifier: MIT
"""A load on the slices of one mount, and then power cuts in what the disk below has recorded.

    power_cut.py --slices FOLDER --journal FILE --disk FILE --cuts N --seed N [--image PATH]

The disk is what it was before the load; the journal is that of recorder.py. A power cut is a place
in the journal: all before the last flush is on the disk, and of the sectors written since then any
that chance takes. The image is the disk itself, or the file at PATH of the file system on it, which
is mounted for each cut, and so recovers.

After each cut every byte that a flush had vouched for is there, or one that was written later; and
no byte outside of what was written has changed.
"""

import argparse
import mmap
import os
import random
import struct
import subprocess
import sys
import tempfile

ENTRY = struct.Struct("<cQQ")
SECTOR = 512

# name: where it lies in the image; c and d are aliases
SLICES = {"a": (12345, 100003), "b": (300001, 100003), "c": (500001, 100003), "d": (550000, 20000),
          "e": (700001, 60000)}


class Promise:
    """What the image must hold: a byte is the durable one, or one of those written since."""

    def __init__(self, image):
        self.durable = bytearray(image)
        self.now = bytearray(image)
        self.pieces = []  # (offset, data), since the last flush of their place

    def write(self, offset, data):
        self.now[offset:offset + len(data)] = data
        self.pieces.append((offset, data))

    def flush(self, start, end):
        self.durable[start:end] = self.now[start:end]
        old, self.pieces = self.pieces, []
        for offset, data in old:
            if offset < start:
                self.pieces.append((offset, data[:start - offset]))
            if offset + len(data) > end:
                skip = max(0, end - offset)
                self.pieces.append((offset + skip, data[skip:]))

    def check(self, image):
        allowed = {}
        for offset, data in self.pieces:
            for at, byte in enumerate(data, offset):
                allowed.setdefault(at, {self.durable[at]}).add(byte)
        want = bytearray(self.durable)
        for at, bytes_ in allowed.items():
            if image[at] in bytes_:
                want[at] = image[at]
        if want != image:
            at = next(at for at, byte in enumerate(want) if byte != image[at])
            return f"byte {at} is {image[at]}, and not one of {allowed.get(at, {want[at]})}"
        return None


class Load:
    """Random writes and flushes, and a note of where in the journal each of them was."""

    def __init__(self, folder, journal, dice):
        self.folder, self.journal, self.dice = folder, journal, dice
        self.events = []  # (place, method of Promise, arguments)
        self.handles = [(name, os.open(f"{folder}/{name}", flags), flags & os.O_DSYNC)
                        for name in "abcd"
                        for flags in (os.O_RDWR, os.O_WRONLY, os.O_RDWR | os.O_DSYNC)
                        if name != "b" or flags == os.O_WRONLY]
        self.mapped = os.open(f"{folder}/e", os.O_RDWR)
        self.view = mmap.mmap(self.mapped, SLICES["e"][1])

    def note(self, method, *arguments):
        self.events.append((os.stat(self.journal).st_size, method, arguments))

    def note_flush(self, name):
        start, length = SLICES[name]
        self.note("flush", start, start + length)

    def step(self):
        dice = self.dice
        name, handle, synchronous = dice.choice(self.handles)
        start, length = SLICES[name]
        size = dice.choice((1, 100, dice.randrange(1, 6000)))
        # Half of them in the same few pages, which are written again and again.
        offset = dice.randrange(dice.choice((10000, length)) - size)
        data = dice.randbytes(size)
        kind = dice.random()
        if kind < 0.1:
            self.note("write", SLICES["e"][0] + offset % 50000, data)
            self.view[offset % 50000:offset % 50000 + size] = data
            if kind < 0.05:
                self.view.flush()
                self.note_flush("e")
            return
        if kind < 0.3:
            os.fsync(handle)
            self.note_flush(name)
            return
        self.note("write", start + offset, data)
        assert os.pwrite(handle, data, offset) == size
        if synchronous:
            self.note("flush", start + offset, start + offset + size)

    def close(self):
        self.view.close()
        os.close(self.mapped)
        for _, handle, _ in self.handles:
            os.close(handle)


def entries_of(journal):
    """The entries: where each one ends, its offset and data, or None for a flush."""
    entries, place = [], 0
    while place < len(journal):
        kind, offset, length = ENTRY.unpack_from(journal, place)
        place += ENTRY.size + length
        entries.append((place, offset, journal[place - length:place] if kind == b"W" else None))
    return entries


def disk_after(disk, entries, dice):
    """The disk when the power went after these entries."""
    disk = bytearray(disk)
    flushed = max((n for n, entry in enumerate(entries) if entry[2] is None), default=0)
    lucky = dice.choice((0, 0.5, 1))  # how many sectors get through
    for number, (_, offset, data) in enumerate(entries):
        if data is None:
            continue
        if number < flushed:
            disk[offset:offset + len(data)] = data
            continue
        while data:
            size = SECTOR - offset % SECTOR
            if dice.random() < lucky:
                disk[offset:offset + len(data[:size])] = data[:size]
            offset, data = offset + size, data[size:]
    return disk


def image_on(disk, path):
    """The image's bytes; of the file at path in the file system, when that has recovered."""
    if not path:
        return disk
    with tempfile.TemporaryDirectory(dir=".") as folder:
        with open(f"{folder}/disk", "wb") as file:
            file.write(disk)
        os.mkdir(f"{folder}/fs")
        subprocess.run(["mount", "-o", "loop", f"{folder}/disk", f"{folder}/fs"], check=True)
        try:
            with open(f"{folder}/fs/{path}", "rb") as file:
                return file.read()
        finally:
            subprocess.run(["umount", f"{folder}/fs"], check=True)


def main():
    parser = argparse.ArgumentParser()
    parser.add_argument("--slices", required=True)
    parser.add_argument("--journal", required=True)
    parser.add_argument("--disk", required=True)
    parser.add_argument("--image")
    parser.add_argument("--cuts", type=int, required=True)
    parser.add_argument("--steps", type=int, default=600)
    parser.add_argument("--seed", type=int, required=True)
    options = parser.parse_args()
    dice = random.Random(options.seed)
    with open(options.disk, "rb") as file:
        disk = file.read()
    first = image_on(disk, options.image)

    load = Load(options.slices, options.journal, dice)
    begin = os.stat(options.journal).st_size
    for _ in range(options.steps):
        load.step()
    end = os.stat(options.journal).st_size
    load.close()

    with open(options.journal, "rb") as file:
        entries = entries_of(file.read())
    flushes = [place for place, method, _ in load.events if method == "flush"]
    places = [place for place, _, _ in entries if begin <= place <= end]
    print(f"{len(entries)} entries, {len(flushes)} flushes")
    for _ in range(options.cuts):
        # The moment after a flush is when it must hold; others are as good.
        cut = dice.choice(dice.choice((flushes, places)))
        promise = Promise(first)
        for place, method, arguments in load.events:
            if place <= cut:
                getattr(promise, method)(*arguments)
        state = disk_after(disk, [entry for entry in entries if entry[0] <= cut], dice)
        wrong = promise.check(image_on(state, options.image))
        if wrong:
            sys.exit(f"cut at {cut}: {wrong}")


main()
