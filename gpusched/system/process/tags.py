"""A launcher's mark: a variable in the environment it is started with, which every process below it inherits.

A launcher that is forked cannot change the environment that the kernel shows of it: it holds the mark as the name of a
memory file, which its forks inherit. By it those are found that no launcher minds any more: what trials started and
left when launcher and guardian were killed.
"""

from __future__ import annotations

import contextlib
import os
import signal
import time
import uuid
from collections.abc import Iterable, Iterator
from pathlib import Path

from gpusched.storage.identity import pids
from gpusched.system.process.kernel import END_SECONDS, session_of

#: The variable that holds it.
MARK = "GPUSCHED_MARK"
_AGAIN_SECONDS = 0.002


def new_mark() -> str:
    return uuid.uuid4().hex


def marking(mark: str) -> dict[str, str]:
    """The environment that marks a process."""
    return {MARK: mark}


def bear(mark: str) -> int:
    """Marks this process, with all that it will fork or start; returns the descriptor that does it."""
    os.environ.update(marking(mark))
    return os.memfd_create(f"{MARK}={mark}")


def marked(marks: Iterable[str], session: int | None = None) -> list[int]:
    """Pids of this user's live processes with one of the marks; of one session only, if one is named."""
    wanted, own = {f"{MARK}={mark}".encode() for mark in marks}, os.getpid()
    return [
        pid for pid in pids() if pid != own and _has(pid, wanted) and (session is None or session_of(pid) == session)
    ]


def of_a_search(pid: int) -> bool:
    """Whether a search of this user has started that process, whichever it is."""
    prefix = f"{MARK}=".encode()
    try:
        environment = Path(f"/proc/{pid}/environ").read_bytes()
    except OSError:
        return False
    return any(each.startswith(prefix) for each in (*environment.split(b"\0"), *_memory_files(pid)))


def sweep(marks: Iterable[str], session: int | None = None, seconds: float = END_SECONDS) -> list[int]:
    """Kills them until there are none; returns those that have not ended after so many seconds."""
    marks = list(marks)
    wanted = {f"{MARK}={mark}".encode() for mark in marks}
    until = time.monotonic() + seconds
    # Stopped first: what ends leaves room for what a fork bomb forks next.
    number, seen = signal.SIGSTOP, set[int]()
    while marks and (found := marked(marks, session)):
        if seen.issuperset(found):
            number = signal.SIGKILL
        seen.update(found)
        for pid in found:
            with contextlib.suppress(OSError):
                fd = os.pidfd_open(pid)
                try:
                    if _has(pid, wanted):  # The pid may have changed hands before it was opened.
                        signal.pidfd_send_signal(fd, number)
                finally:
                    os.close(fd)
        if time.monotonic() >= until:
            return found
        if number is signal.SIGKILL:
            time.sleep(_AGAIN_SECONDS)
    return []


def _has(pid: int, wanted: set[bytes]) -> bool:
    try:
        environment = Path(f"/proc/{pid}/environ").read_bytes()
    except OSError:  # Another user's, or gone. A zombie's is empty.
        return False
    return not wanted.isdisjoint(environment.split(b"\0")) or _bears(pid, wanted)


def _bears(pid: int, wanted: set[bytes]) -> bool:
    return not wanted.isdisjoint(_memory_files(pid))


def _memory_files(pid: int) -> Iterator[bytes]:
    """The names of those that it holds open."""
    with contextlib.suppress(OSError):  # It has ended meanwhile.
        for entry in os.scandir(f"/proc/{pid}/fd"):
            with contextlib.suppress(OSError):
                name = os.readlink(entry.path)
                if name.startswith("/memfd:"):
                    yield os.fsencode(name[7:].removesuffix(" (deleted)"))
