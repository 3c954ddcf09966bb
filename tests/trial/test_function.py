"""Trials that are a loop of the user's own."""

from __future__ import annotations

import json
import math
import signal
from typing import Any

import numpy as np
import pytest

from gpusched.core.outcome import End
from gpusched.errors import FailedTrialError, FatalError

LOOP = """
    import json, sys, time
    def train(hp, trial):
        state = json.loads(trial.load_checkpoint() or b"[]")
        for epoch in range(trial.start_epoch, trial.stop_epoch):
            if epoch == 1 and not state[1:]:
                print("waiting", flush=True)
                while not stopping(trial):
                    time.sleep(0.01)
            state.append(epoch)
            trial.report(val_loss=1 / (epoch + 1))
            {save}
    def stopping(trial):
        return trial._stop.asked
"""


def loop(hp: Any, trial: Any) -> None:
    """A loop whose state is the list of the epochs that it has trained."""
    state = json.loads(trial.load_checkpoint() or b"[]")
    for epoch in range(trial.start_epoch, trial.stop_epoch):
        state.append(epoch)
        trial.report(val_loss=10 - epoch, epochs_in_state=len(state))
        trial.save_checkpoint(json.dumps(state).encode())


def test_a_promotion_goes_on_from_the_checkpoint(jobs: Any) -> None:
    """The epochs of two jobs are those of one training; scores are those of the second job."""
    first = jobs.train(loop, 0, 2)
    second = jobs.train(loop, 2, 4)
    assert (first.end, first.epochs, first.scores) == (End.COMPLETED, 2, {"val_loss": [10, 9]})
    assert (second.end, second.epochs, second.scores) == (End.COMPLETED, 4, {"val_loss": [8, 7]})
    assert jobs.metrics == [{"epoch": e, "val_loss": 11 - e, "epochs_in_state": e} for e in (1, 2, 3, 4)]
    assert jobs.outcome() == second


def test_a_promotion_without_a_checkpoint_trains_from_the_beginning(jobs: Any) -> None:
    """A loop that never saves is trained from epoch 0 again, and every epoch stands once."""

    def train(hp: Any, trial: Any) -> None:
        for epoch in range(trial.start_epoch, trial.stop_epoch):
            trial.report(val_loss=epoch)

    jobs.train(train, 0, 2)
    outcome = jobs.train(train, 2, 3)
    assert outcome.scores == {"val_loss": [2]}
    assert [line["epoch"] for line in jobs.metrics] == [1, 2, 3]


def test_an_attempt_drops_what_its_checkpoint_does_not_hold(jobs: Any) -> None:
    """An epoch trained again after a failure stands once, as trained last, and its score counts."""
    crashed: list[int] = []

    def train(hp: Any, trial: Any) -> None:
        for epoch in range(trial.start_epoch, trial.stop_epoch):
            trial.report(val_loss=epoch + 10 * len(crashed))
            if epoch == 1 and not crashed:
                crashed.append(epoch)
                raise RuntimeError("by chance")
            trial.save_checkpoint(b"")

    first = jobs.train(train, 0, 3)
    assert (first.end, first.retry, first.epochs) == (End.FAILED, True, 2)
    assert first.failure is not None
    assert (first.failure.kind, first.failure.message) == ("RuntimeError", "by chance")
    assert 'raise RuntimeError("by chance")' in first.failure.traceback
    again = jobs.train(train, 0, 3)
    assert again.scores == {"val_loss": [0, 11, 12]}
    assert jobs.metrics == [{"epoch": 1, "val_loss": 0}, {"epoch": 2, "val_loss": 11}, {"epoch": 3, "val_loss": 12}]


def test_a_traceback_begins_with_the_users_own_code(jobs: Any, capfd: pytest.CaptureFixture[str]) -> None:
    """How it came to be called is left out, in the log and in the results."""

    def train(hp: Any, trial: Any) -> None:
        raise ValueError("odd")

    outcome = jobs.train(train, 0, 1)
    assert outcome.failure is not None
    first, second, *_, last = outcome.failure.traceback.splitlines()
    assert (first, last) == ("Traceback (most recent call last):", "ValueError: odd")
    assert second.startswith(f'  File "{__file__}", line ')
    assert "gpusched/trial" not in capfd.readouterr().err


