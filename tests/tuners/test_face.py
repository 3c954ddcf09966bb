"""The tuners' face: Keras Tuner's arguments, and results read from a run directory."""

from __future__ import annotations

import inspect
import os
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

import gpusched as gs
from gpusched.errors import UsageError
from gpusched.tuners.results import space_summary

COMMON = [
    "seed",
    "hyperparameters",
    "tune_new_entries",
    "allow_new_entries",
    "max_retries_per_trial",
    "max_consecutive_failed_trials",
    "kwargs",
]


@pytest.mark.parametrize(
    ("tuner", "own"),
    [
        (gs.Hyperband, {"max_epochs": 100, "factor": 3, "hyperband_iterations": 1}),
        (gs.ASHA, {"max_epochs": 100, "factor": 3, "max_trials": None}),
        (gs.RandomSearch, {"max_trials": 10}),
        (gs.GridSearch, {"max_trials": None}),
        (gs.BayesianOptimization, {"max_trials": 10, "num_initial_points": None, "alpha": 1e-4, "beta": 2.6}),
    ],
)
def test_arguments_are_keras_tuner_s_in_its_order(tuner: Any, own: dict[str, Any]) -> None:
    """Positional arguments and defaults of a script for Keras Tuner 1.4 mean the same here."""
    parameters = inspect.signature(tuner).parameters
    assert list(parameters) == ["hypermodel", "objective", *own, *COMMON]
    defaults = {name: each.default for name, each in parameters.items() if name != "kwargs"}
    assert defaults == {
        "hypermodel": None,
        "objective": None,
        **own,
        "seed": None,
        "hyperparameters": None,
        "tune_new_entries": True,
        "allow_new_entries": True,
        "max_retries_per_trial": 0,
        "max_consecutive_failed_trials": 3,
    }


def test_keras_tuner_s_other_arguments_are_taken() -> None:
    """Those that have no meaning here are, too."""
    tuner = gs.RandomSearch(
        lambda hp: None,
        "val_loss",
        max_model_size=5,
        optimizer="sgd",
        loss="mse",
        metrics=["mae"],
        distribution_strategy="mirrored",
        directory="out",
        project_name="p",
        logger=None,
        tuner_id="tuner0",
        overwrite=True,
        executions_per_trial=2,
    )
    assert (tuner.project_dir, tuner.executions_per_trial, tuner.asked.loss) == (os.path.join("out", "p"), 2, "mse")
    assert (tuner.objective.spec, tuner.remaining_trials) == ("val_loss:min", 10)
    assert tuner.get_trial_dir("0003") == os.path.join("out", "p", "trials", "0003")


@pytest.fixture
def tuner(make_run: Callable[..., Any], tmp_path: Path) -> gs.Tuner:
    """A tuner whose search is over: random search of four trials, of which trial 1 failed."""
    made = make_run(algorithm="random", max_epochs=2, max_trials=4, failing={1}).finish()
    return gs.RandomSearch(
        lambda hp: None, "val_accuracy", directory=str(made.dir.path.parent), project_name=made.dir.path.name
    )


def test_the_best_trials(tuner: gs.Tuner) -> None:
    """Best first, failures left out, with values, score, epoch and metrics."""
    trials = tuner.get_best_trials(9)
    assert sorted(trial.id for trial in trials) == [0, 2, 3]
    assert [trial.values["units"] for trial in trials] == sorted((t.values["units"] for t in trials), reverse=True)
    best = trials[0]
    assert (best.best_step, best.best_epoch, best.epochs, best.status) == (1, 2, 2, "COMPLETED")
    assert best.trial_id == f"{best.id:04d}"
    assert best.metrics == {"loss": 0.5, "val_accuracy": best.score, "seconds": 1.0}
    (hp,) = tuner.get_best_hyperparameters()
    assert (hp.values, hp.get("units")) == (best.values, best.values["units"])
    assert [each.name for each in hp.space] == ["units", "learning rate"]
    assert [trial.id for trial in tuner.oracle.get_best_trials(2)] == [trial.id for trial in trials[:2]]
    assert tuner.oracle.get_trial(best.trial_id).score == best.score
    assert tuner.remaining_trials == 0


