"""Objectives that no training will report are refused before one begins."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import pytest

import gpusched as gs
from gpusched.errors import UsageError
from gpusched.trial.task import Task, discover


def reports_two(hp: Any, trial: Any) -> None:
    lr = hp.Float("lr", 0.1, 1.0)

    def helper(value: float) -> float:
        return value * lr

    for epoch in range(trial.start_epoch, trial.stop_epoch):
        trial.report(val_loss=helper(1.0), acc=epoch)


def passes_it_on(hp: Any, trial: Any) -> None:
    hp.Float("lr", 0.1, 1.0)
    print(trial)


def names_at_run_time(hp: Any, trial: Any) -> None:
    trial.report(**{f"val_{hp.Choice('what', ['a', 'b'])}": 1.0})


def another_name(hp: Any, trial: Any) -> None:
    hp.Float("lr", 0.1, 1.0)
    tell = trial.report
    for _ in range(trial.start_epoch, trial.stop_epoch):
        tell(val_loss=1.0)


def returns_it(hp: Any, trial: Any) -> float:
    lr = hp.Float("lr", 0.1, 1.0)
    trial.report(other=lr)
    return float(lr)


def space(train: Any, objective: Any) -> list[str]:
    return [each.name for each in discover(Task(gs.RandomSearch(train=train, objective=objective))).space]


def test_a_mistyped_objective_of_a_loop() -> None:
    """The metrics that the loop names are told, and the one that was meant; nothing of fit, which it does not call."""
    with pytest.raises(UsageError) as refused:
        space(reports_two, "val_los:min")
    assert str(refused.value) == (
        "objective 'val_los' is not among the metrics (val_loss, acc): did you mean 'val_loss'? "
        "Otherwise name one of them, or report it"
    )
    with pytest.raises(UsageError, match=r"name the metric to optimise \(there are val_loss, acc"):
        space(reports_two, None)
    for objective in ("val_loss", "acc", ["acc", "val_loss"]):
        assert space(reports_two, objective) == ["lr"]


@pytest.mark.parametrize("train", [passes_it_on, names_at_run_time, another_name, returns_it])
def test_what_cannot_be_told_beforehand_is_not(train: Any) -> None:
    """A loop that reports by other ways, or returns the objective, is believed until it has trained an epoch."""
    assert len(space(train, "anything:max")) == 1
    assert len(space(train, None)) == 1


def test_a_name_like_one_of_keras_is_meant() -> None:
    """Whether more of it is better is not known, most likely since it is mistyped."""
    with pytest.raises(UsageError, match=r"objective 'val_acuracy': did you mean 'val_accuracy'\? If not, whether"):
        gs.RandomSearch(train=reports_two, objective="val_acuracy")


def test_without_an_objective_fit_optimises_nothing() -> None:
    """Said before the first epoch, also where the model says nothing of its metrics."""

    class Model:
        compiled = True
        fit = __call__ = train_on_batch = None

    def build(hp: Any) -> Model:
        hp.Int("units", 1, 2)
        return Model()

    with pytest.raises(UsageError, match="name the metric to optimise, like objective='val_loss'"):
        discover(Task(gs.RandomSearch(build), ([1], [1])))


@pytest.mark.keras
def test_metrics_of_fit_are_foreseen(scenario: Callable[..., Any]) -> None:
    """What fit then reports, name by name; nothing where the user's own code may report more."""
    result = scenario("""
        from gpusched.errors import UsageError
        from gpusched.trial.task import discover
        from gpusched.trial.tuning.foreseen import Foreseen

        def made(**compiled):
            model = keras.Sequential([keras.layers.Input((4,)), keras.layers.Dense(1, activation="sigmoid")])
            model.compile("adam", "binary_crossentropy", **compiled)
            return model

        def twice(y, p):
            return y - p

        class Own(keras.Model):
            pass

        def own(model):
            made = Own(model.inputs, model.outputs)
            made.compile("adam", "mse")
            return made

        plain = [keras.callbacks.ReduceLROnPlateau(monitor="loss"), keras.callbacks.EarlyStopping(monitor="loss")]
        class Silent(keras.callbacks.Callback):
            pass

        held = dict(data, validation_data=None)
        cases = [
            (made(metrics=["accuracy", keras.metrics.AUC(), "mae"]), data),
            (made(weighted_metrics=["acc"], metrics=[twice]), dict(data, callbacks=plain)),
            (made(), held),
            (made(metrics=[["accuracy"]]), dict(held, validation_split=0.5)),
        ]
        def foreseen(model, kwargs):
            found = Foreseen(Task(gs.RandomSearch(build, "val_loss"), (), dict(kwargs)))
            found.model(model)
            return found._names and sorted(found._names)
        result = []
        for model, kwargs in cases:
            before = foreseen(model, kwargs)
            there = sorted(model.fit(**kwargs, epochs=1, verbose=0).history)
            result.append(before == there or [before, there])
        result += [foreseen(own(made()), data), foreseen(made(), dict(data, callbacks=[Silent()]))]
        for objective, kwargs in [("val_acc", data), ("val_loss", held), ("val_loss", data)]:
            try:
                result.append(len(discover(Task(gs.RandomSearch(build, objective), (), kwargs)).space))
            except UsageError as error:
                result.append(str(error))
    """)
    assert result == [
        *[True] * 4,
        *[None] * 2,
        "objective 'val_acc' is not among the metrics (loss, accuracy, val_loss, val_accuracy): "
        "did you mean 'val_accuracy'? Otherwise name one of them, or report it",
        "objective 'val_loss' is not among the metrics (loss, accuracy): "
        "name one of them, or report it; give fit validation_data or validation_split",
        1,
    ]
