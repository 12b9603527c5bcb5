# SPDX-License-Identifier: MIT
"""What slices, names, extents, clients, handles and images cost as they become many.

Prints a Markdown table for each, writes the figures as JSON, and draws them (gnuplot). Every figure
is the median of some rounds; what tmpfs does of the same is measured in turn, in the same rounds.
MMAPFS is the program to measure.
"""

import argparse
import contextlib
import json
import multiprocessing
import os
import random
import resource
import shutil
import statistics
import subprocess
import sys
import tempfile
import time

PAGE = 4096
READS = 2000
IMAGE_SIZE = 64 << 20

# How the columns are called in tables and charts, and their unit.
TITLES = {
    "mount": "mounted, s",
    "bytes": "daemon's memory, bytes each",
    "lookup": "look-up, µs",
    "find": "find, first, s",
    "find_again": "again, s",
    "find_tmpfs": "of tmpfs, s",
    "size": "find -size, first, s",
    "size_tmpfs": "of tmpfs, s",
    "list": "ls -f, first, s",
    "list_again": "again, s",
    "list_tmpfs": "of tmpfs, s",
    "small": "read of 512 bytes, µs",
    "page": "read of 4 KiB, µs",
    "sequential": "sequential read, MB/s",
    "open": "open, µs",
    "stat": "attributes, µs",
    "rate": "random reads of 4 KiB a second",
}


def timed(work, *arguments):
    start = time.perf_counter()
    work(*arguments)
    return time.perf_counter() - start


def run(*command):
    done = subprocess.run(command, stdin=subprocess.DEVNULL, stdout=subprocess.DEVNULL,
                          stderr=subprocess.PIPE, text=True, check=False)
    if done.returncode != 0:
        raise RuntimeError(f"{' '.join(command)}: exit status {done.returncode}: {done.stderr}")


def medians(rows):
    return {key: statistics.median(row[key] for row in rows) for key in rows[0]}


def read_stats(mountpoint):
    with open(os.path.join(mountpoint, ".mmapfs/stats"), encoding="ascii") as lines:
        return dict(line.split() for line in lines)


class Bench:
    """A folder with images and tables, and a mountpoint."""

    def __init__(self, folder, program, rounds):
        self.folder = folder
        self.program = program
        self.rounds = rounds
        self.mountpoint = os.path.join(folder, "mnt")
        self.table = os.path.join(folder, "table")
        os.mkdir(self.mountpoint)
        self.image = self.make_image("image", IMAGE_SIZE)
        self.base = 0  # of the daemon's memory, with one slice
        self.write_table([slice_line(0, 0, 0)])
        with self.mounted():
            self.base = self.daemon_bytes()

    def make_image(self, name, size):
        path = os.path.join(self.folder, name)
        with open(path, "wb") as image:
            for _ in range(0, size, 1 << 20):
                image.write(os.urandom(min(size, 1 << 20)))
        return path

    def write_table(self, lines):
        with open(self.table, "w", encoding="utf-8") as table:
            table.write(f"image image {self.image} ro\n")
            table.writelines(lines)

    @contextlib.contextmanager
    def mounted(self):
        """Yields how long it took."""
        took = timed(run, self.program, "mount", "--table", self.table, self.mountpoint)
        try:
            yield took
        finally:
            run(self.program, "umount", self.mountpoint)

    def daemon_bytes(self):
        """What the daemon holds, but for what it always does."""
        stats = read_stats(self.mountpoint)
        return max(0, int(stats["resident_anonymous_bytes"]) - self.base)

    def at(self, *names):
        return os.path.join(self.mountpoint, *names)


def make_tmpfs_tree(folders, names):
    """None where there is no tmpfs with room for a million inodes."""
    if not os.path.isdir("/dev/shm") or os.statvfs("/dev/shm").f_favail < folders * (names + 1):
        return None
    top = tempfile.mkdtemp(prefix="mmapfs-bench-", dir="/dev/shm")
    for folder in range(folders):
        path = os.path.join(top, f"folder{folder:06d}")
        os.mkdir(path)
        for name in range(names):
            os.close(os.open(os.path.join(path, f"file{name:06d}"), os.O_CREAT | os.O_WRONLY))
    return top


