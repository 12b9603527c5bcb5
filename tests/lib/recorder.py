# SPDX-License-Identifier: MIT
"""A disk that remembers: a plugin for nbdkit's python plugin.

    nbdkit python recorder.py disk=FILE journal=FILE

Serves the file, and appends to the journal each write and each flush, in order, before they are
answered. power_cut.py reads it.
"""

import os
import struct

import nbdkit

API_VERSION = 2
ENTRY = struct.Struct("<cQQ")  # W or F, offset, length; the data of a write follows
files = {}


def config(key, value):
    flags = os.O_RDWR | (os.O_CREAT | os.O_APPEND if key == "journal" else 0)
    files[key] = os.open(value, flags, 0o644)


def thread_model():
    return nbdkit.THREAD_MODEL_SERIALIZE_ALL_REQUESTS


def open(readonly):
    return 1


def get_size(handle):
    return os.fstat(files["disk"]).st_size


def pread(handle, buf, offset, flags):
    buf[:] = os.pread(files["disk"], len(buf), offset)


def pwrite(handle, buf, offset, flags):
    os.pwrite(files["disk"], buf, offset)
    os.write(files["journal"], ENTRY.pack(b"W", offset, len(buf)) + bytes(buf))


def flush(handle, flags):
    os.write(files["journal"], ENTRY.pack(b"F", 0, 0))
