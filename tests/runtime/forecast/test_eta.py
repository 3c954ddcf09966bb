"""The time that is left, told while the search runs."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import pytest

from gpusched.core.commands import Launch
from gpusched.core.events import JobEnded, PauseAsked
from gpusched.runtime.forecast.eta import Outlook, Pace
from gpusched.ui.facts import Observer


def job(trial: int, start: int, stop: int) -> Launch:
    return Launch(trial=trial, attempt=1, slot=0, start_epoch=start, stop_epoch=stop, values={})


def test_start_and_epochs_are_told_apart() -> None:
    """From jobs of several lengths: what a start takes, what an epoch takes, and which trial is slower."""
    pace = Pace([(trial, n, n, 2 + 3 * n) for trial, n in enumerate((1, 1, 3, 9, 3))])
    assert (pace.startup, pace.epoch) == pytest.approx((2.0, 3.0))
    assert pace.seconds(job(9, 3, 9)) == pytest.approx(20.0)
    slow = Pace([(0, 2, 2, 10.0), (1, 2, 2, 20.0)])
    assert slow.seconds(job(1, 0, 4)) / slow.seconds(job(0, 0, 4)) == pytest.approx(2.0)


def test_trials_that_stop_themselves_early() -> None:
    """Where half of the epochs are trained, jobs to come are taken to train half of theirs."""
    pace = Pace([(trial, 10, 5, 50.0) for trial in range(4)])
    assert pace.seconds(job(7, 0, 10)) == pytest.approx(50.0)


@pytest.mark.parametrize(("algorithm", "epochs"), [("hyperband", 1), ("random", 1), ("asha", 40)])
@pytest.mark.parametrize("slots", [1, 4, 8])
def test_it_is_right_from_the_first_job_on(
    make_run: Callable[..., Any], algorithm: str, epochs: int, slots: int
) -> None:
    """At every end of a job the forecast is what it then takes, idle slots at the end included.

    ASHA promotes by scores that are not known yet: one full training of 27 epochs more, and what led to it, may come.
    """
    arguments = {} if algorithm == "hyperband" else {"max_trials": 40}
    arguments |= {} if algorithm == "random" else {"factor": 3}
    made = make_run(slots=slots, algorithm=algorithm, max_epochs=27, **arguments)
    told = []
    while made.step():
        if made.out:
            told.append((made.run.search.at, Outlook(made.run).seconds_left(made.run.search.at, 0.0, {})))
    end = made.run.search.at
    for at, left in told[slots:]:
        assert left == pytest.approx(end - at, abs=epochs)


def test_nothing_is_foretold_without_ground(make_run: Callable[..., Any]) -> None:
    """Before a job has ended, while the search is paused, and where it has no end."""
    made = make_run(algorithm="random", max_epochs=4, max_trials=9)
    assert Outlook(made.run).seconds_left(0.0, 0.0, {}) is None
    made.step()
    assert Outlook(made.run).seconds_left(4.0, 0.0, {}) is not None
    made.handle(PauseAsked(at=4.0))
    assert Observer(made.run).look(alive=False).seconds_left is None
    endless = make_run("endless", max_epochs=4, iterations=None)
    endless.step()
    assert Outlook(endless.run).seconds_left(1.0, 0.0, {}) is None


def test_looking_ahead_changes_nothing(make_run: Callable[..., Any]) -> None:
    """The search itself goes on as if nobody had looked."""
    watched, alone = make_run("watched", slots=3), make_run("alone", slots=3)
    while watched.step():
        Observer(watched.run).look(alive=False)
    while alone.step():
        pass
    ends = [
        [(event.at, event.trial) for event in made.run.events if isinstance(event, JobEnded)]
        for made in (watched, alone)
    ]
    assert ends[0] == ends[1]
