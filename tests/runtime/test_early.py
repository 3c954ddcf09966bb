"""Ctrl-C and SIGTERM at moments of a search's first second, each found by what the process is just doing."""

from __future__ import annotations

import signal
import sys
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

#: Sends the signal to the process that it is loaded in first, when that does what EARLY says.
SENDER = """
import os, sys
moment, number, me = [*os.environ.pop("EARLY").split(), ""], int(os.environ.pop("EARLY_SIGNAL")), os.getpid()

def hook(event, args):
    if moment and event == moment[0] and os.getpid() == me and moment[1] in str(args[:1]):
        moment.clear()
        os.kill(me, number)

sys.addaudithook(hook)
"""

SCRIPT = """
import gpusched as gs

def train(hp, trial):
    trial.report(val_loss=hp.Float("x", 0, 1))

tuner = gs.RandomSearch(train=train, objective="val_loss", max_epochs=1, max_trials=40, cpu_slots=2, seed=0)
if __name__ == "__main__":
    tuner.search()
"""

MOMENTS = [
    ("run", "import numpy", signal.SIGTERM),  # of `import gpusched`
    ("run", "import gpusched.runtime.session", signal.SIGINT),
    ("run", "socket.__new__", signal.SIGTERM),  # of asyncio
    ("run", "open search.json", signal.SIGTERM),
    ("script", "import numpy", signal.SIGINT),
    ("script", "os.fork", signal.SIGINT),
    ("script", "open lock", signal.SIGTERM),
]


@pytest.mark.parametrize(("way", "moment", "number"), MOMENTS)
def test_an_early_signal_is_an_interrupt(
    lab: Any, tmp_path: Path, way: str, moment: str, number: signal.Signals
) -> None:
    """Exit code 130, no traceback, no process and no half of a run directory are left."""
    (tmp_path / "sitecustomize.py").write_text(SENDER)
    lab.write(SCRIPT)
    command = lab.command("--cpu-slots", "2") if way == "run" else [sys.executable, str(lab.script)]
    path = f"{tmp_path}:{Path(__file__).parents[2]}"
    code, said = lab.finish(command=command, PYTHONPATH=path, EARLY=moment, EARLY_SIGNAL=str(int(number)))
    assert (code, lab.processes()) == (130, []), said
    assert "Traceback" not in said
    assert lab.run.search.exists() or not lab.run.path.exists()


def test_a_caller_may_catch_it(lab: Any, tmp_path: Path, until: Callable[..., Any]) -> None:
    """search() raises KeyboardInterrupt, whenever it was."""
    (tmp_path / "sitecustomize.py").write_text(SENDER)
    lab.write(
        SCRIPT.replace(
            "    tuner.search()",
            """
    try:
        tuner.search()
    except KeyboardInterrupt:
        print("caught")
""",
        )
    )
    path = f"{tmp_path}:{Path(__file__).parents[2]}"
    environ = {"PYTHONPATH": path, "EARLY": "import gpusched.runtime.session", "EARLY_SIGNAL": "15"}
    assert lab.finish(command=[sys.executable, str(lab.script)], **environ) == (0, "caught\n")