def test_a_loop_may_end_early(jobs: Any) -> None:
    """Returning before stop_epoch completes the trial, as stopped by itself."""
    outcome = jobs.train(lambda hp, trial: trial.report(val_loss=0.5), 0, 9)
    assert (outcome.end, outcome.epochs, outcome.stopped_early) == (End.COMPLETED, 1, True)


def test_a_report_beyond_the_last_epoch_ends_the_loop(jobs: Any) -> None:
    """A loop without an end of its own trains as far as its job goes, and no epoch more is recorded."""

    def train(hp: Any, trial: Any) -> None:
        while True:
            trial.report(val_loss=1)

    outcome = jobs.train(train, 0, 3)
    assert (outcome.end, outcome.epochs, outcome.stopped_early) == (End.COMPLETED, 3, False)
    assert len(jobs.metrics) == 3


def test_a_loop_that_reports_nothing_has_failed(jobs: Any) -> None:
    """The message says what to call."""
    outcome = jobs.train(lambda hp, trial: None, 0, 3)
    assert outcome.end is End.FAILED
    assert outcome.failure is not None
    assert outcome.failure.message == (
        "train returned without one report; call trial.report(val_loss=...) once an epoch"
    )


def test_a_number_returned_is_a_report(jobs: Any) -> None:
    """A black box that returns its objective needs no report."""
    outcome = jobs.train(lambda hp, trial: 0.25, 0, 3)
    assert (outcome.end, outcome.scores) == (End.COMPLETED, {"val_loss": [0.25]})


@pytest.mark.parametrize("value", [float("nan"), float("inf"), None])
def test_an_objective_that_is_no_number_ends_the_trial(jobs: Any, value: Any) -> None:
    """The trial fails at that epoch and is not tried again; the file holds null."""

    def train(hp: Any, trial: Any) -> None:
        trial.report(val_loss=1.0)
        trial.report(val_loss=value)
        raise AssertionError

    outcome = jobs.train(train, 0, 9)
    assert (outcome.end, outcome.retry, outcome.epochs) == (End.FAILED, False, 2)
    assert outcome.failure is not None
    assert outcome.failure.kind == "nan"
    assert outcome.failure.message == f"objective 'val_loss' is {value} at epoch 2"
    assert jobs.metrics[-1] == {"epoch": 2, "val_loss": None}


def test_a_missing_objective_ends_the_search_after_one_epoch(jobs: Any) -> None:
    """The message names the objective and the metrics there are."""
    outcome = jobs.train(lambda hp, trial: trial.report(loss=1, acc=0.5), 0, 9)
    assert (outcome.end, outcome.epochs) == (End.FATAL, 1)
    assert outcome.failure is not None
    assert outcome.failure.message.startswith("objective 'val_loss' is not among the metrics (loss, acc)")


@pytest.mark.parametrize(
    ("call", "message"),
    [
        (lambda trial: trial.report(), "report: give at least one metric"),
        (lambda trial: trial.report(val_loss="low"), "report: val_loss is str ('low'), not a number"),
        (lambda trial: trial.report(val_loss=np.ones(3)), "report: val_loss is ndarray"),
        (lambda trial: trial.report(epoch=1), "report: 'epoch' is counted by gpusched"),
        (lambda trial: trial.save_checkpoint({"w": 1}), "save_checkpoint: dict is not bytes"),
    ],
)
def test_wrong_types_are_named(jobs: Any, call: Any, message: str) -> None:
    """What a loop hands over wrongly is an error that names it."""
    outcome = jobs.train(lambda hp, trial: call(trial), 0, 3)
    assert outcome.end is End.FAILED
    assert outcome.failure is not None
    assert outcome.failure.kind == "TypeError"
    assert outcome.failure.message.startswith(message)


def test_numbers_of_any_kind_may_be_reported(jobs: Any) -> None:
    """NumPy's scalars and 0-d arrays, booleans and integers are numbers."""

    def train(hp: Any, trial: Any) -> None:
        trial.report(val_loss=np.float32(0.5), array=np.array(2.0), yes=True, count=np.int64(7))

    jobs.train(train, 0, 1)
    assert jobs.metrics == [{"epoch": 1, "val_loss": 0.5, "array": 2.0, "yes": 1, "count": 7}]


