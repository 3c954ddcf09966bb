"""Carrying on with what is settled fixed: `run --fix-settled`."""

from __future__ import annotations

import sys
from typing import Any

from gpusched.runtime.reader import Run
from gpusched.storage.rundir import RunDir

SCRIPT = """
import gpusched as gs

def train(hp, trial):
    width = hp.Choice("width", [16, 32, 64])
    lr = hp.Float("lr", 1e-4, 1e-1, sampling="log")
    for epoch in range(trial.start_epoch, trial.stop_epoch):
        trial.report(loss=abs(width - 32) + lr)

gs.RandomSearch(train=train, objective="loss", max_trials=24, seed=1, cpu_slots=2, project_name="wide").search()
"""


def values(run: RunDir) -> list[dict[str, Any]]:
    return [trial.values for _, trial in sorted(Run(run).search.trials.items())]


def test_narrow(lab: Any) -> None:
    """The settled value is fixed in a search of its own, which begins with the best trial and can be carried on."""
    wide, narrow = (RunDir(lab.folder / "runs" / name) for name in ("wide", "wide-narrow"))
    lab.write(SCRIPT)
    code, said = lab.finish("--fix-settled")
    assert (code, "there is no search to narrow yet; run it without --fix-settled first" in said) == (2, True), said
    assert [wide.path.exists(), narrow.path.exists()] == [False, False]

    code, said = lab.finish("--cpu-slots", "2")
    assert code == 0, said
    older = Run(wide)
    best = older.search.trials[older.search.oracle.rank()[0]]
    before = wide.journal.read_bytes()
    code, said = lab.finish("--fix-settled", "--max-trials", "5")
    assert code == 0, said
    assert "width stays 32 (the 5 best trials all have it, as " in said
    assert f"the first trial has the values of wide's trial {best.id}, the best with these" in said
    found = values(narrow)
    assert [each["width"] for each in found] == [32] * 5
    assert found[0] == best.values
    assert len({each["lr"] for each in found}) == 5
    assert wide.journal.read_bytes() == before

    code, said = lab.finish("--fix-settled", "--max-trials", "7")
    assert code == 0, said
    assert values(narrow)[:5] == found
    assert [each["width"] for each in values(narrow)] == [32] * 7
    tool = [sys.executable, "-m", "gpusched.cli"]
    assert lab.finish(command=[*tool, "verify", str(narrow.path)])[0] == 0
    code, said = lab.finish(command=[*tool, "plan", str(lab.script), "--fix-settled"])
    assert "width: Fixed, always 32" in said


def test_nothing_to_narrow(lab: Any) -> None:
    """Without evidence there is nothing to fix; that is said, and nothing is made."""
    lab.write(SCRIPT.replace("abs(width - 32) + lr", "lr").replace("max_trials=24", "max_trials=12"))
    assert lab.finish("--cpu-slots", "2")[0] == 0
    code, said = lab.finish("--fix-settled")
    assert (code, "nothing is settled by its 12 finished trials" in said) == (2, True), said
    assert not (lab.folder / "runs" / "wide-narrow").exists()
