"""metrics.jsonl: one JSON object for each epoch a trial has trained.

Knows how lines are added, dropped and read back; what the numbers mean is not its business. A torn
last line, as a crash leaves it, is nobody's error.
"""

from __future__ import annotations

import os
from collections.abc import Iterable, Mapping
from pathlib import Path
from typing import Any

from gpusched.storage.files import open_own
from gpusched.storage.reading import decode_lines
from gpusched.storage.rundir import as_json, write_whole

#: Keys that are not metrics.
RESERVED = ("epoch", "execution", "seconds")


def read_metrics(path: Path) -> list[dict[str, Any]]:
    """The lines of the file in their order; none where there is no file. Raises OSError where it cannot be read."""
    try:
        content = path.read_bytes()
    except FileNotFoundError:
        return []
    return epochs_of(content)


def epochs_of(content: bytes) -> list[dict[str, Any]]:
    """The lines that such a file's content has."""
    return [record for record in decode_lines(content) if isinstance(record.get("epoch"), int)]


def append(path: Path, record: Mapping[str, Any]) -> None:
    """Adds a line. It is in the kernel's hands when this returns: killing the process loses nothing."""
    line = as_json(record) + b"\n"
    fd = open_own(path, os.O_WRONLY | os.O_CREAT | os.O_APPEND)
    try:
        done = 0
        while done < len(line):
            done += os.write(fd, line[done:])
    finally:
        os.close(fd)


def sync(path: Path) -> None:
    """Brings the file to the disk, so that losing power loses nothing either."""
    try:
        fd = os.open(path, os.O_RDONLY)
    except FileNotFoundError:
        return
    try:
        os.fsync(fd)
    finally:
        os.close(fd)


def truncate_after(path: Path, epoch: int, execution: int | None = None) -> None:
    """Drops torn lines and the lines of later epochs, of one execution or of all."""
    records = read_metrics(path)
    kept = [
        record
        for record in records
        if record["epoch"] <= epoch or (execution is not None and record.get("execution", 0) != execution)
    ]
    if path.exists() and path.read_bytes() != _lines(kept):
        write(path, kept)


def write(path: Path, records: Iterable[Mapping[str, Any]]) -> None:
    """Puts these lines in the place of all there are."""
    write_whole(path, _lines(records))


def _lines(records: Iterable[Mapping[str, Any]]) -> bytes:
    return b"".join(as_json(record) + b"\n" for record in records)
