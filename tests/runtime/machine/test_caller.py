"""A script that searches from its own process, whose framework holds memory of the GPUs."""

from __future__ import annotations

import os
import subprocess
import sys
from collections.abc import Mapping
from typing import Any

import msgspec
import pytest

from gpusched.devices import Cpu, Gpu, Inventory, Process
from gpusched.errors import UsageError
from gpusched.runtime.machine.caller import Caller
from gpusched.runtime.machine.layout import Layout
from gpusched.runtime.machine.sharing import Sharing
from gpusched.trial.settings import Settings

GIB = 2**30
CPU = Cpu(cores=tuple((i,) for i in range(8)), available_bytes=64 * GIB)
CALLER = Caller(pid=42, awake=("TensorFlow",), too_late=("TensorFlow",))


def settings(**more: Any) -> Settings:
    plain: dict[str, Any] = {field.name: None for field in msgspec.structs.fields(Settings) if field.required}
    plain |= {"gpus": "all", "per_gpu": 1, "gpus_per_trial": 1}
    return Settings(**{**plain, **more})


def gpu(index: int, *holds: tuple[int, float], **more: Any) -> Gpu:
    processes = tuple(Process(pid=pid, kind="compute", used_bytes=int(gib * GIB)) for pid, gib in holds)
    return Gpu(index=index, uuid=f"GPU-{index}", total_bytes=24 * GIB, processes=processes, **more)


def layout(*gpus: Gpu, caller: Caller = CALLER, **more: Any) -> Layout:
    asked = settings(**more)
    made = Layout(Inventory(cpu=CPU, gpus=gpus), asked, Sharing(asked.per_gpu), caller)
    made.judge(gpus, (), first=True)
    return made


@pytest.mark.parametrize("busy", ["wait", "skip", "share"])
def test_the_caller_is_no_stranger(busy: str) -> None:
    """It is not waited for, and trials that share a GPU do not take what it holds."""
    with_caller = layout(gpu(0, (42, 4)), when_busy=busy, per_gpu=2)
    alone = layout(gpu(0), when_busy=busy, per_gpu=2)
    assert (with_caller.lay().waiting, with_caller.lay().notes, len(with_caller.lay().slots)) == ([], [], 2)
    limits = [made.lay().slots[0].memory_limit_bytes or 0 for made in (with_caller, alone)]
    assert limits[1] - limits[0] == pytest.approx(4 * GIB * 0.94 / 2, abs=2)
    assert layout(gpu(0, (43, 4)), when_busy="wait").lay().slots == ()


def test_as_many_trials_as_fit_beside_the_caller() -> None:
    """per_gpu="auto" reckons with what the caller holds."""
    made = [layout(each, per_gpu="auto") for each in (gpu(0), gpu(0, (42, 12)))]
    for each in made:
        for trial in range(4):
            each.sharing.seen(trial, 5 * GIB)
    assert [each.caps() for each in made] == [{"GPU-0": 4}, {"GPU-0": 2}]


@pytest.mark.parametrize("busy", ["wait", "skip", "share"])
def test_a_caller_that_fills_every_gpu_is_told(busy: str) -> None:
    """How much it holds, why, and the ways out; nothing waits for it."""
    with pytest.raises(UsageError) as raised:
        layout(gpu(0, (42, 22)), gpu(1, (42, 22.5)), when_busy=busy)
    assert str(raised.value) == (
        "this process holds 22.0 of 24.0 GiB of gpu 0 and this process holds 22.5 of 24.0 GiB of gpu 1, because "
        "TensorFlow started before gpusched was imported; import gpusched first, or search with `gpusched run SCRIPT`, "
        "which starts no framework in the process that searches"
    )
    with pytest.raises(UsageError, match="because torch took it for the script's own work; give it back before"):
        layout(gpu(0, (42, 22)), when_busy=busy, caller=Caller(pid=42, awake=("torch",)))
    with pytest.raises(UsageError, match="only one that compute mode Exclusive_Process allows"):
        layout(gpu(0, (42, 1), exclusive=True), when_busy=busy)


