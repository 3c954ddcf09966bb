"""A project of Keras Tuner on disk: its space, and the trials that have finished.

Knows Keras Tuner's files: `oracle.json` and `trial_*/trial.json`, from 1.0 to 1.4. Reads only, and refuses to know what
is made of it.
"""

from __future__ import annotations

import json
import math
from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from gpusched.errors import UsageError
from gpusched.hyperparameters import HyperParameters
from gpusched.objective import Objective

#: Values with this prefix are Hyperband's own notes: epochs, bracket, round, and the trial that it continues.
_NOTES = "tuner/"


@dataclass(frozen=True, kw_only=True)
class Finished:
    """A trial that Keras Tuner completed."""

    name: str  #: its id there
    values: dict[str, Any]
    score: float  #: of the objective it was searched with, whose name is written nowhere
    best_step: int  #: the epoch of that score, counted from 0
    epochs: int | None  #: it was trained for; only Hyperband notes that
    metrics: dict[str, float]  #: at that epoch
    directions: dict[str, str]  #: of the metrics: "min" or "max"
    folder: Path

    @property
    def weights(self) -> Path | None:
        """Of the best epoch, in Keras's format; None where Keras Tuner kept none, or others."""
        file = self.folder / "checkpoint.weights.h5"
        return file if file.is_file() else None

    @property
    def build(self) -> dict[str, Any] | None:
        """What the model says of its inputs, to build it without data."""
        config = _json(self.folder / "build_config.json")
        return config if isinstance(config, dict) else None


@dataclass(frozen=True, kw_only=True)
class Project:
    """What can be read of a project."""

    path: Path
    algorithm: str  #: as it is called here; grid search cannot be told from random search
    space: HyperParameters
    seed: int
    trials: list[Finished] = field(default_factory=list)  #: in the order in which they started
    unfinished: int = 0  #: trials that failed, or were never completed

    def objective(self) -> Objective:
        """What it was searched with, by its trials' scores. Raises UsageError where that cannot be told."""
        if not self.trials:
            raise UsageError(f"{self.path}: no trial has been completed, so there is nothing to import")
        names = [
            name
            for name in self.trials[0].metrics
            if all(_same(trial.metrics.get(name), trial.score) for trial in self.trials)
        ]
        if len(names) > 1:
            names = [name for name in names if name.startswith("val_")] or names
        if len(names) != 1:
            known = ", ".join(self.trials[0].metrics) or "none"
            raise UsageError(
                f"{self.path}: its files do not say which metric was the objective; "
                f"give it with --objective NAME:min or NAME:max (metrics: {known})"
            )
        direction: Any = self.trials[0].directions[names[0]]
        return Objective(names[0], direction)


def is_project(path: Path) -> bool:
    """Whether Keras Tuner has worked in this folder."""
    return (path / "oracle.json").is_file() and any(path.glob("trial_*/trial.json"))


def read_project(path: Path) -> Project:
    """Raises UsageError, in one line, where the folder holds no project that can be read."""
    if not is_project(path):
        raise UsageError(f"{path}: not a Keras Tuner project; give the folder that holds oracle.json and trial_*")
    state = _json(path / "oracle.json")
    try:
        space = _without_notes(state["hyperparameters"])
        order = {name: place for place, name in enumerate(state.get("start_order", []))}
        seed = int(state.get("seed") or 0)
        algorithm = _algorithm(state)
    except (TypeError, KeyError, ValueError, UsageError) as error:
        raise UsageError(
            f"{path / 'oracle.json'}: not readable as Keras Tuner 1.0 to 1.4 writes it ({error})"
        ) from None
    files = sorted(
        path.glob("trial_*/trial.json"), key=lambda file: (order.get(file.parent.name[6:], len(order)), file)
    )
    read = [_finished(file) for file in files]
    trials = [trial for trial in read if trial is not None]
    unfinished = len(read) - len(trials)
    return Project(
        path=path, algorithm=algorithm, space=space, seed=seed, trials=_furthest(trials), unfinished=unfinished
    )


def _algorithm(state: Mapping[str, Any]) -> str:
    """By what each oracle writes beside the rest."""
    if "brackets" in state:
        return "hyperband"
    return "bayesian" if "num_initial_points" in state else "random"


def _without_notes(config: Mapping[str, Any]) -> HyperParameters:
    kept = [each for each in config["space"] if not each["config"]["name"].startswith(_NOTES)]
    return HyperParameters.from_config({"space": kept, "values": {}})


def _finished(file: Path) -> Finished | None:
    """None where the trial has not been completed with a score, or its file is not whole."""
    state = _json(file)
    try:
        if state["status"] != "COMPLETED" or not math.isfinite(state["score"]):
            return None
        given = state["hyperparameters"]["values"]
        step = int(state.get("best_step") or 0)
        tracked = state["metrics"]["metrics"]
        metrics = {name: value for name, each in tracked.items() if (value := _value(each, step)) is not None}
        return Finished(
            name=str(state["trial_id"]),
            values={name: value for name, value in given.items() if not name.startswith(_NOTES)},
            score=float(state["score"]),
            best_step=step,
            epochs=int(given.get(f"{_NOTES}epochs") or 0) or None,
            metrics=metrics,
            directions={name: str(each.get("direction") or "min") for name, each in tracked.items()},
            folder=file.parent,
        )
    except (TypeError, KeyError, ValueError, AttributeError):
        return None


def _value(metric: Mapping[str, Any], step: int) -> float | None:
    """At this epoch, or else at the last one that was noted; the mean of several executions."""
    noted = metric["observations"]
    at = [each for each in noted if each["step"] == step] or noted[-1:]
    values = [float(value) for each in at for value in each["value"] if value is not None]
    return sum(values) / len(values) if values else None


def _furthest(trials: list[Finished]) -> list[Finished]:
    """Hyperband's promotions are trials of their own there: of the same configuration the longest training counts."""
    found: dict[str, Finished] = {}
    for trial in trials:
        key = json.dumps(trial.values, sort_keys=True)
        if key not in found or (trial.epochs or 0) > (found[key].epochs or 0):
            found[key] = trial
    return list(found.values())


def _same(value: float | None, score: float) -> bool:
    return value is not None and math.isclose(value, score, rel_tol=1e-9, abs_tol=1e-12)


def _json(path: Path) -> Any:
    try:
        return json.loads(path.read_bytes())
    except (OSError, ValueError):
        return None
