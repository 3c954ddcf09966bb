"""A tuner's oracle: given to it, and asked before, while and after it searches."""

from __future__ import annotations

import json
import subprocess
import sys
import textwrap
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

import gpusched as kt
from gpusched.errors import UsageError


@pytest.fixture
def script(tmp_path: Path) -> Callable[..., Any]:
    """Runs a script as `python script.py`; returns the JSON of its last line."""

    def run(code: str, *argv: str) -> Any:
        file = tmp_path / "oracle of one's own.py"
        file.write_text(_BEFORE + textwrap.dedent(code), encoding="utf-8")
        done = subprocess.run(
            [sys.executable, str(file), *argv], cwd=tmp_path, capture_output=True, text=True, timeout=120
        )
        assert done.returncode == 0, done.stdout[-2000:] + done.stderr[-3000:]
        return json.loads(done.stdout.strip().splitlines()[-1])

    return run


_BEFORE = """
import json, os, sys
import gpusched as kt

class Tuner(kt.Tuner):
    def run_trial(self, trial, *args, **kwargs):
        hp = trial.hyperparameters
        return (hp.Float("x", -1, 1) - 0.3) ** 2 + hp.Boolean("b")

"""


def test_a_tuner_searches_by_the_oracle_it_is_given(script: Callable[..., Any]) -> None:
    """The object that was given tells what came of it, and the best trials' values."""
    said = script(
        """
        oracle = kt.oracles.RandomSearchOracle(max_trials=4, seed=3)
        tuner = Tuner(oracle=oracle, directory="runs", project_name="a", cpu_slots=2)
        before = [list(oracle.trials), tuner.remaining_trials, tuner.oracle is oracle]
        tuner.search(verbose=0)
        best = oracle.get_best_trials(4)
        after = [list(oracle.trials), oracle.start_order, oracle.remaining_trials(), oracle.ongoing_trials]
        space = [each.name for each in oracle.get_space().space]
        same = tuner.get_best_hyperparameters()[0].values == best[0].hyperparameters.values
        print(json.dumps([before, after, space, same, [each.score for each in best]]))
        """
    )
    before, after, space, same, scores = said
    ids = ["0000", "0001", "0002", "0003"]
    assert before == [[], 4, True]
    assert after == [ids, ids, 0, {}]
    assert space == ["x", "b"]
    assert same
    assert scores == sorted(scores)


def test_another_process_sees_the_trials_of_a_run(script: Callable[..., Any]) -> None:
    """A tuner made over an older run answers with its trials before it searches; with overwrite it has none."""
    code = """
        made = dict(directory="runs", project_name="a", cpu_slots=1)
        tuner = Tuner(oracle=kt.oracles.RandomSearchOracle(max_trials=int(sys.argv[1]), seed=3), **made)
        before = len(tuner.oracle.trials)
        tuner.search(verbose=0)
        fresh = Tuner(oracle=kt.oracles.RandomSearchOracle(max_trials=2), overwrite=True, **made)
        print(json.dumps([before, len(tuner.oracle.trials), len(fresh.oracle.trials)]))
    """
    assert script(code, "2") == [0, 2, 0]
    assert script(code, "4") == [2, 4, 0]


def test_the_algorithm_is_the_oracle_s() -> None:
    """Each of Keras Tuner's oracles stands for gpusched's algorithm, with its arguments."""

    def asked(oracle: Any) -> Any:
        return kt.Tuner(oracle=oracle, hypermodel=lambda hp: None).asked

    hyperband = asked(kt.oracles.HyperbandOracle("val_loss", max_epochs=9, factor=2, hyperband_iterations=None, seed=5))
    assert (hyperband.algorithm, hyperband.max_epochs, hyperband.factor) == ("hyperband", 9, 2)
    assert (hyperband.iterations, hyperband.seed) == (None, 5)
    bayesian = asked(kt.oracles.BayesianOptimizationOracle("val_loss", max_trials=7, alpha=0.1, beta=1.5))
    assert (bayesian.algorithm, bayesian.max_trials, bayesian.alpha, bayesian.beta) == ("bayesian", 7, 0.1, 1.5)
    assert asked(kt.oracles.GridSearchOracle("val_loss")).algorithm == "grid"
    assert asked(kt.oracles.RandomSearchOracle(["val_loss", "val_accuracy"])).objectives == [
        kt.Objective("val_loss", "min"),
        kt.Objective("val_accuracy", "max"),
    ]


@pytest.mark.parametrize(
    ("made", "kind"),
    [
        (kt.RandomSearch, "RandomSearchOracle"),
        (kt.GridSearch, "GridSearchOracle"),
        (kt.BayesianOptimization, "BayesianOptimizationOracle"),
        (kt.Hyperband, "HyperbandOracle"),
    ],
)
def test_every_tuner_has_its_oracle(made: Any, kind: str, tmp_path: Path) -> None:
    """Before any search, with what the tuner was asked for."""
    tuner = made(lambda hp: None, "val_accuracy", directory=tmp_path, project_name="a", seed=4)
    assert type(tuner.oracle) is getattr(kt.oracles, kind)
    assert tuner.oracle.objective == kt.Objective("val_accuracy", "max")
    assert (tuner.oracle.seed, tuner.oracle.max_trials) == (4, tuner.asked.max_trials)
    assert tuner.oracle.trials == {}


def test_the_space_is_known_before_the_search(tmp_path: Path) -> None:
    """What the hypermodel asks for is in get_space(), with its defaults; the given object has it too."""

    def build(hp: Any) -> Any:
        return hp.Choice("units", [8, 16]) + hp.Float("rate", 0.0, 0.5)

    given = kt.HyperParameters()
    given.Fixed("rate", 0.25)
    tuner = kt.RandomSearch(build, "val_loss", hyperparameters=given, directory=tmp_path, project_name="a")
    assert tuner.oracle.hyperparameters is given
    assert tuner.oracle.get_space().values == {"units": 8, "rate": 0.25}


def test_what_is_no_oracle_is_refused() -> None:
    """And so is what the oracle says already."""
    with pytest.raises(ValueError, match=r"oracle: 'invalid' is a str; give an instance of gpusched\.Oracle"):
        kt.Tuner(oracle="invalid", hypermodel=lambda hp: None)
    with pytest.raises(UsageError, match="max_trials: the oracle says it"):
        kt.Tuner(oracle=kt.oracles.RandomSearchOracle("val_loss"), hypermodel=lambda hp: None, max_trials=3)


def test_a_tuner_class_may_be_written_as_keras_tuner_s_are(tmp_path: Path) -> None:
    """With attributes set before the oracle is handed to Tuner's __init__, by position."""

    class Searcher(kt.Tuner):
        def __init__(self, hypermodel: Any = None, seed: int | None = None, **kwargs: Any) -> None:
            self.seed = seed
            self.metrics = ["mine"]
            super().__init__(kt.oracles.RandomSearchOracle("val_loss", seed=seed), hypermodel, **kwargs)

    tuner = Searcher(lambda hp: None, seed=3, directory=tmp_path)
    assert (tuner.seed, tuner.asked.seed, tuner.metrics, tuner.directory) == (3, 3, ["mine"], tmp_path)
    assert kt.Tuner(kt.oracles.RandomSearchOracle("val_loss", seed=5), lambda hp: None).seed == 5
