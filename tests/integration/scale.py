#!/usr/bin/python3
# SPDX-License-Identifier: MIT
"""What scale.bats asks for: many clients, handles and extents, and what they must read."""

import os
import random
import resource
import sys


def read_file(path):
    with open(path, "rb") as file:
        return file.read()


def in_children(count, work):
    """Calls work(0) to work(count - 1), each in a process of its own, all at once."""
    ready, start = os.pipe()
    children = []
    for i in range(count):
        child = os.fork()
        if child == 0:
            try:
                os.close(start)
                os.read(ready, 1)
                work(i)
            except BaseException as error:  # pylint: disable=broad-except
                print(f"client {i}: {error!r}", file=sys.stderr, flush=True)
                os._exit(1)
            os._exit(0)
        children.append(child)
    os.close(start)
    assert [os.waitpid(child, 0)[1] for child in children] == [0] * count


def client_bytes(client, size, seed):
    return random.Random(int(seed) * 1000 + client).randbytes(size)


def clients(folder, count, size, seed):
    size = int(size)

    def work(client):
        wanted = client_bytes(client, size, seed)
        fd = os.open(f"{folder}/client{client}", os.O_RDWR)
        for at in random.sample(range(0, size, 1000), size // 1000):
            assert os.pwrite(fd, wanted[at:at + 1000], at) == 1000
            assert os.pread(fd, 1000, at) == wanted[at:at + 1000]
        os.fsync(fd)
        assert read_file(f"{folder}/client{client}") == wanted

    in_children(int(count), work)


def clients_wrote(image, start, count, size, seed):
    content = read_file(image)
    for client in range(int(count)):
        at = int(start) + client * int(size)
        assert content[at:at + int(size)] == client_bytes(client, int(size), seed), client


def handles(folder, image, count, names, size):
    """In as many processes as their limits on descriptors ask for."""
    count, names, size = int(count), int(names), int(size)
    content = read_file(image)
    _, hard = resource.getrlimit(resource.RLIMIT_NOFILE)
    resource.setrlimit(resource.RLIMIT_NOFILE, (hard, hard))
    share = min(count, max(1, hard - 100))
    done, opened = os.pipe()
    release, hold = os.pipe()

    def check(fd, index):
        at = index * 37 % (size - 100)
        start = index % names * size + at
        assert os.pread(fd, 100, at) == content[start:start + 100], index

    def work(process):
        os.close(hold)
        indices = range(process * share, min(count, (process + 1) * share))
        fds = {i: os.open(f"{folder}/file{i % names}", os.O_RDONLY) for i in indices}
        os.write(opened, len(fds).to_bytes(4, "little"))
        os.read(release, 1)
        for index, fd in fds.items():
            check(fd, index)
        for index in indices[::2]:
            os.close(fds.pop(index))
        for index in indices[::2]:
            fds[index + 1 + count] = os.open(f"{folder}/file{(index + 1 + count) % names}",
                                             os.O_RDONLY)
        for index, fd in fds.items():
            check(fd, index)

    processes = -(-count // share)
    children = []
    for process in range(processes):
        child = os.fork()
        if child == 0:
            work(process)
            os._exit(0)
        children.append(child)
    total = sum(int.from_bytes(os.read(done, 4), "little") for _ in range(processes))
    assert total == count, total
    os.close(hold)
    assert [os.waitpid(child, 0)[1] for child in children] == [0] * processes


def make_extents(first, second, count, seed, wanted):
    rng = random.Random(int(seed))
    contents = {"a": read_file(first), "b": read_file(second)}
    print(f"image a {first} ro\nimage b {second} ro")
    with open(wanted, "wb") as out:
        for i in range(int(count)):
            name = "ab"[i % 2]
            length = rng.randrange(1, 60)
            at = rng.randrange(len(contents[name]) - length)
            print("extent" if i else "slice file", name, at, length, "" if i else "ro")
            out.write(contents[name][at:at + length])


def compare(path, wanted, count, seed):
    rng = random.Random(int(seed))
    content = read_file(wanted)
    fd = os.open(path, os.O_RDONLY)
    assert os.fstat(fd).st_size == len(content)
    for _ in range(int(count)):
        at = rng.randrange(len(content))
        length = rng.randrange(1, 10000)
        assert os.pread(fd, length, at) == content[at:at + length], (at, length)


{call.__name__: call for call in (clients, clients_wrote, handles, make_extents,
                                  compare)}[sys.argv[1]](*sys.argv[2:])
