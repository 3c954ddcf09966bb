"""Reading logs from their ends: the last lines first, then what is added, in whole lines.

A file is opened for each read and not held: following a hundred logs takes no descriptors while they are quiet.
"""

from __future__ import annotations

import os
from collections.abc import AsyncIterator, Iterator
from contextlib import contextmanager
from pathlib import Path

from aiofiles.threadpool import wrap
from aiofiles.threadpool.binary import AsyncBufferedReader

from gpusched.storage.files import plain
from gpusched.ui.logs.screen import Lines

BLOCK = 1 << 18
#: Less than this is read at once: handing it to a thread takes longer, and there are searches of 10,000 logs.
_AT_ONCE = 1 << 16


@contextmanager
def reading(path: Path) -> Iterator[AsyncBufferedReader]:
    """The file, opened at once and read in threads.

    Opening in a thread would lose the descriptor of a reader that is cancelled meanwhile: nobody would close it.
    """
    with open(path, "rb", opener=plain) as file:
        yield wrap(file)


class LogFile:
    """A log that may grow, begin later, or be cut."""

    def __init__(self, path: Path, *, colors: bool = False) -> None:
        self.path = path
        self.offset = 0
        self._colors = colors
        self._lines = Lines(colors)

    @property
    def size(self) -> int:
        try:
            return os.stat(self.path).st_size
        except OSError:
            return 0

    @property
    def has_news(self) -> bool:
        return self.size != self.offset

    def changed_at(self) -> float | None:
        """Seconds since 1970; None where there is no file."""
        try:
            return os.stat(self.path).st_mtime
        except OSError:
            return None

    async def seek_to_last(self, count: int) -> None:
        """Begins at the last so many lines. Reads no more of the file than those."""
        size = self.size
        self.offset = size
        if count <= 0 or not size:
            return
        with reading(self.path) as file:
            position, wanted = size, count + 1
            while position > 0:
                start = max(0, position - BLOCK)
                await file.seek(start)
                block = await file.read(position - start)
                if position == size and not block.endswith(b"\n"):
                    wanted -= 1  # the last line has no end yet, and counts
                found = block.count(b"\n")
                if found >= wanted:
                    at = len(block)
                    for _ in range(wanted):
                        at = block.rfind(b"\n", 0, at)
                    self.offset = start + at + 1
                    return
                wanted -= found
                position = start
        self.offset = 0

    async def news(self) -> AsyncIterator[list[str]]:
        """The lines added since the last call, a block at a time, up to the size it has now."""
        size = self.size
        if size < self.offset:  # cut: it is another log now
            self.offset, self._lines = 0, Lines(self._colors)
        if size == self.offset:
            return
        try:
            if size - self.offset <= _AT_ONCE:
                if lines := self._lines.feed(self._read_to(size)):
                    yield lines
                return
            with reading(self.path) as file:
                await file.seek(self.offset)
                while self.offset < size:
                    content = await file.read(min(BLOCK, size - self.offset))
                    if not content:
                        return
                    self.offset += len(content)
                    if lines := self._lines.feed(content):
                        yield lines
        except FileNotFoundError:
            return

    def _read_to(self, size: int) -> bytes:
        with open(self.path, "rb", opener=plain) as file:
            file.seek(self.offset)
            content = file.read(size - self.offset)
        self.offset += len(content)
        return content

    def end(self) -> list[str]:
        """The last line, if it never got its end."""
        return self._lines.end()
