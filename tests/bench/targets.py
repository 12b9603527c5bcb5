# SPDX-License-Identifier: MIT
"""What is to be reached: how many times as fast as something else in the same round."""

import report

PEERS = "the best FUSE peer"

# (cell, who, than what, times as fast)
TARGETS = [
    ("sequential read, 1 MiB, first", "mmapfs", PEERS, 2),
    ("sequential read, 1 MiB, first", "mmapfs", "loop", 1.5),
    ("sequential read, 1 MiB, again", "mmapfs", "native", 0.4),
    ("sequential read, 1 MiB, again", "mmapfs", "loop", 0.75),
    ("random 4 KiB read, first, 4 jobs", "mmapfs", "qemu", 5),
    ("random 4 KiB read, first, 4 jobs", "mmapfs", "nbdfuse", 5),
    ("random 4 KiB read, first, 4 jobs", "mmapfs", "loop", 1.3),
    ("mmap scan, first", "mmapfs", PEERS, 4),
    ("O_WRONLY write, 1 MiB, + fsync", "mmapfs", "native", 0.7),
    ("O_WRONLY write, 1 MiB, + fsync", "mmapfs", "loop", 1.5),
    ("O_RDWR write, 1 MiB, + fsync", "mmapfs", PEERS, 1.5),
    ("random 4 KiB write, 1 job", "mmapfs", PEERS, 4),
    ("random 4 KiB write, 1 job", "mmapfs-writeback", "loop", 0.5),
    ("random 4 KiB write, 4 jobs", "mmapfs", PEERS, 4),
    ("random 4 KiB write, 4 jobs", "mmapfs-writeback", "loop", 0.5),
    ("random 4 KiB write, fsync each, 1 job", "mmapfs", "native", 0.7),
    # Under 2 % of the time that fsync of the whole image takes.
    ("fsync of a clean slice, the rest dirty", "mmapfs", "native", 50),
    ("sequential read, 1 MiB, first", "mmapfs-alias", "native", 0.2),
    ("sequential read, 1 MiB, again", "mmapfs-alias", "native", 0.33),
]


def judged(run):
    """[{cell, provider, baseline, wanted, measured}], of what was measured"""
    found = []
    for cell, who, baseline, wanted in TARGETS:
        others = run.peers() if baseline == PEERS else [baseline]
        measured = run.relation(cell, who, others)
        if measured is not None:
            found.append({"cell": cell, "provider": who, "baseline": baseline, "wanted": wanted,
                          "measured": measured})
    return found


def table(run):
    rows = [[f"{row['provider']}: {row['cell']}", row["baseline"], f"{row['wanted']:g}",
             report.digits(row["measured"]),
             "reached" if row["measured"] >= row["wanted"] else "**missed**"]
            for row in judged(run)]
    heads = ["", "times as fast as", "wanted", "measured", ""]
    return report.markdown(heads, "l l r r l".split(), rows) if rows else ""