@pytest.mark.parametrize(
    ("error", "end", "retry"),
    [
        (FailedTrialError("no"), End.FAILED, False),
        (FatalError("no"), End.FATAL, False),
        (ValueError("no"), End.FAILED, True),
        (SystemExit(3), End.FAILED, True),
        (MemoryError(), End.FAILED, True),
    ],
)
def test_how_errors_end_a_job(jobs: Any, error: BaseException, end: End, retry: bool) -> None:
    """Whatever user code raises becomes an outcome."""

    def train(hp: Any, trial: Any) -> None:
        raise error

    outcome = jobs.train(train, 0, 1)
    assert outcome.failure is not None
    assert (outcome.end, outcome.retry, outcome.failure.kind) == (end, retry, type(error).__name__)


def test_what_a_trial_knows(jobs: Any) -> None:
    """id, values, folder and epochs are those of the job; a late hyperparameter is drawn, told and kept."""
    seen: list[Any] = []

    def train(hp: Any, trial: Any) -> None:
        lr = hp.Float("lr", 0.0, 1.0)
        late = hp.Int("late", 1, 1000)
        seen.append((trial.id, trial.values, trial.folder, trial.start_epoch, trial.stop_epoch, lr, late))
        trial.report(val_loss=1)

    space = {
        "space": [{"class_name": "Float", "config": {"name": "lr", "min_value": 0.0, "max_value": 1.0}}],
        "values": {},
    }
    outcome = jobs.train(train, 0, 1, values={"lr": 0.3}, space=space)
    other = jobs.train(train, 0, 1, values={"lr": 0.3}, space=space)
    late = seen[0][6]
    assert seen[0] == (0, {"lr": 0.3, "late": late}, jobs.folder.path, 0, 1, 0.3, late)
    assert outcome.values == {"lr": 0.3, "late": late}
    assert [each["config"]["name"] for each in outcome.late] == ["late"]
    assert other.values == outcome.values
    untuned = jobs.train(train, 0, 1, values={"lr": 0.3}, space=space, asked={"tune_new_entries": False})
    assert (untuned.values, untuned.late) == ({"lr": 0.3, "late": 1}, [])
    refused = jobs.train(train, 0, 1, values={"lr": 0.3}, space=space, asked={"allow_new_entries": False})
    assert refused.end is End.FAILED


def test_executions_are_averaged_over_their_best(jobs: Any) -> None:
    """Each execution trains for itself; the score of an epoch is the mean of the best so far."""
    table = [[4.0, 2.0, 3.0], [8.0, 9.0, 5.0]]

    def train(hp: Any, trial: Any) -> None:
        for epoch in range(trial.start_epoch, trial.stop_epoch):
            trial.report(val_loss=table[trial.execution][epoch])
            trial.save_checkpoint(b"%d" % trial.execution)

    asked = {"executions_per_trial": 2}
    assert jobs.train(train, 0, 2, asked=asked).scores == {"val_loss": [6.0, 5.0]}
    assert jobs.train(train, 2, 3, asked=asked).scores == {"val_loss": [3.5]}
    assert [(line["execution"], line["epoch"]) for line in jobs.metrics] == [
        (0, 1),
        (0, 2),
        (1, 1),
        (1, 2),
        (0, 3),
        (1, 3),
    ]


def test_random_generators_depend_on_seed_trial_execution_and_start(jobs: Any) -> None:
    """Forked siblings draw other numbers, and the same job draws the same ones again."""
    import random

    drawn: list[tuple[float, float]] = []

    def train(hp: Any, trial: Any) -> None:
        drawn.append((random.random(), float(np.random.rand())))
        for _ in range(trial.start_epoch, trial.stop_epoch):
            trial.report(val_loss=1)

    def saving(hp: Any, trial: Any) -> None:
        train(hp, trial)
        trial.save_checkpoint(b"")

    jobs.train(train, 0, 1)
    jobs.train(train, 0, 1, trial=1)
    jobs.train(train, 0, 1, seed=4)
    jobs.train(saving, 0, 1)
    jobs.train(saving, 1, 2)
    assert drawn[3] == drawn[0]
    assert len(set(drawn)) == 4


