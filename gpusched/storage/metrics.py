"""metrics.jsonl: one JSON object for each epoch a trial has trained.

Knows how lines are added, dropped and read back; what the numbers mean is not its business. A torn
last line, as a crash leaves it, is nobody's error. Each line has a checksum: one that was changed is left out.
"""

from __future__ import annotations

import os
from collections.abc import Iterable, Mapping
from pathlib import Path
from typing import Any, NamedTuple

import msgspec

from gpusched.storage import checksum
from gpusched.storage.files import open_own
from gpusched.storage.reading import NOT_DECODED
from gpusched.storage.rundir import as_json, write_whole

#: Keys that are not metrics.
RESERVED = ("epoch", "execution", "seconds", checksum.KEY)

#: So many lines may have been lost of a file that is still believed.
_LOST = 1000
#: Larger whole numbers have no float, and no metric is one.
_WHOLE = 2**1000


class Lines(NamedTuple):
    """What such a file says."""

    epochs: list[dict[str, Any]]  #: a dict each, in their order
    damaged: list[int]  #: numbers of the lines that are not as they were written, from 1


def read_metrics(path: Path) -> list[dict[str, Any]]:
    """The lines of the file in their order; none where there is no file. Raises OSError where it cannot be read."""
    return read_lines(path).epochs


def read_lines(path: Path) -> Lines:
    """The same, with what was left out."""
    try:
        content = path.read_bytes()
    except FileNotFoundError:
        return Lines([], [])
    return lines_of(content)


def lines_of(content: bytes) -> Lines:
    """What a file with this content says."""
    whole = content.split(b"\n")
    torn = whole.pop()
    epochs, damaged, signed = [], [], False
    for number, line in enumerate(whole, 1):
        record, signed = _record(line, len(whole), signed=signed), signed or checksum.is_signed(line)
        if record is None:
            damaged.append(number)
        else:
            epochs.append(record)
    if torn and (last := _record(torn, len(whole) + 1, signed=signed)) is not None:
        epochs.append(last)
    return Lines(epochs, damaged)


def _record(line: bytes, count: int, *, signed: bool) -> dict[str, Any] | None:
    """An epoch of a file with so many lines; None for what is damaged."""
    checked = checksum.is_signed(line)
    if (signed and not checked) or (checked and checksum.intact(line) is None):
        return None
    try:
        record = msgspec.json.decode(line)
    except NOT_DECODED:
        return None
    if not isinstance(record, dict):
        return None
    if checked:
        del record[checksum.KEY]
    return record if _sensible(record, count) else None


def _sensible(record: dict[str, Any], count: int) -> bool:
    """Whether this can be an epoch of a trial: they are counted, so that none is far beyond the number of lines."""
    epoch, execution = record.get("epoch"), record.get("execution", 0)
    if type(epoch) is not int or type(execution) is not int:
        return False
    if not 0 < epoch <= count + _LOST or not 0 <= execution <= count + _LOST:
        return False
    return all(
        value is None or isinstance(value, float) or (isinstance(value, int) and abs(value) < _WHOLE)
        for value in record.values()
    )


def append(path: Path, record: Mapping[str, Any]) -> None:
    """Adds a line. It is in the kernel's hands when this returns: killing the process loses nothing."""
    line = checksum.signed(as_json(record)) + b"\n"
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
    return b"".join(checksum.signed(as_json(record)) + b"\n" for record in records)
