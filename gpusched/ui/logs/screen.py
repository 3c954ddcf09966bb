"""What a line looks like once its carriage returns, backspaces and escapes have done their work.

Pure: bytes in, lines out. Of control sequences only colours survive, and only where they are asked for:
a trial's output cannot move the cursor of whoever reads it, set a title or answer a query.
"""

from __future__ import annotations

import re

from gpusched.printable import UNSEEN, clean

#: A line that never ends is passed on in pieces of this size.
LONGEST = 1 << 16

#: Anything that wants more than being copied. Tabs pass.
_SPECIAL = re.compile(f"[{UNSEEN}]")
_TOKEN = re.compile(
    "\x1b\\[(?P<args>[0-9;:]*)(?P<final>[A-Za-z])"  # sequences that may mean something within a line
    "|(?:\x1b\\[|\x9b)[0-?]*[ -/]*[@-~]?"  # the other ones
    "|(?:\x1b[\\]PX^_]|[\x90\x98\x9d-\x9f])[^\x07\x1b\x9c]*(?:\x07|\x1b\\\\|\x9c)?"
    "|\x1b[ -/]*[0-~]?"
    f"|(?P<text>[^{UNSEEN}]+)"
    "|(?P<control>.)",
    re.DOTALL,
)
#: A cursor does not go further right than any window is wide.
_WIDEST = 4096


class LineScreen:
    """One line of a terminal, without its height."""

    def __init__(self, colors: bool = False) -> None:
        self._colors = colors
        self._cells: list[tuple[str, str]] = []  # character, colours
        self._at = 0
        self._color = ""

    def feed(self, text: str) -> None:
        for token in _TOKEN.finditer(text):
            if (plain := token["text"]) is not None:
                self._put(plain)
            elif token["control"] == "\r":
                self._at = 0
            elif token["control"] == "\b":
                self._at = max(0, self._at - 1)
            elif token["final"] is not None:
                self._sequence(token["final"], token["args"])

    def _put(self, text: str) -> None:
        cells, color = self._cells, self._color
        if self._at > len(cells):
            cells += [(" ", "")] * (self._at - len(cells))
        cells[self._at : self._at + len(text)] = [(character, color) for character in text]
        self._at += len(text)

    def _sequence(self, final: str, args: str) -> None:
        first = args.partition(";")[0]
        count = min(int(first), _WIDEST) if first.isdecimal() else None
        match final:
            case "m":
                reset = args in ("", "0")
                self._color = "" if reset or not self._colors else f"{self._color}\x1b[{args}m"[-64:]
            case "D":
                self._at = max(0, self._at - (count or 1))
            case "C":
                self._at = min(_WIDEST, self._at + (count or 1))
            case "G":
                self._at = max(0, (count or 1) - 1)
            case "K" if count in (None, 0):
                del self._cells[self._at :]
            case "K" if count == 2:
                self._cells.clear()
            case "K":
                self._cells[: self._at] = [(" ", "")] * min(self._at, len(self._cells))
            case _:
                pass

    def take(self) -> str:
        """The line as it stands; the next one begins."""
        parts, color = [], ""
        for character, wanted in self._cells:
            if wanted != color:
                parts.append("\x1b[0m" if color else "")
                parts.append(wanted)
                color = wanted
            parts.append(character)
        if color:
            parts.append("\x1b[0m")
        self._cells, self._at = [], 0
        return "".join(parts).rstrip(" ")

    def __len__(self) -> int:
        return len(self._cells)


class Lines:
    """Bytes of a log as they come, to the lines one would have seen."""

    def __init__(self, colors: bool = False) -> None:
        self._colors = colors
        self._screen = LineScreen(colors)
        self._rest = b""
        self._begun = False  # the screen holds the beginning of the line

    def feed(self, content: bytes) -> list[str]:
        """The lines that are whole now."""
        *whole, self._rest = (self._rest + content).split(b"\n")
        lines = [self._line(raw) for raw in whole]
        if len(self._rest) > LONGEST:
            # A progress bar that has been rewriting its line: keep how it looks, not how it came about.
            cut = _boundary(self._rest)
            self._screen.feed(self._rest[:cut].decode(errors="replace"))
            self._rest, self._begun = self._rest[cut:], True
            if len(self._screen) > LONGEST:
                lines.append(self._screen.take())
                self._begun = False
        return lines

    def end(self) -> list[str]:
        """What is left of a line without an end."""
        if not self._rest and not self._begun:
            return []
        rest, self._rest = self._rest, b""
        line = self._line(rest)
        return [line] if line else []

    def _line(self, raw: bytes) -> str:
        text = raw.decode(errors="replace")
        if not self._begun and _SPECIAL.search(text) is None:
            return text
        self._screen.feed(text)
        self._begun = False
        line = self._screen.take()
        return line if self._colors else clean(line) if _SPECIAL.search(line) else line


def _boundary(content: bytes) -> int:
    """Where it may be cut: not within a character of several bytes or an escape sequence."""
    escape = content.rfind(b"\x1b", -64)
    if escape > 0:
        return escape
    for back in range(1, 5):
        if back <= len(content) and content[-back] & 0xC0 != 0x80:
            return len(content) - back
    return len(content)
