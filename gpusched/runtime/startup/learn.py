"""A new search that starts from the results of an older run, whose space may have been another.

Knows which of its trials mean something here. Refuses to know what an algorithm makes of them.
"""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

from gpusched.errors import UsageError
from gpusched.hyperparameters import HyperParameters
from gpusched.oracles import CUSTOM
from gpusched.oracles.samplers.space import Space
from gpusched.oracles.types import Trial
from gpusched.printable import clean
from gpusched.runtime.reader import Run
from gpusched.storage.files import near
from gpusched.storage.records import Learned, Older
from gpusched.storage.rundir import RunDir
from gpusched.storage.runs.known import find_run
from gpusched.trial.settings import RESUMING, Settings


def opened(settings: Settings, run: RunDir, *, restart: bool) -> Run | None:
    """The older run, read before anything is moved aside; None where a new search starts from none.

    Raises UsageError where it is no run.
    """
    if settings.learn_from is None or (run.exists() and not restart):
        return None
    beside = Path(settings.folder, settings.learn_from)
    return Run(RunDir(beside) if (beside / "search.json").exists() else find_run(settings.learn_from))


class Learning:
    """What an older run's trials say for this search. Raises UsageError where that is nothing."""

    def __init__(self, older: Run, settings: Settings, config: Mapping[str, Any]) -> None:
        self._older, self._settings = older, settings
        self._space = Space(HyperParameters.from_config(dict(config)))
        self._why = ""  #: the first trial that does not fit
        here = [(each["name"], each["direction"]) for each in settings.objectives]
        there = [(each.name, each.direction) for each in older.search.oracle.objectives]
        path = near(older.dir.path)
        if here != there:
            raise UsageError(f"learn_from: {path} was searched for {_spec(there)}, and this is for {_spec(here)}")
        if len(here) > 1:
            raise UsageError(f"learn_from: {path} has several objectives; only results of one can be learned from")
        if settings.algorithm == CUSTOM:
            raise UsageError("learn_from: your own oracle decides what is tried; give it the older results itself")
        if settings.algorithm == "random" and self._space.continuous:
            raise UsageError(
                "learn_from: random search draws from a space without end as if nothing were known; give --algorithm "
                "bayesian, or hyperband with --sampler model"
            )
        trials = [trial for trial in older.search.oracle.trials.values() if _has_score(trial)]
        if not trials:
            raise UsageError(f"learn_from: no trial of {path} has completed, so there is nothing to learn")
        fitting = [(trial, values) for trial in trials if (values := self._values(trial)) is not None]
        if not fitting:
            raise UsageError(f"learn_from: no trial of {path} fits this space ({self._why})")
        self._left_out = len(trials) - len(fitting)
        self.record = self._recorded(fitting)

    def _recorded(self, fitting: list[tuple[Trial, dict[str, Any]]]) -> Learned:
        sign = -1.0 if self._settings.objectives[0]["direction"] == "max" else 1.0
        older = [
            Older(trial=trial.id, values=values, scores=[sign * s if math.isfinite(s) else None for s in trial.curve])
            for trial, values in fitting
        ]
        full = self._settings.algorithm not in RESUMING
        most = self._settings.arguments.get("max_epochs", 1)
        done = [values for trial, values in fitting if full and trial.budget >= most]
        # Where nothing is tried twice, or nothing is learned from it, the best is not trained once more.
        first = not full or (self._settings.algorithm == "bayesian" and self._space.continuous)
        return Learned(run=str(self._older.dir.path), older=older, first=int(first), done=done)

    def _values(self, trial: Trial) -> dict[str, Any] | None:
        """As this space has them: what is new has its default, what is gone is left out; None where they do not fit."""
        names = {each.name for each in self._space.hyperparameters}
        kept = {name: value for name, value in trial.values.items() if name in names}
        values = self._space.fill(kept, lambda i, hyperparameter: hyperparameter.default)
        try:
            self._space.check(values)
        except UsageError as error:
            outside = str(error).removeprefix("initial: ").partition(" is outside of ")[0]
            self._why = self._why or f"trial {trial.id} has {outside}"
            return None
        return values

    def lines(self) -> list[str]:
        """What is learned from, for people."""
        count, path = len(self.record.older), near(self._older.dir.path)
        then = (
            "the best one's values are tried first" if self.record.first else "what they have trained is not repeated"
        )
        lines = [f"learns from {count} {'trial' if count == 1 else 'trials'} of {path}; {then}"]
        here = {each.name: each for each in self._space.hyperparameters}
        there = {each.name for each in self._older.search.oracle.space.hyperparameters}
        lines += [
            f"{clean(name)} is new: the older trials count as having {clean(str(each.default))}"
            for name, each in here.items()
            if name not in there
        ]
        lines += [f"{clean(name)} is gone: its values in the older trials are left out" for name in there - here.keys()]
        if self._left_out:
            lines.append(f"{self._left_out} of its trials do not fit this space ({clean(self._why)}): left out")
        return lines


def _has_score(trial: Trial) -> bool:
    return bool(trial.curve) and not trial.failed and math.isfinite(trial.score)


def _spec(objectives: Sequence[tuple[str, str]]) -> str:
    return ", ".join(f"{name}:{direction}" for name, direction in objectives)
