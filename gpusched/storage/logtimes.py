"""log.times: when a trial's log had how many bytes, noted at every epoch, so that `logs --since` knows where to begin.

One JSON array a line, [seconds since 1970, bytes]. Worth nothing after a crash but that: lost lines are nobody's error.
"""

from __future__ import annotations

import os
import time
from pathlib import Path

import msgspec

from gpusched.storage.files import open_own
from gpusched.storage.reading import NOT_DECODED


def note(log: Path) -> None:
    """Writes down how long the log is now; nothing where there is none, or nothing in it."""
    try:
        size = os.stat(log).st_size
        if size == 0:
            return
        fd = open_own(_beside(log), os.O_WRONLY | os.O_CREAT | os.O_APPEND)
    except OSError:
        return  # A convenience: the metrics, written just before, say what has no room.
    try:
        os.write(fd, b"[%.3f,%d]\n" % (time.time(), size))
    finally:
        os.close(fd)


def offset_at(log: Path, wall: float) -> int:
    """Bytes the log had at the last note before that time, or at the first one; 0 where nothing was noted."""
    try:
        lines = _beside(log).read_bytes().splitlines()
    except OSError:
        return 0
    offset = 0
    for line in lines:
        try:
            at, size = msgspec.json.decode(line, type=tuple[float, int])
        except NOT_DECODED:
            continue  # Torn.
        if at > wall:
            break
        offset = size
    return offset


def _beside(log: Path) -> Path:
    return log.with_name("log.times")
