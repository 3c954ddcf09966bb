"""Trials whose values come from an oracle of the user's, who is asked elsewhere: here is what it has answered.

Knows what has been asked, answered and told. Refuses to know who answers, and where.
"""

from __future__ import annotations

import math
from collections.abc import Iterable, Mapping, Sequence
from typing import Any

from gpusched.errors import UsageError
from gpusched.hyperparameters import HyperParameters
from gpusched.objective import Objective
from gpusched.oracles.full_training import FullTraining
from gpusched.oracles.samplers import RandomSampler
from gpusched.oracles.types import Answer, Trial, Wait

#: What an answer says: here are values; wait until a trial has ended; there will be no more.
RUNNING, IDLE, STOPPED = "RUNNING", "IDLE", "STOPPED"
#: Among its values an oracle may say how many epochs a trial is for, as Keras Tuner's Hyperband does.
_EPOCHS = "tuner/epochs"


class Custom(FullTraining):
    """``question`` is the trial to ask about next, and ``advise`` takes the answer; every ended trial is to be told."""

    def __init__(
        self,
        hyperparameters: HyperParameters,
        objective: Objective | Sequence[Objective],
        max_epochs: int = 1,
        max_trials: int | None = None,
        *,
        seed: int = 0,
        initial: Iterable[Mapping[str, Any]] = (),
    ) -> None:
        super().__init__(
            hyperparameters,
            objective,
            max_epochs,
            max_trials=max_trials,
            seed=seed,
            sampler=RandomSampler(),
            initial=initial,
        )
        self.names: dict[int, str] = {}  #: how the user's oracle calls its trials
        self.history: list[tuple[int, bool]] = []  #: each trial when it was begun, and again when its end was heard of
        self.steps: dict[int, int | None] = {}  #: the epoch of a trial's score, as the user's oracle has it
        self.state: dict[str, Any] = {}  #: what it wants to be reminded of
        self._values: dict[str, Any] | None = None  # the answer that is not handed out yet
        self._asks = self._idle = self._stopped = False
        self._untold: list[int] = []

    def _most_distinct(self) -> int | None:
        return None  # A user's oracle may try the same twice.

    def values_of(self, trial_id: int) -> dict[str, Any]:
        """What was answered, and found since, for a trial whose values are known; it may still wait for its job."""
        return self.trials[trial_id].values if trial_id in self.trials else self._values or {}

    # ------------------------------------------------------------------ asking

    @property
    def question(self) -> int | None:
        return len(self.trials) if self._asks else None

    def ask(self) -> Answer:
        """A job where an answer is there; else it becomes a question."""
        full = self._limit is not None and len(self.trials) >= self._limit
        idle = self._idle and self._out > 0
        if self._values is None and not (self._stopped or full or idle):
            self._asks = True
            return Wait()
        if self._values is not None:
            self.known[len(self.trials)] = self._values
        return super().ask()

    def _pick(self) -> tuple[int, int, int] | None:
        if self._values is None:
            return None
        picked = super()._pick()
        if picked is None:
            return None
        epochs = self._values.get(_EPOCHS)
        self._values = None
        return picked if not isinstance(epochs, int) else (picked[0], 0, max(1, epochs))

    def advise(self, status: str, values: Mapping[str, Any], name: str, state: Mapping[str, Any]) -> None:
        """The answer to the question."""
        self._asks = self._idle = False
        self.state.update(state)
        if status == RUNNING:
            self._values = dict(values)
            self.names[len(self.trials)] = name
            self.history.append((len(self.trials), False))
        elif status == IDLE:
            self._idle = True
        else:
            self._stopped = True

    def set_max_trials(self, max_trials: int | None) -> None:
        """Another budget; an oracle that had no more trials is asked again."""
        super().set_max_trials(max_trials)
        self._stopped = False

    # ------------------------------------------------------------------ telling

    @property
    def untold(self) -> list[int]:
        return list(self._untold)

    def heard(self, trial_id: int, score: float | None, step: int | None, state: Mapping[str, Any]) -> None:
        """The user's oracle knows of this trial's end. ``score`` is given where it has one of its own for it."""
        self._untold.remove(trial_id)
        self.history.append((trial_id, True))
        self.steps[trial_id] = step
        self.state.update(state)
        self._idle = False
        trial = self.trials[trial_id]
        if score is not None and not trial.failed:
            trial.score = self.scores[trial_id] = self._signs[0] * score if math.isfinite(score) else math.inf
            self._ranking = None

    def _finished(self, trial: Trial) -> None:
        super()._finished(trial)
        self._untold.append(trial.id)
        self._idle = False

    def add(self, values: Mapping[str, Any]) -> None:
        raise UsageError("your own oracle decides what is tried: no configuration can be added beside it")

    def give_back(self, trial_id: int) -> None:
        raise UsageError(f"trial {trial_id}: your own oracle decides what is tried, and knows that this trial failed")

    def _failed(self, trial: Trial) -> None:
        super()._failed(trial)
        self._untold.append(trial.id)
        self._idle = False
