"""Text of unknown origin, made harmless: the one gate for all that a trial, a script or a run directory names or says.

Pure. What is let through neither steers a terminal, nor turns the direction of writing, nor is a formula to a table.
Everything that is printed, drawn or exported for people goes through here; files for programs keep what was written.
"""

from __future__ import annotations

import re
from typing import Any, TextIO

#: Control characters but tab and newline, separators of lines, and what has no width: marks and turns of the direction
#: of writing, invisible operators, tags. As the inside of a regular expression's brackets.
UNSEEN = (
    "\x00-\x08\x0b-\x1f\x7f-\x9f\u061c\u200b\u200e\u200f\u2028\u2029\u202a-\u202e\u2060-\u206f\ufeff"
    "\U000e0000-\U000e007f"
)
_UNSEEN = re.compile(f"[{UNSEEN}]")
#: ECMA-48 control sequences, the strings that OSC, DCS and their like open, and two-character escapes.
_ESCAPES = re.compile(
    "(?:\x1b\\[|\x9b)[0-?]*[ -/]*[@-~]?"
    "|(?:\x1b[\\]PX^_]|[\x90\x98\x9d-\x9f])[^\x07\x1b\x9c\n]*(?:\x07|\x1b\\\\|\x9c)?"
    "|\x1b[ -/]*[0-~]?"
)
#: What spreadsheets take for the beginning of a formula.
_FORMULA = ("=", "+", "-", "@")


def clean(text: str) -> str:
    """One line that cannot steer a terminal: escapes dropped, other control characters as spaces."""
    return still(_ESCAPES.sub("", text)).replace("\n", " ").replace("\t", " ")


def plain_lines(text: str) -> str:
    """The same for text of several lines."""
    return "\n".join(clean(line) for line in text.split("\n"))


def still(text: str) -> str:
    """Text of the same length, with a space for each character that does something instead of being seen."""
    return _UNSEEN.sub(" ", text)


def tell(text: str, file: TextIO) -> None:
    """Prints lines."""
    print(plain_lines(text), file=file)


def escaped(json: str) -> str:
    """JSON that says the same, and can be printed."""
    return _UNSEEN.sub(_escape, json)


def _escape(found: re.Match[str]) -> str:
    units = found[0].encode("utf-16-be").hex()
    return "".join(f"\\u{units[at : at + 4]}" for at in range(0, len(units), 4))


def harmless(value: Any) -> Any:
    """Plain data with all its texts made harmless, keys included."""
    match value:
        case str():
            return plain_lines(value)
        case dict():
            return {harmless(key): harmless(each) for key, each in value.items()}
        case list() | tuple():
            return [harmless(each) for each in value]
        case _:
            return value


def cell(value: Any) -> Any:
    """A value in a table: text that is taken for a formula gets an apostrophe in front, numbers stay what they are."""
    if not isinstance(value, str):
        return value
    text = clean(value)
    return f"'{text}" if text.lstrip().startswith(_FORMULA) and not _is_number(text) else text


def _is_number(text: str) -> bool:
    try:
        float(text)
    except ValueError:
        return False
    return True
