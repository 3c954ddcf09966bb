"""What the search knows of one trial, and which moves between its states are legal."""

from __future__ import annotations

import enum
from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field
from typing import Any

from gpusched.core.events import SlotInfo, TrialHung
from gpusched.core.outcome import Failure, Usage
from gpusched.errors import GpuschedError
from gpusched.oracles import Job, Oracle


class TrialState(enum.StrEnum):
    PENDING = "pending"  #: its job waits for a slot: not launched yet, to be retried, or interrupted
    RUNNING = "running"
    PAUSED = "paused"  #: trained to the end of a rung; may be promoted
    COMPLETED = "completed"  #: trained; no decision can ask for more of it
    FAILED = "failed"
    STOPPED = "stopped"  #: by hand; counts as failed
    OVERSIZE = "oversize"  #: its model was larger than max_model_size


class Standing(enum.StrEnum):
    """What people and programs are told of a trial: of the scheduler's states, what they can make use of."""

    RUNNING = "running"
    WAITING = "waiting"  #: for a slot, or for the decision whether it is promoted
    COMPLETED = "completed"  #: trained in full, or until it stopped itself
    ELIMINATED = "eliminated"  #: trained to the end of a rung, and not promoted
    STOPPED = "stopped"  #: by hand, whether its score counts or not
    FAILED = "failed"  #: too large a model included


class Alone(enum.StrEnum):
    """Whether a trial shares what it runs on."""

    NO = ""
    DEVICE = "device"  #: no other trial on its GPUs
    MACHINE = "machine"  #: no other trial at all: memory of the host is everybody's


_S = TrialState
_LEGAL: Mapping[TrialState, frozenset[TrialState]] = {
    _S.PENDING: frozenset({_S.RUNNING, _S.PAUSED, _S.FAILED, _S.STOPPED}),
    _S.RUNNING: frozenset({_S.PENDING, _S.PAUSED, _S.FAILED, _S.STOPPED, _S.OVERSIZE}),
    _S.PAUSED: frozenset({_S.PENDING, _S.COMPLETED, _S.STOPPED}),
    _S.COMPLETED: frozenset(),
    # Given back by a person who has removed the cause.
    _S.FAILED: frozenset({_S.PAUSED}),
    _S.STOPPED: frozenset({_S.PAUSED}),
    _S.OVERSIZE: frozenset({_S.PAUSED}),
}

#: Counted as failed.
LOST = frozenset({_S.FAILED, _S.STOPPED, _S.OVERSIZE})
FINAL = LOST | {_S.COMPLETED}


class IllegalMove(GpuschedError):
    """A bug in the scheduler: a trial was to change state in a way that cannot be."""


