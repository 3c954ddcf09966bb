"""A project of Keras Tuner: its finished trials as a run of their own, and as the beginning of a script's search."""

from __future__ import annotations

import json
import sys
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from gpusched.errors import UsageError
from gpusched.runtime.reader import Run
from gpusched.runtime.startup.keras_tuner import read_project
from gpusched.runtime.startup.known import Known, import_project
from gpusched.storage.rundir import RunDir
from gpusched.trial.checkpoint import States
from gpusched.ui.verify import verify

UNITS = {"name": "units", "default": None, "conditions": [], "min_value": 8, "max_value": 64, "step": 8}
SPACE = [
    {"class_name": "Int", "config": {**UNITS, "sampling": "linear"}},
    {
        "class_name": "Float",
        "config": {
            "name": "lr", "default": 0.1, "conditions": [], "min_value": 0.1, "max_value": 0.9, "step": 0.1,
            "sampling": "linear",
        },
    },
]  # fmt: skip

SCRIPT = """
import gpusched as gs

def train(hp, trial):
    units, lr = hp.Int("units", 8, 64, step=8), hp.Float("lr", 0.1, 0.9, step=0.1)
    for epoch in range(trial.start_epoch, trial.stop_epoch):
        trial.report(val_loss=units * lr, val_accuracy=1 / units)

tuner = gs.RandomSearch(train=train, objective="val_loss", max_trials=4, max_epochs=3, seed=1, cpu_slots=2,
                        directory="old", project_name="digits")
tuner.search()
print([(trial.id, trial.score) for trial in tuner.get_best_trials(9)])
"""


def note(value: float, step: int, direction: str) -> dict[str, Any]:
    return {"direction": direction, "observations": [{"value": [value], "step": step}]}


