"""The journal: every event of a search and every decision that followed, appended and synced.

One JSON object a line. A last line that a crash tore is dropped with a warning; a broken line
before the last is an error, since what follows it cannot be trusted.
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
from gpusched.storage.files import open_own
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
        except OSError as error:
            raise UsageError(f"{path}: cannot be written ({error.strerror}); choose another directory") from None
        self._size = _whole_length(path)
        self.cut = os.fstat(self._fd).st_size > self._size  #: a torn last line was dropped
        os.ftruncate(self._fd, self._size)
        os.lseek(self._fd, self._size, os.SEEK_SET)

    def append(self, lines: Iterable[Line], *, durable: bool = True) -> None:
        """Writes the lines and, durably, syncs them to disk.

        Raises JournalError, and leaves no half line, where that fails.
        """
        content = b"".join(_encoder.encode(line) + b"\n" for line in lines)
        try:
            written = 0
            while written < len(content):
                written += os.write(self._fd, content[written:])
            if durable:
                os.fdatasync(self._fd)
        except OSError as error:
            os.ftruncate(self._fd, self._size)
            os.lseek(self._fd, self._size, os.SEEK_SET)
            raise JournalError(
                f"{self.path}: cannot be written ({error.strerror}); make room and run the same command again"
            ) from error
        self._size += len(content)

    def close(self) -> None:
        os.close(self._fd)


def _whole_length(path: Path) -> int:
    """Bytes up to and with the last newline."""
    with open(path, "rb") as file:
        end = file.seek(0, os.SEEK_END)
        while end > 0:
            start = max(0, end - 65536)
            file.seek(start)
            block = file.read(end - start)
            at = block.rfind(b"\n")
            if at >= 0:
                return start + at + 1
            end = start
    return 0


class JournalReader:
    """The reading end: follows a journal that another process may be writing."""

    def __init__(self, path: Path) -> None:
        self.path = path
        self._offset = 0
        self._line = 0
        self.torn = False  #: the last read met an unfinished last line

    def read(self) -> list[Line]:
        """The whole lines since the last call; an unfinished one is left for the next.

        Raises UsageError, naming the line, where one is broken.
        """
        try:
            with open(self.path, "rb") as file:
                file.seek(self._offset)
                content = file.read()
        except FileNotFoundError:
            return []
        end = content.rfind(b"\n") + 1
        self.torn = end < len(content)
        self._offset += end
        with contextlib.suppress(*NOT_DECODED):
            lines = _decoder.decode_lines(content[:end])
            # It passes over empty lines, which are damage.
            if len(lines) == content.count(b"\n"):
                self._line += len(lines)
                return lines
        return list(self._one_by_one(content[:end]))

    def _one_by_one(self, content: bytes) -> Iterator[Line]:
        """The slow way, which knows the line that is broken."""
        for raw in content.splitlines():
            self._line += 1
            try:
                yield _decoder.decode(raw)
            except NOT_DECODED as error:
                raise UsageError(
                    f"{self.path}: line {self._line} is not readable ({error}); "
                    "restore the file, or start anew with --fresh"
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
