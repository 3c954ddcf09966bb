"""Whether a run directory can be written at all: what one trial could not write says nothing of the others.

A trial may have deleted its folder, used up its descriptors or limited the size of its files. Only what fails here too
ends a search.
"""

from __future__ import annotations

import errno
import os
from pathlib import Path

#: What a system says where there is no more room, or nothing may be written.
FULL = (errno.ENOSPC, errno.EDQUOT, errno.EROFS)
#: Kind of a failure that says that a disk did not take what had to be kept.
DISK = "disk"
#: A disk that does not take so much takes no checkpoint either.
_PROBE_BYTES = 1 << 20


def refusal(folder: Path) -> OSError | None:
    """Why this folder takes no file of a megabyte; None where it does. Nothing is left of it."""
    probe = folder / f".probe.{os.getpid()}"
    try:
        fd = os.open(probe, os.O_WRONLY | os.O_CREAT | os.O_EXCL | os.O_CLOEXEC, 0o600)
    except OSError as error:
        return error
    try:
        # Allocated and not only written: a file system may take what it has no room for, and say so later.
        os.posix_fallocate(fd, 0, _PROBE_BYTES)
        os.write(fd, b"\0")
        os.fsync(fd)
    except OSError as error:
        return error
    finally:
        os.close(fd)
        os.unlink(probe)
    return None


def advice(error: OSError) -> str:
    """What is to be done about it."""
    if error.errno in (errno.ENOSPC, errno.EDQUOT, errno.EFBIG):
        return "make room"
    if error.errno == errno.EROFS:
        return "make it writable"
    # A run directory that was moved is not there: nothing may be made in its old place.
    return "put it back, or name where it is now," if error.errno == errno.ENOENT else "mend that"
