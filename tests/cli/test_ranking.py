"""Which trial is the best: one rule, wherever trials are ranked."""

from __future__ import annotations

import json
from collections.abc import Callable
from typing import Any

import pytest

from gpusched.core.events import JobEnded, StopAsked
from gpusched.core.outcome import End, Failure
from gpusched.storage import metrics
from gpusched.tuners.results import Results
from gpusched.ui.facts import Observer
from gpusched.ui.report.data import collect
from gpusched.ui.top.rows import ordered, trial_rows
from gpusched.ui.trials.ranking import best_of, best_score, sorted_trials


def end(made: Any, launch: Any, scores: list[float | None], *, early: bool = False) -> None:
    """This job ends with these scores."""
    made._ends = [each for each in made._ends if each[2].trial != launch.trial]
    for epoch, score in enumerate(scores, launch.start_epoch + 1):
        metrics.append(made.dir.trial(launch.trial).metrics, {"epoch": epoch, "val_accuracy": score, "seconds": 1.0})
    made.handle(
        JobEnded(
            at=made.run.search.at + 1,
            trial=launch.trial,
            attempt=launch.attempt,
            end=End.COMPLETED,
            epochs=launch.start_epoch + len(scores),
            scores={"val_accuracy": scores},
            stopped_early=early,
        )
    )


@pytest.fixture
def made(make_run: Callable[..., Any]) -> Any:
    """Of bracket 2: one trial stopped itself at 0.102 and was promoted to the top, nine others have 0.9 and more."""
    made = make_run(max_epochs=9, factor=3, slots=9)
    for launch in made.out:
        end(made, launch, [0.95 + launch.trial / 1000])
    second = made.out[0]
    end(made, second, [0.102], early=True)
    return made


def ranks(made: Any) -> dict[str, list[int]]:
    """The order in which each view has the trials."""
    run = made.run
    page = collect(run, None)
    scored = sorted((t for t in page["trials"] if t["score"] is not None), key=lambda t: (-t["score"], t["id"]))
    rows = ordered(trial_rows(run.search, sorted_trials(run.search, run.metrics), {}), "score")
    return {
        "sorted_trials": [best.trial for best in sorted_trials(run.search, run.metrics)],
        "get_best_trials": [trial.id for trial in Results(run).trials()],
        "page": [trial["id"] for trial in scored],
        "top": [row.trial for row in rows if row.score is not None],
    }


def test_a_better_score_stands_above_a_worse_one_everywhere(
    made: Any, gpusched: Callable[..., Any], capsys: pytest.CaptureFixture[str]
) -> None:
    """However long the trials have trained, in `best`, the summary, the page, `top` and for get_best_trials."""
    said = json.loads(gpusched("best", made.dir.path, "--json", "-n", 99).out)["trials"]
    scores = [each["score"] for each in said]
    assert scores == sorted(scores, reverse=True)
    order = [each["trial"] for each in said]
    assert ranks(made) == dict.fromkeys(["sorted_trials", "get_best_trials", "page", "top"], order)
    Results(made.run).summary(3)
    printed = capsys.readouterr().out
    assert [line for line in printed.splitlines() if line.startswith("Trial ")] == [
        f"Trial {trial:04d} summary" for trial in order[:3]
    ]
    assert "Trials are ranked by score" in printed


def test_what_a_running_trial_has_reported_counts(made: Any) -> None:
    """The best is never worse than a row beneath it; how far the trial has come is said."""
    running = made.out[-1]
    metrics.append(made.dir.trial(running.trial).metrics, {"epoch": 2, "val_accuracy": 0.999, "seconds": 1.0})
    facts = Observer(made.run).look(alive=False)
    assert facts.best is not None
    assert (facts.best.trial, facts.best.score, facts.best.finished) == (running.trial, 0.999, False)
    assert max(row.score for row in facts.running if row.score is not None) == facts.best.score
    assert {order[0] for order in ranks(made).values()} == {running.trial}


def test_what_an_interrupted_trial_has_reported_counts(make_run: Callable[..., Any], gpusched: Any) -> None:
    """A search that was stopped before a trial had finished has a best trial."""
    made = make_run(algorithm="random", max_epochs=9, max_trials=2)
    made.train(made.out[0], 2)
    made.handle(StopAsked(at=2.0))
    said = gpusched("best", made.dir.path)
    assert "1. trial 0" in said.out
    assert "epoch 2 of 2 so far, waiting" in said.out


def test_a_failed_trial_has_no_rank(make_run: Callable[..., Any]) -> None:
    """Whatever it reported before it failed."""
    made = make_run(algorithm="random", max_epochs=9, max_trials=3)
    failing = made.out[0]
    made.train(failing, 5)
    made._ends = [each for each in made._ends if each[2].trial != failing.trial]
    failure = Failure(kind="ValueError", message="no")
    ended = JobEnded(at=5.0, trial=failing.trial, attempt=1, end=End.FAILED, epochs=5, failure=failure)
    made.handle(ended)
    made.finish()
    assert failing.trial not in [best.trial for best in sorted_trials(made.run.search, made.run.metrics)]
    rows = ordered(trial_rows(made.run.search, sorted_trials(made.run.search, made.run.metrics), {}), "score")
    assert (rows[-1].trial, rows[-1].score) == (failing.trial, None)


def test_the_first_of_all_is_the_best(made: Any) -> None:
    """What is asked for a view that is redrawn is what a list of all would say."""
    while made.step():
        ranked = sorted_trials(made.run.search, made.run.metrics)
        assert best_of(made.run.search, made.run.metrics) == ranked[0]


def test_executions_in_training_count_as_their_mean(make_run: Callable[..., Any]) -> None:
    """As the score of a finished trial does: a lucky execution is not the trial's score."""
    oracle = make_run().run.search.oracle
    lines = [
        {"epoch": 1, "execution": 0, "val_accuracy": 0.9},
        {"epoch": 2, "execution": 0, "val_accuracy": 0.5},
        {"epoch": 1, "execution": 1, "val_accuracy": 0.7},
        {"epoch": 2, "execution": 1, "val_accuracy": None},
    ]
    assert best_score(oracle, lines) == pytest.approx(0.8)


@pytest.mark.parametrize("told", [1, 5])
def test_a_trial_that_decides_its_length_is_told_with_its_own_epochs(
    told: int, make_run: Callable[..., Any], gpusched: Callable[..., Any]
) -> None:
    """Its job was of one epoch, and it reported five: everywhere the epoch of its best one is said."""
    made = make_run(algorithm="random", max_epochs=1, max_trials=1, slots=1)
    for epoch, score in enumerate([0.1, 0.5, 0.9, 0.7, 0.6], 1):
        metrics.append(made.dir.trial(0).metrics, {"epoch": epoch, "val_accuracy": score, "seconds": 1.0})
    end = JobEnded(at=5.0, trial=0, attempt=1, end=End.COMPLETED, epochs=told, lines=5, scores={"val_accuracy": [0.9]})
    made._ends.clear()
    made.handle(end)
    best = best_of(made.run.search, made.run.metrics)
    assert best is not None
    assert (best.epoch, best.budget) == (3, 5)
    assert "epoch 3 of 5" in gpusched("best", made.dir.path).out
    assert "epoch 3 of 5" in gpusched("status", made.dir.path).out
    (trial,) = Results(made.run).trials()
    assert (trial.best_epoch, trial.epochs) == (3, 5)
