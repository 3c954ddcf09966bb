"""Who calls CUDA, by a libcuda that writes it down: no launcher, and each trial for its own devices alone.

The tensorflow of the package index is built for CUDA; without a libcuda it does not even ask.
"""

from __future__ import annotations

import json
import shutil
import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest

_LIBRARY = Path(__file__).parents[2] / "devices" / "cuda" / "cuda.c"

#: Trials wait for each other, so that each has looked for devices before the first finds none, which ends all.
MEETING = """
import json, os, sys, time

def looked():
    with open(os.environ["FAKE_CUDA"]) as file:
        calls = [json.loads(line) for line in file]
    return {call["trial"] for call in calls} - {"none"}

def meet():
    end = time.monotonic() + 60
    while len(looked()) < 2 and time.monotonic() < end:
        time.sleep(0.01)
"""

SCRIPT = (
    MEETING
    + """
import gpusched as gs
import tensorflow as tf
BEFORE

def train(hp, trial):
    lr = hp.Float("lr", 1e-4, 1e-1)
    if os.environ["CUDA_VISIBLE_DEVICES"] != "-1":
        tf.config.list_physical_devices("GPU")
        meet()
    trial.report(val_loss=lr)

tuner = gs.RandomSearch(train=train, objective="val_loss", max_trials=2, max_epochs=1, seed=1)
if __name__ == "__main__":
    tuner.search()
"""
)


@pytest.fixture(scope="session")
def cuda_library(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A folder with libcuda.so.1, built from tests/devices/cuda by the system's compiler."""
    compiler = shutil.which("cc")
    if compiler is None:
        pytest.skip("no C compiler (cc) to build the tripwire with")
    folder = tmp_path_factory.mktemp("cuda")
    command = [compiler, "-shared", "-fPIC", "-O1", "-Wall", "-o", str(folder / "libcuda.so.1"), str(_LIBRARY)]
    done = subprocess.run(command, capture_output=True, text=True)
    assert done.returncode == 0, done.stderr
    return folder


def calls(lab: Any, library: Path, command: list[str]) -> list[dict[str, Any]]:
    """What the command calls of CUDA on a machine with two GPUs; its trials find that TensorFlow sees none."""
    file: Path = lab.lab.folder / "cuda calls"
    paths = f"{library}:{lab.environ['LD_LIBRARY_PATH']}"
    environ = {**lab.environ, "LD_LIBRARY_PATH": paths, "FAKE_CUDA": str(file), "TF_CPP_MIN_LOG_LEVEL": "3"}
    code, said = lab.lab.finish(command=command, **environ)
    assert code == 1
    assert "GPU, though this trial's slot is GPU-0000000" in said, said
    return [json.loads(line) for line in file.read_text().splitlines()]


@pytest.mark.slow
@pytest.mark.parametrize(
    ("before", "python"),
    [
        ("", False),
        ('os.environ["CUDA_VISIBLE_DEVICES"] = "0"\ntf.constant(1.0)', False),
        ("tf.constant(1.0)", True),
    ],
    ids=["forked", "loaded in each trial", "of an awake caller"],
)
def test_trials_alone_call_cuda(gpu_lab: Any, cuda_library: Path, before: str, python: bool) -> None:
    """Whatever starts TensorFlow where."""
    lab = gpu_lab(2)
    lab.lab.write(SCRIPT.replace("BEFORE", before))
    command = [sys.executable, str(lab.lab.script)] if python else lab.lab.command("--seed", "1")
    found = calls(lab, cuda_library, command)
    of_trials = [call for call in found if call["trial"] != "none"]
    seen = {(call["trial"], call["devices"]) for call in of_trials}
    assert {devices for _, devices in seen} == set(lab.uuids)
    assert len(seen) == 2
    # A trial's parent is its launcher.
    assert {call["pid"] for call in found}.isdisjoint({call["parent"] for call in of_trials})
    # The caller is the user's own; others look for a model's hyperparameters, or whether the script can be shared.
    others = {call["devices"] for call in found if call["trial"] == "none"}
    assert others <= ({"-1", "none"} if python else {"-1"})


#: With torch as Keras's backend: its trials ask whether there is a GPU as scripts do, and Keras does.
TORCH = (
    MEETING
    + """
os.environ["KERAS_BACKEND"] = "torch"
import gpusched as gs
import keras
import torch

there = torch.cuda.is_available()

def train(hp, trial):
    lr = hp.Float("lr", 1e-4, 1e-1)
    if os.environ["CUDA_VISIBLE_DEVICES"] != "-1":
        print("can be forked:", not torch.cuda._is_in_bad_fork())
        torch._C._cuda_getDeviceCount()
        meet()
    trial.report(val_loss=lr)

tuner = gs.RandomSearch(train=train, objective="val_loss", max_trials=2, max_epochs=1, seed=1)
if __name__ == "__main__":
    tuner.search()
"""
)


@pytest.mark.slow
@pytest.mark.parametrize("python", [False, True], ids=["gpusched run", "python"])
def test_torch_is_asked_in_trials_alone(gpu_lab: Any, cuda_library: Path, python: bool) -> None:
    """Its own question whether there is a GPU, asked by Keras at import, starts CUDA unless it is told not to."""
    pytest.importorskip("torch")
    lab = gpu_lab(2)
    lab.lab.write(TORCH)
    command = [sys.executable, str(lab.lab.script)] if python else lab.lab.command("--seed", "1")
    found = calls(lab, cuda_library, command)
    assert {call["trial"] for call in found} == {"0", "1"}
    assert {call["devices"] for call in found} == set(lab.uuids)
    logs = [lab.lab.run.trial(trial).log.read_text() for trial in (0, 1)]
    assert all("can be forked: True" in log for log in logs)