def test_rows_for_a_data_frame(tuner: gs.Tuner) -> None:
    """One row for each epoch, the failed trial's included, all with the same columns."""
    rows = tuner.results()
    assert [(row["trial"], row["epoch"]) for row in rows] == [(0, 1), (0, 2), (1, None), (2, 1), (2, 2), (3, 1), (3, 2)]
    assert len({tuple(row) for row in rows}) == 1
    assert {"units", "learning rate", "val_accuracy", "loss"} <= set(rows[0])


def test_summaries_are_printed(tuner: gs.Tuner, capsys: pytest.CaptureFixture[str]) -> None:
    """results_summary and search_space_summary print what their names say."""
    tuner.results_summary(1)
    tuner.search_space_summary()
    printed = capsys.readouterr().out.splitlines()
    best = tuner.get_best_trials()[0]
    assert f"Trial {best.trial_id} summary" in printed
    assert f"units: {best.values['units']}" in printed
    assert "learning rate (Float)" in printed
    assert "Default search space size: 2" in printed


def test_a_summary_is_for_people(tuner: gs.Tuner, capsys: pytest.CaptureFixture[str]) -> None:
    """Four digits of a value, as many trials as there are, and a word about those that failed."""
    tuner.results_summary()
    printed = capsys.readouterr().out.splitlines()
    best = tuner.get_best_trials()[0]
    assert printed[:9] == [
        "Results summary",
        f"Results in {tuner.project_dir}",
        "Showing 3 best trials",
        "Objective: val_accuracy:max",
        "Trials are ranked by score: the best value of the objective at any epoch, however long a trial has trained.",
        "",
        f"Trial {best.trial_id} summary",
        "Hyperparameters:",
        f"units: {best.values['units']}",
    ]
    assert printed[9] == f"learning rate: {best.values['learning rate']:.4g}"
    assert printed[10].startswith(f"Score: {best.score:#.4g} (val_accuracy, epoch 2 of 2)")
    assert printed[-1].startswith("1 of 4 trials failed: `gpusched status ")


def test_an_extended_space_summary_counts_configurations(capsys: pytest.CaptureFixture[str]) -> None:
    """Where they have an end."""
    hp = gs.HyperParameters()
    hp.Int("units", 1, 4)
    hp.Boolean("drop")
    for h, said in ((hp, "Configurations: 8"), (gs.HyperParameters(), "Configurations: 1")):
        space_summary(h, extended=True)
        assert said in capsys.readouterr().out.splitlines()
    hp.Float("lr", 0.0, 1.0)
    space_summary(hp, extended=True)
    assert "Configurations: without end" in capsys.readouterr().out.splitlines()


def test_fewer_trials_than_asked_for(tuner: gs.Tuner) -> None:
    """All there are that completed, best first; None means all as well."""
    counts = [len(tuner.get_best_trials(count)) for count in (1, 3, 50)]  # one of four failed
    assert counts == [1, 3, 3]
    scores = [trial.score for trial in tuner.get_best_trials(50)]
    assert scores == sorted(scores, reverse=True)
    assert len(tuner.get_best_hyperparameters(50)) == 3


def test_results_before_a_search_are_an_error(tmp_path: Path) -> None:
    """Whoever asks too early is told what is missing."""
    tuner = gs.RandomSearch(lambda hp: None, "val_loss", directory=str(tmp_path), project_name="none")
    for ask in (tuner.get_best_trials, tuner.results_summary, tuner.results, tuner.reload, tuner.get_best_models):
        with pytest.raises(UsageError, match="there are no results yet; call search"):
            ask()


def test_weights_that_are_not_kept(tuner: gs.Tuner) -> None:
    """A model whose weights are gone is named, with the argument that keeps more of them."""
    with pytest.raises(UsageError, match=r"trial \d: its weights are not kept; keep=10 trials keep theirs"):
        tuner.get_best_models()