def slice_line(folder, name, index):
    at = index % (IMAGE_SIZE // PAGE) * PAGE
    return f"slice folder{folder:06d}/file{name:06d} image {at} {PAGE} ro\n"


def look_up(bench, paths):
    for path in paths:
        os.stat(bench.at(path))


def measure_slices(bench, count):
    """In folders of a thousand, or fewer."""
    names = min(count, 1000)
    folders = count // names
    bench.write_table(slice_line(folder, name, folder * names + name)
                      for folder in range(folders) for name in range(names))
    tmpfs = make_tmpfs_tree(folders, names) if count <= 1000000 else None
    rows = []
    for _ in range(bench.rounds):
        row = {}
        with bench.mounted() as row["mount"]:
            row["bytes"] = bench.daemon_bytes() / count
            paths = [f"folder{random.randrange(folders):06d}/file{random.randrange(names):06d}"
                     for _ in range(READS)]
            for folder in {path.split("/", 1)[0] for path in paths}:
                os.stat(bench.at(folder))
            paths = list(set(paths))
            row["lookup"] = timed(look_up, bench, paths) / len(paths) * 1e6
        with bench.mounted():
            row["find"] = timed(run, "find", bench.mountpoint)
            row["find_again"] = timed(run, "find", bench.mountpoint)
        with bench.mounted():
            row["size"] = timed(run, "find", bench.mountpoint, "-size", "+8k")
        if tmpfs:
            row["find_tmpfs"] = timed(run, "find", tmpfs)
            row["size_tmpfs"] = timed(run, "find", tmpfs, "-size", "+8k")
        rows.append(row)
    if tmpfs:
        shutil.rmtree(tmpfs)
    return medians(rows)


def measure_folder(bench, count):
    bench.write_table(slice_line(0, name, name) for name in range(count))
    tmpfs = make_tmpfs_tree(1, count)
    rows = []
    for _ in range(bench.rounds):
        row = {}
        with bench.mounted():
            row["list"] = timed(run, "ls", "-f", bench.at("folder000000"))
            row["list_again"] = timed(run, "ls", "-f", bench.at("folder000000"))
        if tmpfs:
            row["list_tmpfs"] = timed(run, "ls", "-f", os.path.join(tmpfs, "folder000000"))
        rows.append(row)
    if tmpfs:
        shutil.rmtree(tmpfs)
    return medians(rows)


def random_reads(path, size, count, aligned):
    """Microseconds each, past the page cache."""
    fd = os.open(path, os.O_RDONLY | os.O_DIRECT)
    places = max(1, (os.fstat(fd).st_size - size) // aligned)
    buf = bytearray(size)
    offsets = [random.randrange(places) * aligned for _ in range(count)]
    start = time.perf_counter()
    for offset in offsets:
        os.preadv(fd, [buf], offset)
    took = time.perf_counter() - start
    os.close(fd)
    return took / count * 1e6


def read_through(path):
    """MB a second."""
    fd = os.open(path, os.O_RDONLY)
    buf = bytearray(1 << 20)
    size = 0
    start = time.perf_counter()
    while got := os.readv(fd, [buf]):
        size += got
    took = time.perf_counter() - start
    os.close(fd)
    return size / took / 1e6


def open_often(path, count):
    for _ in range(count):
        os.close(os.open(path, os.O_RDONLY))


def chmod_often(path, count):
    """Its answers carry the attributes, which the kernel remembers of a stat."""
    for _ in range(count):
        os.chmod(path, 0o644)


def measure_extents(bench, count):
    """Each of 512 bytes, none beside the one before it."""
    places = list(range(IMAGE_SIZE // 512))
    random.Random(count).shuffle(places)
    places = [places[i % len(places)] * 512 for i in range(count)]
    bench.write_table([f"slice file image {places[0]} 512 ro\n"] +
                      [f"extent image {place} 512\n" for place in places[1:]])
    rows = []
    for _ in range(bench.rounds):
        row = {}
        with bench.mounted() as row["mount"]:
            row["bytes"] = bench.daemon_bytes() / count
            row["small"] = random_reads(bench.at("file"), 512, READS, 512)
            if count >= 8:
                row["page"] = random_reads(bench.at("file"), PAGE, READS, 512)
                row["sequential"] = read_through(bench.at("file"))
            row["open"] = timed(open_often, bench.at("file"), 100) / 100 * 1e6
            row["stat"] = timed(chmod_often, bench.at("file"), 20) / 20 * 1e6
        rows.append(row)
    return medians(rows)


def client_reads(path, seconds, start, counts):
    """Counts the reads of 4 KiB from the moment at which all are there."""
    fd = os.open(path, os.O_RDONLY | os.O_DIRECT)
    places = os.fstat(fd).st_size // PAGE
    buf = bytearray(PAGE)
    count = 0
    start.wait()
    end = time.monotonic() + seconds
    while time.monotonic() < end:
        os.preadv(fd, [buf], random.randrange(places) * PAGE)
        count += 1
    os.close(fd)
    counts.put(count)


def read_by_clients(paths, seconds=1.0):
    """Reads a second of all together."""
    context = multiprocessing.get_context("fork")
    start = context.Barrier(len(paths))
    counts = context.Queue()
    clients = [context.Process(target=client_reads, args=(path, seconds, start, counts))
               for path in paths]
    for client in clients:
        client.start()
    total = sum(counts.get(timeout=60) for _ in clients)
    for client in clients:
        client.join()
    return total / seconds


def measure_clients(bench, count):
    """Each with a slice of its own."""
    size = IMAGE_SIZE // count
    bench.write_table(f"slice file{i} image {i * size} {size} ro\n" for i in range(count))
    rows = []
    for _ in range(bench.rounds):
        with bench.mounted():
            rows.append({"rate": read_by_clients([bench.at(f"file{i}") for i in range(count)])})
    return medians(rows)


def measure_handles(bench, count):
    """At once, each of a slice of its own."""
    bench.write_table(slice_line(0, name, name) for name in range(count))
    rows = []
    for _ in range(bench.rounds):
        row = {}
        with bench.mounted():
            paths = [bench.at("folder000000", f"file{name:06d}") for name in range(count)]
            for path in paths:
                os.stat(path)
            before = bench.daemon_bytes()
            start = time.perf_counter()
            handles = [os.open(path, os.O_RDONLY) for path in paths]
            row["open"] = (time.perf_counter() - start) / count * 1e6
            row["bytes"] = (bench.daemon_bytes() - before) / count
            start = time.perf_counter()
            for fd in random.sample(handles, count):
                os.pread(fd, PAGE, 0)
            row["page"] = (time.perf_counter() - start) / count * 1e6
            for fd in handles:
                os.close(fd)
        rows.append(row)
    return medians(rows)


def measure_images(bench, count):
    paths = [bench.make_image(f"image{i}", 1 << 16) for i in range(count)]
    bench.write_table([f"image i{i} {path} ro\n" for i, path in enumerate(paths)] +
                      [f"slice file{i:06d} i{i} 0 64K ro\n" for i in range(count)])
    rows = []
    for _ in range(bench.rounds):
        row = {}
        with bench.mounted() as row["mount"]:
            row["bytes"] = bench.daemon_bytes() / count
            order = [bench.at(f"file{i:06d}") for i in random.sample(range(count), count)]
            start = time.perf_counter()
            for path in order:
                fd = os.open(path, os.O_RDONLY)
                os.pread(fd, PAGE, 0)
                os.close(fd)
            row["page"] = (time.perf_counter() - start) / count * 1e6
        rows.append(row)
    for path in paths:
        os.unlink(path)
    return medians(rows)


CURVES = {
    "slices": (measure_slices, (1000, 10000, 100000, 1000000)),
    "names in a folder": (measure_folder, (1000, 10000, 100000, 1000000)),
    "extents of a slice": (measure_extents, (1, 10, 100, 1000, 10000, 100000, 1000000)),
    "clients": (measure_clients, (1, 2, 4, 8, 16, 32, 64)),
    "open handles": (measure_handles, (10, 100, 1000, 10000)),
    "images": (measure_images, (1, 10, 100, 1000)),
}

# Curve, title, label of y, columns; a column "of tmpfs" is drawn with its own name.
PANELS = [
    ("slices", "slices: time", "seconds", ["mount", "find", "find_tmpfs", "size"]),
    ("slices", "slices: memory", "bytes each", ["bytes"]),
    ("slices", "slices: look-up", "µs", ["lookup"]),
    ("names in a folder", "names in one folder", "seconds",
     ["list", "list_again", "list_tmpfs"]),
    ("extents of a slice", "extents of a slice", "µs", ["small", "page", "open", "stat"]),
    ("clients", "clients at once", "reads a second", ["rate"]),
    ("open handles", "open handles", "µs", ["open", "page"]),
    ("images", "images", "seconds", ["mount"]),
]

LINEAR = ("slices: memory", "slices: look-up", "clients at once", "open handles")


def number(value):
    if value >= 100:
        return f"{value:.0f}"
    return f"{value:.2g}" if value < 10 else f"{value:.1f}"


def print_table(name, rows):
    columns = [column for column in TITLES if column in rows[-1][1]]
    print(f"| {name} | " + " | ".join(TITLES[column] for column in columns) + " |")
    print("| ---: |" + " ---: |" * len(columns))
    for count, row in rows:
        cells = [number(row[column]) if column in row else "" for column in columns]
        print(f"| {count:,} | " + " | ".join(cells) + " |")
    print(flush=True)


def label(column):
    title = TITLES[column].rsplit(", ", 1)[0]
    if column.endswith("_tmpfs"):
        return "the same of tmpfs"
    return title if not column.endswith("_again") else "again"


def plot_lines(rows, columns, block):
    """The data as a gnuplot block, and the plots of its columns."""
    data = [f"${block} << END"]
    for count, row in rows:
        data.append(" ".join([str(count)] + [str(row.get(column, "NaN")) for column in columns]))
    data.append("END")
    plots = [f"${block} using 1:{i + 2} with linespoints ls {i + 1} title \"{label(column)}\""
             for i, column in enumerate(columns)]
    return data, plots


def draw(curves, path):
    script = [
        "set terminal svg size 1000,1300 font 'sans-serif,13' background '#ffffff'",
        f"set output '{path}'",
        "set encoding utf8",
        "set border 3 lc '#888888'",
        "set tics nomirror textcolor '#333333'",
        "set grid lc '#dddddd' lt 1",
        "set key top left reverse Left samplen 2 spacing 1.1 textcolor '#333333'",
        "set logscale x",
        "set format x '10^{%T}'",
        "set style line 1 lc '#0b62a4' lw 2 pt 7 ps 0.6",
        "set style line 2 lc '#d1495b' lw 2 pt 5 ps 0.6",
        "set style line 3 lc '#888888' lw 2 pt 9 ps 0.6 dt 2",
        "set style line 4 lc '#2e8b57' lw 2 pt 13 ps 0.7",
        "set multiplot layout 4,2 margins 0.09,0.97,0.05,0.96 spacing 0.11,0.08",
    ]
    for index, (curve, title, unit, columns) in enumerate(PANELS):
        rows = curves.get(curve)
        if not rows:
            continue
        columns = [column for column in columns if column in rows[-1][1]]
        data, plots = plot_lines(rows, columns, f"data{index}")
        script += data
        script += [f"set title '{title}' textcolor '#111111'", f"set ylabel '{unit}'"]
        if title in LINEAR:
            script += ["unset logscale y", "set format y '%.0f'", "set yrange [0:*<1]"]
            top = max(row[column] for _, row in rows for column in columns if column in row)
            script.append(f"set yrange [0:{top * 1.5}]")
        else:
            script += ["set logscale y", "set format y '10^{%T}'", "set yrange [*:*]",
                       "set offsets graph 0, 0, graph 0.35, 0"]
        script.append("set xtics 1,2,64" if curve == "clients" else "set xtics autofreq")
        script.append("set format x '%g'" if curve == "clients" else "set format x '10^{%T}'")
        script.append("plot " + ", ".join(plots))
    script.append("unset multiplot")
    subprocess.run(["gnuplot"], input="\n".join(script) + "\n", text=True, check=True)


def measure(bench, only, largest):
    curves = {}
    for name, (work, counts) in CURVES.items():
        if only and name not in only:
            continue
        if name == "slices" and largest > counts[-1]:
            counts += (largest,)
        rows = [(count, work(bench, count)) for count in counts if count <= largest]
        print_table(name, rows)
        curves[name] = rows
    return curves


def parse_arguments():
    parser = argparse.ArgumentParser(prog="bench --scale", description=__doc__,
                                     formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--rounds", type=int, default=3, help="of which each figure is the median")
    parser.add_argument("--largest", type=int, default=1000000,
                        help="go no further (default: 1000000; 10000000 takes 5 GB)")
    parser.add_argument("--only", action="append", choices=list(CURVES), metavar="CURVE",
                        help=f"one of: {', '.join(CURVES)}; may be given often")
    parser.add_argument("--json", metavar="FILE", help="write the figures there")
    parser.add_argument("--svg", metavar="FILE", help="draw them there")
    parser.add_argument("--folder", help="work there (default: a new one in TMPDIR)")
    parser.add_argument("--draw-only", metavar="JSON", help="draw what was measured before")
    return parser.parse_args()


def raise_descriptor_limit():
    _, hard = resource.getrlimit(resource.RLIMIT_NOFILE)
    resource.setrlimit(resource.RLIMIT_NOFILE, (hard, hard))


def main():
    arguments = parse_arguments()
    if arguments.draw_only:
        with open(arguments.draw_only, encoding="utf-8") as file:
            draw(json.load(file), arguments.svg)
        return
    raise_descriptor_limit()
    random.seed(1)
    with tempfile.TemporaryDirectory(prefix="mmapfs-scale-", dir=arguments.folder) as folder:
        bench = Bench(folder, os.environ.get("MMAPFS", "mmapfs"), arguments.rounds)
        print(f"load {os.getloadavg()[0]:.1f}", file=sys.stderr)
        curves = measure(bench, arguments.only, arguments.largest)
        print(f"load {os.getloadavg()[0]:.1f}", file=sys.stderr)
    if arguments.json:
        with open(arguments.json, "w", encoding="utf-8") as file:
            json.dump(curves, file, indent=1)
    if arguments.svg:
        draw(curves, arguments.svg)


if __name__ == "__main__":
    main()
