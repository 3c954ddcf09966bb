"""Brackets and rungs in words: one numbering and one form."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

from gpusched.objective import Objective
from gpusched.oracles import ASHA, Hyperband, RandomSearch
from gpusched.ui.draw import how, rung_lines
from gpusched.ui.export.table import rows
from gpusched.ui.facts import Observer
from gpusched.ui.plan import place_words, plan_lines
from gpusched.ui.report.data import collect
from gpusched.ui.status import answer
from gpusched.ui.watch.tuner import TrialTeller


def test_a_plan_of_one_iteration_names_brackets_alone(make_run: Callable[..., Any]) -> None:
    """As the running search does."""
    made = make_run(max_epochs=9, factor=3)
    assert [line.partition(":")[0].strip() for line in plan_lines(made.run.search.oracle.plan())][:-1] == [
        "bracket 2",
        "bracket 1",
        "bracket 0",
    ]
    assert place_words(made.run.search.oracle, 0) == "bracket 2, rung 1"
    assert {line.plain.partition("  ")[0] for line in rung_lines(Observer(made.run).look(alive=False))} == {"bracket 2"}


def test_iterations_count_from_1_everywhere(make_run: Callable[..., Any]) -> None:
    """In the plan, the rows of slots, the lines of rungs, the best trial, what is printed and for programs."""
    made = make_run(max_epochs=9, factor=3, iterations=2, slots=2)
    run = made.run
    teller, printed = TrialTeller(), []
    while not any(rung.iteration for rung in run.search.oracle.rungs()):
        made.step()
        printed += [line for _, launch in run.launches[-1:] for line in teller._start(launch, run.search)]
    facts = Observer(run).look(alive=False)
    plan = [line.partition(":")[0].strip() for line in plan_lines(run.search.oracle.plan())][:-1]
    places = {place_words(run.search.oracle, trial).rpartition(", rung")[0] for trial in run.search.trials}
    assert {"iteration 1, bracket 2", "iteration 2, bracket 2"} <= places <= set(plan)
    assert {line.plain.partition("  ")[0] for line in rung_lines(facts)} <= places
    assert all(any(f", {place}, rung " in f", {row.rung}" for place in places) for row in facts.running)
    assert facts.best is not None
    assert ", iteration 1, bracket " in how(facts.best)
    assert any(", iteration 2, bracket 2, rung 1" in line for line in printed)
    told = answer(run, None)
    assert {(rung.iteration, rung.rung) for rung in told.rungs} >= {(1, 1), (2, 1)}
    assert min(rung.rung for rung in told.rungs) == 1
    assert {row["iteration"] for row in rows(run)} == {1, 2}
    assert {trial["place"].rpartition(", rung")[0] for trial in collect(run, None)["trials"]} == places


def test_a_search_without_rungs_has_no_brackets() -> None:
    """Of random search the plan says how many trials, and for how long."""
    from gpusched.hyperparameters import HyperParameters

    hp = HyperParameters()
    hp.Float("x", 0, 1)
    goal = Objective("loss", "min")
    flat = list(plan_lines(RandomSearch(hp, goal, max_epochs=5, max_trials=4).plan()))
    assert flat[0] == "  4×5"
    endless = list(plan_lines(Hyperband(hp, goal, max_epochs=3, iterations=None).plan()))
    assert endless[0].startswith("  iteration 1, bracket 1:  ")
    assert endless[-1] == "  and so on without end"
    asha = list(plan_lines(ASHA(hp, goal, max_epochs=9, max_trials=9).plan()))
    assert asha[0].endswith("epoch 1 → epoch 3 → epoch 9")
