"""Configurations of a person's own, by the command line, by a script, and while a search runs."""

from __future__ import annotations

import sys
from collections.abc import Callable
from typing import Any

from gpusched.runtime.reader import Run
from gpusched.ui.verify import verify

_TUNER = """
import gpusched as gs
tuner = gs.RandomSearch(train=train, objective="val_loss", max_trials=3, max_epochs=2, seed=1)
tuner.enqueue({"lr": 0.02, "units": 7})
"""


def tried(lab: Any) -> list[dict[str, Any]]:
    return [trial.values for trial in lab.search.trials.values()]


def test_a_search_is_continued_with_a_configuration_of_one_s_own(lab: Any, options: tuple[str, ...]) -> None:
    """It is tried once, though asked for twice; what the space does not have is refused, and nothing written."""
    code, said = lab.finish(*options, "--try", "lrr=0.02")
    assert (code, "did you mean lr?" in said, lab.run.exists()) == (2, True, False)
    assert lab.finish(*options, "--try", "units=50")[0] == 0
    assert tried(lab)[0]["units"] == 50
    assert len(tried(lab)) == 17
    code, said = lab.finish(*options, "--try", "lr=0.02,units=7")
    assert "added by hand: lr=0.02, units=7" in said
    assert tried(lab)[17] == {"lr": 0.02, "units": 7}
    code, said = lab.finish(*options, "--try", "lr=0.02,units=7")
    assert (code, len(tried(lab))) == (0, 18)
    assert "lr=0.02, units=7 has been added to this search before: not again" in said
    assert verify(Run(lab.run)).complaints == []


def test_a_script_s_own_configurations(lab: Any) -> None:
    """tuner.enqueue: first among the trials of its budget, and once however often the script runs."""
    lab.write(lab.script.read_text() + _TUNER)
    for _ in range(2):
        assert lab.finish("--cpu-slots", "1")[0] == 0
    assert tried(lab)[0] == {"lr": 0.02, "units": 7}
    assert len(tried(lab)) == 3


def test_a_running_search_takes_a_configuration(lab: Any, options: tuple[str, ...], until: Callable[..., Any]) -> None:
    """`gpusched set --try`: the next new trial has it."""
    lab.hold()
    scheduler = lab.start(*options)
    until("two trials", lambda: len(lab.events("job_started")) >= 2)
    assert "no hyperparameter 'unit'" in lab.ask("try", tried=["unit=7"])["error"]
    order = [sys.executable, "-m", "gpusched.cli", "set", "runs/search it", "--try", "lr=0.02,units=7"]
    assert lab.start(command=order).wait(60) == 0
    assert "tried next: lr=0.02,units=7" in lab.said
    lab.let_go()
    assert scheduler.wait(60) == 0
    assert {"lr": 0.02, "units": 7} in tried(lab)[2:4]
    assert len(tried(lab)) == 17
