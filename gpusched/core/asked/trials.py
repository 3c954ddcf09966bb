"""What people ask of single trials: to stop them, with or without their score, and to try them again."""

from __future__ import annotations

from collections.abc import Iterable, Mapping

import msgspec

from gpusched.core.commands import Interrupt
from gpusched.core.events import JobEnded, TrialStopAsked
from gpusched.core.outcome import End
from gpusched.core.trial import FINAL, LOST, Trial, TrialState
from gpusched.oracles import Oracle

#: Ends that say more than that a trial was asked to stop.
_TOLD = (End.COMPLETED, End.OVERSIZE, End.FATAL)


def stop(trial: Trial | None, event: TrialStopAsked) -> list[Interrupt]:
    """It is not to train any more. One that runs and is to keep its score may end its epoch."""
    if trial is None or trial.state in FINAL:
        return []
    trial.stop_asked, trial.keep_asked = True, event.keep
    if trial.state is TrialState.RUNNING:
        return [Interrupt(trial=trial.id, attempt=trial.attempt, now=not event.keep)]
    return []


def ending(trial: Trial, event: JobEnded) -> JobEnded:
    """The end of an attempt as it counts for a trial that was asked to stop."""
    if event.end is End.INTERRUPTED:
        trial.partial = event.scores
    if not trial.stop_asked or event.end is End.COMPLETED:
        return event
    if trial.keep_asked and event.end in _TOLD:
        return event
    scores = event.scores or trial.partial
    if trial.keep_asked and has_score(trial, scores):
        return msgspec.structs.replace(event, end=End.COMPLETED, scores=scores, stopped_early=True)
    return msgspec.structs.replace(event, end=End.STOPPED)


def has_score(trial: Trial, scores: Mapping[str, list[float | None]]) -> bool:
    """Whether there is a score that could count."""
    return trial.job.start_epoch > 0 or any(scores.values())


def retry(oracle: Oracle, trial: Trial | None) -> list[Interrupt]:
    """A running attempt begins anew from its newest checkpoint.

    In journals from before failed trials could be given back, one's values are those of the next new trial.
    """
    if trial is not None and trial.state is TrialState.RUNNING:
        return [Interrupt(trial=trial.id, attempt=trial.attempt, now=True)]
    if trial is not None and trial.state in LOST:
        oracle.enqueue(trial.values)
    return []


def give_back(oracle: Oracle, trials: Mapping[int, Trial], wanted: Iterable[int]) -> list[int]:
    """Trials that failed train again, in their rungs; which of those that were asked for."""
    found = [trials[i] for i in dict.fromkeys(wanted) if i in trials and trials[i].state in LOST]
    for trial in found:
        trial.begin_again()
        oracle.give_back(trial.id)
    return [trial.id for trial in found]
