"""Whole searches on a Ray cluster of several nodes."""

from __future__ import annotations

import json
import os
import signal
import subprocess
import sys
import time
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest

from gpusched.runtime.reader import Run
from gpusched.storage.rundir import RunDir

pytestmark = pytest.mark.slow

SCRIPT = """
import os, time
import gpusched as gs

FOLDER = __FOLDER__

def train(hp, trial):
    lr = hp.Float("lr", 1e-4, 1e-1, sampling="log")
    state = trial.load_checkpoint()
    seen = int(state) if state else 0
    assert seen == trial.start_epoch, (seen, trial.start_epoch)
    for epoch in range(trial.start_epoch, trial.stop_epoch):
        with open(os.path.join(FOLDER, "ledger"), "a") as ledger:
            ledger.write(f"{trial.id} {epoch + 1}\\n")
        while os.path.exists(os.path.join(FOLDER, "hold")):
            time.sleep(0.01)
        print(f"epoch {epoch + 1} of trial {trial.id}")
        trial.report(val_loss=abs(lr - 0.01) + 1 / (epoch + 1))
        trial.save_checkpoint(str(epoch + 1).encode())

gs.Hyperband(train=train, objective="val_loss", max_epochs=9, seed=7, cpu_slots=2, gpus="none",
             directory=FOLDER, project_name=__NAME__, checkpoint_every="epoch").search()
"""


class Lab:
    """A folder with a script; the scheduler is a process."""

    def __init__(self, folder: Path) -> None:
        self.folder = folder
        self.started: list[subprocess.Popen[bytes]] = []
        self.output = folder / "output.txt"

    def start(self, name: str, *options: str) -> subprocess.Popen[bytes]:
        script = self.folder / f"{name}.py"
        script.write_text(SCRIPT.replace("__FOLDER__", repr(str(self.folder))).replace("__NAME__", repr(name)))
        with open(self.output, "wb") as output:
            self.started.append(
                subprocess.Popen(
                    [sys.executable, "-m", "gpusched.cli", "run", str(script), *options],
                    cwd=self.folder,
                    env={**os.environ, "XDG_STATE_HOME": str(self.folder / "state"), "TERM": "dumb"},
                    stdin=subprocess.DEVNULL,
                    stdout=output,
                    stderr=output,
                    start_new_session=True,
                )
            )
        return self.started[-1]

    def run(self, name: str) -> Run:
        return Run(RunDir(self.folder / name))

    @property
    def ledger(self) -> list[str]:
        file = self.folder / "ledger"
        return file.read_text().splitlines() if file.exists() else []

    def ranking(self, name: str) -> list[tuple[int, float, int]]:
        oracle = self.run(name).search.oracle
        return [(i, oracle.trials[i].score, oracle.trials[i].epochs) for i in oracle.rank()]


@pytest.fixture
def lab(tmp_path: Path) -> Iterator[Lab]:
    folder = tmp_path / "a lab"
    folder.mkdir()
    lab = Lab(folder)
    yield lab
    for process in lab.started:
        if process.poll() is None:
            os.killpg(process.pid, signal.SIGKILL)
            process.wait()


def until(what: str, condition: Callable[[], Any], seconds: float = 90.0) -> None:
    deadline = time.monotonic() + seconds
    while not condition():
        assert time.monotonic() < deadline, f"waited in vain for {what}"
        time.sleep(0.02)


