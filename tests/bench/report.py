# SPDX-License-Identifier: MIT
"""What was measured, as it is kept in JSON; medians, ratios, Markdown and a chart of it."""

import os
import statistics
import subprocess


class Run:
    """Samples of all cells: {cell: {"unit": unit, "samples": {provider: [number or None]}}}"""

    def __init__(self, facts, providers):
        self.facts = facts
        self.providers = providers  # {name: {"kind": kind, "version": version}}
        self.cells = {}

    @classmethod
    def from_json(cls, data):
        run = cls(data["facts"], data["providers"])
        run.cells = data["cells"]
        return run

    def to_json(self, targets):
        return {"facts": self.facts, "providers": self.providers, "cells": self.cells,
                "targets": targets}

    def add(self, cell, provider, value):
        record = self.cells.setdefault(cell.name, {"unit": cell.unit, "samples": {}})
        record["samples"].setdefault(provider.name, []).append(value)

    def samples(self, cell, provider):
        return self.cells.get(cell, {"samples": {}})["samples"].get(provider, [])

    def median(self, cell, provider):
        known = [value for value in self.samples(cell, provider) if value is not None]
        return statistics.median(known) if known else None

    def peers(self):
        return [name for name, facts in self.providers.items() if facts["kind"] == "peer"]

    def relation(self, cell, provider, others):
        """How many times as fast as the best of the others: compared in each round, the median."""
        columns = [self.samples(cell, other) for other in others]
        unit = self.cells[cell]["unit"] if cell in self.cells else None
        ratios = []
        for number, value in enumerate(self.samples(cell, provider)):
            known = [column[number] for column in columns
                     if number < len(column) and column[number] is not None]
            if value is not None and known:
                ratios.append(min(known) / value if unit == "ms" else value / max(known))
        return statistics.median(ratios) if ratios else None


def digits(value):
    """Three significant ones, never as a power of ten."""
    if value is None:
        return "-"
    if value >= 100:
        whole = f"{value:.0f}"
        return whole[:3] + "0" * (len(whole) - 3)
    return f"{value:.1f}" if value >= 10 else f"{value:.2f}"


def markdown(heads, sides, rows):
    marks = {"l": "---", "r": "---:"}
    lines = [heads, [marks[side] for side in sides], *rows]
    return "\n".join("| " + " | ".join(line) + " |" for line in lines)


def table(run):
    """Medians, and how mmapfs relates to the image, to a loop device and to its best peer."""
    names = list(run.providers)
    relations = [("native", ["native"]), ("loop", ["loop"]), ("best FUSE peer", run.peers())]
    relations = [(title, others) for title, others in relations
                 if "mmapfs" in names and any(other in names for other in others)]
    rows = []
    for cell, record in run.cells.items():
        rows.append([f"{cell}, {record['unit']}"] +
                    [digits(run.median(cell, name)) for name in names] +
                    [digits(run.relation(cell, "mmapfs", others)) for _, others in relations])
    heads = ["", *names, *(f"mmapfs : {title}" for title, _ in relations)]
    return markdown(heads, ["l"] + ["r"] * (len(heads) - 1), rows)


def conditions(run):
    facts = run.facts
    programs = ", ".join(f"{name} {about['version']}" for name, about in run.providers.items()
                         if about["version"] and about["kind"] == "peer")
    return (f"Linux {facts['kernel']}, {facts['cpus']} CPUs, {facts['filesystem']}, libfuse "
            f"{facts['libfuse']}{', ' if programs else ''}{programs}. Image of "
            f"{facts['image_mib']} MiB, medians of {facts['rounds']} rounds that took "
            f"{facts['seconds']:.0f} s; load {facts['load_before']:.1f} before, "
            f"{facts['load_after']:.1f} after.")


# --- the chart -----------------------------------------------------------------------------------

