"""Which runs there are: below a folder, and of this user wherever they are; and which one a command means.

Knows paths alone. What is in a run is for others to read.
"""

from __future__ import annotations

import os
from collections.abc import Iterator
from pathlib import Path

from gpusched.errors import UsageError
from gpusched.storage.rundir import RunDir, state_file, write_whole

#: Folders that hold no run of anybody's, and may be large.
_PASSED_OVER = {"__pycache__", "node_modules", "site-packages", "venv"}
#: Runs are two levels below a project's folder; a home with all its projects has them a few further down.
_DEEPEST = 6
#: So many of a user's runs are known by path before those that are gone are dropped.
_MANY = 500


def remember(run: RunDir) -> None:
    """Makes this the run that commands mean when they name none, and one of those that this user has."""
    path = os.fsencode(run.path.resolve())
    try:
        _newest_file().parent.mkdir(parents=True, exist_ok=True)
        write_whole(_newest_file(), path)
        known = _remembered()
        if path not in known:
            if len(known) >= _MANY:
                there = [each for each in known if os.path.exists(os.path.join(each, b"search.json"))]
                write_whole(_all_file(), b"".join(each + b"\0" for each in there))
            with open(_all_file(), "ab") as file:
                file.write(path + b"\0")
    except OSError:
        return  # A home that cannot be written costs a convenience, not the search.


def find_run(named: str | None, *, acting: bool = False) -> RunDir:
    """The run directory a person means: by path, by name under runs/, or the newest this user ran.

    Where none is named, one below the working directory comes first; for a command that changes a search (`acting`) no
    other is meant. Raises UsageError where there is none.
    """
    if named is not None:
        for path in (Path(named), Path("runs") / named):
            if RunDir(path).exists():
                return RunDir(path.resolve())
        raise UsageError(f"{named}: not a run directory (no search.json in it); {_meant(Path(named))}")
    latest = _newest()
    if latest is not None and latest.path.is_relative_to(Path.cwd()):
        return latest
    newest = max(_runs_in(Path("runs")), key=lambda run: run.journal.stat().st_mtime, default=None)
    if newest is not None:
        return newest
    if latest is None:
        raise UsageError("no run found: name a run directory, or start one with `gpusched run SCRIPT`")
    if acting:
        raise UsageError(f"no run below this folder: name the one that is meant (the newest you ran is {latest.path})")
    return latest


def _meant(named: Path) -> str:
    """The run that somebody means who mistypes its name, or the command that names all."""
    import difflib

    names = [run.name for run in _runs_in(Path("runs"))]
    close = difflib.get_close_matches(named.name, names, 1)
    return f"did you mean {Path('runs') / close[0]}?" if close else "`gpusched list` shows those below this folder"


def below(folder: Path) -> Iterator[RunDir]:
    """All runs below a folder, itself included. No link is followed, and no hidden folder is looked into."""
    deepest = len(folder.parts) + _DEEPEST
    for path, folders, files in os.walk(folder):
        if "search.json" in files and "journal.jsonl" in files:
            yield RunDir(Path(path))
            folders.clear()
        elif len(Path(path).parts) >= deepest:
            folders.clear()
        else:
            folders[:] = [each for each in folders if not each.startswith(".") and each not in _PASSED_OVER]


def of_this_user() -> Iterator[RunDir]:
    """All runs that this user has begun or continued, where they still are."""
    for path in _remembered():
        run = RunDir(Path(os.fsdecode(path)))
        try:
            if run.exists():
                yield run
        except UsageError:
            continue  # It is somebody else's by now.


def _newest_file() -> Path:
    return state_file("newest")


def _all_file() -> Path:
    return state_file("runs")


def _remembered() -> list[bytes]:
    try:
        content = _all_file().read_bytes()
    except OSError:
        return []
    return list(dict.fromkeys(path for path in content.split(b"\0") if path))


def _newest() -> RunDir | None:
    try:
        run = RunDir(Path(os.fsdecode(_newest_file().read_bytes())))
    except OSError:
        return None
    return run if run.exists() else None


def _runs_in(folder: Path) -> Iterator[RunDir]:
    for search in folder.glob("*/search.json"):
        run = RunDir(search.parent.resolve())
        if run.journal.exists():
            yield run
