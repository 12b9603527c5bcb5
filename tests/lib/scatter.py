#!/usr/bin/env python3
# SPDX-License-Identifier: MIT
"""Write and read 4 KiB at random places of a large sparse file, by several processes at once.

Each place is written twice with bytes of its own, and so is each of its next neighbours before they
are read together; whatever is read must be what was written last. With --pid the most that the
process has of page tables and of mapped files meanwhile is printed, in bytes.
"""

import argparse
import hashlib
import os
import random
import re
import sys
import time

BLOCK = 4096
GROUP = 8  # neighbours


def content(place, turn):
    return hashlib.blake2b(b"%d %d" % (place, turn)).digest() * (BLOCK // 64)


def places_of(options):
    chance = random.Random(options.seed)
    unit = GROUP * BLOCK
    return [place * unit for place in
            chance.sample(range(options.size // unit), options.places // GROUP)]


def wanted(place):
    return b"".join(content(place + i * BLOCK, 2) for i in range(GROUP))


def check(file, place):
    if os.pread(file, GROUP * BLOCK, place) != wanted(place):
        sys.exit(f"wrong bytes at {place}")


def work(options, places):
    chance = random.Random(options.seed + places[0])
    file = os.open(options.file, os.O_RDWR)
    for count, place in enumerate(places):
        for turn in (1, 2):
            for i in range(GROUP):
                os.pwrite(file, content(place + i * BLOCK, turn), place + i * BLOCK)
        check(file, places[chance.randrange(count + 1)])
    os.fsync(file)
    for place in places:
        check(file, place)


def held(pid):
    with open(f"/proc/{pid}/status", encoding="ascii") as lines:
        found = dict(re.findall(r"^(\w+):\s+(\d+) kB", lines.read(), re.MULTILINE))
    return (int(found["VmPTE"]) << 10, (int(found["RssFile"]) + int(found["RssShmem"])) << 10)


def run(options):
    places = places_of(options)
    children = []
    for job in range(options.jobs):
        child = os.fork()
        if child == 0:
            work(options, places[job::options.jobs])
            os._exit(0)
        children.append(child)
    most = (0, 0)
    failed = False
    while children:
        done, status = os.waitpid(-1, os.WNOHANG)
        if done:
            children.remove(done)
            failed |= status != 0
        elif options.pid:
            most = tuple(map(max, most, held(options.pid)))
        time.sleep(0.01)
    if options.pid:
        print(*most)
    sys.exit(failed)


def main():
    parser = argparse.ArgumentParser(description=__doc__,
                                     formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("file")
    parser.add_argument("--size", type=int, required=True, help="of the file, bytes")
    parser.add_argument("--places", type=int, default=8000)
    parser.add_argument("--jobs", type=int, default=3)
    parser.add_argument("--seed", type=int, default=1)
    parser.add_argument("--pid", type=int, help="whose memory is looked at")
    parser.add_argument("--check", action="store_true", help="only look whether the bytes are there")
    options = parser.parse_args()
    if options.check:
        file = os.open(options.file, os.O_RDONLY)
        for place in places_of(options):
            check(file, place)
    else:
        run(options)


if __name__ == "__main__":
    main()
