"""What a user asks for, checked, and what the scheduler is told of it."""

from __future__ import annotations

import sys
from types import SimpleNamespace
from typing import Any

import pytest

import gpusched as gs
from gpusched.errors import UsageError
from gpusched.trial.settings import gpu_names, seconds
from gpusched.trial.task import Task, settings


def train(hp: Any, trial: Any) -> None:
    raise AssertionError


def test_everything_a_scheduler_needs() -> None:
    """Settings are plain values, and the same for the same tuner."""
    tuner = gs.Hyperband(
        train=train, objective="val_loss", max_epochs=27, seed=0, directory="out", project_name="p", max_time="1h30m"
    )
    told = settings(Task(tuner))
    assert told.algorithm == "hyperband"
    assert told.arguments == {"max_epochs": 27, "factor": 3, "iterations": 1}
    assert told.objectives == [{"name": "val_loss", "direction": "min"}]
    assert (told.seed, told.directory, told.project_name, told.max_time) == (0, "out", "p", 5400.0)
    assert (told.kind, told.keras, told.gpus, told.max_trials) == ("function", False, "all", None)


def test_what_is_asked_of_gpus_and_of_trials_that_hang() -> None:
    """By default GPUs that others use are waited for; wrong words are named with those that are right."""
    plain = settings(Task(gs.RandomSearch(train=train, objective="val_loss")))
    assert (plain.when_busy, plain.per_gpu, plain.trial_timeout) == ("wait", 1, None)
    told = settings(
        Task(gs.RandomSearch(train=train, objective="val_loss", when_busy="skip", per_gpu="auto", trial_timeout="10m"))
    )
    assert (told.when_busy, told.per_gpu, told.trial_timeout) == ("skip", "auto", 600.0)
    older = settings(Task(gs.RandomSearch(train=train, objective="val_loss", busy="share")))
    assert older.when_busy == "share"
    with pytest.raises(UsageError, match="busy is the older name of when_busy; give one of the two"):
        gs.RandomSearch(train=train, objective="val_loss", busy="skip", when_busy="skip")
    with pytest.raises(UsageError, match="when_busy: 'never' is unknown; choose one of wait, skip, share"):
        gs.RandomSearch(train=train, objective="val_loss", busy="never")
    with pytest.raises(UsageError, match="per_gpu: 'many' is not possible; give an integer of at least 1, or 'auto'"):
        gs.RandomSearch(train=train, objective="val_loss", per_gpu="many")
    with pytest.raises(UsageError, match="trial_timeout: 'soon' is not a span of time"):
        gs.RandomSearch(train=train, objective="val_loss", trial_timeout="soon")


def test_options_beat_the_script() -> None:
    """What is given on the command line wins; what is not (None) leaves the script's."""
    tuner = gs.Hyperband(train=train, objective="val_loss", max_epochs=27, seed=1)
    told = settings(
        Task(tuner),
        {
            "max_epochs": 9,
            "seed": None,
            "objective": "score:max",
            "gpus": "0, GPU-ab",
            "max_trials": 4,
            "max_time": "2h",
        },
    )
    assert told.arguments == {"max_epochs": 9, "factor": 3, "iterations": 1, "max_trials": 4}
    assert told.objectives == [{"name": "score", "direction": "max"}]
    assert (told.seed, told.gpus, told.max_trials, told.max_time) == (1, ["0", "GPU-ab"], 4, 7200.0)


def test_another_algorithm_takes_what_it_knows() -> None:
    """Arguments of the script that the new algorithm has not are left out; an option it has not is refused."""
    tuner = gs.Hyperband(train=train, objective="val_loss", max_epochs=27)
    assert settings(Task(tuner), {"algorithm": "random"}).arguments == {"max_epochs": 27}
    with pytest.raises(UsageError, match=r"factor: random takes no such argument; it takes max_epochs, max_trials"):
        settings(Task(tuner), {"algorithm": "random", "factor": 4})
    with pytest.raises(UsageError, match="algorithm: 'sorcery' is unknown; choose one of hyperband"):
        settings(Task(tuner), {"algorithm": "sorcery"})
    with pytest.raises(UsageError, match="colour: there is no such option"):
        settings(Task(tuner), {"colour": "red"})


@pytest.mark.parametrize(
    ("asked", "args", "kwargs", "epochs"),
    [
        ({}, (), {}, 1),
        ({"max_epochs": 7}, (), {}, 7),
        ({}, (), {"epochs": 5}, 5),
        ({"max_epochs": 7}, (), {"epochs": 5}, 5),
        ({}, (lambda: {"epochs": 4},), {}, 4),
        ({}, (lambda: {"epochs": 4},), {"epochs": 5}, 5),
    ],
)
def test_full_trainings_take_the_epochs_of_fit(asked: Any, args: Any, kwargs: Any, epochs: int) -> None:
    """max_epochs, or the epochs given to search or by load_data; --max-epochs beats them all."""
    tuner = gs.RandomSearch(lambda hp: None, "val_loss", **asked)
    assert settings(Task(tuner, args, kwargs)).arguments["max_epochs"] == epochs
    assert settings(Task(tuner, args, kwargs), {"max_epochs": 2}).arguments["max_epochs"] == 2