def test_asked_to_stop_it_stops_after_saving(jobs: Any) -> None:
    """SIGTERM ends the loop inside save_checkpoint: what it reported is saved, and it goes on from there."""
    with jobs.start(LOOP.format(save="trial.save_checkpoint(json.dumps(state).encode())"), 0, 4) as process:
        assert [process.stdout.readline() for _ in range(2)] == ["alive\n", "waiting\n"]
        process.send_signal(signal.SIGINT)  # Not its business.
        process.send_signal(signal.SIGTERM)
    outcome = jobs.outcome()
    assert (process.returncode, outcome.end, outcome.epochs) == (0, End.INTERRUPTED, 2)
    jobs.start(LOOP.format(save="trial.save_checkpoint(json.dumps(state).encode())"), 0, 4).communicate()
    assert jobs.outcome().scores == {"val_loss": [1.0, 1 / 2, 1 / 3, 1 / 4]}
    assert [line["epoch"] for line in jobs.metrics] == [1, 2, 3, 4]


def test_a_loop_that_never_saves_is_stopped_in_a_report(jobs: Any) -> None:
    """Where nothing was saved between two reports, the second one stops it."""
    with jobs.start(LOOP.format(save="pass"), 0, 4) as process:
        assert [process.stdout.readline() for _ in range(2)] == ["alive\n", "waiting\n"]
        process.send_signal(signal.SIGTERM)
    outcome = jobs.outcome()
    assert (process.returncode, outcome.end, outcome.epochs) == (0, End.INTERRUPTED, 2)


def test_train_functions_need_no_framework(jobs: Any) -> None:
    """A loop in plain Python loads neither Keras nor TensorFlow nor scikit-learn."""
    script = """
        import sys
        def train(hp, trial):
            hp.Float("lr", 0, 1)
            trial.report(val_loss=sum(name in sys.modules for name in ("keras", "tensorflow", "torch", "sklearn")))
    """
    jobs.start(script, 0, 1).communicate()
    assert jobs.outcome().scores == {"val_loss": [0]}


@pytest.mark.parametrize("huge", [10**400, -(10**400), math.inf], ids=["huge", "-huge", "inf"])
def test_a_number_beyond_all_numbers_is_no_score(jobs: Any, huge: Any) -> None:
    """As an infinite one: the trial has failed, and says why, instead of raising where it reports."""

    def train(hp: Any, trial: Any) -> None:
        for _ in range(trial.start_epoch, trial.stop_epoch):
            trial.report(val_loss=huge)

    outcome = jobs.train(train, 0, 2)
    assert outcome.end is End.FAILED
    assert outcome.failure.message == f"objective 'val_loss' is {'-inf' if huge < 0 else 'inf'} at epoch 1"
    assert jobs.metrics == [{"epoch": 1, "val_loss": None}]


def test_a_whole_number_that_json_has_no_room_for_is_a_float(jobs: Any) -> None:
    """It counts as any other."""

    def train(hp: Any, trial: Any) -> None:
        trial.report(val_loss=2**80)

    assert jobs.train(train, 0, 1).scores == {"val_loss": [2.0**80]}


def test_a_damaged_checkpoint_is_not_trained_from(jobs: Any) -> None:
    """One bit of it is another: the trial is trained from its beginning, and says so."""

    def train(hp: Any, trial: Any) -> None:
        weight = int(trial.load_checkpoint() or b"64")
        for _ in range(trial.start_epoch, trial.stop_epoch):
            weight -= 1
            trial.report(val_loss=weight)
            trial.save_checkpoint(b"%d" % weight)

    jobs.train(train, 0, 2)
    (file,) = jobs.folder.checkpoint.glob("*.bin")
    file.write_bytes(b"22")
    outcome = jobs.train(train, 2, 3)
    assert outcome.scores == {"val_loss": [61]}
    assert outcome.warnings == [f"{file}: damaged, its content is not what was written; training starts anew"]


def test_a_checkpoint_whose_epochs_are_damaged_is_not_trained_from(jobs: Any) -> None:
    """A score that cannot be read is trained again, not left out."""
    jobs.train(loop, 0, 2)
    path = jobs.folder.metrics
    path.write_text(path.read_text().replace('"val_loss":10', '"val_loss":11'))
    outcome = jobs.train(loop, 0, 3)
    assert outcome.scores == {"val_loss": [10, 9, 8]}
    assert outcome.warnings == [
        f"{path}: epoch 1 of those before the checkpoint is lost or damaged; training starts anew"
    ]
