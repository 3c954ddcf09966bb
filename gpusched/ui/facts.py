"""A search in figures: what the live view, `status`, `top` and the report have in common.

Reads the state of the search and the trials' metrics; draws nothing. Estimates are marked as such.
"""

from __future__ import annotations

import time
from dataclasses import dataclass, field
from pathlib import Path
from typing import TYPE_CHECKING, Any

from gpusched.core.events import SessionClosed, SessionOpened
from gpusched.core.policy import Phase
from gpusched.core.search import Search
from gpusched.core.trial import FINAL, LOST, Standing, Trial, TrialState, saved_epochs, stopped_by_hand
from gpusched.oracles import Oracle, RungState
from gpusched.runtime.forecast.eta import Outlook
from gpusched.ui.plan import place_words
from gpusched.ui.trials.curves import Curves
from gpusched.ui.trials.ranking import UNFINISHED, Best, best_of, best_score

if TYPE_CHECKING:
    from gpusched.runtime.reader import Run


@dataclass(frozen=True, slots=True, kw_only=True)
class Row:
    """A slot, and the trial in it."""

    slot: int
    label: str
    devices: tuple[str, ...]
    trial: int | None = None
    pid: int | None = None
    rung: str = ""
    start_epoch: int = 0
    stop_epoch: int = 0
    epoch: int = 0  #: reported by this trial
    score: float | None = None  #: its best so far
    seconds_left: float | None = None  #: estimated


@dataclass(frozen=True, slots=True, kw_only=True)
class FailedTrial:
    trial: int
    state: str
    reason: str
    epochs: int
    where: str = ""  #: the line of the user's own code that it came from
    traceback: str = ""


@dataclass(frozen=True, slots=True, kw_only=True)
class Facts:
    """One look at a search."""

    name: str
    path: Path
    algorithm: str
    objective: str
    direction: str
    phase: Phase
    ending: str | None  #: why it is stopping, or ended
    code: int | None  #: the exit code of the newest session that ended
    complete: bool
    trials_done: int
    trials_all: int | None  #: None: no end is set
    trials_started: int
    trials_failed: int  #: have no score that counts: those stopped by hand without it are among them
    epochs_done: int
    epochs_all: int | None
    seconds: float  #: running time over all sessions, without pauses
    now: float  #: the same with pauses: where the clock of the journal stands
    seconds_left: float | None  #: estimated
    best: Best | None
    rows: list[Row]
    rungs: list[RungState]
    failures: list[FailedTrial] = field(default_factory=list)
    paused_seconds: float | None = None  #: for so long it has been paused now
    trials_kept: int = 0  #: stopped by hand with a score that counts: none of trials_failed
    epochs_saved: int = 0  #: not trained, because trials stopped themselves
    several_iterations: bool = False  #: all brackets are run more than once

    @property
    def running(self) -> list[Row]:
        return [row for row in self.rows if row.trial is not None]

    @property
    def trials_stopped(self) -> int:
        """By hand, whether their scores count or not."""
        return self._dropped + self.trials_kept

    @property
    def trials_broken(self) -> int:
        """Of trials_failed, those that nobody has stopped."""
        return self.trials_failed - self._dropped

    @property
    def _dropped(self) -> int:
        return sum(each.state == Standing.STOPPED for each in self.failures)


