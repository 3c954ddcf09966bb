"""Reading what others wrote: a file may be absent, away for a moment, forbidden, damaged or no file at all.

Every way this can go is an answer, and none an exception: whoever reads decides what follows.
"""

from __future__ import annotations

from pathlib import Path
from typing import NamedTuple, TypeVar

import msgspec

from gpusched.storage import checksum
from gpusched.storage.files import read_plain

T = TypeVar("T")

#: What msgspec raises for bytes that are not the record. Its own error is a ValueError in its newer versions only.
NOT_DECODED = (msgspec.MsgspecError, ValueError, RecursionError, OverflowError)


class Unreadable(NamedTuple):
    """Why there is no content."""

    reason: str  #: for people; names the file
    #: The system refused the read, so that the same read may succeed later; otherwise the content is wrong.
    refused: bool


def read_content(path: Path) -> bytes | Unreadable | None:
    """The bytes at path; None where there is nothing."""
    try:
        return read_plain(path)
    except FileNotFoundError:
        return None
    except (OSError, ValueError) as error:
        return Unreadable(f"{path}: cannot be read ({getattr(error, 'strerror', None) or error})", refused=True)


def decode(content: bytes, kind: type[T]) -> T | Unreadable:
    """The record that these bytes are. A checksum that does not fit them makes it unreadable."""
    if checksum.is_signed(content) and checksum.intact(content) is None:
        return Unreadable("damaged, its checksum does not fit it", refused=False)
    try:
        return msgspec.json.decode(content, type=kind)
    except NOT_DECODED as error:
        return Unreadable(f"not readable as {kind.__name__} ({error})", refused=False)


def read(path: Path, kind: type[T]) -> T | Unreadable | None:
    """The record at path; None where there is nothing."""
    content = read_content(path)
    if not isinstance(content, bytes):
        return content
    found = decode(content, kind)
    return found._replace(reason=f"{path}: {found.reason}") if isinstance(found, Unreadable) else found
