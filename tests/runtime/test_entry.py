"""Searches from Python: plain scripts, running loops, Ctrl-C; and how what they hold reaches the trials."""

from __future__ import annotations

import re
import signal
import sys
from collections.abc import Callable
from typing import Any

import pytest

HEAD = """
import asyncio, os, sys, time
import numpy as np
import gpusched as gs

scale = 0.5  # what a function closes over travels with it

def train(hp, trial):
    x = hp.Float("x", 0, 1)
    for epoch in range(trial.start_epoch, trial.stop_epoch):
        open(f"{trial.id} is ready", "w").close()
        while os.path.exists("hold"):
            time.sleep(0.002)
        trial.report(loss=x * scale)

tuner = gs.RandomSearch(train=train, objective="loss", max_trials=3, seed=1, cpu_slots=2, project_name="search it")
"""


def python(lab: Any) -> list[str]:
    return [sys.executable, str(lab.script)]


def test_a_plain_script_searches(lab: Any) -> None:
    """`python script.py` runs the search in its own process, prints it, and goes on behind search()."""
    lab.write(HEAD + "\ntuner.search()\nprint('best', tuner.get_best_hyperparameters()[0].get('x'))")
    code, said = lab.finish(command=python(lab))
    assert code == 0, said
    assert "search ended: complete" in said
    assert "best 0." in said
    assert lab.processes() == []


def test_a_script_is_the_same_however_it_is_run(lab: Any) -> None:
    """`python script.py` and then `gpusched run script.py`: nobody has edited it, and nobody says so."""
    lab.write(HEAD + "\ntuner.search()\n")
    assert lab.finish(command=python(lab))[0] == 0
    code, said = lab.finish("--max-trials", "4")
    assert (code, "trial 3" in said, "edited" in said) == (0, True, False), said
    lab.script.write_text(lab.script.read_text().replace("x * scale", "scale * x"))
    code, said = lab.finish("--max-trials", "5")
    assert (code, "the script has been edited" in said) == (0, True), said


def test_a_running_loop_searches(lab: Any) -> None:
    """In a notebook a loop is running already: search() works beside it, search_async() in it."""
    lab.write(
        HEAD
        + """
async def cell():
    tuner.search()
    await tuner.search_async()
    print("both", len(tuner.results()))
asyncio.run(cell())
"""
    )
    code, said = lab.finish(command=python(lab))
    assert code == 0, said
    assert "both 3" in said
    assert lab.processes() == []


@pytest.mark.parametrize("call", ["tuner.search()", "asyncio.run(cell())", "asyncio.run(other())"])
def test_ctrl_c_reaches_a_script(lab: Any, until: Callable[..., Any], call: str) -> None:
    """It ends the epochs of running trials, and is raised where search() was called."""
    lab.write(
        HEAD
        + f"""
async def cell():
    tuner.search()
async def other():
    await tuner.search_async()
try:
    {call}
except KeyboardInterrupt:
    print("interrupted")
    sys.exit(130)
"""
    )
    lab.hold()
    script = lab.start(command=python(lab))
    until("two trials", lambda: len(list(lab.folder.glob("* is ready"))) == 2)
    script.send_signal(signal.SIGINT)
    until("the request", lambda: lab.events("stop_asked"))
    lab.let_go()
    assert script.wait(60) == 130, lab.said
    assert "interrupted" in lab.said
    assert "Traceback" not in lab.said
    assert lab.processes() == []


def test_a_search_without_success_raises(lab: Any) -> None:
    """The reason is an exception that a script can catch."""
    lab.write(
        HEAD.replace("trial.report(loss=x * scale)", "raise ValueError('odd')")
        + """
try:
    tuner.search()
except gs.errors.GpuschedError as error:
    print("raised:", error)
"""
    )
    code, said = lab.finish(command=python(lab))
    assert code == 0, said
    assert re.search(
        r"raised: 3 trials in a row failed \(0, 1, 2\); trial [0-2]: ValueError: odd \(search it.py:14\)", said
    )
