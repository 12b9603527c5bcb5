# SPDX-License-Identifier: MIT
"""Ways to get at a byte range of an image as a file, one class each.

A provider serves the range while its `serve()` context is open and yields the path to use and the
offset in it. Each start is cold on its own side: a new mount, or a new loop device.
"""

import contextlib
import os
import shutil
import subprocess
import time

TIMEOUT_S = 30


class Range:
    def __init__(self, image, offset, size):
        self.image = image
        self.offset = offset
        self.size = size


def run(*command):
    done = subprocess.run(command, stdin=subprocess.DEVNULL, stdout=subprocess.PIPE,
                          stderr=subprocess.STDOUT, text=True, check=False)
    if done.returncode != 0:
        raise RuntimeError(f"{' '.join(command)}: exit status {done.returncode}: {done.stdout}")
    return done.stdout.strip()


def is_mounted(path):
    path = os.path.realpath(path)
    with open("/proc/self/mountinfo", encoding="utf-8") as lines:
        return any(line.split()[4] == path for line in lines)


@contextlib.contextmanager
def mounted_by(command, mountpoint, stop_first=False):
    """The mount that a program in the foreground makes.

    It ends with its mount; one that would live on without it is told to stop first, and unmounts.
    """
    # In a session of its own, so that Ctrl-C does not end it before us.
    process = subprocess.Popen(command, stdin=subprocess.DEVNULL, stdout=subprocess.DEVNULL,
                               start_new_session=True)
    try:
        deadline = time.monotonic() + TIMEOUT_S
        while not is_mounted(mountpoint):
            if process.poll() is not None or time.monotonic() > deadline:
                raise RuntimeError(f"{command[0]} does not mount")
            time.sleep(0.01)
        yield
    finally:
        if stop_first:
            process.terminate()
            wait(process)
        if is_mounted(mountpoint):
            run("fusermount3", "-u", mountpoint)
        wait(process)


def wait(process):
    try:
        process.wait(TIMEOUT_S)
    except subprocess.TimeoutExpired:
        process.kill()
        process.wait()


class Native:
    """The image itself: what there is to reach."""

    name = "native"
    fuse = False

    def missing(self):
        return None

    @contextlib.contextmanager
    def serve(self, part, folder):
        yield part.image, part.offset


class Loop:
    name = "loop"
    fuse = False

    def missing(self):
        return None if os.geteuid() == 0 else "needs root"

    @contextlib.contextmanager
    def serve(self, part, folder):
        device = run("losetup", "--find", "--show", f"--offset={part.offset}",
                     f"--sizelimit={part.size}", part.image)
        try:
            yield device, 0
        finally:
            run("losetup", "--detach", device)


class Program:
    """A provider that is one program, looked for in PATH."""

    fuse = True
    programs = ()

    def missing(self):
        absent = [program for program in self.programs if not shutil.which(program)]
        return f"no {' '.join(absent)}" if absent else None


class Qemu(Program):
    name = "qemu"
    programs = ("qemu-storage-daemon",)

    @contextlib.contextmanager
    def serve(self, part, folder):
        path = os.path.join(folder, "qemu")
        with open(path, "wb"):
            pass
        command = [
            "qemu-storage-daemon",
            "--blockdev", f"driver=file,node-name=image,filename={part.image}",
            "--blockdev", f"driver=raw,node-name=slice,file=image,offset={part.offset},"
                          f"size={part.size}",
            "--export", f"type=fuse,id=export,node-name=slice,mountpoint={path},writable=on",
        ]
        with mounted_by(command, path, stop_first=True):
            yield path, 0


class Nbdfuse(Program):
    name = "nbdfuse"
    programs = ("nbdfuse", "nbdkit")

    @contextlib.contextmanager
    def serve(self, part, folder):
        mountpoint = os.path.join(folder, "nbdfuse")
        os.makedirs(mountpoint, exist_ok=True)
        command = ["nbdfuse", os.path.join(mountpoint, "slice"), "[", "nbdkit",
                   "--exit-with-parent", "--filter=offset", "file", part.image,
                   f"offset={part.offset}", f"range={part.size}", "]"]
        with mounted_by(command, mountpoint):
            yield os.path.join(mountpoint, "slice"), 0


class Mmapfs(Program):
    name = "mmapfs"

    def __init__(self, program):
        self.program = program

    def missing(self):
        return None if self.program else "not built"

    @contextlib.contextmanager
    def serve(self, part, folder):
        mountpoint = os.path.join(folder, "mmapfs")
        os.makedirs(mountpoint, exist_ok=True)
        run(self.program, "-s", f"slice={part.image}@{part.offset}+{part.size}", mountpoint)
        try:
            yield os.path.join(mountpoint, "slice"), 0
        finally:
            run(self.program, "umount", mountpoint)
