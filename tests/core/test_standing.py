"""What people and programs are told of a trial: one of six words."""

from __future__ import annotations

import io
from collections.abc import Callable
from dataclasses import replace
from typing import Any

import pytest
from rich.console import Console, RenderableType

from gpusched.core.events import JobEnded, PauseAsked, TrialStopAsked
from gpusched.core.outcome import End, Failure
from gpusched.core.trial import Standing, TrialState, standing
from gpusched.ui.draw import panel
from gpusched.ui.export.table import rows
from gpusched.ui.facts import Observer
from gpusched.ui.report.data import collect
from gpusched.ui.status import answer, page
from gpusched.ui.top.rows import trial_rows
from gpusched.ui.watch.plain import summary

S = Standing


def shown(block: RenderableType) -> str:
    """What is read of it on a wide screen."""
    stream = io.StringIO()
    Console(file=stream, width=200, force_terminal=False).print(block)
    return stream.getvalue()


def standings(made: Any) -> dict[int, Standing]:
    search = made.run.search
    return {trial.id: standing(trial, search.oracle) for trial in search.trials.values()}


def test_who_is_not_promoted_is_eliminated(make_run: Callable[..., Any]) -> None:
    """At the end those trained in full are completed, the others eliminated; before that they wait for the decision."""
    made = make_run(slots=2)
    assert set(standings(made).values()) == {S.RUNNING}
    made.step()
    assert standings(made) == {0: S.WAITING, 1: S.RUNNING, 2: S.RUNNING}
    made.finish()
    oracle = made.run.search.oracle
    for trial, told in standings(made).items():
        assert told is (S.COMPLETED if oracle.trials[trial].budget == oracle.max_epochs else S.ELIMINATED)
    assert set(standings(made).values()) == {S.COMPLETED, S.ELIMINATED}


@pytest.mark.parametrize("algorithm", ["random", "hyperband"])
def test_who_stops_itself_is_judged_like_the_others(make_run: Callable[..., Any], algorithm: str) -> None:
    """After two epochs of nine: completed where no rung has dropped it."""
    made = make_run(algorithm=algorithm, **({"max_epochs": 9, "max_trials": 2} if algorithm == "random" else {}))
    launch = made.out[0]
    scores = {"val_accuracy": [0.99] * (1 if algorithm == "hyperband" else 2)}
    ended = {"trial": launch.trial, "attempt": 1, "end": End.COMPLETED, "epochs": len(scores["val_accuracy"])}
    made.handle(JobEnded(at=1.0, scores=scores, stopped_early=True, **ended))
    made._ends = [end for end in made._ends if end[2].trial != launch.trial]
    made.finish()
    assert standings(made)[launch.trial] is S.COMPLETED


def test_failures_stops_and_interruptions(make_run: Callable[..., Any]) -> None:
    """A model that is too large has failed; a trial that was interrupted waits; one stopped by hand is stopped."""
    made = make_run(algorithm="random", slots=4, max_epochs=3, max_trials=4)
    large = Failure(kind="oversize", message="the model has 49 parameters, more than max_model_size=40")
    made.handle(JobEnded(at=1.0, trial=0, attempt=1, end=End.OVERSIZE, epochs=0, failure=large))
    broken = Failure(kind="ValueError", message="no")
    made.handle(JobEnded(at=1.0, trial=1, attempt=1, end=End.FAILED, epochs=0, failure=broken, retry=False))
    made.handle(TrialStopAsked(at=1.0, trial=2))
    made.handle(PauseAsked(at=1.0, now=True))
    told = {0: S.FAILED, 1: S.FAILED, 2: S.STOPPED, 3: S.WAITING}
    assert standings(made) == told
    data = collect(made.run, None)
    assert {trial["id"]: trial["state"] for trial in data["trials"]} == told
    assert [trial["id"] for trial in data["trials"] if "reason" in trial] == [0, 1, 2]
    assert (data["failed"], data["stopped"]) == (2, 1)
    assert {row["trial"]: row["state"] for row in rows(made.run)} == told
    assert {row.trial: row.state for row in trial_rows(made.run.search, [], {})} == told


def test_who_is_stopped_and_keeps_the_score_is_stopped(make_run: Callable[..., Any]) -> None:
    """A person has ended it: it is neither completed nor eliminated, and is counted and listed as stopped."""
    made = make_run(slots=1, max_epochs=9, factor=3)
    made.step()
    made.handle(TrialStopAsked(at=2.0, trial=0, keep=True))
    assert "trials: 1 stopped" in shown(panel(Observer(made.run).look(alive=False), {}, 100, 40))
    assert standings(made)[0] is S.STOPPED
    made.finish()
    assert standings(made)[0] is S.STOPPED
    data = collect(made.run, None)
    (told,) = [trial for trial in data["trials"] if trial["state"] == "stopped"]
    assert (told["id"], told["reason"]) == (0, "stopped by hand, its score counts")
    assert (data["failed"], data["stopped"], data["failures"]) == (0, 1, [])
    facts = Observer(made.run).look(alive=False)
    assert (facts.trials_failed, facts.trials_broken, facts.trials_stopped) == (0, 0, 1)
    count = answer(made.run, None).trials
    assert (count.failed, count.stopped) == (0, 1)
    assert "stopped by hand: 0" in shown(page(made.run, None))
    assert summary(made.run.search, None).startswith("17 trials, 1 stopped, ")


def test_what_a_person_ends_is_not_saved_by_early_stopping(make_run: Callable[..., Any]) -> None:
    """Epochs that a trial did not train because it was stopped with its score; those of one that ended itself are."""
    made = make_run(algorithm="random", slots=2, max_epochs=9, max_trials=2)
    by_hand, by_itself = made.out
    made._ends.clear()
    made.run.search.handle(TrialStopAsked(at=1.0, trial=by_hand.trial, keep=True))
    for launch, end, epochs in ((by_hand, End.INTERRUPTED, 2), (by_itself, End.COMPLETED, 5)):
        scores = {"val_accuracy": made.train(launch, epochs)}
        ended = {"trial": launch.trial, "attempt": 1, "end": end, "epochs": epochs, "scores": scores}
        made.handle(JobEnded(at=5.0, stopped_early=end is End.COMPLETED, **ended))
    assert standings(made) == {by_hand.trial: S.STOPPED, by_itself.trial: S.COMPLETED}
    assert Observer(made.run).look(alive=False).epochs_saved == 4
    assert "2 trials, 1 stopped, 7 epochs (early stopping saved 4) in " in summary(made.run.search, None)


def test_every_state_has_its_word(make_run: Callable[..., Any]) -> None:
    """Whatever states the scheduler tells apart, people have six."""
    made = make_run().finish()
    trial = made.run.search.trials[0]
    told = {standing(replace(trial, state=state), made.run.search.oracle) for state in TrialState}
    assert told - {S.COMPLETED} == set(S) - {S.COMPLETED}