@dataclass(slots=True)
class Trial:
    """One set of hyperparameters on its way through the rungs."""

    id: int
    job: Job  #: the newest the oracle gave out for it
    state: TrialState = TrialState.PENDING
    attempt: int = 0  #: starts of a process so far, over all its jobs
    slot: int | None = None  #: while it runs
    devices: tuple[str, ...] = ()  #: where it runs, or ran last
    pid: int | None = None
    started_at: float | None = None  #: when the newest attempt was launched
    epochs: int = 0  #: reported, counted from the trial's beginning
    lines: int | None = None  #: in its metrics.jsonl when its newest attempt ended
    failures: int = 0
    kills: int = 0  #: in a row without a new epoch
    seconds: float = 0.0  #: slot-seconds used
    stop_asked: bool = False
    keep_asked: bool = False  #: where it is stopped, its score counts
    partial: dict[str, list[float | None]] = field(default_factory=dict)  #: scores of its job when it was interrupted
    where: SlotInfo | None = None  #: the slot of the newest attempt, as it was then
    alone: Alone = Alone.NO  #: how it is to be launched
    was_alone: Alone = Alone.NO  #: how the newest attempt was launched
    crowded: int = 0  #: times it ran out of memory beside others, who are not this search's
    died_on: set[str] = field(default_factory=set)  #: devices it died on in a way that may be theirs
    hung: TrialHung | None = None  #: of its newest attempt
    hangs: int = 0  #: of this job
    gpu_seconds: float | None = None  #: over all attempts; None where no GPU was seen to be used
    gpu_peak_bytes: int | None = None
    gpu_busy_seconds: float = 0.0  #: gpu_seconds weighted by the GPUs' utilisation
    failure: Failure | None = None  #: of the newest attempt that did not go well
    moves: list[str] = field(default_factory=list)  #: the last few, for error messages

    @property
    def values(self) -> dict[str, Any]:
        return self.job.values

    @property
    def gpu_utilisation(self) -> float | None:
        """Mean over the GPU-seconds it used, 0 … 1; None where nothing is known."""
        return round(self.gpu_busy_seconds / self.gpu_seconds, 4) if self.gpu_seconds else None

    def used(self, usage: Usage) -> None:
        """Adds an attempt's accounts."""
        if usage.gpu_seconds is not None:
            self.gpu_seconds = round((self.gpu_seconds or 0.0) + usage.gpu_seconds, 3)
            self.gpu_busy_seconds += usage.gpu_seconds * (usage.gpu_utilisation or 0.0)
        if usage.gpu_peak_bytes is not None:
            self.gpu_peak_bytes = max(self.gpu_peak_bytes or 0, usage.gpu_peak_bytes)

    def begin_again(self) -> None:
        """It failed, and waits for its job to be handed out once more."""
        self.move(TrialState.PAUSED)
        self.failures = self.kills = self.hangs = self.crowded = 0
        self.died_on.clear()
        self.stop_asked = self.keep_asked = False
        self.alone, self.failure, self.partial = Alone.NO, None, {}

    def move(self, state: TrialState) -> None:
        """Raises IllegalMove with the trial's history where the table does not allow it."""
        if state not in _LEGAL[self.state]:
            history = " → ".join([*self.moves, self.state])
            raise IllegalMove(
                f"trial {self.id}: cannot become {state} after {history} (attempt {self.attempt}, {self.job})"
            )
        self.moves.append(self.state.value)
        del self.moves[:-8]
        self.state = state


_STANDINGS: Mapping[TrialState, Standing] = {
    _S.PENDING: Standing.WAITING,
    _S.RUNNING: Standing.RUNNING,
    _S.PAUSED: Standing.WAITING,
    _S.COMPLETED: Standing.COMPLETED,
    _S.FAILED: Standing.FAILED,
    _S.STOPPED: Standing.STOPPED,
    _S.OVERSIZE: Standing.FAILED,
}


def standing(trial: Trial, oracle: Oracle) -> Standing:
    """What to tell of a trial."""
    seen = oracle.trials[trial.id]
    ended = trial.state in (TrialState.PAUSED, TrialState.COMPLETED)
    if ended and trial.keep_asked and seen.epochs < oracle.max_epochs:
        return Standing.STOPPED
    # Every bracket's last rung ends at max_epochs; one that stopped itself early rises to it without training.
    if trial.state is TrialState.COMPLETED and oracle.staged and seen.budget < oracle.max_epochs:
        return Standing.ELIMINATED
    return _STANDINGS[trial.state]


def stopped_by_hand(trials: Iterable[Trial], oracle: Oracle) -> list[int]:
    """Trials that a person has ended, whether their scores count or not; lowest id first."""
    asked = (trial for trial in trials if trial.stop_asked or trial.state is TrialState.STOPPED)
    return sorted(trial.id for trial in asked if standing(trial, oracle) is Standing.STOPPED)


def saved_epochs(trials: Iterable[Trial], oracle: Oracle) -> int:
    """Epochs not trained because trials stopped themselves early; what a person has ended saves none."""
    trials = list(trials)
    by_hand = set(stopped_by_hand(trials, oracle))
    return sum(oracle.spared_epochs(trial.id) for trial in trials if trial.id not in by_hand)
