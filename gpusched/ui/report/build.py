"""Puts data, style and scripts into one file.

What user code named or printed enters the page as JSON only, and the script sets it as text: it is never markup.
"""

from __future__ import annotations

from importlib.resources import files
from typing import TYPE_CHECKING, Any

import msgspec

from gpusched.printable import harmless
from gpusched.ui.report.data import collect

if TYPE_CHECKING:
    from gpusched.runtime.reader import Run

_PARTS = ("style.css", "scales.js", "plots.js", "main.js")


def report(run: Run, pid: int | None = None) -> str:
    """The page of a run, as it stands."""
    return page(harmless(collect(run, pid)))


def page(data: dict[str, Any]) -> str:
    folder = files(__package__) / "page"
    text = (folder / "page.html").read_text("utf-8")
    for part in _PARTS:
        text = text.replace(f"/* {part} */", (folder / part).read_text("utf-8"))
    # Last, so that nothing in the data is taken for a place to put a part.
    return text.replace("{data}", embedded(data))


def embedded(data: Any) -> str:
    """JSON that cannot end the element it stands in."""
    text = msgspec.json.encode(data).decode()
    for character in "<>&\u2028\u2029":
        text = text.replace(character, f"\\u{ord(character):04x}")
    return text
