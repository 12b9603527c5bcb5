# SPDX-License-Identifier: MIT
"""Tensors: files of them, and what NumPy makes of a mount of theirs.

    layout_tensors.py safetensors|gguf FILE SEED    random tensors, which FILE.npz keeps
    layout_tensors.py compare FILE MOUNT            the mount (with -o xattr) holds just these
"""

import json
import os
import struct
import sys

import numpy

NUMPY = {
    "F64": "<f8",
    "F32": "<f4",
    "F16": "<f2",
    "C64": "<c8",
    "I64": "<i8",
    "I32": "<i4",
    "I16": "<i2",
    "I8": "i1",
    "U64": "<u8",
    "U32": "<u4",
    "U16": "<u2",
    "U8": "u1",
    "BOOL": "?",
}
GGUF = {"F32": 0, "F16": 1, "I8": 24, "I16": 25, "I32": 26, "I64": 27, "F64": 28}
SHAPES = [(), (1,), (7,), (3, 5), (2, 3, 4), (64, 32), (0, 4), (1, 1, 1, 9)]


def arrays(names, seed):
    random = numpy.random.default_rng(int(seed))
    for name in names:
        for shape in SHAPES:
            dtype = numpy.dtype(NUMPY[name])
            size = dtype.itemsize * int(numpy.prod(shape))
            data = random.bytes(size) if name != "BOOL" else bytes(random.integers(0, 2, size, "u1"))
            label = f"{name.lower()}.{'x'.join(map(str, shape)) or 'scalar'}/weight"
            yield label, name, numpy.frombuffer(data, dtype).reshape(shape)


def keep(path, kept):
    numpy.savez(path + ".npz", **{name.replace("/", "_"): array for name, array in kept.items()})


def safetensors(path, seed):
    kept, header, data = {}, {"__metadata__": {"format": "np"}}, b""
    for name, dtype, array in arrays(NUMPY, seed):
        kept[name] = array
        header[name] = {
            "dtype": dtype,
            "shape": array.shape,
            "data_offsets": [len(data), len(data) + array.nbytes],
        }
        data += array.tobytes()
    text = json.dumps(header).encode()
    text += b" " * (-len(text) % 8)
    with open(path, "wb") as file:
        file.write(struct.pack("<Q", len(text)) + text + data)
    with open(path + ".json", "wb") as file:
        file.write(text)
    keep(path, kept)


def text(value):
    return struct.pack("<Q", len(value)) + value.encode()


def gguf(path, seed):
    """Of version 3, with what a model says of itself."""
    kept, infos, data = {}, b"", b""
    for name, dtype, array in arrays(GGUF, seed):
        kept[name] = array
        dimensions = array.shape[::-1]
        infos += text(name) + struct.pack("<I", len(dimensions))
        infos += struct.pack(f"<{len(dimensions)}Q", *dimensions)
        infos += struct.pack("<IQ", GGUF[dtype], len(data))
        data += array.tobytes()
        data += b"\0" * (-len(data) % 64)
    keys = text("general.architecture") + struct.pack("<I", 8) + text("llama")
    keys += text("general.alignment") + struct.pack("<II", 4, 64)
    keys += text("tokenizer.ggml.tokens") + struct.pack("<IIQ", 9, 8, 1000)
    keys += b"".join(text(f"token{i}") for i in range(1000))
    keys += text("tokenizer.ggml.scores") + struct.pack("<IIQ", 9, 6, 1000) + bytes(4000)
    head = b"GGUF" + struct.pack("<IQQ", 3, len(kept), 4) + keys + infos
    with open(path, "wb") as file:
        file.write(head + b"\0" * (-len(head) % 64) + data)
    keep(path, kept)


def attribute(path, name):
    return os.getxattr(path, "user.mmapfs." + name).decode()


def compare(path, mount):
    kept = numpy.load(path + ".npz")
    found = set(os.listdir(mount)) - {"header.json", ".mmapfs"}
    assert found == set(kept.files), found ^ set(kept.files)
    for name in found:
        member = f"{mount}/{name}"
        shape = tuple(json.loads(attribute(member, "shape")))
        dtype = NUMPY[attribute(member, "dtype")]
        assert shape == kept[name].shape, name
        assert os.stat(member).st_size == kept[name].nbytes, name
        if kept[name].size > 0:
            array = numpy.memmap(member, dtype, "r", shape=shape or (1,)).reshape(shape)
        else:
            array = numpy.empty(shape, dtype)
        assert array.dtype == kept[name].dtype, name
        assert array.tobytes() == kept[name].tobytes(), name
    print(len(found))


{"safetensors": safetensors, "gguf": gguf, "compare": compare}[sys.argv[1]](*sys.argv[2:])
