"""The journal: every event of a search and every decision that followed, appended and synced.

One JSON object a line, each with a checksum over itself and the line before it: a line that is changed, lost or
out of its place is an error, since what follows it cannot be trusted. A last line that a crash tore is dropped
with a warning. Lines of older versions have no checksum.
"""

from __future__ import annotations

import contextlib
import os
from collections.abc import Iterable, Iterator
from pathlib import Path
from typing import TypeAlias

import msgspec

from gpusched.core.commands import AnyCommand, Command
from gpusched.core.events import AnyEvent, Event
from gpusched.errors import GpuschedError, UsageError
from gpusched.storage import checksum, room
from gpusched.storage.files import open_own, plain
from gpusched.storage.reading import NOT_DECODED

Line: TypeAlias = AnyEvent | AnyCommand

_decoder: msgspec.json.Decoder[Line] = msgspec.json.Decoder(AnyEvent | AnyCommand)
_encoder = msgspec.json.Encoder()


class JournalError(GpuschedError):
    """The journal could not be written: nothing that was not written has been acted upon."""


class Journal:
    """The writing end. `path` is created where it is absent; a torn tail is cut off."""

    def __init__(self, path: Path) -> None:
        self.path = path
        try:
            self._fd = open_own(path, os.O_WRONLY | os.O_CREAT)
            self._size, last = _whole_length(path)
            self.cut = os.fstat(self._fd).st_size > self._size  #: a torn last line was dropped
            self._cut_back()
        except OSError as error:
            raise UsageError(f"{path}: cannot be written ({error.strerror}); choose another directory") from None
        self._checksum = checksum.of(last) if checksum.is_signed(last) else 0

    def _cut_back(self) -> None:
        os.ftruncate(self._fd, self._size)
        os.lseek(self._fd, self._size, os.SEEK_SET)

    def append(self, lines: Iterable[Line], *, durable: bool = True) -> None:
        """Writes the lines and, durably, syncs them to disk.

        Raises JournalError, and leaves no half line, where that fails.
        """
        last, signed = self._checksum, []
        for line in lines:
            signed.append(checksum.signed(_encoder.encode(line), last))
            last = checksum.of(signed[-1])
        content = b"".join(line + b"\n" for line in signed)
        try:
            written = 0
            while written < len(content):
                written += os.write(self._fd, content[written:])
            if durable:
                os.fdatasync(self._fd)
        except OSError as error:
            with contextlib.suppress(OSError):  # The next session drops half a line as well.
                self._cut_back()
            where = f"{self.path}: cannot be written ({error.strerror})"
            raise JournalError(f"{where}; {room.advice(error)} and run the same command again") from error
        self._size += len(content)
        self._checksum = last

    def close(self) -> None:
        os.close(self._fd)


def _whole_length(path: Path) -> tuple[int, bytes]:
    """Bytes up to and with the last newline, and the line in front of that."""
    with open(path, "rb", opener=plain) as file:
        end = file.seek(0, os.SEEK_END)
        tail, start = b"", end
        while start > 0 and tail.count(b"\n") < 2:
            begin = max(0, start - 65536)
            file.seek(begin)
            tail = file.read(start - begin) + tail
            start = begin
    whole = tail.rfind(b"\n") + 1
    return start + whole if whole else 0, tail[:whole].rstrip(b"\n").rpartition(b"\n")[2]


class JournalReader:
    """The reading end: follows a journal that another process may be writing."""

    def __init__(self, path: Path, intact: int = 0) -> None:
        """`intact` is up to which byte, a line's end, somebody has checked the journal before."""
        self.path = path
        self._intact = intact
        self._offset = 0
        self._line = 0
        self._checksum: int | None = None  #: of the last line; None before the first that has one
        self.torn = False  #: the last read met an unfinished last line

    @property
    def offset(self) -> int:
        """Bytes read so far: whole lines."""
        return self._offset

    def read(self) -> list[Line]:
        """The whole lines since the last call; an unfinished one is left for the next.

        Raises UsageError, naming the line, where one is broken.
        """
        try:
            with open(self.path, "rb", opener=plain) as file:
                file.seek(self._offset)
                content = file.read()
        except FileNotFoundError:
            return []
        except OSError as error:
            raise UsageError(f"{self.path}: cannot be read ({error.strerror}); mend that to go on") from None
        checked = content[: max(0, self._intact - self._offset)].count(b"\n")
        end = content.rfind(b"\n") + 1
        self.torn = end < len(content)
        self._offset += end
        raws = content[:end].split(b"\n")[:-1]
        last = self._checksum
        with contextlib.suppress(*NOT_DECODED):
            if checked and checksum.is_signed(raws[checked - 1]):
                self._checksum = checksum.of(raws[checked - 1])
            self._checksum = checksum.follow(raws[checked:], self._checksum)
            lines = _decoder.decode_lines(content[:end])
            # It passes over empty lines, which are damage.
            if len(lines) == len(raws):
                self._line += len(lines)
                return lines
        self._checksum = last
        return list(self._one_by_one(raws))

    def _one_by_one(self, raws: Iterable[bytes]) -> Iterator[Line]:
        """The slow way, which knows the line that is broken."""
        for raw in raws:
            self._line += 1
            try:
                self._checksum = checksum.follow([raw], self._checksum)
                yield _decoder.decode(raw)
            except NOT_DECODED as error:
                raise UsageError(
                    f"{self.path}: line {self._line} is not readable ({error}); "
                    "restore the file, or start a new search with --restart"
                ) from None


def split(lines: Iterable[Line]) -> tuple[list[AnyEvent], list[AnyCommand]]:
    """The events and the decisions among the lines of a journal."""
    events: list[AnyEvent] = []
    commands: list[AnyCommand] = []
    for line in lines:
        if isinstance(line, Event):
            events.append(line)
        elif isinstance(line, Command):
            commands.append(line)
    return events, commands
