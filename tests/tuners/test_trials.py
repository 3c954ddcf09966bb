"""The trials of a run, as Keras Tuner's users ask them."""

from __future__ import annotations

import json
from collections.abc import Callable
from typing import Any

import pytest

from gpusched.errors import UsageError
from gpusched.metrics import MetricObservation
from gpusched.trials import Trial, TrialStatus
from gpusched.tuners.results import Results
from gpusched.tuners.trials import TrialResult


@pytest.fixture
def results(make_run: Callable[..., Any]) -> Results:
    """Random search of four trials over two epochs, of which trial 1 failed."""
    return Results(make_run(algorithm="random", max_epochs=2, max_trials=4, failing={1}).finish().run)


def test_a_trial_answers_as_keras_tuner_s_does(results: Results) -> None:
    """One observation of each metric, that of the best epoch, whose step counts from 0."""
    best = results.trials(1)[0]
    assert isinstance(best, Trial)
    assert (best.status, best.best_step, best.message) == (TrialStatus.COMPLETED, 1, None)
    metrics = best.metrics
    assert list(metrics.metrics) == ["loss", "val_accuracy"]
    assert metrics.get_history("val_accuracy") == [MetricObservation([best.score], 1)]
    for ask in (metrics.get_best_value, metrics.get_last_value):
        assert ask("val_accuracy") == best.score
    assert (metrics.get_best_step("val_accuracy"), metrics.get_direction("val_accuracy")) == (1, "max")
    assert metrics.exists("loss")
    assert not metrics.exists("seconds")


def test_a_trial_s_state_can_be_kept(results: Results, tmp_path: Any) -> None:
    """What save writes, Keras Tuner's Trial and a trial of ours read."""
    best = results.trials(1)[0]
    best.save(tmp_path / "trial.json")
    plain, ours = Trial.load(tmp_path / "trial.json"), TrialResult.load(tmp_path / "trial.json")
    assert (
        plain.get_state() == ours.get_state() == best.get_state() == json.loads((tmp_path / "trial.json").read_text())
    )
    assert (ours.id, ours.values, ours.best_epoch) == (best.id, best.values, best.best_epoch)


def test_a_failed_trial_says_why(results: Results) -> None:
    """It has no score, and its summary ends with what went wrong."""
    failed = results.trial(1)
    assert (failed.trial_id, failed.status, failed.score, failed.best_step) == ("0001", TrialStatus.FAILED, None, None)
    assert failed.message
    assert failed.metrics.get_config() == {"metrics": {}}


def test_a_trial_that_was_never_started_is_named(results: Results) -> None:
    """There are four."""
    with pytest.raises(UsageError, match="trial 4: there is no such trial"):
        results.trial(4)


def test_executions_are_averaged(results: Results) -> None:
    """Of each execution the best epoch counts, so that their mean is the trial's score."""
    path = results.run.dir.trial(0).metrics
    lines = [
        {"epoch": epoch, "execution": execution, "val_accuracy": value, "loss": 1 - value, "seconds": 1.0}
        for execution, values in enumerate(([0.5, 0.25], [0.5, 0.75]))
        for epoch, value in enumerate(values, 1)
    ]
    path.write_text("".join(json.dumps(line) + "\n" for line in lines))
    metrics = results.trial(0).metrics
    (seen,) = metrics.get_history("val_accuracy")
    assert (seen.value, metrics.get_best_value("val_accuracy")) == ([0.625], 0.625)
    assert metrics.get_history("loss")[0].value == [0.375]


def test_the_space_has_its_defaults_for_values(results: Results) -> None:
    """As in Keras Tuner, those asked for late included."""
    assert results.space.values == {"units": 16, "learning rate": 1e-4}


def test_a_trial_in_training_is_a_trial_as_well(loop: Callable[..., Any]) -> None:
    """What run_trial is given has Keras Tuner's id, state and metrics, the objective's in its direction."""
    assert (
        loop("""
        from gpusched.engine.trial import Trial
        class Own(gs.RandomSearch):
            def run_trial(self, trial):
                trial.hyperparameters.Int("x", 1, 3)
                for step, value in enumerate([1.0, 3.0, 2.0]):
                    self.oracle.update_trial(trial.trial_id, {"mine": value}, step)
                trial.summary()
                best = trial.metrics.get_best_value("mine"), trial.metrics.get_best_step("mine")
                known = isinstance(trial, Trial), trial.get_state()["trial_id"] == trial.folder.name
                if (best, known) != ((3.0, 1), (True, True)):
                    raise gs.errors.FatalError(f"{best} {known}")
        tuner = Own(objective=gs.Objective("mine", "max"), max_trials=1, cpu_slots=1)
        tuner.search()
        print(json.dumps(tuner.get_best_trials()[0].score))
    """)
        == 3.0
    )