STYLES = {  # colour, type and size of point
    "loop": ("#7f7f7f", 5, 0.8),
    "qemu": ("#9467bd", 9, 0.9),
    "nbdfuse": ("#8c564b", 11, 0.9),
    "fusefile": ("#17becf", 2, 0.9),
    "bindfs": ("#2ca02c", 13, 1.0),
    "mmapfs": ("#d62728", 7, 1.3),
    "mmapfs-alias": ("#ff7f0e", 6, 1.2),
    "mmapfs-writeback": ("#1f77b4", 6, 1.2),
}
OTHER_STYLE = ("#000000", 8, 1.0)
TICKS = [0.001, 0.005, 0.02, 0.05, 0.1, 0.2, 0.5, 1, 2, 5, 10, 20]


def ticks():
    texts = [f"{tick}" if tick >= 1 else f"1/{1 / tick:.0f}" for tick in TICKS]
    return ", ".join(f"'{text}' {tick}" for text, tick in zip(texts, TICKS))


def gnuplot(run, terminal, path):
    """A dot for each cell and provider: how many times as fast as native, on a log scale."""
    cells = [cell for cell in run.cells if run.median(cell, "native")]
    names = [name for name in run.providers if name != "native"]
    labels = ", ".join(f"'{cell}' {number}" for number, cell in enumerate(cells))
    lines = [
        f"set terminal {terminal} noenhanced",
        f"set output '{path}'",
        "set title 'Times as fast as the image file itself; points on the edge lie beyond it' "
        "font ',13'",
        "set logscale x",
        f"set xrange [{TICKS[0]}:{TICKS[-1]}]",
        f"set yrange [{len(cells) - 0.4}:-0.6]",
        f"set xtics scale 0 nomirror ({ticks()}) textcolor rgb '#333333'",
        f"set ytics scale 0 nomirror ({labels}) textcolor rgb '#111111'",
        "set grid xtics ytics lt 1 lw 0.7 lc rgb '#d8d8d8'",
        "set arrow from 1, graph 0 to 1, graph 1 nohead lt 1 lw 1.5 lc rgb '#000000'",
        "set border 0",
        "set bmargin 5",
        "set key at screen 0.5, screen 0.008 center bottom horizontal maxrows 1 samplen 1",
    ]
    plots, points = [], []
    for name in names:
        colour, kind, size = STYLES.get(name, OTHER_STYLE)
        plots.append(f"'-' with points pt {kind} ps {size} lt 1 lw 1.5 lc rgb '{colour}' "
                     f"title '{name}'")
        for number, cell in enumerate(cells):
            ratio = run.relation(cell, name, ["native"])
            place = "NaN" if ratio is None else min(max(ratio, TICKS[0]), TICKS[-1])
            points.append(f"{place} {number}")
        points.append("e")
    return "\n".join([*lines, "plot " + ", ".join(plots), *points]) + "\n"


def draw(run, path):
    if "native" not in run.providers or len(run.providers) < 2:
        raise RuntimeError("a chart compares with native")
    terminal = "pngcairo" if path.endswith(".png") else "svg"
    terminal += f" size 960,{120 + 22 * len(run.cells)} font 'sans,11' background rgb 'white'"
    done = subprocess.run(["gnuplot"], input=gnuplot(run, terminal, path), text=True,
                          stdout=subprocess.PIPE, stderr=subprocess.STDOUT, check=False)
    if done.returncode != 0 or not os.path.exists(path):
        raise RuntimeError(f"gnuplot: {done.stdout}")


# --- into a page ---------------------------------------------------------------------------------

BEGIN, END = "<!-- bench:begin -->", "<!-- bench:end -->"


def replace_between(path, text):
    with open(path, encoding="utf-8") as file:
        page = file.read()
    if page.count(BEGIN) != 1 or page.count(END) != 1:
        raise RuntimeError(f"{path} has no {BEGIN} and {END}")
    head, rest = page.split(BEGIN)
    tail = rest.split(END)[1]
    with open(path, "w", encoding="utf-8") as file:
        file.write(f"{head}{BEGIN}\n{text}\n{END}{tail}")
