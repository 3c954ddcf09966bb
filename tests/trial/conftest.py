"""Jobs to run: functions in this process or one of their own, Keras in forks of a process that has imported it once."""

from __future__ import annotations

import json
import os
import subprocess
import sys
import textwrap
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import msgspec
import pytest

import gpusched as gs
from gpusched.storage.metrics import read_metrics
from gpusched.storage.records import JobSpec, Outcome
from gpusched.storage.rundir import RunDir
from gpusched.trial.job import run_job
from gpusched.trial.task import Task


@pytest.fixture
def place(tmp_path: Path) -> Path:
    """A run directory where nothing is plain ASCII."""
    path = tmp_path / "rün 'a' \"b\""
    path.mkdir()
    return path


class Jobs:
    """Runs jobs of one trial of a search, one after the other."""

    def __init__(self, place: Path) -> None:
        self.place = place
        self.folder = RunDir(place).trial(0)
        self.attempts = 0

    def spec(self, start: int, stop: int, **fields: Any) -> JobSpec:
        self.attempts += 1
        known: dict[str, Any] = {"values": {}, "seed": 3, "trial": 0}
        known |= fields
        return JobSpec(run=str(self.place), attempt=self.attempts, start_epoch=start, stop_epoch=stop, **known)

    def run(self, tuner: Any, start: int, stop: int, *args: Any, **fields: Any) -> Outcome:
        kwargs = fields.pop("kwargs", {})
        return run_job(Task(tuner, args, kwargs), self.spec(start, stop, **fields), alive=lambda: None)

    def train(self, train: Callable[..., Any], start: int, stop: int, **fields: Any) -> Outcome:
        asked = fields.pop("asked", {})
        return self.run(gs.Hyperband(train=train, **{"objective": "val_loss", **asked}), start, stop, **fields)

    @property
    def metrics(self) -> list[dict[str, Any]]:
        """The lines of metrics.jsonl without their seconds."""
        lines = read_metrics(self.folder.metrics)
        return [{name: value for name, value in line.items() if name != "seconds"} for line in lines]

    def start(self, script: str, start: int, stop: int, **fields: Any) -> subprocess.Popen[str]:
        """Runs a job of a script in a process of its own."""
        file = self.place / "script.py"
        file.write_text(textwrap.dedent(script), encoding="utf-8")
        order = self.place / "spec.json"
        order.write_bytes(msgspec.json.encode(self.spec(start, stop, **fields)))
        return subprocess.Popen(
            [sys.executable, "-c", _RUNNER, str(file), str(order)], stdout=subprocess.PIPE, text=True, cwd=self.place
        )

    def outcome(self) -> Outcome:
        """What the last job left in outcome.json."""
        return msgspec.json.decode(self.folder.outcome.read_bytes(), type=Outcome)


_RUNNER = """
import sys, msgspec
from gpusched.storage.records import JobSpec
from gpusched.trial.job import run_job
from gpusched.trial.task import load_script
script, order = sys.argv[1:]
with open(order, "rb") as file:
    spec = msgspec.json.decode(file.read(), type=JobSpec)
task = load_script(script)
run_job(task, spec, alive=lambda: print("alive", flush=True))
"""


@pytest.fixture
def jobs(place: Path) -> Jobs:
    return Jobs(place)


# ---------------------------------------------------------------------------- Keras

_WARM = """
import json, os, sys, traceback
import keras
for line in sys.stdin:
    order = json.loads(line)
    pid = os.fork()
    if pid == 0:
        code = 1
        try:
            output = os.open(order["output"], os.O_WRONLY | os.O_CREAT | os.O_TRUNC)
            os.dup2(output, 1)
            os.dup2(output, 2)
            os.chdir(order["folder"])
            exec(compile(order["code"], "scenario.py", "exec"), {"__name__": "scenario"})
            code = 0
        except BaseException:
            traceback.print_exc()
        finally:
            sys.stdout.flush()
            sys.stderr.flush()
            os._exit(code)
    print(os.waitstatus_to_exitcode(os.waitpid(pid, 0)[1]), flush=True)
"""

