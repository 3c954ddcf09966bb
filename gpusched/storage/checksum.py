"""A checksum as the last member of a JSON object, so that a bit that flips on a disk changes no figure unnoticed.

`{"epoch": 1}` is written as `{"epoch":1,"crc32":"5f1c0a3b"}`: the CRC of all bytes in front of it. It finds damage,
not forgery: whoever edits a file on purpose can write a new one. Objects of older versions have none.
"""

from __future__ import annotations

import zlib

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
    """The checksum that a signed object says it has. Raises ValueError where that is no number."""
    return int(content[-10:-2], 16)


def intact(content: bytes, before: int = 0) -> int | None:
    """The checksum of a signed object; None where it does not fit the content."""
    found = zlib.crc32(content[:-_TAIL], before)
    return found if content[-10:-2] == b"%08x" % found else None
