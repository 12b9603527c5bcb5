#!/usr/bin/env python3
# SPDX-License-Identifier: MIT
"""What memory= costs, and what it keeps small: scattered reads and writes of a sparse image.

There is a mount for each limit, with an image of its own, all at once. Each round gives every mount
the same number of operations at random places, in turn. Shown are medians of operations a second,
against the first limit; the daemon's processor time for one; and the most that each daemon held.
"""

import argparse
import contextlib
import json
import os
import random
import re
import statistics
import subprocess
import sys
import tempfile
import time

import providers

KIB = 1 << 10
MIB = 1 << 20
HOT = 256  # places that each hot operation takes one of


def read(size):
    def work(file, place):
        os.pread(file, size, place)
    return work


def write(size):
    block = os.urandom(size)

    def work(file, place):
        os.pwrite(file, block, place)
    return work


def write_twice(size):
    once = write(size)

    def work(file, place):
        once(file, place)
        once(file, place)
    return work


# name: what is done at a place, how many bytes it takes, the share of places that are hot, whether
# they are in what is cached of the image, or anywhere
CELLS = {
    "read and write 4 KiB": ([read(4 * KIB), write(4 * KIB)], 4 * KIB, 0, False),
    "write 4 KiB twice": ([write_twice(4 * KIB)], 4 * KIB, 0, False),
    "write 4 KiB twice, 9 of 10 hot": ([write_twice(4 * KIB)], 4 * KIB, 0.9, False),
    "read 64 KiB": ([read(64 * KIB)], 64 * KIB, 0, True),
    "read 64 KiB, 9 of 10 hot": ([read(64 * KIB)], 64 * KIB, 0.9, True),
    "read 1 MiB": ([read(MIB)], MIB, 0, True),
}
CACHED = 512 * MIB


class Mount:
    def __init__(self, limit, size, folder, stack):
        self.limit = limit
        self.spots = []
        self.most = {"VmPTE": 0, "RssFile": 0, "RssAnon": 0}
        self.folder = os.path.join(folder, limit)
        os.mkdir(self.folder)
        image = f"{self.folder}.image"
        with open(image, "wb") as file:
            for _ in range(CACHED // MIB):
                file.write(os.urandom(MIB))
            file.truncate(size)
        command = [os.environ["MMAPFS"], "mount", "-f", "-o", f"memory={limit}",
                   # Shown twice, so that nothing is cached on the way.
                   "-s", f"slice={image}@0", "-s", f"alias={image}@0,ro", self.folder]
        stack.enter_context(providers.mounted_by(command, self.folder))
        self.path = os.path.join(self.folder, "slice")

    def stats(self):
        with open(os.path.join(self.folder, ".mmapfs/stats"), encoding="ascii") as lines:
            return dict(line.split() for line in lines)

    def processor_time(self):
        """Seconds so far."""
        with open(f"/proc/{self.stats()['pid']}/stat", encoding="ascii") as line:
            fields = line.read().rsplit(")", 1)[1].split()
        return (int(fields[11]) + int(fields[12])) / os.sysconf("SC_CLK_TCK")

    def look(self):
        with open(f"/proc/{self.stats()['pid']}/status", encoding="ascii") as lines:
            for name, kib in re.findall(r"^(\w+):\s+(\d+) kB", lines.read(), re.MULTILINE):
                if name in self.most:
                    self.most[name] = max(self.most[name], int(kib) * KIB)


def run(mount, cell, count, size, chance):
    """Operations a second."""
    works, unit, hot, cached = CELLS[cell]
    span = CACHED if cached else size
    mount.spots = mount.spots or [chance.randrange(span // unit) * unit for _ in range(HOT)]
    looks = max(1, count // 20)
    spent = 0.0
    file = os.open(mount.path, os.O_RDWR)
    for first in range(0, count, looks):
        places = [chance.choice(mount.spots) if chance.random() < hot
                  else chance.randrange(span // unit) * unit
                  for _ in range(min(looks, count - first))]
        start = time.monotonic()
        for i, place in enumerate(places):
            works[i % len(works)](file, place)
        spent += time.monotonic() - start
        mount.look()
    os.close(file)
    return count / spent


def measure(args, folder):
    chance = random.Random(args.seed)
    rates = {limit: [] for limit in args.limits}
    share = args.operations // args.rounds
    with contextlib.ExitStack() as stack:
        mounts = [Mount(limit, args.size, folder, stack) for limit in args.limits]
        for turn in range(args.rounds):
            for mount in mounts[turn % len(mounts):] + mounts[:turn % len(mounts)]:
                rates[mount.limit].append(run(mount, args.cell, share, args.size, chance))
        return [{"limit": mount.limit, "rate": statistics.median(rates[mount.limit]),
                 "processor": mount.processor_time() / (share * args.rounds),
                 "most": mount.most, "stats": mount.stats()} for mount in mounts]


def show(cell, found):
    print(f"\n{cell}\n")
    print("| memory= | a second | : first | processor, us | : first | page tables, MiB | mapped, MiB | anonymous, MiB "
          "| regions dropped |")
    print("| --- | ---: | ---: | ---: | ---: | ---: | ---: | ---: | ---: |")
    for one in found:
        print(f"| {one['limit']} | {one['rate']:.0f} | {one['rate'] / found[0]['rate']:.2f} "
              f"| {one['processor'] * 1e6:.1f} | {one['processor'] / found[0]['processor']:.2f} "
              f"| {one['most']['VmPTE'] / MIB:.1f} | {one['most']['RssFile'] / MIB:.0f} "
              f"| {one['most']['RssAnon'] / MIB:.0f} | {one['stats']['trimmed_regions']} |",
              flush=True)


def size_of(text):
    return int(subprocess.run(["numfmt", "--from=iec", text], check=True,
                              stdout=subprocess.PIPE).stdout)


def main():
    parser = argparse.ArgumentParser(description=__doc__,
                                     formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("cells", nargs="*", metavar="CELL",
                        help=f"what to measure (default: all): {', '.join(CELLS)}")
    parser.add_argument("--limits", nargs="+", default=["off", "64M"], metavar="SIZE")
    parser.add_argument("--size", type=size_of, default="8T", help="of the image (default: 8T)")
    parser.add_argument("--operations", type=int, default=100000, metavar="N",
                        help="on each mount, all rounds together (default: 100000)")
    parser.add_argument("--rounds", type=int, default=5, metavar="N")
    parser.add_argument("--seed", type=int, default=1)
    parser.add_argument("--folder", help="where the image is made (default: $TMPDIR, /tmp)")
    parser.add_argument("--json", metavar="FILE", help="write the figures there, too")
    args = parser.parse_args()
    if not os.environ.get("MMAPFS"):
        sys.exit("MMAPFS= must name the program")
    figures = {}
    for args.cell in args.cells or CELLS:
        if args.cell not in CELLS:
            parser.error(f"no cell '{args.cell}'")
        with tempfile.TemporaryDirectory(dir=args.folder) as folder:
            figures[args.cell] = measure(args, folder)
        show(args.cell, figures[args.cell])
    print(f"\nload {os.getloadavg()[0]:.1f}")
    if args.json:
        with open(args.json, "w", encoding="utf-8") as file:
            json.dump(figures, file, indent=1)


if __name__ == "__main__":
    main()
