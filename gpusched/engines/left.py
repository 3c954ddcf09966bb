"""What sessions of a run have left on this machine when they were killed: launchers, their marks, the ends they saw.

All of it stands in RUN/launcher, and is believed only as far as it is of this very directory: in a copy, these are the
processes of the original.
"""

from __future__ import annotations

import contextlib
import os
from collections.abc import Iterator

from gpusched.errors import UsageError
from gpusched.launcher.protocol import Ended
from gpusched.storage.files import open_own
from gpusched.storage.identity import alive, place, same_process, works_in
from gpusched.storage.reading import decode, read_content
from gpusched.storage.records import Identity
from gpusched.storage.rundir import RunDir, read_record
from gpusched.system.process.tags import marked, sweep


def note_mark(run: RunDir, mark: str) -> None:
    """For sessions after this one is killed."""
    with contextlib.suppress(OSError):
        fd = open_own(run.launcher / "marks", os.O_WRONLY | os.O_CREAT | os.O_APPEND)
        with open(fd, "a", encoding="ascii") as file:
            file.write(f"{mark} {place(run.path)}\n")


def marks(run: RunDir) -> set[str]:
    """Of all launchers whose processes may still be there."""
    content = read_content(run.launcher / "marks")
    if not isinstance(content, bytes):
        return set()
    lines, here = content.decode("ascii", "replace").splitlines(), place(run.path)
    # Earlier versions did not write the place.
    return {mark for mark, _, where in (line.partition(" ") for line in lines) if mark and where in ("", here)}


def launchers(run: RunDir, own: Identity | None = None) -> list[Identity]:
    """Live ones but for one's own; traces of dead ones are removed."""
    found = []
    for file in sorted(run.launcher.glob("*.json")):
        with contextlib.suppress(UsageError):
            identity = read_record(file, Identity)
            if identity is not None and alive(identity) and works_in(identity, run.path):
                if own is None or not same_process(identity, own):
                    found.append(identity)
                continue
        file.unlink(missing_ok=True)
        file.with_suffix(".sock").unlink(missing_ok=True)
    return found


def ends(run: RunDir) -> Iterator[Ended]:
    """Of trials, as launchers saw them that nobody listened to."""
    content = read_content(run.launcher / "ends.jsonl")
    for line in content.splitlines() if isinstance(content, bytes) else ():
        ended = decode(line, Ended)
        if isinstance(ended, Ended):  # Otherwise the launcher died in this line.
            yield ended


def forget(run: RunDir) -> None:
    """Once nothing of it is left."""
    with contextlib.suppress(OSError):
        for name in ("marks", "ends.jsonl"):
            (run.launcher / name).unlink(missing_ok=True)


def end_all(run: RunDir) -> int:
    """Kills what runs for nobody any more. Returns how many processes there were."""
    known = marks(run)
    there = len(marked(known)) if known else 0
    sweep(known)
    return there
