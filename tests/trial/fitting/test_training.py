"""How Keras trainings are built, run and judged, with code of the user's in every place."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import pytest

pytestmark = pytest.mark.keras

Scenario = Callable[..., Any]


def test_nan_and_a_missing_objective(scenario: Scenario) -> None:
    """NaN ends the trial at its epoch; an objective that nothing reports ends the search, naming what there is."""
    result = scenario("""
        bad = {"y": np.full(120, np.nan, "float32"), "validation_data": None}
        nan = job(0, 4, fit=bad, asked={"objective": "loss"})
        missing = job(0, 4, run="other", asked={"objective": "val_f1:max"})
        held = job(0, 4, run="third", fit={"validation_data": None})
        result = [(o["end"], o["failure"]["kind"], o["failure"]["message"]) for o in (nan, missing, held)]
        result.append(len(lines()))
    """)
    assert result == [
        ["failed", "nan", "objective 'loss' is nan at epoch 1"],
        [
            "fatal",
            "objective",
            "objective 'val_f1' is not among the metrics (accuracy, loss, val_accuracy, val_loss): "
            "name one of them, or report it",
        ],
        [
            "fatal",
            "objective",
            "objective 'val_loss' is not among the metrics (accuracy, loss): "
            "name one of them, or report it; give fit validation_data or validation_split",
        ],
        1,
    ]


def test_a_validation_that_is_not_made_every_epoch(scenario: Scenario) -> None:
    """With validation_freq, epochs without an objective have no score, and that is no error."""
    result = scenario("""
        outcome = job(0, 4, fit={"validation_freq": 2})
        result = [outcome["end"], [score is None for score in outcome["scores"]["val_loss"]]]
    """)
    assert result == ["completed", [True, False, True, False]]


def test_how_user_code_fails(scenario: Scenario) -> None:
    """A model that is too large, an error in build, no model at all, and a fatal error each end as they should."""
    result = scenario("""
        def none(hp):
            build(hp)
        def broken(hp):
            raise ValueError("units are odd")
        def failed(hp):
            raise gs.errors.FailedTrialError("not this one")
        result = [job(0, 1, asked={"max_model_size": 40})]
        result += [job(0, 1, build=each) for each in (broken, failed, none)]
        unbuilt = keras.Sequential([keras.layers.Dense(99), keras.layers.Dense(1)])
        unbuilt.compile("adam", "mse")
        result += [job(0, 1, build=lambda hp: unbuilt, asked={"max_model_size": 40})]
        result = [(o["end"], o["failure"]["kind"], o["failure"]["message"], o.get("retry", True)) for o in result]
    """)
    assert result[:3] == [
        ["oversize", "oversize", "the model has 49 parameters, more than max_model_size=40", False],
        ["failed", "ValueError", "units are odd", True],
        ["failed", "FailedTrialError", "not this one", False],
    ]
    assert result[3][0] == "fatal"
    assert result[3][2].endswith("which is not a Keras model: is its `return model` missing?")
    assert result[4][:3] == ["oversize", "oversize", "the model has 595 parameters, more than max_model_size=40"]


def test_hypermodel_fit(scenario: Scenario) -> None:
    """HyperModel.fit may tune fit's own arguments, decide the epochs, and return a number, a dict or a History."""
    result = scenario("""
        class Tuned(gs.HyperModel):
            def build(self, hp):
                return build(hp)
            def fit(self, hp, model, *args, **kwargs):
                return model.fit(*args, epochs=hp.Int("epochs", 2, 5), **kwargs)
        class Number(Tuned):
            def fit(self, hp, model, *args, callbacks=None, **kwargs):
                model.fit(*args, **kwargs)
                return 0.25
        class Table(Tuned):
            def fit(self, hp, model, *args, **kwargs):
                model.fit(*args, **kwargs)
                return {"score": 0.5, "other": 1}
        class Several(Tuned):
            def fit(self, hp, model, *args, callbacks=None, **kwargs):
                return [model.fit(*args, **kwargs).history["loss"][0] * 0 + each for each in (1.0, 3.0)]
        class Nothing(Tuned):
            def fit(self, hp, model, *args, callbacks=None, **kwargs):
                pass
        class Unbuilt(gs.HyperModel):
            def build(self, hp):
                return keras.Sequential([keras.layers.Dense(1)])
            def fit(self, hp, model, *args, **kwargs):
                return hp.Float("value", 0, 10)
        def search(hypermodel, objective="val_loss", **asked):
            return gs.RandomSearch(hypermodel, objective=objective, **asked)
        tuned = job(0, 1, search(Tuned()), run="a", values={"units": 8, "epochs": 3})
        number = job(0, 2, search(Number(), None, max_epochs=2), run="b")
        table = job(0, 2, search(Table(), "score:max", max_epochs=2), run="c")
        several = job(0, 1, search(Several(), None), run="d")
        nothing = job(0, 1, search(Nothing()), run="e")
        lacking = job(0, 1, search(Table(), None), run="f")
        unbuilt = job(0, 1, search(Unbuilt(), None), run="g", values={"value": 0.5})
        result = [len(lines("a")), tuned["scores"]["val_loss"] == [min(line["val_loss"] for line in lines("a"))]]
        result += [number["scores"], table["scores"], several["scores"], nothing["failure"]["message"]]
        result += [[lacking["end"], lacking["failure"]["classes"][0]], unbuilt["scores"]]
    """)
    assert result == [
        3,
        True,
        {"default_objective": [0.25]},
        {"score": [None, 0.5]},
        {"default_objective": [2.0]},
        "Nothing.fit() returned None; return the History, a dict of metrics or the objective as a number",
        ["fatal", "gpusched.errors:FatalTypeError"],
        {"default_objective": [0.5]},
    ]


