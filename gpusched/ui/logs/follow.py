"""The logs of several trials on one stream: whole lines, prefixes that stay the same, an end.

Which trials are shown is asked again and again, since a search starts new ones; when it is over, this is.
"""

from __future__ import annotations

import asyncio
from collections.abc import Callable, Iterable
from dataclasses import dataclass
from typing import TYPE_CHECKING

import msgspec

from gpusched.core.policy import Phase
from gpusched.core.trial import FINAL, TrialState
from gpusched.printable import escaped
from gpusched.storage import logtimes
from gpusched.storage.claim import TrialProcess
from gpusched.storage.identity import alive, works_in
from gpusched.storage.lock import holder
from gpusched.storage.reading import read
from gpusched.storage.rundir import RunDir
from gpusched.ui.logs.tail import LogFile
from gpusched.ui.watch.terminal import Output

if TYPE_CHECKING:
    from gpusched.runtime.reader import Run

#: Legible on light and dark ground, and told apart: cyan, yellow, green, magenta, blue, red and their bright ones.
_COLORS = (36, 33, 32, 35, 34, 96, 93, 92, 95, 94)

INTERVAL_SECONDS = 0.2


class Printer:
    """Lines with the name of their trial in front."""

    def __init__(self, output: Output, *, prefix: bool, colors: bool, as_json: bool = False, digits: int = 4) -> None:
        self._output = output
        self._prefix, self._colors, self._json, self._digits = prefix, colors, as_json, digits

    @property
    def lost(self) -> bool:
        return self._output.lost

    def lines(self, trial: int, lines: Iterable[str]) -> None:
        if self._json:
            told = (msgspec.json.encode({"trial": trial, "line": line}).decode() for line in lines)
            text = "".join(f"{escaped(line)}\n" for line in told)
        else:
            head = self._head(trial)
            text = "".join(f"{head}{line}\n" for line in lines)
        if text:
            self._output.write(text)

    def _head(self, trial: int) -> str:
        if not self._prefix:
            return ""
        name = f"trial {trial:<{self._digits}} | "
        return f"\x1b[{_COLORS[trial % len(_COLORS)]}m{name}\x1b[0m" if self._colors else name


@dataclass(frozen=True, slots=True, kw_only=True)
class Choice:
    """Which trials' logs are meant."""

    trials: tuple[int, ...] = ()  #: by id; empty: by state
    states: frozenset[TrialState] | None = None  #: None: all
    joining: bool = False  #: those that come to be so later, too

    def pick(self, run: Run) -> list[int]:
        if self.trials:
            return list(self.trials)
        return [
            trial.id
            for trial in sorted(run.search.trials.values(), key=lambda trial: trial.id)
            if self.states is None or trial.state in self.states
        ]


async def show(run: Run, chosen: list[int], printer: Printer, *, last: int | None, since: float | None) -> None:
    """Prints what is there, trial after trial."""
    for trial in chosen:
        log = LogFile(run.dir.trial(trial).log, colors=printer._colors)
        if not await _begin(log, last, since):
            continue
        async for lines in log.news():
            printer.lines(trial, lines)
            if printer.lost:
                return
        printer.lines(trial, log.end())


async def follow(
    run: Run,
    choice: Choice,
    printer: Printer,
    *,
    last: int | None,
    since: float | None = None,
    interval_seconds: float = INTERVAL_SECONDS,
    over: Callable[[Run], bool] | None = None,
) -> None:
    """Prints what is there and what is added, until the trials or the search have ended.

    `over` says whether the search has; by default: nobody works on it, and no process of it lives.
    """
    over = over or search_over
    logs: dict[int, LogFile] = {}
    chosen = choice.pick(run)
    for trial in chosen:
        logs[trial] = log = LogFile(run.dir.trial(trial).log, colors=printer._colors)
        if not await _begin(log, last, since):
            log.offset = log.size
    while not printer.lost:
        # Asked before the last look, so that nothing written before the end is missed.
        ended = _ended(run, logs, choice) or over(run)
        for trial, log in list(logs.items()):
            if log.has_news:
                async for lines in log.news():
                    printer.lines(trial, lines)
            if ended:
                printer.lines(trial, log.end())
        if ended:
            return
        await asyncio.sleep(interval_seconds)
        run.update()
        if choice.joining:
            for trial in choice.pick(run):
                if trial not in logs:
                    logs[trial] = LogFile(run.dir.trial(trial).log, colors=printer._colors)


async def _begin(log: LogFile, last: int | None, since: float | None) -> bool:
    """Whether this log is to be shown; moves it to where the lines begin that are asked for."""
    if since is not None:
        changed = log.changed_at()
        if changed is None or changed < since:
            return False
        log.offset = min(logtimes.offset_at(log.path, since), log.size)
    if last is not None:
        begin = log.offset
        await log.seek_to_last(last)
        log.offset = max(begin, log.offset)
    return True


def _ended(run: Run, logs: dict[int, LogFile], choice: Choice) -> bool:
    """Whether none of the trials can print any more."""
    if choice.joining:
        return False
    trials = run.search.trials
    return all(trial in trials and trials[trial].state in FINAL for trial in logs)


def search_over(run: Run) -> bool:
    """Nobody works on the search, and none of its trials' processes lives."""
    if holder(run.dir.lock) is not None:
        return False
    if run.search.phase is Phase.CLOSED:
        return True
    return not any(_lives(run.dir, trial.id) for trial in run.search.running)


def _lives(run: RunDir, trial: int) -> bool:
    record = read(run.trial(trial).process, TrialProcess)
    return isinstance(record, TrialProcess) and alive(record.identity) and works_in(record.identity, run.path)
