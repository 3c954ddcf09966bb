"""Hyperparameters found by trying user code."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np
import pytest

import gpusched as gs
from gpusched.errors import UsageError
from gpusched.trial.task import Task, discover
from gpusched.trials import NO_TRIAL


class Model:
    """What a build function may return where nothing is trained."""

    compiled = True

    def __init__(self) -> None:
        self.optimizer = object()

    def fit(self, *args: Any, **kwargs: Any) -> Any:
        raise AssertionError("nothing is to be trained")

    __call__ = train_on_batch = fit


def names(tuner: Any, *args: Any) -> list[str]:
    return [each.full_name for each in discover(Task(tuner, args)).space]


def build(hp: Any) -> Model:
    if hp.Choice("kind", ["flat", "deep"]) == "deep":
        with hp.conditional_scope("kind", ["deep"]):
            hp.Int("layers", 2, 5)
    with hp.conditional_scope("kind", ["deep"]):
        hp.Float("dropout", 0, 0.5)
    return Model()


def test_conditions_are_opened() -> None:
    """build is called as often as its conditions need."""
    assert names(gs.Hyperband(build, "loss")) == [
        "kind",
        'dropout if "kind" in ["deep"]',
        'layers if "kind" in ["deep"]',
    ]


def test_hyperparameters_of_the_training() -> None:
    """HyperModel.fit is tried up to where it trains; what it asks for before that is found."""

    class Own(gs.HyperModel):
        def build(self, hp: Any) -> Model:
            hp.Int("units", 1, 8)
            return Model()

        def fit(self, hp: Any, model: Any, x: Any, callbacks: Any = None, **kwargs: Any) -> Any:
            assert model.compiled
            batch = hp.Choice("batch_size", [16, 32])
            model.fit(x, batch_size=batch, callbacks=callbacks)
            hp.Int("never", 1, 2)

    assert names(gs.Hyperband(Own(), "loss"), [1, 2]) == ["units", "batch_size"]


def test_a_loop_is_tried_without_an_epoch() -> None:
    """A train function is called with no epochs to train; its report ends it."""
    seen = []

    def train(hp: Any, trial: Any) -> None:
        hp.Float("lr", 0, 1)
        seen.append((trial.start_epoch, trial.stop_epoch, trial.load_checkpoint(), trial.folder.is_dir()))
        for _ in range(trial.start_epoch, trial.stop_epoch):
            raise AssertionError
        hp.Int("behind", 1, 2)
        while True:
            trial.report(val_loss=hp.Float("inside", 0, 1))

    assert names(gs.Hyperband(train=train, objective="val_loss")) == ["lr", "behind", "inside"]
    assert seen == [(0, 0, None, True)]


def test_an_error_of_a_loop_counts_only_where_nothing_was_found() -> None:
    """A loop may fail for want of epochs; if it asked for nothing before, its error is shown in one line."""

    def late(hp: Any, trial: Any) -> None:
        hp.Float("lr", 0, 1)
        print([][-1])

    def early(hp: Any, trial: Any) -> None:
        print([][-1])

    assert names(gs.Hyperband(train=late, objective="loss")) == ["lr"]
    with pytest.raises(UsageError, match=rf"{Path(__file__).name}:\d+: IndexError: list index out of range"):
        names(gs.Hyperband(train=early, objective="loss"))


def test_a_run_trial_of_one_s_own_is_tried() -> None:
    """Black boxes, and those that change what fit gets, are both understood."""

    class Black(gs.RandomSearch):
        def run_trial(self, trial: Any, *args: Any, **kwargs: Any) -> Any:
            return trial.hyperparameters.Float("x", -1, 1) ** 2

    class Batched(gs.RandomSearch):
        def run_trial(self, trial: Any, *args: Any, **kwargs: Any) -> Any:
            kwargs["batch_size"] = trial.hyperparameters.Choice("batch_size", [8, 16])
            return super().run_trial(trial, *args, **kwargs)

    assert names(Black()) == ["x"]
    assert names(Batched(build, "loss")) == [
        "batch_size",
        "kind",
        'dropout if "kind" in ["deep"]',
        'layers if "kind" in ["deep"]',
    ]


def test_known_hyperparameters() -> None:
    """Given ones beat those of build; new ones are tuned, left at their defaults, or refused."""

    def both(hp: Any) -> Model:
        hp.Float("lr", 0, 1)
        hp.Int("units", 1, 8)
        return Model()

    def given() -> gs.HyperParameters:
        hp = gs.HyperParameters()
        hp.Fixed("lr", 0.5)
        return hp

    tuned = discover(Task(gs.Hyperband(both, "loss", hyperparameters=given())))
    assert [type(each).__name__ for each in tuned.space] == ["Fixed", "Int"]
    assert names(gs.Hyperband(both, "loss", hyperparameters=given(), tune_new_entries=False)) == ["lr"]
    refusing = gs.Hyperband(both, "loss", hyperparameters=given(), allow_new_entries=False)
    with pytest.raises(UsageError, match=r"Int\('units'\) is not in the given hyperparameters"):
        names(refusing)


def test_nothing_to_tune_is_an_error() -> None:
    """A build function without hyperparameters, or without a model, is told so."""
    with pytest.raises(UsageError, match="the search has no hyperparameters"):
        names(gs.Hyperband(lambda hp: Model(), "loss"))
    with pytest.raises(UsageError, match="build_model returned None: is its `return model` missing"):
        names(gs.Hyperband(lambda hp: None, "loss"))


def test_a_loop_may_seed_its_generator_by_the_trial() -> None:
    """It is tried with a number that no trial has, and that every generator takes."""
    seen: list[int] = []

    def train(hp: Any, trial: Any) -> None:
        hp.Int("x", 1, 3)
        seen.append(trial.id)
        np.random.default_rng(trial.id)
        trial.report(val_loss=1.0)

    names(gs.RandomSearch(train=train, objective="val_loss", max_trials=1))
    assert set(seen) == {NO_TRIAL}