@pytest.mark.parametrize("busy", ["wait", "skip", "share"])
def test_a_gpu_that_the_caller_fills_is_left_out(busy: str) -> None:
    """The others are used, and a line says why that one is not."""
    laid = layout(gpu(0, (42, 22)), gpu(1), when_busy=busy).lay()
    assert [slot.devices for slot in laid.slots] == [("GPU-1",)]
    said = "".join(laid.waiting + laid.notes)
    assert "gpu 0: this process holds 22.0 of 24.0 GiB of it, because TensorFlow started before" in said


# ---------------------------------------------------------------------------- with processes

SEARCH = """
import os, sys
import gpusched as gs

def train(hp, trial):
    lr = hp.Float("lr", 1e-4, 1e-1)
    for epoch in range(trial.start_epoch, trial.stop_epoch):
        trial.report(val_loss=lr)

if __name__ == "__main__":
    with open(os.path.join(os.environ["FAKE_NVML_PROCESSES"], str(os.getpid())), "w") as shown:
        shown.write(f"GPU-00000000-0000-4000-8000-000000000000 {int(float(sys.argv[1]) * 2**30)}")
    tuner = gs.RandomSearch(train=train, objective="val_loss", max_trials=2, max_epochs=1, project_name="own")
    tuner.search()
    print("then:", len(tuner.get_best_trials(2)))
"""


def test_a_script_on_its_own_gpu(gpu_lab: Any) -> None:
    """With 1 GiB held by the script itself the search runs at once; with 22 of 24 a line ends it before it begins."""
    lab = gpu_lab(1)
    lab.lab.write(SEARCH)

    def python(gib: str) -> subprocess.CompletedProcess[str]:
        command = [sys.executable, str(lab.lab.script), gib]
        return subprocess.run(command, cwd=lab.lab.folder, env=lab.environ, capture_output=True, text=True, timeout=60)

    full = python("22")
    assert full.returncode != 0
    assert full.stderr.splitlines()[-1].startswith("gpusched: this process holds 22.0 of 24.0 GiB of gpu 0, because it")
    assert "Traceback" not in full.stderr
    assert not (lab.lab.folder / "runs").exists()
    done = python("1")
    assert (done.returncode, done.stdout.splitlines()[-1]) == (0, "then: 2"), done.stderr


# ---------------------------------------------------------------------------- growth

ASK = """
import os, sys, types
{before}
import gpusched
from gpusched.system import growth
print(os.environ.get("TF_FORCE_GPU_ALLOW_GROWTH"), os.environ.get("XLA_PYTHON_CLIENT_PREALLOCATE"), growth.too_late)
"""
AWAKE = """
context = types.SimpleNamespace(_initialized=True)
sys.modules["tensorflow.python.eager.context"] = types.SimpleNamespace(_context=context, Context=object)
"""


@pytest.mark.parametrize(
    ("before", "said", "found"),
    [
        ("", {}, "true false []"),
        ("", {"TF_FORCE_GPU_ALLOW_GROWTH": "false", "XLA_PYTHON_CLIENT_PREALLOCATE": "true"}, "false true []"),
        ("", {"XLA_PYTHON_CLIENT_MEM_FRACTION": ".5"}, "true None []"),
        (AWAKE, {}, "None false ['TensorFlow']"),
    ],
)
def test_importing_gpusched_asks_for_growth(before: str, said: Mapping[str, str], found: str) -> None:
    """Where the user has said nothing, and before the framework has started."""
    plain = {name: value for name, value in os.environ.items() if not name.startswith(("TF_FORCE", "XLA_"))}
    done = subprocess.run(
        [sys.executable, "-c", ASK.format(before=before)],
        env={**plain, **said},
        capture_output=True,
        text=True,
        check=True,
    )
    assert done.stdout.strip() == found
