"""The trials of a run as the user of a tuner holds them: Keras Tuner's Trial, and what gpusched knows beyond it.

Knows how the files of a run become such trials. Reads only.
"""

from __future__ import annotations

import math
import sys
from collections.abc import Iterator, Mapping
from typing import Any, Protocol, TextIO

from gpusched.core.search import Search
from gpusched.core.trial import LOST, TrialState
from gpusched.hyperparameters import HyperParameters
from gpusched.metrics import MetricObservation, MetricsTracker, infer_metric_direction
from gpusched.objective import Objective
from gpusched.printable import tell
from gpusched.storage.metrics import RESERVED
from gpusched.trials import Trial, TrialStatus, name_of
from gpusched.ui import words
from gpusched.ui.notebook import html
from gpusched.ui.trials.ranking import Best, finished_trial, in_full


class BestMetrics(MetricsTracker, Mapping[str, Any]):
    """The metrics of a trial's best epoch.

    As in Keras Tuner each metric has one observation, at that epoch, with one value: the mean over executions. As a
    mapping it has the epoch's line in metrics.jsonl, `seconds` included.
    """

    def __init__(self) -> None:
        super().__init__()
        self._line: dict[str, Any] = {}

    def __getitem__(self, name: str) -> Any:
        return self._line[name]

    def __iter__(self) -> Iterator[str]:
        return iter(self._line)

    def __len__(self) -> int:
        return len(self._line)

    def __repr__(self) -> str:
        return repr(self._line)


class TrialResult(Trial):
    """A trial of a run.

    Attributes:
        id: its number; `trial_id` is the same as text, and the name of its folder.
        score: the objective of its best epoch; None where there is none.
        best_step: that epoch, counted from 0 as in Keras Tuner. `best_epoch` is the same, counted from 1.
        epochs: it has been trained for.
        budget: to which epoch its algorithm has had it trained.
        objective: the name of what its score is.
    """

    metrics: BestMetrics
    epochs: int = 0
    budget: int = 0
    objective: str = ""

    def __init__(self, trial: int, hyperparameters: HyperParameters, status: str, message: str | None) -> None:
        super().__init__(hyperparameters, name_of(trial), status, message)
        self.metrics = BestMetrics()
        self.best_step = None

    @property
    def id(self) -> int:
        return int(self.trial_id)

    @property
    def values(self) -> dict[str, Any]:
        return dict(self.hyperparameters.values)

    @property
    def best_epoch(self) -> int | None:
        return None if self.best_step is None else self.best_step + 1

    def _score_words(self) -> str:
        return f"{words.score(self.score)} ({self.objective}, epoch {self.best_epoch} of {self.epochs})"

    def display_hyperparameters(self, file: TextIO | None = None) -> None:
        out = file or sys.stdout
        for name, value in self.values.items():
            tell(f"{words.clean(name)}: {words.value(value)}", out)
        if not self.values:
            tell("default configuration", out)

    def _repr_html_(self) -> str:
        """What a notebook shows of it."""
        score = html.text(f"no {self.objective}" if self.score is None else self._score_words())
        head = html.line(html.bold(f"trial {self.id}"), html.text(self.status.lower()), score)
        values = [[html.text(name), html.text(words.value(value))] for name, value in self.values.items()]
        return html.page(
            head, html.table(["hyperparameter", "value"], values), html.block([self.message]) if self.message else ""
        )

    def __repr__(self) -> str:
        return (
            f"TrialResult(trial_id={self.trial_id!r}, status={self.status}, score={self.score}, values={self.values})"
        )


class Told(Protocol):
    """What a trial's result is read from: a Run, or a search that is running."""

    @property
    def search(self) -> Search: ...

    def metrics(self, trial: int) -> list[dict[str, Any]]: ...


def trial_of(run: Told, trial: int, space: HyperParameters, best: Best | None = None) -> TrialResult:
    """A trial that has been started, whatever became of it. Raises KeyError where there is none of this number.

    Its score is that of `best`, where given: what it has reported so far. Otherwise it is what the search was told.
    """
    state = run.search.trials[trial]
    oracle = run.search.oracle
    hp = space.copy()
    hp.values = dict(oracle.trials[trial].values)
    failure = state.failure if state.state in LOST else None
    message = failure and (failure.traceback or f"{failure.kind}: {failure.message}")
    result = TrialResult(trial, hp, _status(state.state), message or None)
    result.objective, result.budget = oracle.objectives[0].name, oracle.trials[trial].budget
    best = best or finished_trial(oracle, trial)
    if best is not None:
        best = in_full(run.search, best, run.metrics)
        result.score, result.best_step, result.epochs = best.score, best.epoch - 1, best.budget
        _fill(result.metrics, run.metrics(trial), oracle.objectives[0], best.epoch, best.budget)
    return result


def _status(state: TrialState) -> str:
    if state in LOST:
        return TrialStatus.FAILED
    return TrialStatus.COMPLETED if state in (TrialState.COMPLETED, TrialState.PAUSED) else TrialStatus.RUNNING


def _fill(metrics: BestMetrics, lines: list[dict[str, Any]], objective: Objective, epoch: int, budget: int) -> None:
    """Takes in the best epoch of each execution, whose mean is the score."""
    at = [line for line in lines if line["epoch"] == epoch]
    metrics._line = {name: value for name, value in (at[0] if at else {}).items() if name != "epoch"}
    best: dict[int, dict[str, Any]] = {}
    for line in lines:
        known = best.get(line.get("execution", 0))
        if line["epoch"] <= budget and (known is None or objective.better(objective.of(line), objective.of(known))):
            best[line.get("execution", 0)] = line
    names = dict.fromkeys(name for line in best.values() for name in line if name not in RESERVED)
    for name in names:
        values = [line[name] for line in best.values() if isinstance(line.get(name), int | float)]
        direction = objective.direction if name == objective.name else infer_metric_direction(name)
        metrics.register(name, direction)
        if values:
            metrics.set_history(name, [MetricObservation(math.fsum(values) / len(values), epoch - 1)])
