# SPDX-License-Identifier: MIT
"""Open files for the tests that need many at once: each call says OK or the name of its errno."""

import errno
import os
import random


def status(call, *arguments):
    try:
        call(*arguments)
    except OSError as error:
        return errno.errorcode[error.errno]
    return "OK"


class Handle:
    def __init__(self, path, flags=os.O_RDWR):
        self.fd = os.open(path, flags)

    def write(self, offset, data):
        """SHORT where it was cut short."""
        try:
            return "OK" if os.pwrite(self.fd, data, offset) == len(data) else "SHORT"
        except OSError as error:
            return errno.errorcode[error.errno]

    def read(self, offset, size):
        """The status, and the bytes."""
        try:
            return "OK", os.pread(self.fd, size, offset)
        except OSError as error:
            return errno.errorcode[error.errno], b""

    def fsync(self):
        return status(os.fsync, self.fd)

    def close(self):
        os.close(self.fd)

    def dirty(self, offset=0):
        """Leaves dirty pages in the image's page cache, also where that is a file of nbdfuse: the
        first write goes through to the medium, the second one is a copy into the mapping.
        """
        for _ in range(2):
            assert self.write(offset, random.randbytes(100)) == "OK"
