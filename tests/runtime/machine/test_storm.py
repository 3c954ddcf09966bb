"""GPUs come, go and break, trials are killed and run out of memory, the scheduler too: the ranking stays."""

from __future__ import annotations

import random
from collections.abc import Callable
from contextlib import suppress
from typing import Any

import pytest

from gpusched.runtime.reader import Run
from gpusched.storage.rundir import RunDir

FOREIGN = {"pid": 4_000_000_001, "used": 2**30}
SEARCH = ("--objective", "val_loss", "--seed", "7", "--algorithm", "hyperband", "--max-epochs", "9")
ILLS = """
if trial.id % 3 == 0 and not os.path.exists(f"short {trial.id}"):
    open(f"short {trial.id}", "w").close()
    raise OutOfMemoryError("CUDA out of memory")
time.sleep(0.01)
"""


def disturb(lab: Any, dice: random.Random, scheduler: Any) -> None:
    """One of all that can befall a search; three GPUs of four may break."""
    gpus = lab.nvml.devices
    match dice.choice(("others", "others", "lost", "kill", "cap", "scheduler")):
        case "others":
            gpu = dice.choice(gpus)
            gpu["compute"] = [] if gpu["compute"] else [FOREIGN]
        case "lost" if sum(bool(gpu["errors"]) for gpu in gpus) < 3:
            dice.choice(gpus)["errors"] = {"*": 15}
        case "kill":
            running = lab.lab.trial_pids()
            lab.lab.kill(dice.sample(running, min(1, len(running))))
        case "cap":
            with suppress(AssertionError, OSError, ValueError):  # It may just have ended.
                lab.lab.ask("set", per_gpu=dice.randint(1, 3))
        case "scheduler":
            scheduler.kill()
    lab.nvml.save()


@pytest.mark.parametrize("seed", range(2))
def test_nothing_is_lost_in_a_storm(gpu_lab: Any, until: Callable[..., Any], seed: int) -> None:
    """Every trial completes, the ranking is that of one GPU in peace, and the journal is sound."""
    lab, dice = gpu_lab(4), random.Random(seed)
    assert lab.lab.finish(*SEARCH, "--gpus", "0", "--run", "runs/calm", **lab.environ)[0] == 0
    (lab.lab.folder / "ledger").unlink()
    lab.ills(ILLS)
    per_gpu = ("--per-gpu", dice.choice(("1", "2", "auto")))
    for _ in range(30):
        scheduler = lab.lab.start(*SEARCH, *per_gpu, **lab.environ)
        while scheduler.poll() is None:
            moment = len(lab.ledger) + dice.randint(1, 8)
            idle = all(gpu["compute"] or gpu["errors"] for gpu in lab.nvml.devices)
            if not idle:
                until(
                    "the moment",
                    lambda s=scheduler, m=moment: s.poll() is not None or len(lab.ledger) >= m,
                )
            disturb(lab, dice, scheduler)
        if scheduler.returncode == 0:
            break
        for gpu in lab.nvml.devices:  # Somebody has looked after the machine meanwhile.
            gpu |= {"errors": {}, "compute": []}
        lab.nvml.save()
    assert scheduler.returncode == 0, lab.lab.said
    lab.sound()
    assert set(lab.states()) == {"completed"}
    calm = Run(RunDir(lab.lab.folder / "runs" / "calm")).search
    assert lab.lab.search.oracle.rank() == calm.oracle.rank()
