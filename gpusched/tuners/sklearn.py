"""Tunes models of scikit-learn, and whatever else has fit, predict and score, by cross-validation."""

from __future__ import annotations

import inspect
import math
import os
import pickle
from collections.abc import Callable, Sequence
from functools import partial
from pathlib import Path
from typing import Any

import numpy as np

from gpusched.launcher.standby.forkable import unforkable
from gpusched.storage.files import open_own
from gpusched.trial.tuning.folds import at_once
from gpusched.tuners.base import BaseTuner

#: In the trial's folder.
_FILE = "model.pickle"


class SklearnTuner(BaseTuner):
    """Trains each trial once for every fold of a cross-validation; a metric of the trial is the mean over its folds.

    Trials run at once in processes of their own. Where a CPU's slots are free, since fewer trials are left than slots,
    the folds of one trial are trained there at once, each in a fork: what fit changes elsewhere than in the model is
    not seen by the other folds. The model of the last fold is pickled into the trial's folder: get_best_models runs
    the code that unpickling runs.

    Args:
        oracle: what decides the values; its objective is Objective("score", "max").
        hypermodel: a function build(hp) that returns a model, or a HyperModel.
        scoring: a scorer of scikit-learn, scorer(model, x, y), or the name of one; None: the model's own score.
        metrics: one function metric(y_true, y_predicted) or several: told beside the score under their names.
        cv: a splitter of scikit-learn; None: five shuffled folds.
        **kwargs: what all tuners take, see BaseTuner.
    """

    #: Every hyperparameter is the hypermodel's.
    asks_by_build = True

    def __init__(
        self,
        oracle: Any,
        hypermodel: Any,
        scoring: Callable[..., float] | str | None = None,
        metrics: Callable[..., float] | Sequence[Callable[..., float]] | None = None,
        cv: Any = None,
        **kwargs: Any,
    ) -> None:
        super().__init__(oracle, hypermodel, **kwargs)
        from sklearn.metrics import get_scorer
        from sklearn.model_selection import KFold

        self.scoring: Any = get_scorer(scoring) if isinstance(scoring, str) else scoring
        several: Any = metrics if isinstance(metrics, list | tuple) else [metrics]
        self.metrics = [metric for metric in several if metric is not None]
        self.cv = cv or KFold(5, shuffle=True, random_state=1)

    def search(self, X: Any, y: Any, sample_weight: Any = None, groups: Any = None) -> None:
        """Runs the search, or carries it on.

        Args:
            X, y: arrays or frames, a row for each sample.
            sample_weight: for fit, the score and the metrics, where the model takes it.
            groups: for splitters that keep the samples of a group together.
        """
        super().search(X, y, sample_weight=sample_weight, groups=groups)

    def run_trial(self, trial: Any, X: Any, y: Any, sample_weight: Any = None, groups: Any = None) -> dict[str, float]:
        """Trains and scores a model for every fold, in the trial's process."""
        grouped = {} if groups is None else {"groups": groups}
        folds = list(self.cv.split(X, y, **grouped))
        assert self.hypermodel is not None
        # Built here, so that the hyperparameters which only a build asks for are known to this process.
        models = [self.hypermodel.build(trial.hyperparameters) for _ in folds]
        seeds = np.random.randint(2**32, size=len(folds), dtype=np.uint32)  # The same, wherever a fold is trained.

        def one(fold: int) -> tuple[list[tuple[str, float]], Any]:
            np.random.seed(seeds[fold])
            model, (train, test) = models[fold], folds[fold]
            model.fit(rows(X, train), rows(y, train), **_weights(model.fit, sample_weight, train))
            found = self._judge(model, rows(X, test), rows(y, test), sample_weight, test)
            return found, model if fold == len(folds) - 1 else None

        parts = [partial(one, fold) for fold in range(len(folds))]
        with trial.slots as slots:
            done = at_once(parts, slots) if slots.others and not unforkable() else [part() for part in parts]
        values: dict[str, list[float]] = {}
        for found, _ in done:
            for name, value in found:
                values.setdefault(name, []).append(float(value))
        self.save_model(trial.trial_id, done[-1][1])
        return {name: math.fsum(each) / len(each) for name, each in values.items()}

    def _judge(self, model: Any, x: Any, y: Any, sample_weight: Any, test: Any) -> list[tuple[str, float]]:
        weights = {} if sample_weight is None else {"sample_weight": rows(sample_weight, test)}
        if self.scoring is None:
            found = [("score", model.score(x, y, **weights))]
        else:
            found = [("score", self.scoring(model, x, y, **weights))]
        if self.metrics:
            predicted = model.predict(x)
            found += [(metric.__name__, metric(y, predicted, **weights)) for metric in self.metrics]
        return found

    def save_model(self, trial_id: int | str, model: Any, step: int = 0) -> None:
        """Pickles the model into the trial's folder."""
        path = Path(self.get_trial_dir(trial_id)) / _FILE
        with open(open_own(path, os.O_WRONLY | os.O_CREAT | os.O_TRUNC), "wb") as file:
            pickle.dump(model, file)

    def load_model(self, trial: Any) -> Any:
        """The model that was pickled for this trial."""
        with open(Path(self.get_trial_dir(trial.trial_id)) / _FILE, "rb") as file:
            return pickle.load(file)


def rows(data: Any, indices: Any) -> Any:
    """These rows of an array, a sparse matrix, or a frame or column of pandas. Raises TypeError for anything else."""
    if hasattr(data, "iloc"):
        return data.iloc[indices]
    if hasattr(data, "shape"):
        return data[indices]
    raise TypeError(f"{type(data).__name__} has no rows to choose from; give an array, like numpy.asarray(data)")


def _weights(fit: Callable[..., Any], sample_weight: Any, train: Any) -> dict[str, Any]:
    """The argument sample_weight, where there are weights and fit takes them by that name; a pipeline's does not."""
    if sample_weight is None or "sample_weight" not in inspect.signature(fit).parameters:
        return {}
    return {"sample_weight": rows(sample_weight, train)}
