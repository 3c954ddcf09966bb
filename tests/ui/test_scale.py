"""What large searches cost those who look at them: work that grows with the trials, and not with their square."""

from __future__ import annotations

import sys
from collections.abc import Callable
from typing import Any

import pytest

from gpusched.oracles import Hyperband
from gpusched.runtime.reader import Run
from gpusched.ui.facts import Observer
from gpusched.ui.report.data import collect
from gpusched.ui.trials.ranking import sorted_trials
from gpusched.ui.verify import verify

#: A search of so many trials, and one of three times as many.
FEW, MANY = 66, 198


def look(run: Run) -> list[Any]:
    Observer(run).look(alive=False)
    return sorted_trials(run.search, run.metrics)


LOOKS: dict[str, Callable[[Run], Any]] = {"open": lambda run: Run(run.dir), "verify": verify, "look": look}


def calls(function: Callable[[Run], Any], run: Run) -> int:
    """How many functions are called meanwhile."""
    count = 0

    def note(frame: Any, event: str, argument: Any) -> None:
        nonlocal count
        count += event in ("call", "c_call")

    before = sys.getprofile()
    sys.setprofile(note)
    try:
        function(run)
    finally:
        sys.setprofile(before)
    return count


@pytest.fixture
def runs(make_run: Callable[..., Any]) -> dict[int, Run]:
    made = {n: make_run(f"of {n}", max_epochs=3, factor=3, iterations=n, max_trials=n) for n in (FEW, MANY)}
    return {n: Run.open(each.finish().dir.path) for n, each in made.items()}


def test_three_times_the_trials_are_three_times_the_work(runs: dict[int, Run]) -> None:
    """Reading a run, a look at it, its best trials and its check are linear in the trials."""
    for function in LOOKS.values():  # What is imported and cached by the first call is not counted.
        function(runs[FEW])
    assert {len(run.search.trials) for run in runs.values()} == {FEW, MANY}
    grown = {name: calls(function, runs[MANY]) / calls(function, runs[FEW]) for name, function in LOOKS.items()}
    assert {name for name, factor in grown.items() if factor > 4} == set(), grown


def test_the_rungs_are_not_listed_for_every_trial(runs: dict[int, Run], monkeypatch: pytest.MonkeyPatch) -> None:
    """A list of all rungs has all trials in it: whoever shows trials does not make it for each of them."""
    made = 0
    plain = Hyperband.rungs

    def rungs(oracle: Hyperband) -> Any:
        nonlocal made
        made += 1
        return plain(oracle)

    monkeypatch.setattr(Hyperband, "rungs", rungs)
    assert len(collect(runs[FEW], None)["trials"]) == FEW
    assert made < 5
