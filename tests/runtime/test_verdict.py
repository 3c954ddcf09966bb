"""What the end of a search means for the caller of search()."""

from __future__ import annotations

import warnings

import pytest

from gpusched import HyperParameters, Objective
from gpusched.core.commands import Finish, Launch
from gpusched.core.events import JobEnded, SessionOpened, SlotInfo
from gpusched.core.outcome import End, Failure
from gpusched.core.policy import Policy
from gpusched.core.search import Search
from gpusched.errors import FatalTypeError, SearchFailed, fatal_classes, raised_again
from gpusched.oracles import RandomSearch
from gpusched.runtime.verdict import judge


class Mine(FatalTypeError):
    """A user's own, that wants more than a message."""

    def __init__(self, first: int, second: int) -> None:
        super().__init__(f"{first} and {second}")


def ended(*ends: End, failure: Failure | None = None) -> tuple[Finish, Search]:
    """A search on one slot whose trials end so, one after the other."""
    hp = HyperParameters()
    hp.Float("x", 0, 1)
    oracle = RandomSearch(hp, Objective("loss", "min"), max_epochs=1, max_trials=len(ends), seed=1)
    search = Search(oracle, Policy(max_consecutive_failed=3))
    slots = [SlotInfo(index=0, devices=("cpu",))]
    commands = search.handle(SessionOpened(at=0.0, wall=0.0, pid=1, slots=slots, max_trials=len(ends)))
    for at, end in enumerate(ends):
        launch = next(each for each in commands if isinstance(each, Launch))
        event = JobEnded(at=at, trial=launch.trial, attempt=1, end=end, epochs=0, failure=failure, retry=False)
        commands = search.handle(event)
    return next(each for each in commands if isinstance(each, Finish)), search


FAILED = Failure(kind="ValueError", message="odd")


def test_failures_that_end_a_search() -> None:
    """In a row they are an error, a RuntimeError too; all trials of a search are only warned of."""
    with pytest.raises(RuntimeError, match=r"3 trials in a row failed \(0, 1, 2\); trial 2: ValueError: odd"):
        judge(*ended(End.FAILED, End.FAILED, End.FAILED, failure=FAILED))
    with pytest.warns(RuntimeWarning, match=r"complete, without one completed trial \(trial 1: ValueError: odd\)"):
        judge(*ended(End.FAILED, End.FAILED, failure=FAILED))


def test_models_that_are_all_too_large_are_an_error() -> None:
    """There is nothing to go on with, and the argument that says so is named."""
    with pytest.raises(SearchFailed, match="every model has more parameters than max_model_size"):
        judge(*ended(*[End.OVERSIZE] * 5))


def test_a_fatal_error_is_raised_as_the_nearest_class_that_a_message_makes() -> None:
    """A class that cannot be made anew gives way to its base; one that is not loaded here, too."""
    classes = fatal_classes(Mine(1, 2))
    assert classes == [f"{__name__}:Mine", "gpusched.errors:FatalTypeError", "gpusched.errors:FatalError"]
    failure = Failure(kind="Mine", message="1 and 2", classes=["absent.module:Mine", *classes])
    with pytest.raises(FatalTypeError, match="1 and 2"):
        judge(*ended(End.FATAL, failure=failure))
    assert raised_again(["absent.module:Mine"], "?") is None
    assert fatal_classes(ValueError()) == []


def test_an_end_without_failure_is_none() -> None:
    """Exit code 0 says nothing, 130 is the interruption that it was."""
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        judge(Finish(reason="max_time is used", code=0), None)
    with pytest.raises(KeyboardInterrupt):
        judge(Finish(reason="interrupted", code=130), None)
