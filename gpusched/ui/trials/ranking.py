"""Which trial is the best, and by what rule: the same for commands, pages and tuners.

Reads the state of a search and the epochs that its trials have reported; decides nothing.
"""

from __future__ import annotations

import math
from collections.abc import Iterator
from dataclasses import dataclass, replace
from typing import Any

from gpusched.core.search import Search
from gpusched.core.trial import Trial, TrialState
from gpusched.oracles.base import Oracle
from gpusched.ui import words
from gpusched.ui.plan import place_words
from gpusched.ui.trials.curves import Reported

#: States in which a trial has a job to do, and may have reported more than the search has been told.
UNFINISHED = (TrialState.RUNNING, TrialState.PENDING)


@dataclass(frozen=True, slots=True, kw_only=True)
class Best:
    """A trial with its score, and how that came about."""

    trial: int
    score: float
    epoch: int  #: where the score was reported
    budget: int  #: epochs it has been trained for
    finished: bool  #: False: it is in training, or waits to go on
    values: dict[str, Any]
    place: str


def rule(oracle: Oracle) -> str:
    """What `sorted_trials` does, for people."""
    first, *others = oracle.objectives
    several = f"{words.clean(first.name)}, the first objective: its best value at any epoch"
    score = several if others else "score: the best value of the objective at any epoch"
    return f"Trials are ranked by {score}, however long a trial has trained."


def sign(oracle: Oracle) -> float:
    """Turns an oracle's score, where lower is better, into the objective's value, and back."""
    return -1.0 if oracle.objectives[0].direction == "max" else 1.0


def sorted_trials(search: Search, reported: Reported) -> list[Best]:
    """Every trial with a score, best first: by score, equal ones by number. A failed or stopped trial has none.

    See `in_full` for those that are shown.
    """
    oracle = search.oracle
    unfinished = {best.trial: best for best in _unfinished(search, reported)}
    finished = (finished_trial(oracle, trial) for trial in oracle.rank() if trial not in unfinished)
    found = [*unfinished.values(), *(best for best in finished if best is not None)]
    rank = oracle.objectives[0].rank
    return sorted(found, key=lambda best: (rank(best.score), best.trial))


def best_of(search: Search, reported: Reported) -> Best | None:
    """The first of sorted_trials, for a fraction of the work."""
    oracle = search.oracle
    unfinished = {best.trial: best for best in _unfinished(search, reported)}
    others = (finished_trial(oracle, trial) for trial in oracle.rank() if trial not in unfinished)
    found = [*unfinished.values(), *(best for best in [next(others, None)] if best is not None)]
    rank = oracle.objectives[0].rank
    best = min(found, key=lambda best: (rank(best.score), best.trial), default=None)
    return best and in_full(search, best, reported)


def in_full(search: Search, best: Best, reported: Reported) -> Best:
    """With the epochs of a trial that decided its length itself: to the search all of them are its job's last."""
    if not best.finished or search.trials[best.trial].state in UNFINISHED:
        return best
    lines, objective = reported(best.trial), search.oracle.objectives[0]
    longest = max((line["epoch"] for line in lines), default=0)
    if longest <= best.budget:
        return best
    epoch = min(lines, key=lambda line: objective.rank(objective.of(line)))["epoch"]
    return replace(best, epoch=epoch, budget=longest)


def finished_trial(oracle: Oracle, trial_id: int) -> Best | None:
    """A trial that has finished a job; None where it never reported a finite score."""
    trial = oracle.trials[trial_id]
    if not math.isfinite(trial.score):
        return None
    return Best(
        trial=trial_id,
        score=sign(oracle) * trial.score,
        epoch=trial.curve.index(trial.score if trial.score in trial.curve else min(trial.curve)) + 1,
        budget=trial.epochs,
        finished=True,
        values=trial.values,
        place=place_words(oracle, trial_id),
    )


def best_score(oracle: Oracle, lines: list[dict[str, Any]]) -> float | None:
    """The best objective among a trial's epochs; of several executions the mean of theirs."""
    found = _best_epochs(oracle, lines)
    return math.fsum(score for score, _ in found) / len(found) if found else None


def _best_epochs(oracle: Oracle, lines: list[dict[str, Any]]) -> list[tuple[float, int]]:
    """(score, epoch) of each execution that has a score."""
    objective = oracle.objectives[0]
    best: dict[int, tuple[float, int]] = {}
    for line in lines:
        score, execution = objective.of(line), line.get("execution", 0)
        if score is not None and (execution not in best or objective.better(score, best[execution][0])):
            best[execution] = (score, int(line["epoch"]))
    return list(best.values())


def _unfinished(search: Search, reported: Reported) -> Iterator[Best]:
    for trial in search.trials.values():
        if trial.state in UNFINISHED and trial.attempt:
            found = _in_training(search.oracle, trial, reported(trial.id))
            if found is not None:
                yield found


def _in_training(oracle: Oracle, trial: Trial, lines: list[dict[str, Any]]) -> Best | None:
    """A trial's best so far; None where it has no score yet."""
    found = _best_epochs(oracle, lines)
    if not found:
        return None
    return Best(
        trial=trial.id,
        score=math.fsum(score for score, _ in found) / len(found),
        epoch=max(epoch for _, epoch in found),
        budget=max(int(line["epoch"]) for line in lines),
        finished=False,
        values=trial.values,
        place=place_words(oracle, trial.id),
    )
