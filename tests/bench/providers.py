# SPDX-License-Identifier: MIT
"""Ways to get at a byte range of an image as a file, one class each.

A provider serves the range while its `serve()` context is open, and yields the Place where it is to
be found. Each start is cold on its own side: a new mount, or a new loop device. Whatever is started
ends with this process, however it ends.
"""

import contextlib
import os
import re
import shutil
import subprocess
import time

TIMEOUT_S = 60
NAMES = 1000
NAMED_SIZE = 4096


class Cannot(Exception):
    """There is nothing to measure here; not a failure."""


class Range:
    """Bytes of an image; `rest` is another range of it, to be served beside by who can."""

    def __init__(self, image, offset, size, rest=None):
        self.image = image
        self.offset = offset
        self.size = size
        self.rest = rest


class Place:
    """Where a provider shows a range: a file, and the offset in it; the same for its rest."""

    def __init__(self, part, path, offset=0, rest=None):
        self.path = path
        self.offset = offset
        self.size = part.size
        self.rest = rest
        if part.rest and not rest:
            self.rest = Place(part.rest, part.rest.image, part.rest.offset)


def run(*command):
    """What the command says on its standard output."""
    done = subprocess.run(command, stdin=subprocess.DEVNULL, stdout=subprocess.PIPE,
                          stderr=subprocess.PIPE, text=True, check=False)
    if done.returncode != 0:
        raise RuntimeError(f"{' '.join(command)}: exit status {done.returncode}: "
                           f"{done.stderr.strip()}")
    return done.stdout.strip()


def version_of(*command):
    """The first number with a dot in what it says."""
    try:
        found = re.search(r"\d+\.[\w.+-]*", run(*command))
    except (OSError, RuntimeError):
        return None
    return found[0] if found else None


def is_mounted(path):
    path = os.path.realpath(path)
    with open("/proc/self/mountinfo", encoding="utf-8") as lines:
        return any(line.split()[4] == path for line in lines)


@contextlib.contextmanager
def mounted_by(command, mountpoint, unmount=("fusermount3", "-u"), stop_first=False):
    """The mount that a program in the foreground makes.

    It ends with its mount; one that would live on without it is told to stop first, and unmounts.
    """
    # In a session of its own, so that Ctrl-C does not end it before us; but it dies with us, and is
    # not even started when we have died before it was told that.
    with_us = ["setpriv", "--pdeathsig", "TERM", "sh", "-c", '[ "$PPID" = "$0" ] && exec "$@"',
               str(os.getpid())]
    process = subprocess.Popen([*with_us, *command], stdin=subprocess.DEVNULL,
                               stdout=subprocess.DEVNULL, start_new_session=True)
    try:
        deadline = time.monotonic() + TIMEOUT_S
        while not is_mounted(mountpoint):
            if process.poll() is not None or time.monotonic() > deadline:
                raise RuntimeError(f"{command[0]} does not mount")
            time.sleep(0.005)
        yield
    finally:
        if stop_first:
            process.terminate()
            wait(process)
        if is_mounted(mountpoint):
            run(*unmount, mountpoint)
        wait(process)
    if process.returncode != 0:
        raise RuntimeError(f"{command[0]} ended with {process.returncode}")


def wait(process):
    try:
        process.wait(TIMEOUT_S)
    except subprocess.TimeoutExpired:
        process.kill()
        process.wait()


def make_file(folder, name):
    """A file to mount over."""
    path = os.path.join(folder, name)
    with open(path, "wb"):
        pass
    return path


def make_folder(folder, name):
    """A folder to mount over."""
    path = os.path.join(folder, name)
    os.makedirs(path, exist_ok=True)
    return path


class Provider:
    """One that is a program, or several, looked for in PATH."""

    name = None
    kind = "peer"  # or "base", or "ours"
    programs = ()

    # Serves a folder of NAMES small files, where there are folders: a context, as serve() is.
    serve_names = None

    def missing(self):
        absent = [program for program in self.programs if not shutil.which(program)]
        return f"no {' '.join(absent)}" if absent else None

    def version(self):
        return version_of(self.programs[0], "--version") if self.programs else None


class Native(Provider):
    """The image itself: what there is to reach."""

    name = "native"
    kind = "base"

    @contextlib.contextmanager
    def serve(self, part, folder):
        yield Place(part, part.image, part.offset)

    @contextlib.contextmanager
    def serve_names(self, part, folder):
        yield Place(part, make_names(folder))


def make_names(folder):
    path = os.path.join(folder, "names")
    if not os.path.isdir(path):
        os.mkdir(path)
        for number in range(NAMES):
            with open(os.path.join(path, f"{number:06}"), "wb") as file:
                file.truncate(NAMED_SIZE)
    return path


class Loop(Provider):
    name = "loop"
    kind = "base"
    programs = ("losetup",)

    def missing(self):
        return super().missing() if os.geteuid() == 0 else "needs root"

    @contextlib.contextmanager
    def serve(self, part, folder):
        device = run("losetup", "--find", "--show", f"--offset={part.offset}",
                     f"--sizelimit={part.size}", part.image)
        # While it is open, to detach it means: at its last close, which is ours.
        holder = os.open(device, os.O_RDONLY | os.O_CLOEXEC)
        try:
            run("losetup", "--detach", device)
            yield Place(part, device)
        finally:
            os.close(holder)


