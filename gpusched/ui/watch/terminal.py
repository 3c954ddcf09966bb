"""Writing to a stream that may vanish, and redrawing a block of lines in place.

Knows terminals, and nothing of searches.
"""

from __future__ import annotations

import contextlib
import errno
import io
import os
import shutil
from collections.abc import Iterator
from typing import Any, TextIO

from rich.cells import cell_len
from rich.console import Console, ConsoleOptions, RenderableType
from rich.segment import Segment
from rich.text import Text

from gpusched.printable import clean, still

#: A terminal that hung up (EIO), a reader that left (EPIPE), a descriptor that was closed (EBADF).
_GONE = frozenset({errno.EIO, errno.EPIPE, errno.EBADF, errno.ENXIO})


class Harmless:
    """A renderable of rich as it may be shown: whatever is in its cells, none but rich gives the terminal orders."""

    def __init__(self, renderable: RenderableType) -> None:
        self._renderable = renderable

    def __rich_console__(self, console: Console, options: ConsoleOptions) -> Iterator[Segment]:
        for segment in console.render(self._renderable, options):
            yield segment if segment.control else Segment(still(segment.text), segment.style)


def console(**options: Any) -> Console:
    """A console that takes nothing in a text for markup, not even where rich was given a str."""
    return Console(**options, markup=False, emoji=False, highlight=False)


class Output:
    """A stream that people read. Once nobody can, writing to it does nothing: the search goes on."""

    def __init__(self, stream: TextIO) -> None:
        self.stream = stream
        self.lost = stream is None
        try:
            self.is_terminal = bool(stream.isatty())
        except (AttributeError, ValueError, OSError):
            self.is_terminal = False

    def write(self, text: str) -> None:
        if self.lost:
            return
        try:
            self.stream.write(text)
            # What scripts put in the place of sys.stdout, to keep a log, often has a write() and nothing else.
            if hasattr(self.stream, "flush"):
                self.stream.flush()
        except UnicodeEncodeError:
            encoding = getattr(self.stream, "encoding", None) or "ascii"
            self.write(text.encode(encoding, "replace").decode(encoding))
        except (OSError, ValueError) as error:
            # A full disk may have room again; the others are for good.
            if not isinstance(error, OSError) or error.errno in _GONE:
                self.lost = True
                self._silence()

    def line(self, text: str) -> None:
        """Shows one line, whoever wrote it."""
        self.write(clean(text) + "\n")

    def _silence(self) -> None:
        """What the stream still holds must not raise again when the interpreter flushes it at exit."""
        with contextlib.suppress(AttributeError, OSError, ValueError):
            null = os.open(os.devnull, os.O_WRONLY)
            os.dup2(null, self.stream.fileno())
            os.close(null)

    @property
    def size(self) -> tuple[int, int]:
        """Columns and lines."""
        try:
            measured = os.get_terminal_size(self.stream.fileno())
        except (AttributeError, OSError, ValueError):
            measured = shutil.get_terminal_size()
        return measured.columns or 80, measured.lines or 24


class Painter:
    """A block of lines at the end of a terminal's output that is redrawn in place.

    Nothing above it is touched, no alternate screen is used, the cursor stays visible: a process that is
    killed leaves a sane terminal. Lines are cut to the width, so that none wraps; after the window
    was made narrower, terminals wrap what is there already, and that is reckoned with.
    """

    def __init__(self, output: Output) -> None:
        self.output = output
        self._colors = console(file=output.stream).color_system if output.is_terminal else None
        self._shown: list[str] = []
        self._width = 0

    def render(self, renderable: RenderableType, width: int) -> list[str]:
        paper = console(
            file=io.StringIO(),
            force_terminal=self._colors is not None,
            color_system=self._colors,
            width=max(1, width),
            soft_wrap=False,
            legacy_windows=False,
        )
        with paper.capture() as capture:
            paper.print(Harmless(renderable), no_wrap=True, overflow="ellipsis", crop=True)
        return capture.get().splitlines()

    def draw(self, renderable: RenderableType) -> None:
        """Shows this in place of what draw() showed before."""
        width, height = self.output.size
        # The last column stays empty: a character there makes some terminals wrap.
        lines = self.render(renderable, width - 1)[: max(1, height - 1)]
        if lines == self._shown and width == self._width:
            return
        text = self._home(width)
        same = self._shown if width == self._width else []
        for n, line in enumerate(lines):
            # A bare newline steps over a line that is as it was: fewer bytes over a slow connection.
            text += "\n" if n < len(same) and same[n] == line else f"{line}\x1b[K\n"
        self._write(text + "\x1b[J")
        self._shown, self._width = lines, width

    def above(self, text: str | Text) -> None:
        """Prints lines that stay, above the block."""
        width, _ = self.output.size
        if isinstance(text, Text) and self._colors is not None:
            paper = console(file=io.StringIO(), force_terminal=True, width=10_000)
            with paper.capture() as capture:
                paper.print(Harmless(text), soft_wrap=True)
            body = capture.get()
        else:
            body = f"{still(text.plain if isinstance(text, Text) else text)}\n"
        block = "".join(f"{line}\x1b[K\n" for line in self._shown)
        self._write(f"{self._home(width)}\x1b[J{body}{block}")
        self._width = width

    def clear(self) -> None:
        """Takes the block away."""
        if self._shown:
            self._write(self._home(self.output.size[0]) + "\x1b[J")
            self._shown = []

    def _home(self, width: int) -> str:
        """To the block's first column and line, however the terminal has wrapped it since."""
        rows = sum(max(1, -(-cell_len(Text.from_ansi(line).plain) // width)) for line in self._shown)
        return f"\x1b[{rows}A\r" if rows else "\r"

    def _write(self, text: str) -> None:
        # Synchronized output: terminals that know it show the change at once, others ignore it.
        self.output.write(f"\x1b[?2026h{text}\x1b[?2026l")