def test_a_loop_of_one_s_own_in_hypermodel_fit(scenario: Scenario) -> None:
    """A custom training loop that calls the callbacks at its epochs' ends is recorded and promoted."""
    result = scenario("""
        class Looped(gs.HyperModel):
            def build(self, hp):
                return build(hp)
            def fit(self, hp, model, x, y, validation_data, callbacks=None, epochs=1, initial_epoch=0, **kwargs):
                for callback in callbacks:
                    callback.set_model(model)
                for epoch in range(initial_epoch, epochs):
                    model.train_on_batch(x, y)
                    for callback in callbacks:
                        callback.on_epoch_end(epoch, logs={"my_metric": float(epoch)})
        def search():
            return gs.Hyperband(Looped(), objective=gs.Objective("my_metric", "min"))
        result = [job(0, 2, search())["scores"], job(2, 5, search())["scores"], state()["iterations"]]
    """)
    assert result == [{"my_metric": [0.0, 1.0]}, {"my_metric": [2.0, 3.0, 4.0]}, 5]


def test_run_trial_of_one_s_own(scenario: Scenario) -> None:
    """A subclass may change fit's arguments, train by itself, or tune without any model."""
    result = scenario("""
        class Batched(gs.RandomSearch):
            def run_trial(self, trial, *args, **kwargs):
                kwargs["batch_size"] = trial.hyperparameters.Choice("batch_size", [20, 60])
                return super().run_trial(trial, *args, **kwargs)
        class Black(gs.RandomSearch):
            def run_trial(self, trial, *args, **kwargs):
                v = trial.hyperparameters.Float("v", -1.0, 1.0)
                return v * v
        class Own(gs.RandomSearch):
            def run_trial(self, trial, x, y, validation_data, **kwargs):
                model = self.hypermodel.build(trial.hyperparameters)
                history = model.fit(x, y, validation_data=validation_data, epochs=2, verbose=0)
                self.on_epoch_end(trial, model, 1, logs={})
                return history
        result = [job(0, 2, Batched(build, "val_loss"), run="a", values={"units": 8, "batch_size": 60})["end"]]
        result += [state("a")["iterations"]]
        result += [job(0, 1, Black(objective=None, max_trials=3), run="b", values={"v": 0.5})["scores"]]
        own = job(0, 2, Own(build, "val_loss"), run="c")
        result += [own["end"], len(own["scores"]["val_loss"])]
    """)
    assert result == ["completed", 4, {"default_objective": [0.25]}, "completed", 2]
