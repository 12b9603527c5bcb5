#!/usr/bin/env python3
# SPDX-License-Identifier: MIT
"""Compares ways to serve a byte range of an image as a file, all in one run.

The image stays in the page cache, so what differs is what each way costs on top of it. For every
sample a provider is started anew and stopped again, one at a time, providers in turn within a
round; a cell is the median of the rounds. Absolute numbers belong to the machine: look at ratios.
"""

import argparse
import contextlib
import json
import os
import platform
import re
import shutil
import signal
import statistics
import subprocess
import sys
import tempfile

import providers

MIB = 1 << 20
SLICE_OFFSET = MIB


def dd(*operands):
    done = subprocess.run(["dd", "bs=1M", *operands], stdin=subprocess.DEVNULL,
                          stderr=subprocess.PIPE, env={**os.environ, "LC_ALL": "C"}, text=True,
                          check=False)
    copied = re.search(r"^(\d+) bytes.* copied, ([0-9.e+-]+) s", done.stderr, re.MULTILINE)
    if done.returncode != 0 or not copied:
        raise RuntimeError(f"dd {' '.join(operands)}: {done.stderr}")
    return int(copied[1]) / float(copied[2]) / 1e6


def dd_read(path, offset, size):
    return dd(f"if={path}", "of=/dev/null", "iflag=skip_bytes,count_bytes", f"skip={offset}",
              f"count={size}")


def dd_write(path, offset, size):
    return dd("if=/dev/zero", f"of={path}", "iflag=count_bytes", f"count={size}",
              "oflag=seek_bytes", f"seek={offset}", "conv=notrunc,nocreat,fsync")


def fio(direction, jobs, share):
    """4 KiB at random by each of jobs processes, size / share bytes each. Fixed bytes, not time."""
    def measure(path, offset, size):
        answer = providers.run(
            "fio", "--name=bench", "--output-format=json", "--ioengine=psync", "--bs=4k",
            f"--rw=rand{direction}", f"--numjobs={jobs}", "--group_reporting",
            f"--filename={path}", f"--offset={offset}", f"--size={size}",
            f"--io_size={size // share // 4096 * 4096}",
            # Leave the page cache of the image, and the file itself, as they are.
            "--invalidate=0", "--fallocate=none", "--allow_file_create=0")
        return json.loads(answer[answer.index("{"):])["jobs"][0][direction]["iops"]
    return measure


# What is measured on one fresh start of a provider: (name, unit, function), in this order.
SAMPLES = [
    [("sequential read, first", "MB/s", dd_read), ("sequential read, again", "MB/s", dd_read)],
    [("random 4 KiB read, first, 1 job", "IOPS", fio("read", 1, 8))],
    [("random 4 KiB read, first, 4 jobs", "IOPS", fio("read", 4, 16))],
    [("sequential write + fsync", "MB/s", dd_write)],
    [("random 4 KiB write, 1 job", "IOPS", fio("write", 1, 16))],
]


def make_image(path, size):
    noise = os.urandom(MIB)
    with open(path, "wb") as image:
        for _ in range(size // MIB):
            image.write(noise)


def settle(path):
    """Every sample starts alike: the image in the page cache, and none of it dirty."""
    with open(path, "rb", buffering=0) as image:
        os.fsync(image.fileno())
        while image.read(MIB):
            pass


def measure(part, folder, candidates, rounds):
    """{cell: {provider: [value per round]}}"""
    results = {}
    for number in range(rounds):
        for cells in SAMPLES:
            for provider in candidates:
                print(f"round {number + 1}/{rounds}: {cells[0][0]}: {provider.name}",
                      file=sys.stderr)
                settle(part.image)
                with provider.serve(part, folder) as (path, offset):
                    for name, _, function in cells:
                        value = function(path, offset, part.size)
                        results.setdefault(name, {}).setdefault(provider.name, []).append(value)
    return results


def ratio(value, other):
    return f"{value / other:.2f}" if value and other else "-"


def table(results, candidates):
    """A Markdown table of medians, and how mmapfs relates to the image and to its peers."""
    names = [provider.name for provider in candidates]
    peers = [provider.name for provider in candidates if provider.fuse and provider.name != "mmapfs"]
    heads = ["", *names, "mmapfs : native", "mmapfs : best FUSE peer"]
    lines = ["| " + " | ".join(heads) + " |", "| --- |" + " ---: |" * (len(heads) - 1)]
    for name, unit, _ in (cell for cells in SAMPLES for cell in cells):
        medians = {who: statistics.median(values) for who, values in results[name].items()}
        ours = medians.get("mmapfs")
        best = max((medians[peer] for peer in peers), default=None)
        columns = [f"{name}, {unit}", *(f"{medians[who]:.0f}" for who in names),
                   ratio(ours, medians.get("native")), ratio(ours, best)]
        lines.append("| " + " | ".join(columns) + " |")
    return "\n".join(lines)


def parse_arguments():
    parser = argparse.ArgumentParser(
        prog="scripts/bench", description=__doc__.split("\n", maxsplit=1)[0])
    parser.add_argument("--rounds", type=int, default=3, help="samples a cell (3)")
    parser.add_argument("--size", type=int, default=1024, metavar="MIB", help="of the image (1024)")
    parser.add_argument("--only", metavar="NAME,...", help="these providers only")
    parser.add_argument("--json", metavar="FILE", help="write every sample there, too")
    arguments = parser.parse_args()
    if arguments.rounds < 1 or arguments.size < 16:
        parser.error("at least 1 round and 16 MiB")
    return arguments


def choose(only):
    known = [providers.Native(), providers.Loop(), providers.Qemu(), providers.Nbdfuse(),
             providers.Mmapfs(os.environ.get("MMAPFS"))]
    if only:
        known = [provider for provider in known if provider.name in only.split(",")]
    chosen = []
    for provider in known:
        why = provider.missing()
        if why:
            print(f"{provider.name} is left out: {why}", file=sys.stderr)
        else:
            chosen.append(provider)
    if not chosen:
        sys.exit("nothing to measure")
    return chosen


def main():
    arguments = parse_arguments()
    candidates = choose(arguments.only)
    # So that SIGTERM runs the clean-up, too.
    signal.signal(signal.SIGTERM, lambda *_: sys.exit(143))
    with contextlib.ExitStack() as cleanup:
        folder = tempfile.mkdtemp(prefix="mmapfs-bench.")
        cleanup.callback(shutil.rmtree, folder, ignore_errors=True)
        os.environ["TMPDIR"] = folder
        image = os.path.join(folder, "image")
        size = arguments.size * MIB
        make_image(image, size)
        part = providers.Range(image, SLICE_OFFSET, size - 2 * SLICE_OFFSET)
        results = measure(part, folder, candidates, arguments.rounds)
    where = {"kernel": platform.release(), "cpus": os.cpu_count(), "image_mib": arguments.size,
             "rounds": arguments.rounds}
    print(table(results, candidates))
    print(f"\nLinux {where['kernel']}, {where['cpus']} CPUs, image of {where['image_mib']} MiB in "
          f"the page cache, slice at 1 MiB, medians of {where['rounds']}.")
    if arguments.json:
        with open(arguments.json, "w", encoding="utf-8") as out:
            json.dump({**where, "results": results}, out, indent=1)
            out.write("\n")


if __name__ == "__main__":
    try:
        main()
    except KeyboardInterrupt:
        sys.exit(130)
    except (RuntimeError, OSError) as problem:
        sys.exit(f"bench: {problem}")