class Qemu(Provider):
    name = "qemu"
    programs = ("qemu-storage-daemon",)

    @contextlib.contextmanager
    def serve(self, part, folder):
        path = make_file(folder, self.name)
        command = [
            "qemu-storage-daemon",
            "--blockdev", f"driver=file,node-name=image,filename={part.image}",
            "--blockdev", f"driver=raw,node-name=slice,file=image,offset={part.offset},"
                          f"size={part.size}",
            "--export", f"type=fuse,id=export,node-name=slice,mountpoint={path},writable=on",
        ]
        with mounted_by(command, path, stop_first=True):
            yield Place(part, path)


class Nbdfuse(Provider):
    name = "nbdfuse"
    programs = ("nbdfuse", "nbdkit")

    @contextlib.contextmanager
    def serve(self, part, folder):
        mountpoint = make_folder(folder, self.name)
        command = ["nbdfuse", os.path.join(mountpoint, "slice"), "[", "nbdkit",
                   "--exit-with-parent", "--filter=offset", "file", part.image,
                   f"offset={part.offset}", f"range={part.size}", "]"]
        with mounted_by(command, mountpoint):
            yield Place(part, os.path.join(mountpoint, "slice"))


class Fusefile(Provider):
    """In Debian from 13 on."""

    name = "fusefile"
    programs = ("fusefile",)

    @contextlib.contextmanager
    def serve(self, part, folder):
        path = make_file(folder, self.name)
        command = ["fusefile", "-f", path, f"{part.image}/{part.offset}+{part.size}"]
        with mounted_by(command, path):
            yield Place(part, path)


class Bindfs(Provider):
    """Shows the image whole: the range is at its own offset."""

    name = "bindfs"
    programs = ("bindfs",)

    @contextlib.contextmanager
    def mirror(self, source, folder):
        mountpoint = make_folder(folder, self.name)
        command = ["bindfs", "-f", "--no-allow-other", "-o", "big_writes", source, mountpoint]
        with mounted_by(command, mountpoint):
            yield mountpoint

    @contextlib.contextmanager
    def serve(self, part, folder):
        source, name = os.path.split(part.image)
        with self.mirror(source, folder) as mountpoint:
            yield Place(part, os.path.join(mountpoint, name), part.offset)

    @contextlib.contextmanager
    def serve_names(self, part, folder):
        with self.mirror(make_names(folder), folder) as mountpoint:
            yield Place(part, mountpoint)


class Mmapfs(Provider):
    name = "mmapfs"
    kind = "ours"
    options = ()

    def __init__(self, program, name=None):
        self.program = program
        self.name = name or self.name

    def missing(self):
        return None if self.program else "MMAPFS names no program"

    def version(self):
        return version_of(self.program, "--version")

    def slices(self, part):
        yield "slice", part
        if part.rest:
            yield "rest", part.rest

    @contextlib.contextmanager
    def mount(self, lines, folder):
        mountpoint = make_folder(folder, "mmapfs")
        table = os.path.join(folder, "table")
        with open(table, "w", encoding="utf-8") as out:
            out.writelines(lines)
        command = [self.program, "-f", *self.options, "-t", table, mountpoint]
        with mounted_by(command, mountpoint, unmount=(self.program, "umount")):
            yield mountpoint

    @contextlib.contextmanager
    def serve(self, part, folder):
        lines = [f"image image {part.image}\n"]
        lines += [f"slice {name} image {some.offset} {some.size}\n"
                  for name, some in self.slices(part)]
        with self.mount(lines, folder) as mountpoint:
            rest = Place(part.rest, os.path.join(mountpoint, "rest")) if part.rest else None
            yield Place(part, os.path.join(mountpoint, "slice"), 0, rest)

    @contextlib.contextmanager
    def serve_names(self, part, folder):
        lines = [f"image image {part.image}\n"]
        lines += [f"slice {number:06} image {number * NAMED_SIZE} {NAMED_SIZE}\n"
                  for number in range(NAMES)]
        with self.mount(lines, folder) as mountpoint:
            yield Place(part, mountpoint)


class MmapfsAlias(Mmapfs):
    """The slice shares its first page with another writable one, and so is uncached."""

    name = "mmapfs-alias"
    serve_names = None

    def slices(self, part):
        yield from super().slices(part)
        yield "alias", Range(part.image, part.offset, 4096)


class MmapfsWriteback(Mmapfs):
    name = "mmapfs-writeback"
    options = ("-o", "writeback")
    serve_names = None

    def missing(self):
        return super().missing() or (None if re.search(r"^\s+writeback\b", run(
            self.program, "--help"), re.MULTILINE) else "this mmapfs has no -o writeback")


def all_providers(mmapfs):
    return [Native(), Loop(), Qemu(), Nbdfuse(), Fusefile(), Bindfs(), Mmapfs(mmapfs),
            MmapfsAlias(mmapfs), MmapfsWriteback(mmapfs)]