def test_three_nodes_decide_as_one_machine(lab: Lab, cluster: Any) -> None:
    """The slots of all nodes are one pool; ranks, scores, metrics and logs are those of a local search."""
    local = lab.start("local")
    cluster.add()
    cluster.add()
    assert local.wait(120) == 0
    (lab.folder / "ledger").unlink()
    ray = lab.start("spread", "--engine", "ray", "--address", cluster.address)
    assert ray.wait(240) == 0, lab.output.read_text()
    assert lab.ranking("spread") == lab.ranking("local")
    run = lab.run("spread")
    assert len(run.search.slots) == 6
    assert len({span.slot for span in run.spans()}) == 6
    assert sorted(lab.ledger) == sorted(
        f"{t.id} {e}" for t in run.search.trials.values() for e in range(1, t.epochs + 1)
    )
    for trial in run.search.trials.values():
        assert [line["epoch"] for line in run.metrics(trial.id)] == list(range(1, trial.epochs + 1))
        log = run.dir.trial(trial.id).log.read_text().splitlines()
        assert log == [f"epoch {epoch} of trial {trial.id}" for epoch in range(1, trial.epochs + 1)]
    verify = [sys.executable, "-m", "gpusched.cli", "verify", str(run.dir.path)]
    assert subprocess.run(verify, capture_output=True).returncode == 0


def test_a_node_that_dies_and_one_that_joins(lab: Lab, cluster: Any) -> None:
    """Its trials go on elsewhere from their newest checkpoints, and the new node's slots take part; nothing is lost."""
    cluster.add()
    (lab.folder / "hold").touch()
    ray = lab.start("faults", "--engine", "ray", "--address", cluster.address)
    until("trials on both nodes", lambda: len(lab.ledger) == 4)
    cluster.remove(1)
    until("its slots to go", lambda: len(lab.run("faults").search.slots) == 2)
    cluster.add()
    until("the new node's slots", lambda: len(lab.run("faults").search.slots) == 4)
    (lab.folder / "hold").unlink()
    assert ray.wait(240) == 0, lab.output.read_text()
    run = lab.run("faults")
    assert len(run.search.trials) == 17
    assert {trial.state for trial in run.search.trials.values()} == {"completed"}
    for trial in run.search.trials.values():
        assert [line["epoch"] for line in run.metrics(trial.id)] == list(range(1, trial.epochs + 1))


def test_a_scheduler_that_is_killed(lab: Lab, cluster: Any) -> None:
    """The agents and their trials go on; started again, it finds them, and no epoch is trained twice."""
    cluster.add()
    (lab.folder / "hold").touch()
    first = lab.start("again", "--engine", "ray", "--address", cluster.address)
    until("four trials", lambda: len(lab.ledger) == 4)
    started = lambda: [json.loads(line) for line in lab.run("again").dir.journal.read_text().splitlines()]  # noqa: E731
    until("them in the journal", lambda: sum(line["type"] == "job_started" for line in started()) == 4)
    os.killpg(first.pid, signal.SIGKILL)
    first.wait()
    second = lab.start("again", "--engine", "ray", "--address", cluster.address)
    until("their adoption", lambda: sum(bool(line.get("adopted")) for line in started()) >= 4)
    (lab.folder / "hold").unlink()
    assert second.wait(240) == 0, lab.output.read_text()
    assert len(lab.ledger) == len(set(lab.ledger)) == 75
    run = lab.run("again")
    for trial in run.search.trials.values():
        log = run.dir.trial(trial.id).log.read_text().splitlines()
        assert log == [f"epoch {epoch} of trial {trial.id}" for epoch in range(1, trial.epochs + 1)]


def test_gpus_of_a_node(lab: Lab, make_cluster: Callable[..., Any], fake_nvml: Any) -> None:
    """An agent sees all GPUs of its node, though Ray gives it none, and pins each trial to its own."""
    fake_nvml.add(2)
    cluster = make_cluster(fake_nvml.environ)
    script = """
import os
import gpusched as gs

def train(hp, trial):
    x = hp.Float("x", 0, 1)
    print(os.environ["CUDA_VISIBLE_DEVICES"], os.environ.get("OMP_NUM_THREADS"))
    for epoch in range(trial.start_epoch, trial.stop_epoch):
        trial.report(loss=x)

gs.RandomSearch(train=train, objective="loss", max_trials=6, seed=1, directory=__FOLDER__, project_name="gpus").search()
"""
    (lab.folder / "gpus.py").write_text(script.replace("__FOLDER__", repr(str(lab.folder))))
    command = [sys.executable, "-m", "gpusched.cli", "run", str(lab.folder / "gpus.py"), "--engine", "ray"]
    done = subprocess.run([*command, "--address", cluster.address], capture_output=True, text=True, timeout=120)
    assert done.returncode == 0, done.stdout + done.stderr
    run = lab.run("gpus")
    assert [slot.label for slot in run.search.slots.slots.values()] == ["gpu 0", "gpu 1"]
    seen = {run.dir.trial(trial).log.read_text().strip() for trial in run.search.trials}
    assert seen == {f"{gpu['uuid']} None" for gpu in fake_nvml.devices}


