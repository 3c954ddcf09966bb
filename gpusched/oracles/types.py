"""What an oracle answers, what it remembers of trials, where it stands, and what it is going to do."""

from __future__ import annotations

import math
from typing import Any, NamedTuple, TypeAlias

import msgspec

from gpusched.oracles.brackets import BracketPlan


class Job(msgspec.Struct, frozen=True):
    """Train this trial from ``start_epoch`` to ``stop_epoch`` (epochs count from 0; the stop is not trained)."""

    trial_id: int
    values: dict[str, Any]  #: the active hyperparameters
    start_epoch: int
    stop_epoch: int


class Wait(msgspec.Struct, frozen=True):
    """Nothing to start before a job that is out has ended."""


class Done(msgspec.Struct, frozen=True):
    """No job is out and none will come."""


Answer: TypeAlias = Job | Wait | Done


class Place(NamedTuple):
    """Where a trial stands; ``bracket`` is its number s, ``rung`` the highest it has entered."""

    iteration: int
    bracket: int
    rung: int
    index: int  # type: ignore[assignment]  # the field's name for it; tuple.index is of no use here


class RungState(msgspec.Struct, frozen=True):
    """A rung of an opened bracket as it stands. ``trials`` are the ids that entered it."""

    iteration: int
    bracket: int
    rung: int
    start_epoch: int
    stop_epoch: int
    size: int
    promotes: int
    finished: int
    failed: int
    missing: int
    promoted: int
    trials: tuple[int, ...]

    @property
    def entered(self) -> int:
        return len(self.trials)


class Plan(msgspec.Struct, frozen=True):
    """What a search will do if nothing fails; the totals are None when it has no end.

    ``brackets`` are those of every iteration, or of the first one when there is no end.
    """

    brackets: tuple[BracketPlan, ...]
    trials: int | None
    epochs: int | None


class Trial:
    """What an oracle remembers of a trial."""

    __slots__ = ("budget", "curve", "epochs", "failed", "id", "point", "rung", "running", "score", "stopped", "values")

    def __init__(self, trial_id: int, values: dict[str, Any]) -> None:
        self.id = trial_id
        self.values = values
        self.rung = 0
        self.curve: list[float] = []  #: the first objective after each epoch, turned so that lower is better
        self.score = math.inf  #: the best of it
        self.point: tuple[float, ...] = ()  #: all objectives at the epoch of the best score, lower is better
        self.epochs = 0  #: trained
        self.budget = 0  #: the end of the last rung it finished
        self.running: Job | None = None
        self.failed = False
        self.stopped = False
