"""What a search's figures suggest to do next."""

from __future__ import annotations

from pathlib import Path
from typing import Any

from gpusched.core.policy import Phase
from gpusched.hyperparameters import HyperParameters
from gpusched.objective import Objective
from gpusched.oracles import RandomSearch
from gpusched.ui.facts import Facts
from gpusched.ui.report.advice import advice
from gpusched.ui.report.idle import Use
from gpusched.ui.trials.ranking import Best


def told(values: list[dict[str, Any]], epoch: int = 2, budget: int = 3, use: Use | None = None) -> list[str]:
    """The advice on trials of these values, best first, each at its best at this epoch of so many."""
    hp = HyperParameters()
    hp.Choice("rate", [0.1, 0.01, 0.001])
    hp.Int("units", 0, 100)
    ranked = [
        Best(trial=i, score=float(i), epoch=epoch, budget=budget, finished=True, values=each, place="")
        for i, each in enumerate(values)
    ]
    facts = Facts(
        name="x",
        path=Path("x"),
        algorithm="random",
        objective="loss",
        direction="min",
        phase=Phase.RUNNING,
        ending=None,
        code=None,
        complete=False,
        trials_done=len(values),
        trials_all=None,
        trials_started=len(values),
        trials_failed=0,
        epochs_done=0,
        epochs_all=None,
        seconds=100.0,
        now=100.0,
        seconds_left=None,
        best=ranked[0],
        rows=[],
        rungs=[],
    )
    oracle = RandomSearch(hp, Objective("loss", "min"), max_epochs=9)
    return advice(facts, ranked, oracle, use or Use())


def trials(*rates: float) -> list[dict[str, Any]]:
    return [{"rate": rate, "units": 37 * i % 101} for i, rate in enumerate(rates, 1)]


def test_a_value_on_which_the_best_agree() -> None:
    """It is named with the evidence, and what may be dropped."""
    assert told(trials(*[0.01] * 5, *[0.1, 0.001, 0.1, 0.01, 0.001] * 2)) == [
        "The 5 best trials all have rate = 0.01, as 7 of all 15 do (by chance: 0.7 %). "
        "It looks settled: stop, and drop the other values (0.1, 0.001), or run it with --fix-settled."
    ]


def test_agreement_that_says_nothing() -> None:
    """Too few trials, a value that nearly all have, one that every trial has, or one dissenter: no advice."""
    assert told(trials(*[0.01] * 5, 0.1, 0.1, 0.1, 0.1)) == []
    assert told(trials(*[0.01] * 12, 0.1, 0.1)) == []
    assert told(trials(*[0.01] * 20)) == []
    assert told(trials(0.01, 0.01, 0.1, 0.01, 0.01, *[0.1] * 10)) == []


def test_the_edge_of_a_range() -> None:
    """The best at one end of a range say that it is too narrow."""
    values = [{"rate": [0.1, 0.01][i % 2], "units": 100 if i < 4 else i} for i in range(12)]
    assert told(values) == [
        "4 of the 4 best trials have units at its upper end, 100: a wider range may hold better ones."
    ]


def test_a_larger_max_epochs_is_for_trials_that_had_them_all() -> None:
    """The best trial was still getting better at the last epoch there is; one that was eliminated says nothing."""
    longer = "The best trial was still getting better at its last epoch, 9: a larger max_epochs may pay."
    assert told(trials(0.1), epoch=9, budget=9) == [longer]
    assert told(trials(0.1), epoch=5, budget=5) == []


def test_a_smaller_max_epochs_is_for_trials_that_had_them_all() -> None:
    """The best trial was at its best long before; one that was stopped early is what the advice asks for."""
    sooner = "a smaller max_epochs, or early stopping, would have found it sooner."
    assert told(trials(0.1), epoch=3, budget=9) == [f"The best trial was at its best at epoch 3 of 9: {sooner}"]
    assert told(trials(0.1), epoch=2, budget=8) == []


def test_idle_slots_are_told_by_the_time_that_they_were_there() -> None:
    """With what to do about it; a single slot, or little of the time, is no reason for advice."""
    line = (
        "The slots were idle for 40 % of the time that they were there, pauses left out. "
        "More trials (max_trials, iterations) or fewer slots use them better."
    )
    assert told(trials(0.1), use=Use(offered=200.0, used=120.0, most=2)) == [line]
    assert told(trials(0.1), use=Use(offered=200.0, used=180.0, most=2)) == []
    assert told(trials(0.1), use=Use(offered=200.0, used=120.0, most=1)) == []