def test_a_gpu_of_a_node_on_which_others_compute(lab: Lab, make_cluster: Callable[..., Any], fake_nvml: Any) -> None:
    """It is waited for, and used once they have left; and the cap of trials on a GPU can be changed meanwhile."""
    fake_nvml.add(1)
    fake_nvml.add(1, compute=[{"pid": 1, "used": 2**30}])
    cluster = make_cluster(fake_nvml.environ)
    (lab.folder / "hold").touch()
    lab.start("shared", "--engine", "ray", "--address", cluster.address, "--gpus", "all")

    def labels() -> list[str]:
        if not (lab.folder / "shared" / "journal.jsonl").exists():
            return []
        return [slot.label for slot in lab.run("shared").search.slots.slots.values()]

    until("the free GPU", lambda: labels() == ["gpu 0"])
    fake_nvml.devices[1]["compute"] = []
    fake_nvml.save()
    until("the other", lambda: sorted(labels()) == ["gpu 0", "gpu 1"])
    command = [sys.executable, "-m", "gpusched.cli", "set", str(lab.folder / "shared"), "--per-gpu", "2"]
    assert subprocess.run(command, capture_output=True).returncode == 0
    until("two trials on each", lambda: len(labels()) == 4)
    (lab.folder / "hold").unlink()
    assert lab.started[-1].wait(240) == 0, lab.output.read_text()


def test_from_python(lab: Lab, cluster: Any) -> None:
    """What is defined in a plain script, and the arrays it closes over, travel to the nodes by value."""
    cluster.add()
    script = lab.folder / "plain.py"
    script.write_text(
        """
import os
import numpy as np
import gpusched as gs

weights = np.arange(100_000.0)

def train(hp, trial):
    x = hp.Float("x", 0, 1)
    for epoch in range(trial.start_epoch, trial.stop_epoch):
        print(os.environ["KERAS_BACKEND"], os.getcwd())
        trial.report(loss=x + weights.sum() - 4999950000.0)

tuner = gs.RandomSearch(train=train, objective="loss", max_trials=6, seed=1, cpu_slots=1, gpus="none", engine="ray")
tuner.search()
print("trials", len(tuner.results()), "best below one", tuner.get_best_trials()[0].score < 1)
"""
    )
    environ = {
        **os.environ,
        "RAY_ADDRESS": cluster.address,
        "KERAS_BACKEND": "jax",
        "XDG_STATE_HOME": str(lab.folder / "state"),
    }
    command = [sys.executable, str(script)]
    done = subprocess.run(command, cwd=lab.folder, env=environ, capture_output=True, text=True, timeout=120)
    assert done.returncode == 0, done.stdout + done.stderr
    assert done.stdout.splitlines()[-1] == "trials 6 best below one True"
    run = Run(RunDir(lab.folder / "runs" / "plain"))
    assert len({span.slot for span in run.spans()}) == 2
    # A cluster that runs already has the environment of whoever started it: the user's goes along, and the folder.
    assert {run.dir.trial(trial).log.read_text() for trial in run.search.trials} == {f"jax {lab.folder}\n"}


def test_without_a_cluster(lab: Lab) -> None:
    """An address where nobody answers is one line, with exit code 2."""
    pytest.importorskip("ray")
    process = lab.start("none", "--engine", "ray", "--address", "127.0.0.1:1")
    assert process.wait(120) == 2
    said = lab.output.read_text()
    assert "gpusched: --address 127.0.0.1:1: no Ray cluster can be joined there" in said
    assert "Traceback" not in said
    assert not (lab.folder / "none").exists()
