"""Runs as lines of a table: what a person wants to know of each to tell them apart."""

from __future__ import annotations

import time
from collections.abc import Iterable, Sequence
from pathlib import Path

from rich.table import Table
from rich.text import Text

from gpusched.core.events import SessionClosed, SessionOpened
from gpusched.core.policy import Phase
from gpusched.errors import GpuschedError
from gpusched.runtime.reader import Run
from gpusched.storage.files import near
from gpusched.storage.lock import away, holder
from gpusched.storage.rundir import RunDir
from gpusched.storage.runs.removal import size_of
from gpusched.ui import answers, words
from gpusched.ui.trials.ranking import best_of
from gpusched.ui.watch.terminal import console

#: What people are told in place of a word for programs.
_WORDS = {"abandoned": "killed", "new": "not started"}


def listed(runs: Iterable[RunDir]) -> list[answers.Listed]:
    """Each run once, the one that something has happened in last first."""
    there = {run.path.resolve(): run for run in runs}
    return sorted(map(_listed, there.values()), key=lambda each: -each.changed)


def _listed(run: RunDir) -> answers.Listed:
    changed = run.journal.stat().st_mtime if run.journal.exists() else run.path.stat().st_mtime
    try:
        read = Run.open(run.path)
    except (GpuschedError, OSError) as error:
        return answers.Listed(
            run=str(run.path),
            state="damaged",
            problem=str(error),
            began=None,
            changed=changed,
            trials=None,
            objective=None,
            best=None,
            bytes=size_of(run),
        )
    search = read.search
    best = best_of(search, read.metrics)
    opened = next((event for event in read.events if isinstance(event, SessionOpened)), None)
    return answers.Listed(
        run=str(run.path),
        state=state_word(read, alive=holder(run.lock) is not None or away(run.lock) is not None),
        problem=None,
        began=opened.wall if opened is not None else None,
        changed=changed,
        trials=len(search.trials),
        objective=search.oracle.objectives[0].name,
        best=best.score if best is not None else None,
        bytes=size_of(run),
    )


def state_word(run: Run, *, alive: bool) -> answers.State:
    """The search's state for programs. `alive`: a scheduler works on it."""
    phase = run.search.phase
    if phase is not Phase.CLOSED:
        going: dict[Phase, answers.State] = {Phase.RUNNING: "running", Phase.PAUSED: "paused"}
        return going.get(phase, "stopping") if alive else "abandoned"
    closed = next((event for event in reversed(run.events) if isinstance(event, SessionClosed)), None)
    if closed is None:
        return "new"
    ended: dict[int, answers.State] = {0: "complete", 130: "stopped"}
    return ended.get(closed.code, "failed")


def shown_state(word: str) -> str:
    return _WORDS.get(word, word)


def table(rows: Sequence[answers.Listed], width: int) -> Table:
    """One line a run, as wide as it needs to be: names are typed again. Objectives' names stand where there is room."""
    whole = _table(rows, named=True)
    fits = console(width=10 * width).measure(whole).maximum <= width
    return whole if fits else _table(rows, named=False)


def _table(rows: Sequence[answers.Listed], *, named: bool) -> Table:
    now = time.time()
    made = Table(box=None, padding=(0, 2, 0, 0), header_style="bright_black", pad_edge=False)
    for name, right in (("run", False), ("state", False), ("trials", True), ("best", False), ("age", True)):
        made.add_column(Text(name), justify="right" if right else "left", no_wrap=True)
    made.add_column(Text("size"), justify="right", no_wrap=True)
    for row in rows:
        began = row.began if row.began is not None else row.changed
        score = "" if row.best is None else words.score(row.best)
        best = f"{words.clean(row.objective or '')} {score}" if named and score else score
        cells = [
            words.clean(near(Path(row.run))),
            shown_state(row.state),
            "" if row.trials is None else str(row.trials),
            best,
            words.duration(max(0.0, now - began)),
            words.size(row.bytes),
        ]
        made.add_row(*map(Text, cells))
    return made