def test_hyperband_decides_the_epochs_itself() -> None:
    """The epochs given to search do not count for it."""
    tuner = gs.Hyperband(lambda hp: None, "val_loss", max_epochs=9)
    assert settings(Task(tuner, (), {"epochs": 5})).arguments["max_epochs"] == 9


@pytest.mark.parametrize(
    ("asked", "said"),
    [
        ({"max_epochs": 0}, "max_epochs: 0 is not possible; give an integer of at least 1"),
        ({"max_epochs": 2.5}, "max_epochs: 2.5 is not possible"),
        ({"factor": True}, "factor: True is not possible"),
        ({"hyperband_iterations": 0}, "hyperband_iterations: 0 is not possible"),
        ({"seed": "x"}, "seed: 'x' is not possible"),
        ({"executions_per_trial": 0}, "executions_per_trial: 0 is not possible"),
        ({"per_gpu": 0}, "per_gpu: 0 is not possible"),
        ({"max_time": "soon"}, "max_time: 'soon' is not a span of time"),
        ({"sampler": "best"}, "sampler: 'best' is unknown; choose one of random, model"),
        ({"engine": "cloud"}, "engine: 'cloud' is unknown; choose one of local, ray"),
        ({"hyperparameters": {"lr": 1}}, "hyperparameters: {'lr': 1} is a dict; give a gpusched.HyperParameters"),
        ({"directory": 3}, "directory: 3 is not a path"),
        ({"project_name": ".."}, "project_name: '..' is no name for a folder"),
        ({"objective": "my_metric"}, "objective 'my_metric': whether more or less of it is better is not known"),
        ({"max_epoch": 3}, "Hyperband: there is no argument 'max_epoch'; did you mean max_epochs?"),
        ({"width": 3}, "Hyperband: there is no argument 'width'; there are "),
        ({"hypermodel": lambda hp: None}, "both a hypermodel and train= are given"),
        ({"train": None}, "Hyperband: no hypermodel; give build_model(hp), or train=train, or override run_trial"),
        ({"train": 3}, "train: 3 is not a function"),
        ({"train": None, "hypermodel": 3}, "hypermodel: 3 (int) builds nothing"),
    ],
)
def test_impossible_values_are_named(asked: dict[str, Any], said: str) -> None:
    """Each wrong argument is refused at once, by name and value, with the way out."""
    with pytest.raises(UsageError) as error:
        gs.Hyperband(**{"train": train, "objective": "val_loss", **asked})
    assert str(error.value).startswith(said)


@pytest.mark.parametrize(
    ("kind", "asked"),
    [
        (gs.RandomSearch, {"sampler": "model"}),
        (gs.RandomSearch, {"factor": 4}),
        (gs.GridSearch, {"sampler": "model"}),
        (gs.BayesianOptimization, {"sampler": "random"}),
        (gs.ASHA, {"iterations": 2}),
        (gs.Hyperband, {"alpha": 1.0}),
    ],
)
def test_what_would_have_no_effect_is_refused(kind: Any, asked: dict[str, Any]) -> None:
    """An argument of another algorithm is named, with those that this one takes."""
    (name,) = asked
    with pytest.raises(UsageError, match=rf"{name}: \w+ takes no such argument; it takes .*max_epochs, max_trials"):
        kind(train=train, objective="val_loss", **asked)


def test_seed_zero_is_a_seed() -> None:
    """0 is taken as it is, and None leaves the choice to the scheduler."""
    told = [settings(Task(gs.RandomSearch(train=train, objective="loss", seed=seed))).seed for seed in (0, None)]
    assert told == [0, None]


@pytest.mark.parametrize(
    ("text", "value"),
    [(90, 90.0), ("90", 90.0), ("1.5h", 5400.0), ("1h30m", 5400.0), ("2d", 172800.0), ("5 min", 300.0)],
)
def test_spans_of_time(text: Any, value: float) -> None:
    """Seconds, or numbers with units."""
    assert seconds(text) == value


@pytest.mark.parametrize(
    ("gpus", "names"),
    [("all", "all"), ("none", "none"), (None, "all"), (0, ["0"]), ("0,2", ["0", "2"]), ([1, "GPU-x"], ["1", "GPU-x"])],
)
def test_names_of_gpus(gpus: Any, names: Any) -> None:
    """All, none, or a list of indices and UUIDs."""
    assert gpu_names(gpus) == names


def test_torch_trains_on_one_gpu(monkeypatch: pytest.MonkeyPatch) -> None:
    """Keras refuses more in each trial: that is said at the start. A loop of one's own may use as many as it likes."""
    keras = SimpleNamespace(config=SimpleNamespace(backend=lambda: "torch"))
    monkeypatch.setitem(sys.modules, "keras", keras)
    tuner = gs.RandomSearch(lambda hp: None, objective="val_loss", gpus_per_trial=2)
    with pytest.raises(UsageError, match="gpus_per_trial=2: with torch Keras trains a model on one GPU"):
        settings(Task(tuner))
    assert settings(Task(gs.RandomSearch(train=train, objective="val_loss", gpus_per_trial=2))).gpus_per_trial == 2
