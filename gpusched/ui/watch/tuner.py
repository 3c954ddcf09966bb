"""A search as users of Keras Tuner know it: a block when a trial starts, and one when it ends.

Several trials run at once, so every block is printed whole and names its trial, by the number that
`results_summary()` and `gpusched logs` use. Lines that trials print themselves carry their trial in front.
"""

from __future__ import annotations

import shlex
from collections.abc import Mapping
from pathlib import Path
from typing import Any

from gpusched.core.commands import AnyCommand, Finish, Launch
from gpusched.core.events import AnyEvent, JobEnded, SessionClosed, SessionOpened
from gpusched.core.outcome import End
from gpusched.core.search import Search
from gpusched.storage.files import near
from gpusched.storage.rundir import RunDir
from gpusched.ui import words
from gpusched.ui.logs.screen import Lines
from gpusched.ui.plan import place_words
from gpusched.ui.trials.ranking import sign
from gpusched.ui.watch.plain import Teller, epochs_of, under_way

#: Of the table's columns, as in Keras Tuner.
_WIDTH = 18


class TrialTeller(Teller):
    """Tells a tuner's search; with `logs` also every line that its trials print, as Keras's `verbose=2` asks for."""

    whole = True

    def __init__(self, *, logs: bool = False) -> None:
        super().__init__()
        self._launched_at: dict[int, float] = {}
        self._logs = Logs() if logs else None
        self._where = ""  #: the run directory
        self._over = False  #: whether there was nothing left to do when the session began

    def started(self, run: RunDir) -> list[str]:
        self.look_at(run)
        here = self._where = near(run.path)
        if self._logs is not None:
            self._logs.run = run
            return [f"Results in {here}"]
        return [f"Results in {here}; `gpusched logs -f {shlex.quote(here)}` shows what the trials print"]

    def news(self) -> list[str]:
        return self._logs.news() if self._logs is not None else []

    def lines(self, event: AnyEvent, commands: list[AnyCommand], search: Search) -> list[str]:
        ended = next((command for command in commands if isinstance(command, Finish)), None)
        if isinstance(event, SessionOpened) and ended is not None and ended.code == 0:
            self._over = True
            why = "is complete" if ended.reason == "complete" else f"has ended ({ended.reason})"
            return [
                f"The search {why}: its results are read, nothing is trained. "
                "overwrite=True starts a new one; a larger budget continues it."
            ]
        if self._over and isinstance(event, SessionClosed):
            return []
        told = []
        if isinstance(event, JobEnded):
            told += self._logs.end(event.trial) if self._logs is not None else []
            told += self._end(event, search)
            told += [line[0].upper() + line[1:] for line in self.warnings(event)]
        else:
            told += [""] if isinstance(event, SessionClosed) else []
            told += super().lines(event, [], search)
        for command in commands:
            if isinstance(command, Launch):
                self._launched_at[command.trial] = search.at
                if self._logs is not None:
                    self._logs.begin(command)
                told += ["", *self._start(command, search)]
        return told

    def ending(self, code: int) -> list[str]:
        if code == 130:
            return ["Run the script again to continue the search."]
        return [f"`gpusched report {shlex.quote(self._where)}` makes a page of the results."] if code == 0 else []

    def _start(self, launch: Launch, search: Search) -> list[str]:
        slot = search.slots.slots.get(launch.slot)
        where = slot.label if slot and slot.label else f"slot {launch.slot}"
        again = "" if launch.attempt == 1 else " again"
        epochs = f"to epoch {launch.stop_epoch}" if under_way(launch, search) else epochs_of(launch)
        place = place_words(search.oracle, launch.trial)
        head = f"Search: Running Trial #{launch.trial}{again} on {where}, {epochs}{f', {place}' if place else ''}"
        return [head] if launch.attempt > 1 else [head, "", *self._table(launch.values, search)]

    def _table(self, values: Mapping[str, Any], search: Search) -> list[str]:
        if not values:
            return ["default configuration"]
        best = self.best(search)
        rows = [("Value", "Best Value So Far", "Hyperparameter")]
        for name, value in values.items():
            so_far = "?" if best is None else _cell(best.values.get(name, ""))
            rows.append((_cell(value), so_far, words.clean(name)))
        return [f"{value:<{_WIDTH}}|{so_far:<{_WIDTH}}|{name}" for value, so_far, name in rows]

    def _end(self, event: JobEnded, search: Search) -> list[str]:
        trial = search.trials.get(event.trial)
        if trial is None:
            return []
        if event.end is not End.COMPLETED:
            said = self._ended(event, search)
            return ["", said.replace(f"trial {trial.id}:", f"Trial {trial.id}", 1)] if said else []
        objective = search.oracle.objectives[0].name
        score = sign(search.oracle) * search.oracle.trials[trial.id].score
        took = _taken(event.at - self._launched_at.pop(trial.id, event.at - trial.seconds))
        lines = ["", f"Trial {trial.id} Complete [{took}]"]
        lines.append(f"{objective}: {words.score(score)}" + (", stopped early" if event.stopped_early else ""))
        best = self.best(search)
        if best is not None:
            lines += ["", f"Best {objective} So Far: {words.score(best.score)} (trial {best.trial})"]
        return [*lines, f"Total elapsed time: {_taken(event.at)}"]


class Logs:
    """What trials print, read from their logs as it comes."""

    def __init__(self) -> None:
        self.run: RunDir | None = None
        self._read: dict[int, _Log] = {}

    def begin(self, launch: Launch) -> None:
        """From here on the trial's log is read; what earlier sessions have put there is not told again."""
        if self.run is not None and launch.trial not in self._read:
            path = self.run.trial(launch.trial).log
            self._read[launch.trial] = _Log(path, 0 if launch.attempt == 1 else _size(path))

    def news(self) -> list[str]:
        return [line for trial, log in self._read.items() for line in _headed(trial, log.news())]

    def end(self, trial: int) -> list[str]:
        """The rest, the unfinished last line included."""
        log = self._read.get(trial)
        return [] if log is None else _headed(trial, [*log.news(), *log.rest()])


class _Log:
    def __init__(self, path: Path, offset: int) -> None:
        self._path, self._offset = path, offset
        self._lines = Lines(False)

    def news(self) -> list[str]:
        if _size(self._path) <= self._offset:
            return []
        with open(self._path, "rb") as file:
            file.seek(self._offset)
            content = file.read()
        self._offset += len(content)
        return self._lines.feed(content)

    def rest(self) -> list[str]:
        return self._lines.end()


def _headed(trial: int, lines: list[str]) -> list[str]:
    return [f"[trial {trial}] {line}" for line in lines if line.strip()]


def _size(path: Path) -> int:
    try:
        return path.stat().st_size
    except OSError:
        return 0


def _cell(value: Any) -> str:
    text = words.value(value)
    return text if len(text) <= _WIDTH else f"{text[: _WIDTH - 1]}…"


def _taken(seconds: float) -> str:
    """`00h 00m 21s`, as Keras Tuner writes it."""
    whole = max(0, round(seconds))
    days = f"{whole // 86400}d " if whole >= 86400 else ""
    return f"{days}{whole % 86400 // 3600:02d}h {whole % 3600 // 60:02d}m {whole % 60:02d}s"
