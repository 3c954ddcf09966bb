"""The standard streams: written out, and kept free of what libraries print about themselves while they load.

User code may have put anything in the place of Python's: what gpusched has to say goes to the descriptor.
"""

from __future__ import annotations

import contextlib
import os
import sys
from collections.abc import Iterator

from gpusched.errors import encodable, traceback_of


def flush() -> None:
    """Writes out what Python's streams hold back, as far as they are streams."""
    for stream in (sys.stdout, sys.stderr):
        with contextlib.suppress(Exception):
            stream.flush()


def say(text: str) -> None:
    """Writes to standard error. Raises nothing: a log that takes no more is not the trial's end."""
    flush()
    line = encodable(text).encode()
    with contextlib.suppress(OSError):
        while line:
            line = line[os.write(2, line) :]


def show(error: BaseException) -> None:
    """Writes its traceback there."""
    say(traceback_of(error))


@contextlib.contextmanager
def quiet_unless_it_fails() -> Iterator[None]:
    """Holds back what C++ libraries write to standard error while this lasts; shows it where an exception leaves."""
    flush()
    kept = os.dup(2)
    aside = os.memfd_create("gpusched-quiet")
    os.dup2(aside, 2)
    try:
        yield
    except BaseException:
        os.lseek(aside, 0, os.SEEK_SET)
        while block := os.read(aside, 1 << 16):
            os.write(kept, block)
        raise
    finally:
        os.dup2(kept, 2)
        os.close(kept)
        os.close(aside)
