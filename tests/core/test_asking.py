"""A search whose trials come from the user's own oracle: what is asked and told, in which order, and after a crash."""

from __future__ import annotations

from typing import Any

import msgspec

from gpusched import HyperParameters, Objective
from gpusched.core.commands import AnyCommand, Consult, Finish, Launch, Report
from gpusched.core.events import Advised, AnyEvent, Heard, JobEnded, OracleFailed, SessionOpened, SlotInfo
from gpusched.core.outcome import End
from gpusched.core.search import Search
from gpusched.oracles import Custom


def begun(slots: int = 2, max_trials: int | None = None, epochs: int = 1) -> tuple[Search, list[AnyCommand]]:
    search = Search(Custom(HyperParameters(), Objective("val_loss", "min"), epochs, max_trials))
    return search, search.handle(opened(slots, max_trials))


def opened(slots: int = 2, max_trials: int | None = None) -> SessionOpened:
    places = [SlotInfo(index=i, devices=("cpu",)) for i in range(slots)]
    return SessionOpened(at=0, wall=0, pid=1, slots=places, max_trials=max_trials, rules=1)


def values(trial: int, **given: Any) -> Advised:
    return Advised(at=1, trial=trial, status="RUNNING", values={"x": trial, **given}, name=f"{trial:04d}")


def ended(trial: int, loss: float = 0.5, end: End = End.COMPLETED) -> JobEnded:
    scores: dict[str, list[float | None]] = {"val_loss": [loss]} if end is End.COMPLETED else {}
    return JobEnded(at=2, trial=trial, attempt=1, end=end, epochs=len(scores), scores=scores)


def kinds(commands: list[AnyCommand]) -> list[tuple[str, int | None]]:
    return [
        (type(each).__name__, getattr(each, "trial", None)) for each in commands if type(each).__name__ != "Release"
    ]


def test_one_question_at_a_time_until_the_slots_are_full() -> None:
    """Each answer starts a trial, and the next question goes with it while a slot is free."""
    search, commands = begun()
    assert commands == [Consult(trial=0, patient=True)]
    assert kinds(search.handle(values(0))) == [("Launch", 0), ("Consult", 1)]
    assert kinds(search.handle(values(1))) == [("Launch", 1)]


def test_an_end_is_told_before_the_next_question() -> None:
    """A loss as well; and the search ends only when all have been told."""
    search, _ = begun(slots=1, max_trials=2)
    search.handle(values(0))
    assert kinds(search.handle(ended(0))) == [("Report", 0), ("Consult", 1)]
    assert search.handle(Heard(at=3, trial=0)) == []
    assert kinds(search.handle(values(1))) == [("Launch", 1)]
    assert kinds(search.handle(ended(1, end=End.FAILED))) == [("Report", 1)]
    assert search.handle(Heard(at=4, trial=1)) == [Finish(reason="complete", code=0)]


def test_idle_waits_for_an_end() -> None:
    """It is asked again once a trial has ended; with nothing running the question says that waiting is no answer."""
    search, _ = begun()
    search.handle(values(0))
    assert search.handle(Advised(at=1, trial=1, status="IDLE")) == []
    assert kinds(search.handle(ended(0))) == [("Report", 0), ("Consult", 1)]
    search, _ = begun()
    search.handle(values(0))
    search.handle(Advised(at=1, trial=1, status="IDLE"))
    commands = search.handle(ended(0, end=End.FAILED))
    assert commands[-2:] == [Report(trial=0), Consult(trial=1, patient=True)]


def test_stopped_ends_the_search_when_the_last_trial_has_ended() -> None:
    """Nobody is asked again, unless the next session has a larger budget."""
    search, _ = begun(max_trials=9)
    search.handle(values(0))
    assert search.handle(Advised(at=1, trial=1, status="STOPPED")) == []
    assert kinds(search.handle(ended(0))) == [("Report", 0)]
    assert search.handle(Heard(at=3, trial=0)) == [Finish(reason="complete", code=0)]
    assert search.handle(opened(max_trials=9)) == [Finish(reason="complete", code=0)]
    assert search.handle(opened(max_trials=20)) == [Consult(trial=1, patient=True)]


def test_what_was_not_answered_is_asked_again_by_the_next_session() -> None:
    """Questions and reports alike; what was answered is not."""
    search, _ = begun(slots=1)
    search.handle(values(0))
    search.handle(ended(0))
    assert kinds(search.handle(opened(1))) == [("Report", 0), ("Consult", 1)]
    search.handle(Heard(at=3, trial=0))
    search.handle(values(1))
    again = msgspec.structs.replace(opened(1), adopted=[1])
    assert search.handle(again) == []


def test_its_own_score_ranks() -> None:
    """The order of the trials is the user's, whatever the objective says."""
    search, _ = begun(slots=1, max_trials=2)
    for trial, loss, own in ((0, 0.1, 5.0), (1, 0.9, -5.0)):
        search.handle(values(trial))
        search.handle(ended(trial, loss))
        search.handle(Heard(at=3, trial=trial, score=own))
    assert search.oracle.rank() == [1, 0]


def test_it_may_say_how_long_a_trial_trains() -> None:
    """As Keras Tuner's Hyperband does in the values."""
    search, _ = begun(slots=2, epochs=10)
    short = search.handle(values(0, **{"tuner/epochs": 3}))[0]
    whole = search.handle(values(1))[0]
    assert isinstance(short, Launch)
    assert isinstance(whole, Launch)
    assert (short.start_epoch, short.stop_epoch, whole.stop_epoch) == (0, 3, 10)


def test_its_error_ends_the_search() -> None:
    """Trials that run come to the end of their epoch; the search can be carried on."""
    search, _ = begun(slots=1)
    assert search.handle(OracleFailed(at=1, message="the oracle: ValueError: no")) == [
        Finish(reason="the oracle: ValueError: no", code=1)
    ]
    assert search.handle(opened(1)) == [Consult(trial=0, patient=True)]


def test_the_events_decide_it_all() -> None:
    """Replayed, they give the same commands: nothing is asked anew."""
    events: list[AnyEvent] = [opened(2, 4)]
    for trial in range(4):
        events += [values(trial), ended(trial, loss=1 / (trial + 1)), Heard(at=3, trial=trial)]

    def replayed() -> list[list[AnyCommand]]:
        search = Search(Custom(HyperParameters(), Objective("val_loss", "min"), 1, 4))
        return [search.handle(event) for event in events]

    assert replayed() == replayed()
