"""A checksum as the last member of a JSON object, so that a bit that flips on a disk changes no figure unnoticed.

`{"epoch": 1}` is written as `{"epoch":1,"crc32":"5f1c0a3b"}`: the CRC of all bytes in front of it. It finds damage,
not forgery: whoever edits a file on purpose can write a new one. Objects of older versions have none.
"""

from __future__ import annotations

import zlib
from collections.abc import Iterable

#: The member's name; what is a string under it is no metric, since metrics are numbers.
KEY = "crc32"
_MARK = b',"crc32":"'
#: Bytes from the mark to the end: eight hexadecimal digits, a quote and a brace.
_TAIL = len(_MARK) + 10


def signed(content: bytes, before: int = 0) -> bytes:
    """A JSON object, not an empty one, with its checksum.

    `before` is the checksum of what has to stand in front of it, if anything has.
    """
    body = content[:-1]
    return b'%b%b%08x"}' % (body, _MARK, zlib.crc32(body, before))


def is_signed(content: bytes) -> bool:
    """Whether these bytes end like an object with a checksum."""
    return content[-_TAIL:-10] == _MARK and content.endswith(b'"}')


def of(content: bytes) -> int:
    """The checksum that a signed object says it has; 0 where that is no number, which fits no line behind it."""
    try:
        return int(content[-10:-2], 16)
    except ValueError:
        return 0


def intact(content: bytes, before: int = 0) -> int | None:
    """The checksum of a signed object; None where it does not fit the content."""
    found = zlib.crc32(content[:-_TAIL], before)
    return found if content[-10:-2] == b"%08x" % found else None


def follow(lines: Iterable[bytes], last: int | None) -> int | None:
    """The checksum of the last of these lines, each of which has one over itself and the line before it.

    `last` is that of the line before the first; None where no line had one yet. Raises ValueError where a line was
    changed, is missing, or has no checksum behind one that has. One loop: journals have 100,000 lines.
    """
    for line in lines:
        if line[-_TAIL:-10] == _MARK:
            found = zlib.crc32(line[:-_TAIL], last or 0)
            if line[-10:] != b'%08x"}' % found:
                raise ValueError("it was changed, or a line in front of it is missing")
            last = found
        elif last is not None:
            raise ValueError("it has no checksum, as the line in front of it has")
    return last
