"""Scripts that choose devices for themselves, and libraries that would take all cores."""

from __future__ import annotations

import json
import os
from pathlib import Path
from typing import Any

import pytest

#: `getenv` is what CUDA calls: Python's own view may differ.
SCRIPT = """
import ctypes, json, os, sys, time
import gpusched as gs
import numpy

{before}
os.environ["CUDA_VISIBLE_DEVICES"] = "0"

def pinned():
    getenv = ctypes.CDLL(None).getenv
    getenv.restype = ctypes.c_char_p
    return [os.environ["CUDA_VISIBLE_DEVICES"], getenv(b"CUDA_VISIBLE_DEVICES").decode()]

def train(hp, trial):
    from threadpoolctl import threadpool_info
    lr = hp.Float("lr", 1e-4, 1e-1)
    for epoch in range(trial.start_epoch, trial.stop_epoch):
        trial.report(val_loss=lr)
    if hasattr(trial, "folder"):
        pools = [pool["num_threads"] for pool in threadpool_info()]
        note = {{"trial": trial.id, "pins": pinned(), "pools": max(pools), "cores": len(os.sched_getaffinity(0))}}
        with open(f"note {{trial.id}} {{pinned()[0][:12]}}", "w") as file:
            json.dump(note, file)

tuner = gs.RandomSearch(train=train, objective="val_loss", max_trials=4, max_epochs=1, seed=1)
{after}
"""
#: Why a script is loaded in each trial.
THREAD = "import threading; threading.Thread(target=time.sleep, args=(600,), daemon=True).start()"


def notes(folder: Path) -> list[dict[str, Any]]:
    return [json.loads(path.read_text()) for path in folder.glob("note *")]


@pytest.mark.parametrize(
    ("before", "options"),
    [("", []), (THREAD, []), ("", ["--start-method", "spawn"])],
    ids=["forked", "loaded in each fork", "started anew"],
)
def test_a_trial_keeps_to_its_slot(gpu_lab: Any, before: str, options: list[str]) -> None:
    """Whatever the script sets; a line says that it does not count. Pools have as many threads as it has cores."""
    lab = gpu_lab(2)
    lab.lab.write(SCRIPT.format(before=before, after=""))
    assert lab.finish("--max-epochs", "1", *options, trials=4) == 0
    found = [note for note in notes(lab.lab.folder) if note["pins"] != ["-1", "-1"]]
    assert {pin for note in found for pin in note["pins"]} == set(lab.uuids)
    assert all(note["pins"][0] == note["pins"][1] and note["pools"] <= note["cores"] for note in found)
    line = "the script sets CUDA_VISIBLE_DEVICES=0, which its trials do not follow: each has the devices of its slot"
    assert lab.lab.said.count(line) == 1


def test_what_a_framework_sees_that_a_script_starts(gpu_lab: Any) -> None:
    """The devices that are meant for the process: none in a launcher, the slot's in a trial."""
    lab = gpu_lab(2)
    fake = lab.lab.folder / "jax"
    (fake / "_src").mkdir(parents=True)
    (fake / "_src" / "__init__.py").touch()
    (fake / "__init__.py").write_text(
        "from types import SimpleNamespace\ndevices = lambda: [SimpleNamespace(platform='gpu')]\n"
    )
    (fake / "_src" / "xla_bridge.py").write_text("_backends = {}\ndef backends():\n    _backends['cuda'] = 'started'\n")
    wake = (
        "from jax._src import xla_bridge\n"
        "xla_bridge.backends()\n"
        "with open(f'seen {os.getpid()}', 'w') as file:\n"
        "    file.write(pinned()[1])\n"
    )
    lab.lab.write(SCRIPT.format(before="", after=wake))
    assert lab.finish("--max-epochs", "1", trials=4, PYTHONPATH=path_with(lab.lab.folder)) == 0
    seen = [path.read_text() for path in lab.lab.folder.glob("seen *")]
    assert set(seen) == {"-1", *lab.uuids}
    assert len([pins for pins in seen if pins != "-1"]) == 4


def path_with(folder: Path) -> str:
    return os.pathsep.join([str(folder), *filter(None, [os.environ.get("PYTHONPATH")])])