class Observer:
    """Looks at a run again and again."""

    def __init__(self, run: Run) -> None:
        self.run = run
        self.curves = Curves(run.dir, run.metrics)
        self._outlook = Outlook(run)

    def look(self, wall: float | None = None, *, alive: bool = True) -> Facts:
        """The search now. `wall` is seconds since 1970; `alive` says that a scheduler works on it."""
        wall = time.time() if wall is None else wall
        run, search = self.run, self.run.search
        oracle = search.oracle
        now = _journal_clock(run, wall if alive else self._last_sign(search))
        rows = self._rows(search, wall)
        self.curves.forget({trial.id for trial in search.trials.values() if trial.state in UNFINISHED})
        best = best_of(search, self.curves.of)
        done = sum(trial.state in FINAL for trial in search.trials.values())
        failed = [trial for trial in search.trials.values() if trial.state in LOST]
        by_hand = stopped_by_hand(search.trials.values(), oracle)
        plan = oracle.plan()
        epochs_done = sum(_epochs(trial, rows) for trial in search.trials.values())
        left = remaining_epochs(oracle)
        if left is not None:
            # What is trained of a job counts once, also while it waits to go on: after a pause, a stop or a crash.
            left -= sum(_trained(trial, rows) for trial in search.trials.values() if trial.state in UNFINISHED)
        closed = next((event for event in reversed(run.events) if isinstance(event, SessionClosed)), None)
        closed_now = closed if search.phase is Phase.CLOSED else None
        ending = search.ending.reason if search.ending else closed_now.reason if closed_now else None
        return Facts(
            name=run.dir.name,
            path=run.dir.path,
            algorithm=run.record.algorithm,
            objective=oracle.objectives[0].name,
            direction=oracle.objectives[0].direction,
            phase=search.phase,
            ending=ending,
            code=closed_now.code if closed_now else None,
            complete=bool(closed_now and closed_now.code == 0),
            trials_done=done,
            trials_all=plan.trials,
            trials_started=len(search.trials),
            trials_failed=len(failed),
            trials_kept=sum(search.trials[trial].state not in LOST for trial in by_hand),
            epochs_done=epochs_done,
            epochs_all=None if left is None else epochs_done + left,
            epochs_saved=saved_epochs(search.trials.values(), oracle),
            seconds=search.worked(now),
            now=now,
            paused_seconds=max(0.0, now - search.paused_at) if search.phase is Phase.PAUSED else None,
            seconds_left=self._seconds_left(rows, left, epochs_done, now, wall),
            best=best,
            rows=rows,
            rungs=oracle.rungs(),
            several_iterations=oracle.several_iterations,
            failures=[failed_trial(trial) for trial in sorted(failed, key=lambda trial: trial.id)],
        )

    def _last_sign(self, search: Search) -> float:
        """When a search whose scheduler is gone last did something: seconds since 1970."""
        stamps = [self.curves.stamp(trial.id) for trial in search.running]
        return max((stamp[0] / 1e9 for stamp in stamps if stamp is not None), default=0.0)

    def _rows(self, search: Search, wall: float) -> list[Row]:
        by_slot = {trial.slot: trial for trial in search.running if trial.slot is not None}
        rows = [
            self._row(slot.index, slot.label, slot.devices, by_slot.get(slot.index), search, wall)
            for slot in search.slots.slots.values()
        ]
        # Trials whose place was taken away train on beside the table.
        rows += [
            self._row(-1, "no slot", trial.devices, trial, search, wall)
            for trial in search.running
            if trial.slot is None
        ]
        return rows

    def _row(
        self, index: int, label: str, devices: tuple[str, ...], trial: Trial | None, search: Search, wall: float
    ) -> Row:
        label = label or f"slot {index}"
        if trial is None:
            return Row(slot=index, label=label, devices=devices)
        lines = self.curves.of(trial.id)
        start, stop = trial.job.start_epoch, trial.job.stop_epoch
        executions, reported = _reported(lines, self.run.record.executions)
        epochs_left = max(0, executions * stop - reported)
        if search.phase in (Phase.STOPPING, Phase.PAUSED):
            epochs_left = min(1, epochs_left)  # It lets each trial end its epoch.
        return Row(
            slot=index,
            label=label,
            devices=devices,
            trial=trial.id,
            pid=trial.pid,
            rung=place_words(search.oracle, trial.id),
            start_epoch=start,
            stop_epoch=stop,
            epoch=max(reported // executions, start),
            score=best_score(search.oracle, lines),
            seconds_left=_trial_left(lines, epochs_left, wall, self.curves.changed_at(trial.id)),
        )

    def _seconds_left(self, rows: list[Row], left: int | None, done: int, now: float, wall: float) -> float | None:
        """By looking ahead; where that cannot be, from the slot-seconds that an epoch has cost so far."""
        search, opened = self.run.search, self.run.opened
        if search.phase in (Phase.CLOSED, Phase.PAUSED):
            return None
        longest = max((row.seconds_left or 0.0 for row in rows), default=0.0)
        if search.phase is Phase.STOPPING:
            return longest
        training = {row.trial: row.seconds_left for row in rows if row.trial is not None}
        by_work = self._outlook.seconds_left(now, wall, training)
        if by_work is None and left is not None and done > 0 and len(search.slots):
            spent = sum(trial.seconds for trial in search.trials.values())
            spent += sum(max(0.0, now - trial.started_at) for trial in search.running if trial.started_at is not None)
            by_work = left * spent / done / len(search.slots)
        if by_work is not None:
            by_work = max(by_work, longest)
        if opened is not None and search.max_time is not None:
            by_time = max(0.0, search.max_time - search.worked(now))
            return by_time if by_work is None else min(by_time, by_work)
        return by_work


def failed_trial(trial: Trial) -> FailedTrial:
    failure, stopped = trial.failure, trial.state is TrialState.STOPPED
    reason = failure.message if failure else "stopped by hand" if stopped else "no reason is known"
    if failure and failure.kind and failure.kind not in ("signal", "exit", "nan", "oversize"):
        reason = f"{failure.kind}: {reason}"
    return FailedTrial(
        trial=trial.id,
        state=(Standing.STOPPED if stopped else Standing.FAILED).value,
        reason=reason,
        epochs=trial.epochs,
        where=failure.where if failure else "",
        traceback=failure.traceback if failure else "",
    )


def remaining_epochs(oracle: Oracle) -> int | None:
    """Epochs that are planned and not trained, as if nothing more failed; None without an end."""
    plan = oracle.plan()
    if plan.epochs is None:
        return None
    rungs = oracle.rungs()
    opened = {(rung.iteration, rung.bracket) for rung in rungs}
    left = sum(
        max(0, rung.size - rung.finished - rung.failed - rung.missing) * (rung.stop_epoch - rung.start_epoch)
        for rung in rungs
    )
    left += sum(
        rung.trials * (rung.stop_epoch - rung.start_epoch)
        for bracket in plan.brackets
        if (bracket.iteration, bracket.bracket) not in opened
        for rung in bracket.rungs
    )
    return left


def _epochs(trial: Trial, rows: list[Row]) -> int:
    if trial.state is TrialState.RUNNING:
        return next((row.epoch for row in rows if row.trial == trial.id), trial.epochs)
    return trial.epochs


def _trained(trial: Trial, rows: list[Row]) -> int:
    """Epochs of its job that an unfinished trial has reported."""
    start, stop = trial.job.start_epoch, trial.job.stop_epoch
    return max(0, min(_epochs(trial, rows), stop) - start)


def _journal_clock(run: Run, wall: float) -> float:
    """What an event of this moment would have as its `at`."""
    opened: SessionOpened | None = run.opened
    if opened is None or run.search.phase is Phase.CLOSED:
        return run.search.at
    return max(run.search.at, opened.at + wall - opened.wall)


def _reported(lines: list[dict[str, Any]], executions: int) -> tuple[int, int]:
    """How often the trial is trained, and the epochs that all these trainings have reported."""
    if not lines or "execution" not in lines[0]:
        return 1, int(lines[-1]["epoch"]) if lines else 0  # A loop of its own makes but one.
    newest = {line.get("execution", 0): int(line["epoch"]) for line in lines}
    return max(executions, len(newest)), sum(newest.values())


def _trial_left(lines: list[dict[str, Any]], epochs: int, wall: float, changed_at: float | None) -> float | None:
    took = [float(line["seconds"]) for line in lines[-5:] if isinstance(line.get("seconds"), int | float)]
    if not took:
        return None
    since = max(0.0, wall - changed_at) if changed_at is not None else 0.0
    return max(0.0, sum(took) / len(took) * epochs - since)
