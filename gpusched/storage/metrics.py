"""metrics.jsonl: one JSON object for each epoch a trial has trained.

Knows how lines are added, dropped and read back; what the numbers mean is not its business. A torn
last line, as a crash leaves it, is nobody's error. Each line has a checksum: one that was changed is left out. So is
one of an attempt that another has taken the place of: its process may write on where nobody can end it.
"""

from __future__ import annotations

import os
from collections.abc import Iterable, Mapping
from pathlib import Path
from typing import Any, NamedTuple, TypeAlias

import msgspec

from gpusched.storage import checksum
from gpusched.storage.files import open_own, read_plain
from gpusched.storage.reading import NOT_DECODED
from gpusched.storage.rundir import as_json, write_whole

#: Keys that are not metrics.
RESERVED = ("epoch", "execution", "seconds", "attempt", checksum.KEY)

#: So many lines may have been lost of a file that is still believed.
_LOST = 1000
#: Larger whole numbers have no float, and no metric is one.
_WHOLE = 2**1000


#: With the attempt that trained it: None in lines of earlier versions. No class: a search has a million of them.
_Epoch: TypeAlias = tuple[dict[str, Any], int | None]


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
        content = read_plain(path)
    except FileNotFoundError:
        return Lines([], [])
    return lines_of(content)


def lines_of(content: bytes) -> Lines:
    """What a file with this content says."""
    epochs, damaged = _read(content)
    return Lines([record for record, _ in epochs], damaged)


def _read(content: bytes) -> tuple[list[_Epoch], list[int]]:
    whole = content.split(b"\n")
    torn = whole.pop()
    epochs: list[_Epoch] = []
    damaged, signed = [], False
    for number, line in enumerate(whole, 1):
        record, signed = _record(line, len(whole), signed=signed), signed or checksum.is_signed(line)
        if record is None:
            damaged.append(number)
        else:
            epochs.append(record)
    if torn and (last := _record(torn, len(whole) + 1, signed=signed)) is not None:
        epochs.append(last)
    return _current(epochs), damaged


def _current(epochs: list[_Epoch]) -> list[_Epoch]:
    """Without what an attempt wrote after the next had begun, or of epochs that the next has trained again."""
    if len({attempt for _, attempt in epochs}) <= 1:
        return epochs
    newest, begun = 0, dict[int, int]()  #: attempts: of all, and by execution
    kept: list[_Epoch] = []
    for each in epochs:
        record, attempt = each
        if attempt is not None:
            if attempt < newest:
                continue
            newest, execution = attempt, record.get("execution", 0)
            if attempt > begun.get(execution, 0):
                begun[execution] = attempt
                kept = [older for older in kept if older[1] is None or not _trained_again(older[0], record)]
        kept.append(each)
    return kept


def _trained_again(older: dict[str, Any], newer: dict[str, Any]) -> bool:
    return older.get("execution", 0) == newer.get("execution", 0) and bool(older["epoch"] >= newer["epoch"])


def _record(line: bytes, count: int, *, signed: bool) -> _Epoch | None:
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
    attempt = None
    if isinstance(named := record.get("attempt"), str):  # A number is a metric of that name.
        del record["attempt"]
        attempt = int(named) if named.isdecimal() else None
    return (record, attempt) if _sensible(record, count) else None


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


def append(path: Path, record: Mapping[str, Any], attempt: int | None = None) -> None:
    """Adds a line. It is in the kernel's hands when this returns: killing the process loses nothing."""
    line = _line(record, attempt)
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
    try:
        content = read_plain(path)
    except FileNotFoundError:
        return
    kept = [
        each
        for each in _read(content)[0]
        if each[0]["epoch"] <= epoch or (execution is not None and each[0].get("execution", 0) != execution)
    ]
    lines = b"".join(_line(*each) for each in kept)
    if content != lines:
        write_whole(path, lines)


def amend(path: Path, execution: int, metrics: Mapping[str, Any]) -> dict[str, Any]:
    """Adds to the newest epoch of an execution; returns what that has now."""
    epochs = _read(read_plain(path))[0]
    mine = [record for record, _ in epochs if record.get("execution", 0) == execution]
    newest = max(mine, key=lambda record: int(record["epoch"]))
    seconds = newest.pop("seconds", None)
    newest |= {**metrics, "seconds": seconds}
    write_whole(path, b"".join(_line(*each) for each in epochs))
    return newest


def write(path: Path, records: Iterable[Mapping[str, Any]]) -> None:
    """Puts these lines in the place of all there are."""
    write_whole(path, b"".join(_line(record, None) for record in records))


def _line(record: Mapping[str, Any], attempt: int | None) -> bytes:
    named = {} if attempt is None else {"attempt": str(attempt)}
    return checksum.signed(as_json({**record, **named})) + b"\n"