_PRELUDE = """
import json, os, signal
import keras
import msgspec
import numpy as np
import gpusched as gs
from gpusched.storage.metrics import read_metrics
from gpusched.storage.records import JobSpec
from gpusched.storage.rundir import RunDir
from gpusched.trial.checkpoint import States
from gpusched.trial.job import run_job
from gpusched.trial.task import Task

draws = np.random.default_rng(0)
x = draws.normal(size=(160, 4)).astype("float32")
y = (x.sum(axis=1) + 0.3 * draws.normal(size=160) > 0).astype("float32")
data = dict(x=x[:120], y=y[:120], validation_data=(x[120:], y[120:]), batch_size=40)

def build(hp):
    model = keras.Sequential([
        keras.layers.Input((4,)),
        keras.layers.Dense(hp.Int("units", 4, 16), activation="relu"),
        keras.layers.Dropout(0.2),
        keras.layers.Dense(1, activation="sigmoid"),
    ])
    model.compile(keras.optimizers.Adam(0.01), "binary_crossentropy", metrics=["accuracy"])
    return model

attempt = 0

def job(start, stop, tuner=None, run="run", build=build, fit=None, args=(), trial=0, asked=None, **fields):
    global attempt
    attempt += 1
    tuner = tuner or gs.Hyperband(build, **{"objective": "val_loss", **(asked or {})})
    kwargs = {**data, **(fit or {})} if not args else dict(fit or {})
    spec = JobSpec(run=os.path.abspath(run), trial=trial, attempt=attempt, start_epoch=start, stop_epoch=stop,
                   **{"values": {"units": 8}, "seed": 5, **fields})
    os.makedirs(run, exist_ok=True)
    outcome = run_job(Task(tuner, tuple(args), kwargs), spec, alive=lambda: None)
    return json.loads(msgspec.json.encode(outcome))

def folder(run="run", trial=0):
    return RunDir(__import__("pathlib").Path(run)).trial(trial)

def lines(run="run"):
    return [{k: v for k, v in line.items() if k != "seconds"} for line in read_metrics(folder(run).metrics)]

def weights(run="run", part="checkpoint", execution=0):
    import h5py
    found = []
    with h5py.File(States(getattr(folder(run), part)).file(".weights.h5", execution)) as file:
        file.visititems(lambda name, item: found.append((name, item[()].tolist())) if hasattr(item, "shape") else None)
    return found

def state(run="run", execution=0):
    return States(folder(run).checkpoint).meta(execution)
"""


class Warm:
    """For each of Keras's backends a process that has imported Keras, and forks for every scenario that it is sent."""

    def __init__(self) -> None:
        self._processes: dict[str, subprocess.Popen[str]] = {}

    def run(self, order: dict[str, str], backend: str) -> int:
        """The exit status of a fork that runs order["code"] in order["folder"]."""
        process = self._processes.get(backend) or self._start(backend)
        assert process.stdin is not None
        assert process.stdout is not None
        process.stdin.write(json.dumps(order) + "\n")
        process.stdin.flush()
        return int(process.stdout.readline())

    def _start(self, backend: str) -> subprocess.Popen[str]:
        environ = {**os.environ, "TF_CPP_MIN_LOG_LEVEL": "3", "CUDA_VISIBLE_DEVICES": "-1", "KERAS_BACKEND": backend}
        pipe = subprocess.PIPE
        process = subprocess.Popen([sys.executable, "-c", _WARM], stdin=pipe, stdout=pipe, text=True, env=environ)
        self._processes[backend] = process
        return process

    def end(self) -> None:
        for process in self._processes.values():
            process.communicate()


@pytest.fixture(scope="session")
def warm() -> Iterator[Warm]:
    processes = Warm()
    yield processes
    processes.end()


@pytest.fixture
def scenario(warm: Warm, place: Path) -> Callable[..., Any]:
    """Runs code in a fresh process with Keras; returns its `result`, which must be JSON."""

    def run(code: str, backend: str = "tensorflow") -> Any:
        output, result = place / "output.txt", place / "result.json"
        ending = f"\nopen({str(result)!r}, 'w').write(json.dumps(result))\n"
        whole = _PRELUDE + textwrap.dedent(code) + ending
        status = warm.run({"code": whole, "output": str(output), "folder": str(place)}, backend)
        assert status == 0, output.read_text(errors="replace")[-4000:]
        return json.loads(result.read_text())

    return run
