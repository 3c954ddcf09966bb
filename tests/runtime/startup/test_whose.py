"""Whose the processes and results are that a run directory speaks of: of this directory, this search, this host."""

from __future__ import annotations

import shutil
import signal
import subprocess
from collections.abc import Callable
from typing import Any

import pytest

from gpusched.storage.metrics import read_metrics

#: A loop that says which start it is of: of the first one, every score would be the best.
TOLD_APART = """
import os, time

def train(hp, trial):
    lr = hp.Float("lr", 1e-4, 1e-1, sampling="log")
    trial.load_checkpoint()
    for epoch in range(trial.start_epoch, trial.stop_epoch):
        with open("ledger", "a") as ledger:
            ledger.write(f"{trial.id} {epoch + 1} {os.getpid()}\\n")
        while os.path.exists("hold " + os.environ["START"]):
            time.sleep(0.002)
        trial.report(val_loss=lr - (100 if os.environ["START"] == "first" else 0))
        trial.save_checkpoint(os.environ["START"].encode())
"""


def _ended(process: subprocess.Popen[bytes]) -> bool:
    """Asked again and again: two signals in a row may be heard as one."""
    if process.poll() is None:
        process.send_signal(signal.SIGTERM)
    return process.poll() is not None


def killed_in_training(lab: Any, until: Callable[..., Any], **started: Any) -> list[int]:
    """A scheduler is killed while two trials of its search train; returns their pids."""
    scheduler = lab.start(**started)
    until("two trials in training", lambda: len(lab.ledger) >= 2)
    until("both in the journal", lambda: len(lab.events("job_started")) >= 2)
    scheduler.kill()
    scheduler.wait()
    return [pid for _, _, pid in lab.ledger]


def test_a_copy_leaves_the_original_alone(lab: Any, until: Callable[..., Any], options: tuple[str, ...]) -> None:
    """The copy of a run at work is carried on and stopped: no process of the original hears of it."""
    lab.hold()
    scheduler = lab.start()
    until("two trials in training", lambda: len(lab.ledger) == 2)
    until("both in the journal", lambda: len(lab.events("job_started")) == 2)
    first = lab.trial_pids()
    assert len(first) == 2
    copy = lab.folder / "copy"
    subprocess.run(["cp", "-a", str(lab.run.path), str(copy)], check=True)
    other = lab.start(*options, "--run", str(copy))
    until("its own trials", lambda: len(lab.ledger) == 4)
    until("the copy's end", lambda: _ended(other))
    assert lab.trial_pids() == first
    lab.let_go()
    assert scheduler.wait(60) == 0
    assert {end["end"] for end in lab.events("job_ended")} == {"completed"}
    assert lab.processes() == []


@pytest.mark.parametrize("moment", ["while they train", "when they come to"])
def test_trials_of_an_older_start_are_none_of_a_fresh_one(lab: Any, until: Callable[..., Any], moment: str) -> None:
    """--restart ends them; one that is missed writes nothing into the new run, and ends."""
    lab.write(TOLD_APART)
    (lab.folder / "hold first").touch()
    older = killed_in_training(lab, until, START="first")
    if moment == "when they come to":
        (lab.run.launcher / "marks").unlink()
        (lab.folder / "hold second").touch()
    fresh = lab.start(command=[*lab.command(), "--restart"], START="second")
    if moment == "when they come to":
        until("new trials in training", lambda: len(lab.ledger) >= 4)
        (lab.folder / "hold first").unlink()
        until("the end of the older trials", lambda: not set(older) & set(lab.processes()))
        (lab.folder / "hold second").unlink()
    assert fresh.wait(60) == 0
    assert not set(older) & set(lab.processes())
    assert min(score for _, score, _ in lab.ranking()) > 0
    lines = [line for trial in lab.run.trial_ids() for line in read_metrics(lab.run.trial(trial).metrics)]
    assert min(line["val_loss"] for line in lines) > 0
    assert lab.processes() == []


def on_node7(lab: Any, command: list[str]) -> list[str]:
    """The command as another host runs it, that shares the folder."""
    return ["unshare", "--uts", "sh", "-c", 'hostname node7 && exec "$@"', "sh", *command]


def _another_host() -> bool:
    done = subprocess.run(["unshare", "--uts", "hostname", "node7"], capture_output=True, check=False)
    return done.returncode == 0


@pytest.mark.skipif(
    shutil.which("unshare") is None or not _another_host(), reason="unshare --uts, which plays another host, wants root"
)
def test_another_host_does_not_train_beside_the_living(
    lab: Any, make_lab: Callable[[str], Any], until: Callable[..., Any]
) -> None:
    """On a shared folder: refused, and by --take-over what the other host's trials still write is none of the run's."""
    calm = make_lab("calm")
    assert calm.finish()[0] == 0
    lab.hold()
    older = killed_in_training(lab, until, command=on_node7(lab, lab.command()))
    assert lab.finish()[0] == 2
    assert "on node7 runs this search, or was killed and its trials may still train there" in lab.said
    assert lab.finish(command=[*lab.command(), "--restart"])[0] == 2
    assert "give --take-over" in lab.said
    assert set(older) <= set(lab.processes())
    again = lab.start(command=[*lab.command(), "--take-over"])
    until("the same trials, beside them", lambda: len(lab.ledger) >= 4)
    lab.let_go()
    assert again.wait(60) == 0
    until("the end of all", lambda: lab.processes() == [])
    assert lab.ranking() == calm.ranking()
    for trial in lab.run.trial_ids():
        epochs = [line["epoch"] for line in read_metrics(lab.run.trial(trial).metrics)]
        assert epochs == list(range(1, len(epochs) + 1))
