"""Searches on the true driver: what its processes, memory and ends look like there. CUDA's driver is called directly,
so that no framework is needed."""

from __future__ import annotations

import json
import subprocess
import sys
from typing import Any

import pytest

GIB = 2**30

#: Holds memory on its GPU while it trains, through CUDA's driver API.
TRAIN = """
import ctypes, os, time

class OutOfMemoryError(RuntimeError):
    pass

class Cuda:
    def __init__(self):
        self.library = ctypes.CDLL("libcuda.so.1")
        self.call("cuInit", 0)
        device, context = ctypes.c_int(), ctypes.c_void_p()
        self.call("cuDeviceGet", ctypes.byref(device), 0)
        self.call("cuDevicePrimaryCtxRetain", ctypes.byref(context), device)
        self.call("cuCtxSetCurrent", context)

    def call(self, name, *arguments):
        code = getattr(self.library, name)(*arguments)
        if code == 2:
            raise OutOfMemoryError("CUDA out of memory")
        if code:
            raise RuntimeError(f"CUDA error: {name} returned {code}")

    def hold(self, count):
        place = ctypes.c_uint64()
        self.call("cuMemAlloc_v2", ctypes.byref(place), ctypes.c_size_t(count))
        return place

def train(hp, trial):
    lr = hp.Float("lr", 0.1, 1.0)
    trial.load_checkpoint()
    if os.environ["CUDA_VISIBLE_DEVICES"] == "-1":  # The space is looked for.
        return {"val_loss": 0.0}
    cuda = Cuda()
    held = cuda.hold(NEED)
    for epoch in range(trial.start_epoch, trial.stop_epoch):
        time.sleep(1.0)
        trial.report(val_loss=lr / (epoch + 1))
"""

OPTIONS = ["--algorithm", "random", "--objective", "val_loss", "--max-epochs", "2", "--seed", "7", "--gpus", "0"]


@pytest.fixture
def total_bytes() -> int:
    """The first GPU's memory."""
    code = "from gpusched.devices import inventory; print(inventory().gpus[0].total_bytes)"
    code = f"from gpusched.devices import inventory\nif not inventory().usable: raise SystemExit(3)\n{code}"
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True)
    if done.returncode:
        pytest.skip("no GPU that can be used here")
    return int(done.stdout)


def usages(lab: Any) -> list[dict[str, Any]]:
    return [event["usage"] for event in lab.events("job_ended")]


@pytest.mark.gpu
def test_accounts_are_the_drivers(lab: Any, total_bytes: int) -> None:
    """A trial that holds a gigabyte is charged for that and its context, on a GPU of its own."""
    lab.write(TRAIN.replace("NEED", str(GIB)))
    assert lab.finish(*OPTIONS, "--max-trials", "2")[0] == 0
    for usage in usages(lab):
        assert GIB <= usage["gpu_peak_bytes"] < 2 * GIB
        assert usage["gpu_seconds"] >= 2
        assert usage["gpu_share"] == 1


@pytest.mark.gpu
def test_auto_admits_more_than_one(lab: Any, total_bytes: int) -> None:
    """Trials of a fifth of the GPU are run at once, and none runs out of memory."""
    lab.write(TRAIN.replace("NEED", str(total_bytes // 5)))
    assert lab.finish(*OPTIONS, "--max-trials", "8", "--per-gpu", "auto")[0] == 0
    assert max(len(event["slots"]) for event in lab.events("slots_changed")) in (3, 4)
    assert [event for event in lab.events("job_ended") if "failure" in event] == []


@pytest.mark.gpu
def test_out_of_memory_is_tried_again_alone(lab: Any, total_bytes: int) -> None:
    """Two of two thirds each do not fit: the later one waits, and has the GPU to itself."""
    lab.write(TRAIN.replace("NEED", str(total_bytes * 2 // 3)))
    assert lab.finish(*OPTIONS, "--max-trials", "2", "--per-gpu", "2")[0] == 0
    assert [trial.state.value for trial in lab.search.trials.values()] == ["completed"] * 2
    failures = [event["failure"]["kind"] for event in lab.events("job_ended") if "failure" in event]
    assert failures == ["ResourceExhaustedError"]


@pytest.mark.gpu
def test_a_killed_trial_leaves_its_gpu(lab: Any, until: Any, total_bytes: int) -> None:
    """Its memory is free when the next one starts, or the next one would not fit."""
    lab.write(TRAIN.replace("NEED", str(total_bytes * 2 // 3)))
    scheduler = lab.start(*OPTIONS, "--max-trials", "2")
    until("a trial", lambda: lab.events("job_started"))
    until("its epoch", lambda: lab.run.trial(0).metrics.exists())
    lab.kill(lab.trial_pids())
    assert scheduler.wait(120) == 0
    kinds = [json.dumps(event.get("failure", {}).get("kind")) for event in lab.events("job_ended")]
    assert sorted(kinds) == ['"signal"', "null", "null"]
