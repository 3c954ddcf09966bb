"""Files and folders of a run directory, opened as what they are.

A run directory may come from somebody else. A link in it, planted or not, would have what is meant for the run written
to a file elsewhere, or have everything deleted in a folder elsewhere: none is followed. The run directory itself may be
reached by links; what is below it may not.
"""

from __future__ import annotations

import errno
import os
import stat
from pathlib import Path


def near(path: Path) -> str:
    """A path as one would type it here, where that is shorter."""
    here = os.path.relpath(path)
    return here if len(here) < len(str(path)) else str(path)


_WRITES = os.O_WRONLY | os.O_RDWR


def open_own(path: Path, flags: int, mode: int = 0o644) -> int:
    """os.open, for a file of the run's own.

    Raises OSError where there is a link in its place, or no plain file, or, to write, one that stands elsewhere too.
    """
    try:
        # A pipe would be waited for.
        fd = os.open(path, flags & ~os.O_TRUNC | os.O_NOFOLLOW | os.O_NONBLOCK | os.O_CLOEXEC, mode)
    except OSError as error:
        if error.errno == errno.ELOOP:
            raise _linked(path) from None
        raise
    found = os.fstat(fd)
    if stat.S_ISREG(found.st_mode) and not (flags & _WRITES and found.st_nlink > 1):
        if flags & os.O_TRUNC:
            os.ftruncate(fd, 0)
        return fd
    os.close(fd)
    if stat.S_ISREG(found.st_mode):
        why = "it is linked from elsewhere too: put a copy in its place"
    else:
        why = "it is no plain file: move it aside"
    raise OSError(errno.EINVAL, why, str(path))


def plain(path: str, flags: int) -> int:
    """For open(..., opener=plain): to read a file, wherever it is.

    Raises OSError where it is none: whoever opens a pipe waits for somebody at its other end.
    """
    fd = os.open(path, flags | os.O_NONBLOCK | os.O_CLOEXEC)
    if stat.S_ISREG(kind := os.fstat(fd).st_mode):
        return fd
    os.close(fd)
    if stat.S_ISDIR(kind):
        raise IsADirectoryError(errno.EISDIR, os.strerror(errno.EISDIR), path)
    raise OSError(errno.EINVAL, "it is no plain file", path)


def read_plain(path: Path) -> bytes:
    """The bytes at path. Raises OSError."""
    with open(path, "rb", opener=plain) as file:
        return file.read()


def make_folder(run: Path, *names: str) -> Path:
    """A folder below the run directory, made where it is absent, with those above it.

    Raises OSError where one of them is a link, or cannot be made.
    """
    run.mkdir(mode=0o700, parents=True, exist_ok=True)
    above = os.open(run, os.O_PATH | os.O_DIRECTORY | os.O_CLOEXEC)
    path = run
    try:
        for name in names:
            path = path / name
            below = _enter(above, name, path)
            os.close(above)
            above = below
    finally:
        os.close(above)
    return path


def _enter(above: int, name: str, path: Path) -> int:
    flags = os.O_PATH | os.O_DIRECTORY | os.O_NOFOLLOW | os.O_CLOEXEC
    for _ in range(2):
        try:
            return os.open(name, flags, dir_fd=above)
        except FileNotFoundError:
            try:
                os.mkdir(name, dir_fd=above)
            except FileExistsError:
                continue  # Just made by another of our processes.
        except NotADirectoryError:
            if os.path.islink(path):
                raise _linked(path) from None
            raise
    return os.open(name, flags, dir_fd=above)


def _linked(path: Path) -> OSError:
    try:
        target = f"to {os.readlink(path)}"
    except OSError:
        target = "elsewhere"
    return OSError(errno.ELOOP, f"it is a link {target}: a run directory has none, remove it", str(path))
