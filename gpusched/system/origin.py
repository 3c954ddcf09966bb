"""Where a caller's code comes from: what another process needs to find the same modules under the same names."""

from __future__ import annotations

import contextlib
import os
import sys
from collections.abc import Sequence

import msgspec


class Origin(msgspec.Struct, frozen=True, kw_only=True, omit_defaults=True):
    """To be entered before anything of the caller's is unpickled, imported or executed."""

    folder: str = ""  #: the working directory; empty: the one a process starts in
    path: list[str] = []  #: sys.path, absolute; empty: that of a fresh Python
    module: str | None = None  #: what `python -m` was given; None for a script

    @classmethod
    def here(cls) -> Origin:
        """That of this process."""
        folder = working_directory()
        spec = getattr(sys.modules.get("__main__"), "__spec__", None)
        return cls(folder=folder, path=_absolute(sys.path, folder), module=getattr(spec, "name", None))

    def enter(self) -> None:
        """Makes this process find what the caller found. Twice is once."""
        if self.folder:
            with contextlib.suppress(OSError):  # It may have been removed, or another machine may not have it.
                os.chdir(self.folder)
        if self.path:
            # The caller's order decides which of two modules is meant. What it lacks stays, behind.
            sys.path[:] = [*self.path, *(entry for entry in sys.path if entry not in self.path)]


def working_directory() -> str:
    """Empty where it has been removed."""
    try:
        return os.getcwd()
    except OSError:
        return ""


def _absolute(path: Sequence[object], folder: str) -> list[str]:
    """`path` for a process that may stand elsewhere; "" in it is the folder, as for Python. Each entry once."""
    entries = [os.path.join(folder, entry) for entry in path if isinstance(entry, str)]
    # A name that is not UTF-8 cannot travel in a message, and "" in an empty folder is none.
    return [entry.rstrip("/") or "/" for entry in dict.fromkeys(entries) if entry and _is_text(entry)]


def _is_text(entry: str) -> bool:
    try:
        entry.encode()
    except UnicodeEncodeError:
        return False
    return True