@pytest.fixture(autouse=True)
def _home(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """The newest run of whoever runs the tests stays what it is."""
    monkeypatch.setenv("XDG_STATE_HOME", str(tmp_path / "state"))


@pytest.fixture
def project(tmp_path: Path) -> Callable[..., Path]:
    """project(trials, **state): a folder as Keras Tuner leaves it; a trial is (values, val_loss or None, its epoch)."""

    def make(trials: list[tuple[dict[str, Any], float | None, int]], at: Path | None = None, **state: Any) -> Path:
        folder = at or tmp_path / "my dir" / "digits"
        folder.mkdir(parents=True)
        names = [str(number) for number in range(len(trials))]
        oracle = {"hyperparameters": {"space": SPACE, "values": {}}, "start_order": names, "seed": 7, **state}
        (folder / "oracle.json").write_text(json.dumps(oracle))
        for name, (values, loss, step) in zip(names, trials, strict=True):
            tracked = (
                {}
                if loss is None
                else {"val_loss": note(loss, step, "min"), "loss": note(loss, step, "min"),
                      "val_accuracy": note(0.5, step, "max")}
            )  # fmt: skip
            trial = {
                "trial_id": name,
                "hyperparameters": {"space": SPACE, "values": values},
                "metrics": {"metrics": tracked},
                "score": loss,
                "best_step": step,
                "status": "COMPLETED" if loss is not None else "FAILED",
            }
            (folder / f"trial_{name}").mkdir()
            (folder / f"trial_{name}" / "trial.json").write_text(json.dumps(trial))
        return folder

    return make


def run(lab: Any) -> str:
    code, said = lab.finish(command=[sys.executable, str(lab.script)])
    assert code == 0, said
    return str(said)


TRIALS: list[tuple[dict[str, Any], float | None, int]] = [
    ({"units": 8, "lr": 0.30000000000000004}, 0.5, 2),
    ({"units": 16, "lr": 0.2}, None, 0),
    ({"units": 64, "lr": 0.9}, 0.25, 1),
]


def test_a_project_becomes_a_run_that_every_command_reads(project: Callable[..., Path], tmp_path: Path) -> None:
    """Finished trials with values, scores and the epochs of these; the journal replays, nothing is left to do."""
    run = RunDir(tmp_path / "runs" / "older")
    folder = project(TRIALS)
    (folder / "trial_2" / "checkpoint.weights.h5").write_bytes(b"weights")
    (folder / "trial_2" / "build_config.json").write_text('{"input_shape": [null, 8]}')
    said = import_project(folder, run)
    assert said == (
        f"{run.path}: 2 finished trials of {folder}, by val_loss:min; 1 that failed or do not fit are left out"
    )
    read = Run(run)
    oracle = read.search.oracle
    assert [(trial.values, trial.score, len(trial.curve)) for trial in map(oracle.trials.get, oracle.rank())] == [
        ({"units": 64, "lr": 0.9}, 0.25, 2),
        ({"units": 8, "lr": 0.30000000000000004}, 0.5, 3),
    ]
    assert read.metrics(1)[-1] == {"epoch": 2, "val_loss": 0.25, "loss": 0.25, "val_accuracy": 0.5}
    assert verify(read).complaints == []
    best = States(run.trial(1).best)
    file = best.file(".weights.h5")
    assert file is not None
    assert (file.read_bytes(), (best.meta() or {})["build"]) == (b"weights", {"input_shape": [None, 8]})


def test_of_a_promoted_configuration_the_longest_training_counts(project: Callable[..., Path]) -> None:
    """Keras Tuner's Hyperband makes a trial of each rung, with notes of its own among the values."""
    rungs = [
        ({"units": 8, "lr": 0.1, "tuner/epochs": 2, "tuner/bracket": 1}, 0.5, 1),
        ({"units": 8, "lr": 0.1, "tuner/epochs": 4, "tuner/bracket": 1, "tuner/trial_id": "0"}, 0.75, 2),
    ]
    read = read_project(project(rungs, brackets=[]))
    assert read.algorithm == "hyperband"
    assert [(trial.values, trial.score, trial.epochs) for trial in read.trials] == [({"units": 8, "lr": 0.1}, 0.75, 4)]


def test_an_objective_that_the_files_do_not_tell_is_given(project: Callable[..., Path], tmp_path: Path) -> None:
    """Where no metric is the score, or several are, the line names them and the option."""
    folder, run = project(TRIALS), RunDir(tmp_path / "runs" / "older")
    for trial in folder.glob("trial_*/trial.json"):
        trial.write_text(trial.read_text().replace('"score": 0.', '"score": 1.'))
    with pytest.raises(UsageError, match=r"give it with --objective NAME:min .*val_loss, loss, val_accuracy"):
        import_project(folder, run)
    assert "by val_accuracy:max" in import_project(folder, run, "val_accuracy:max")
    with pytest.raises(UsageError, match="there is a run already; name another with --run"):
        import_project(folder, run)


@pytest.mark.parametrize(
    ("spoil", "said"),
    [
        (lambda folder: (folder / "oracle.json").unlink(), "not a Keras Tuner project"),
        (lambda folder: (folder / "oracle.json").write_text("{"), "oracle.json: not readable as Keras Tuner"),
        (lambda folder: (folder / "trial_0" / "trial.json").write_text("{}"), "no trial has been completed"),
    ],
)
def test_what_cannot_be_read_is_said_in_one_line(
    project: Callable[..., Path], tmp_path: Path, spoil: Callable[[Path], Any], said: str
) -> None:
    """And nothing is written."""
    folder = project(TRIALS[:2])
    spoil(folder)
    with pytest.raises(UsageError, match=said) as raised:
        import_project(folder, RunDir(tmp_path / "runs" / "older"))
    assert "\n" not in str(raised.value)
    assert not (tmp_path / "runs").exists()


def test_a_script_s_search_goes_on_where_keras_tuner_stopped(project: Callable[..., Path], lab: Any) -> None:
    """Its directory and name are the project's: finished trials count, the others are trained, once."""
    folder = project(TRIALS, at=lab.folder / "old" / "digits")
    lab.write(SCRIPT)
    said = run(lab)
    assert f"{folder} is a Keras Tuner project: its 2 finished trials count here; 1 that failed or do not fit" in said
    assert [line for line in said.splitlines() if line.startswith("Search: Running Trial")] == [
        "Search: Running Trial #2 on cpu 0, epochs 1 to 3",
        "Search: Running Trial #3 on cpu 1, epochs 1 to 3",
    ]
    assert "(1, 0.25), (0, 0.5)" in said
    assert verify(Run(RunDir(folder))).complaints == []


def test_an_oracle_of_one_s_own_is_not_told(project: Callable[..., Path]) -> None:
    """What it would make of such trials, only its author knows."""
    read = read_project(project(TRIALS))
    with pytest.raises(UsageError, match="cannot be told to an oracle of your own"):
        Known(read, algorithm="custom", objectives=[read.objective()], max_epochs=3, space=read.space.get_config())


def test_hyperband_tries_the_best_known_values_first(project: Callable[..., Path], lab: Any) -> None:
    """It decides itself how far a trial is trained."""
    folder = project(TRIALS, at=lab.folder / "old" / "digits")
    lab.write(SCRIPT.replace("gs.RandomSearch", "gs.Hyperband").replace("max_trials=4, ", ""))
    assert "are known, the best one's values are tried first" in run(lab)
    made = Run(RunDir(folder))
    assert made.search.trials[0].values == {"units": 64, "lr": 0.9}
    assert verify(made).complaints == []


@pytest.mark.parametrize(
    ("old", "new", "why"),
    [
        ('"val_loss"', 'gs.Objective("auc", "max")', "they have no auc, only val_loss, loss, val_accuracy"),
        ("8, 64", "8, 32", "units=64 is outside of"),
    ],
)
def test_trials_that_do_not_fit_are_not_used(
    project: Callable[..., Path], lab: Any, old: str, new: str, why: str
) -> None:
    """The search starts without them, and one line says why."""
    project([TRIALS[2]], at=lab.folder / "old" / "digits")
    lab.write(SCRIPT.replace(old, new).replace("val_loss=units", "val_loss=0, auc=units"))
    said = run(lab)
    assert f"none of its trials is used here ({why}" in said
    assert "Running Trial #0" in said
