#!/usr/bin/env python3
# SPDX-License-Identifier: MIT
"""Compares ways to serve a byte range of an image as a file, all in one run.

The image stays in the page cache but where it says "on disk", so what differs is what each way
costs on top of it. For every sample a provider is started anew and stopped again, one at a time,
providers in turn within a round. "First" is with nothing of the mount cached. Absolute numbers
belong to the machine: look at ratios, which are made within each round; what is shown is the median
of the rounds.
"""

import argparse
import itertools
import json
import os
import platform
import re
import signal
import sys
import tempfile
import time

import cells
import providers
import report
import targets

MIB = 1 << 20


def make_image(path, size):
    noise = os.urandom(MIB)
    with open(path, "wb") as image:
        for _ in range(size // MIB):
            image.write(noise)


def sample(run, group, provider, image, folder):
    """One start of the provider; whether nothing failed."""
    values, good = [], True
    part = group.part(image, run.facts["image_mib"] * MIB)
    try:
        group.prepare(image)
        with group.serve(provider)(part, folder) as place:
            for cell in group.cells:
                values.append(cell.measure(place))
    except providers.Cannot as why:
        print(f"left out: {why}", file=sys.stderr)
    except (RuntimeError, OSError) as trouble:
        print(f"{provider.name} failed: {trouble}", file=sys.stderr)
        good = False
    for cell, value in itertools.zip_longest(group.cells, values):
        run.add(cell, provider, value)
    return good


def measure(run, groups, candidates, image, folder):
    """Fills the run; says how many starts failed."""
    rounds, failed = run.facts["rounds"], 0
    for number in range(rounds):
        cells.make_fresh(image)
        # Nobody is always the first.
        turn = number % len(candidates)
        for group, provider in itertools.product(groups, candidates[turn:] + candidates[:turn]):
            if group.serve(provider):
                print(f"round {number + 1}/{rounds}: {group.cells[0].name}: {provider.name}",
                      file=sys.stderr)
                failed += not sample(run, group, provider, image, folder)
    return failed


def facts_of(arguments, folder, program):
    return {
        "kernel": platform.release(),
        "cpus": os.cpu_count(),
        "cpu": cpu_model(),
        "memory_mib": os.sysconf("SC_PAGE_SIZE") * os.sysconf("SC_PHYS_PAGES") // MIB,
        "filesystem": providers.run("findmnt", "--noheadings", "--output=FSTYPE",
                                    "--target", folder),
        "libfuse": libfuse_of(program),
        "root": os.geteuid() == 0,
        "image_mib": arguments.size,
        "rounds": arguments.rounds,
        "load_before": os.getloadavg()[0],
    }


def cpu_model():
    with open("/proc/cpuinfo", encoding="utf-8") as lines:
        return next((line.split(":", 1)[1].strip() for line in lines
                     if line.startswith("model name")), platform.machine())


def libfuse_of(program):
    found = re.search(r"libfuse ([\d.]+)", providers.run(program, "--version") if program else "")
    return found[1] if found else None


def parse_arguments():
    parser = argparse.ArgumentParser(
        prog="scripts/bench", description=__doc__,
        formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--rounds", type=int, help="samples a cell (3)")
    parser.add_argument("--size", type=int, metavar="MIB", help="of the image (1024)")
    parser.add_argument("--quick", action="store_true", help="--rounds 1 --size 128")
    parser.add_argument("--only", metavar="NAME,...", help="these providers only")
    parser.add_argument("--build", action="append", default=[], metavar="NAME=PROGRAM",
                        help="measure another mmapfs, too; may be given often")
    parser.add_argument("--cells", metavar="REGEX",
                        help="these cells only, and those that share a start with them")
    parser.add_argument("--list", action="store_true", help="print cells and providers, and end")
    parser.add_argument("--json", metavar="FILE", help="write every sample there")
    parser.add_argument("--svg", metavar="FILE", help="draw a chart there; a .png is one")
    parser.add_argument("--page", metavar="FILE",
                        help=f"put the tables between {report.BEGIN} and {report.END} there")
    parser.add_argument("--from", dest="source", metavar="JSON",
                        help="measure nothing, report what was measured then")
    arguments = parser.parse_args()
    arguments.rounds = arguments.rounds or (1 if arguments.quick else 3)
    arguments.size = arguments.size or (128 if arguments.quick else 1024)
    if not all("=" in build for build in arguments.build):
        parser.error("--build wants NAME=PROGRAM")
    if arguments.rounds < 1 or arguments.size < 16:
        parser.error("at least 1 round and 16 MiB")
    return arguments


def choose(program, only):
    known = providers.all_providers(program)
    names = [provider.name for provider in known]
    unknown = set(only.split(",")) - set(names) if only else None
    if unknown:
        sys.exit(f"no such provider: {' '.join(unknown)}; there are {' '.join(names)}")
    chosen = []
    for provider in known:
        if only and provider.name not in only.split(","):
            continue
        why = provider.missing()
        if why:
            print(f"{provider.name} is left out: {why}", file=sys.stderr)
        else:
            chosen.append(provider)
    if not chosen:
        sys.exit("nothing to measure")
    return chosen


def run_all(arguments):
    if "METER" not in os.environ:
        sys.exit("scripts/bench knows what this needs")
    program = os.environ.get("MMAPFS")
    candidates = choose(program, arguments.only)
    candidates += [providers.Mmapfs(path, name)
                   for name, path in (build.split("=", 1) for build in arguments.build)]
    groups = cells.selected(arguments.cells)
    if not groups:
        sys.exit("no such cell")
    before = time.monotonic()
    with tempfile.TemporaryDirectory(prefix="mmapfs-bench.",
                                     ignore_cleanup_errors=True) as folder:
        # A folder of its own: bindfs shows all of it.
        os.mkdir(os.path.join(folder, "image"))
        image = os.path.join(folder, "image", "image")
        run = report.Run(facts_of(arguments, folder, program),
                         {provider.name: {"kind": provider.kind, "version": provider.version()}
                          for provider in candidates})
        make_image(image, arguments.size * MIB)
        failed = measure(run, groups, candidates, image, folder)
    run.facts["seconds"] = time.monotonic() - before
    run.facts["load_after"] = os.getloadavg()[0]
    return run, failed


def write_report(run, arguments):
    judged = targets.table(run)
    text = "\n\n".join(part for part in (report.table(run), judged, report.conditions(run)) if part)
    print(text)
    if arguments.json:
        with open(arguments.json, "w", encoding="utf-8") as out:
            json.dump(run.to_json(targets.judged(run)), out, indent=1)
            out.write("\n")
    if arguments.svg:
        report.draw(run, arguments.svg)
    if arguments.page:
        report.replace_between(arguments.page, text)


def end_by_signal(number, _):
    """Clean up, and let nothing interrupt that."""
    for other in (signal.SIGINT, signal.SIGTERM, signal.SIGHUP):
        signal.signal(other, signal.SIG_IGN)
    sys.exit(128 + number)


def main():
    arguments = parse_arguments()
    for number in (signal.SIGINT, signal.SIGTERM, signal.SIGHUP):
        signal.signal(number, end_by_signal)
    if arguments.list:
        for name in (cell.name for group in cells.GROUPS for cell in group.cells):
            print(name)
        return 0
    if arguments.source:
        with open(arguments.source, encoding="utf-8") as file:
            run, failed = report.Run.from_json(json.load(file)), 0
    else:
        run, failed = run_all(arguments)
    write_report(run, arguments)
    if failed:
        print(f"{failed} starts failed", file=sys.stderr)
    return 1 if failed else 0


if __name__ == "__main__":
    try:
        sys.exit(main())
    except (RuntimeError, OSError) as problem:
        sys.exit(f"bench: {problem}")
