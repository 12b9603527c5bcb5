#!/usr/bin/python3
# SPDX-License-Identifier: MIT
"""usage: listing.py CHECK FOLDER [ARGUMENT...]

Lists a folder as programs do that ask about its entries, which then come with attributes.

  names FOLDER                  prints all names below it, as find does, asking about each
  restart FOLDER SEED           goes to random places in it, and reads on from there
  tails FOLDER IMAGE START SEED     cuts and grows IMAGE: FOLDER's files all reach from START to its end
  cut FOLDER IMAGE LENGTH       lists while another thread cuts and grows IMAGE, and then once more
  together FOLDER COUNT         as many processes list it at once, every other asking
"""

import ctypes
import os
import random
import struct
import sys
import threading

libc = ctypes.CDLL(None, use_errno=True)


def ask(folder):
    """The sizes of its files by name; from the second call on a listing brings attributes along."""
    return {name: os.lstat(os.path.join(folder, name)).st_size for name in os.listdir(folder)}


def names(folder):
    for path, folders, files in os.walk(folder):
        for name in folders + files:
            full = os.path.join(path, name)
            os.lstat(full)
            print(os.path.relpath(full, folder))


def read_entries(fd, size):
    """(name, the position behind it) of the next ones."""
    buf = ctypes.create_string_buffer(size)
    got = libc.getdents64(fd, buf, ctypes.c_size_t(size))
    assert got >= 0, os.strerror(ctypes.get_errno())
    entries = []
    at = 0
    while at < got:
        _, position, length, _ = struct.unpack_from("=QqHB", buf, at)
        name = buf.raw[at + 19:at + length].split(b"\0", 1)[0]
        entries.append((name.decode(), position))
        at += length
    return entries


def read_all(fd, size, folder=None):
    entries = []
    while batch := read_entries(fd, size):
        entries += batch
        if folder:
            for name, _ in batch:
                os.lstat(os.path.join(folder, name))
    return entries


def restart(folder, seed):
    rng = random.Random(int(seed))
    fd = os.open(folder, os.O_RDONLY)
    entries = read_all(fd, 32768, folder)
    assert sorted(name for name, _ in entries) == sorted(os.listdir(folder) + [".", ".."])
    ask(folder)
    for _ in range(200):
        index = rng.randrange(len(entries))
        # As an NFS server does: another descriptor for each request.
        if rng.random() < 0.5:
            os.close(fd)
            fd = os.open(folder, os.O_RDONLY)
        os.lseek(fd, entries[index][1], os.SEEK_SET)
        got = read_entries(fd, rng.choice((300, 1000, 40000)))
        assert got == entries[index + 1:index + 1 + len(got)], (index, got[:2])
        assert got or index == len(entries) - 1
    os.lseek(fd, 0, os.SEEK_SET)
    assert read_all(fd, 5000) == entries
    print(len(entries))


def tails(folder, image, start, seed):
    rng = random.Random(int(seed))
    for _ in range(40):
        size = int(start) + rng.randrange(100, 100000)
        os.truncate(image, size)
        sizes = ask(folder)
        assert set(sizes.values()) == {size - int(start)}, (size - int(start), sizes)
        size += rng.randrange(-100, 100)
        os.truncate(image, size)
        for name in sizes:
            assert os.lstat(os.path.join(folder, name)).st_size == size - int(start), name
    print(len(sizes))


def cut(folder, image, length):
    length = int(length)
    stop = threading.Event()

    def work():
        rng = random.Random(length)
        while not stop.is_set():
            os.truncate(image, rng.randrange(length))
        os.truncate(image, length // 2)

    wanted = ask(folder)
    thread = threading.Thread(target=work)
    thread.start()
    for _ in range(100):
        for name, size in ask(folder).items():
            fits = size <= length if name.startswith("tail") else size == wanted[name]
            assert fits, (name, size)
    stop.set()
    thread.join()
    for name, size in ask(folder).items():
        assert size == (length // 2 if name.startswith("tail") else wanted[name]), (name, size)
    print(len(wanted))


def together(folder, count):
    wanted = sorted(os.listdir(folder))
    children = []
    for i in range(int(count)):
        child = os.fork()
        if child == 0:
            for _ in range(5):
                found = list(ask(folder)) if i % 2 else os.listdir(folder)
                if sorted(found) != wanted:
                    os._exit(1)
            os._exit(0)
        children.append(child)
    assert all(os.waitpid(child, 0)[1] == 0 for child in children)
    print(len(wanted))


{"names": names, "restart": restart, "tails": tails, "cut": cut,
 "together": together}[sys.argv[1]](*sys.argv[2:])
