"""A trial as its user knows it: values, metrics, score and status, in Keras Tuner's terms.

Knows how it is written down. Refuses to know who trains it: what a scheduler needs to know is `core.trial`.
"""

from __future__ import annotations

import json
import os
import sys
import uuid
from collections.abc import Mapping
from typing import Any, Self, TextIO

from gpusched.hyperparameters import HyperParameters
from gpusched.metrics import MetricsTracker
from gpusched.printable import tell


class TrialStatus:
    """How a trial stands. The values are text."""

    RUNNING = "RUNNING"  #: it may train
    IDLE = "IDLE"  #: empty: the oracle waits for other trials; ask again
    INVALID = "INVALID"  #: it has failed, and may be tried again
    STOPPED = "STOPPED"  #: empty: the oracle has no more trials
    COMPLETED = "COMPLETED"
    FAILED = "FAILED"  #: it has failed and is not tried again


#: The number of no trial, for user code that is tried only: one that seeds a generator, as all others do.
NO_TRIAL = 2**31 - 1


def name_of(trial: int) -> str:
    """A trial's id as text, as its folder is called: `0003`."""
    return f"{trial:04d}"


class Trial:
    """One set of values, and what came of training with them.

    Args:
        hyperparameters: the space, and this trial's values in it.
        trial_id: text; a new one where it is not given.
        status: see TrialStatus.
        message: why it failed.
    """

    def __init__(
        self,
        hyperparameters: HyperParameters,
        trial_id: str | None = None,
        status: str = TrialStatus.RUNNING,
        message: str | None = None,
    ) -> None:
        self.hyperparameters = hyperparameters
        self.trial_id = generate_trial_id() if trial_id is None else trial_id
        self.metrics = MetricsTracker()
        self.score: float | None = None
        self.best_step: int | None = 0  #: of its best score
        self.status = status
        self.message = message

    def summary(self, file: TextIO | None = None) -> None:
        """Prints id, values, score and, where it failed, why."""
        out = file or sys.stdout
        tell(f"Trial {self.trial_id} summary\nHyperparameters:", out)
        self.display_hyperparameters(out)
        if self.score is not None:
            tell(f"Score: {self._score_words()}", out)
        if self.message is not None:
            tell(self.message, out)

    def _score_words(self) -> str:
        return str(self.score)

    def display_hyperparameters(self, file: TextIO | None = None) -> None:
        """Prints the values."""
        out = file or sys.stdout
        for name, value in self.hyperparameters.values.items():
            tell(f"{name}: {value}", out)
        if not self.hyperparameters.values:
            tell("default configuration", out)

    def get_state(self) -> dict[str, Any]:
        """All of it, as a dict of JSON's types."""
        return {
            "trial_id": self.trial_id,
            "hyperparameters": self.hyperparameters.get_config(),
            "metrics": self.metrics.get_config(),
            "score": self.score,
            "best_step": self.best_step,
            "status": self.status,
            "message": self.message,
        }

    def set_state(self, state: Mapping[str, Any]) -> None:
        """Makes it what `get_state` told of another."""
        self.trial_id = state["trial_id"]
        self.hyperparameters = HyperParameters.from_config(state["hyperparameters"])
        self.metrics = MetricsTracker.from_config(state["metrics"])
        self.score = state["score"]
        self.best_step = state["best_step"]
        self.status = state["status"]
        self.message = state.get("message")

    @classmethod
    def from_state(cls, state: Mapping[str, Any]) -> Self:
        trial = cls.__new__(cls)
        trial.set_state(state)
        return trial

    def save(self, fname: str | os.PathLike[str]) -> str:
        """Writes its state to a file of JSON; returns what was written."""
        text = json.dumps(self.get_state())
        with open(fname, "w", encoding="utf-8") as file:
            file.write(text)
        return text

    def reload(self, fname: str | os.PathLike[str]) -> None:
        """Takes its state from a file of JSON."""
        with open(fname, encoding="utf-8") as file:
            self.set_state(json.load(file))

    @classmethod
    def load(cls, fname: str | os.PathLike[str]) -> Self:
        """The trial that was saved in a file of JSON."""
        trial = cls.__new__(cls)
        trial.reload(fname)
        return trial


def generate_trial_id() -> str:
    """A new id: 32 hexadecimal digits."""
    return uuid.uuid4().hex
