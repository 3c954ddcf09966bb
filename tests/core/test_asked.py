"""What people ask of trials: to try them again, to stop them and keep their score, to try their own values."""

from __future__ import annotations

from typing import Any

import pytest

from gpusched import HyperParameters, Objective
from gpusched.core.commands import AnyCommand, Finish, Interrupt, Launch
from gpusched.core.events import (
    ConfigurationAdded,
    JobEnded,
    SessionClosed,
    SessionOpened,
    SlotInfo,
    TrialsGivenBack,
    TrialStopAsked,
)
from gpusched.core.outcome import End, Failure
from gpusched.core.policy import Policy
from gpusched.core.search import Search
from gpusched.core.trial import TrialState
from gpusched.errors import UsageError
from gpusched.oracles import ASHA, GridSearch, Hyperband, Oracle, RandomSearch

BROKEN = Failure(kind="ValueError", message="no")


def space() -> HyperParameters:
    hp = HyperParameters()
    hp.Float("lr", 1e-4, 1e-1, sampling="log")
    return hp


def few() -> HyperParameters:
    hp = HyperParameters()
    hp.Choice("units", [16, 32, 64])
    return hp


LOSS = Objective("val_loss", "min")


class Course:
    """A search whose jobs are ended by hand; the score of a trial is its number."""

    def __init__(self, oracle: Oracle, slots: int = 2, **policy: int) -> None:
        self.search = Search(oracle, Policy(**{"max_consecutive_failed": 99, **policy}))
        self.slots = [SlotInfo(index=i, devices=("cpu",)) for i in range(slots)]
        self.out: list[Launch] = []
        self.finish: Finish | None = None
        self.launched: list[Launch] = []
        self.open()

    def open(self) -> None:
        self.do(
            SessionOpened(at=0.0, wall=0.0, pid=1, slots=self.slots, max_trials=self.search.oracle.max_trials, rules=1)
        )

    def do(self, event: Any) -> list[AnyCommand]:
        commands = self.search.handle(event)
        new = [each for each in commands if isinstance(each, Launch)]
        self.out += new
        self.launched += new
        self.finish = next((each for each in commands if isinstance(each, Finish)), self.finish)
        return commands

    def end(self, launch: Launch, end: End = End.COMPLETED, epochs: int | None = None, **more: Any) -> None:
        self.out.remove(launch)
        count = launch.stop_epoch - launch.start_epoch if epochs is None else epochs
        scores = {"val_loss": [float(launch.trial)] * count} if end in (End.COMPLETED, End.INTERRUPTED) else {}
        reached = launch.start_epoch + count
        done = {"at": 1.0, "trial": launch.trial, "attempt": launch.attempt, "end": end, "epochs": reached}
        self.do(JobEnded(**{**done, "scores": scores, **more}))

    def run(self, fails: Any = lambda launch: False) -> None:
        while self.out:
            launch = self.out[0]
            if fails(launch):
                self.end(launch, End.FAILED, 0, failure=BROKEN)
            else:
                self.end(launch)

    def close(self) -> None:
        assert self.finish is not None
        self.do(SessionClosed(at=2.0, reason=self.finish.reason, code=self.finish.code))
        self.finish = None


def test_what_a_bug_has_failed_is_trained_once_the_bug_is_gone() -> None:
    """Failed trials given back after the search's end train in the next session, with their values, in their rungs."""
    course = Course(Hyperband(space(), LOSS, max_epochs=9, factor=3))
    course.run(fails=lambda launch: launch.trial != 4)
    lost = [trial.id for trial in course.search.trials.values() if trial.state is TrialState.FAILED]
    values = {trial.id: trial.values for trial in course.search.trials.values()}
    assert len(lost) == len(values) - 1
    course.close()
    assert course.do(TrialsGivenBack(at=2.0, trials=lost)) == []
    assert {course.search.trials[i].state for i in lost} == {TrialState.PAUSED}
    course.open()
    course.run()
    assert {launch.trial: launch.values for launch in course.launched[-len(lost) :]}.items() <= values.items()
    assert {trial.state for trial in course.search.trials.values()} == {TrialState.COMPLETED}
    assert course.finish == Finish(reason="complete", code=0)
    assert course.search.trials[lost[0]].failure is None


def test_failures_that_were_given_back_are_no_row_any_more() -> None:
    """Trials that are tried again count as failed neighbours only if they fail again."""
    course = Course(RandomSearch(space(), LOSS, 1, 6), slots=1, max_consecutive_failed=3)
    for _ in range(2):
        course.end(course.out[0], End.FAILED, 0, failure=BROKEN)
    course.do(TrialsGivenBack(at=1.0, trials=[0, 1]))
    course.end(course.out[0], End.FAILED, 0, failure=BROKEN)
    assert course.search.ending is None
    course.run()
    assert [trial.id for trial in course.search.trials.values() if trial.state is TrialState.FAILED] == [2]


def test_only_lost_trials_are_given_back() -> None:
    """Trials that run, wait, are completed or unknown are left alone."""
    course = Course(RandomSearch(space(), LOSS, 1, 3), slots=1)
    course.end(course.out[0])
    before = {trial.id: trial.state for trial in course.search.trials.values()}
    course.do(TrialsGivenBack(at=1.0, trials=[0, 1, 7]))
    assert {trial.id: trial.state for trial in course.search.trials.values()} == before


def test_a_trial_that_is_stopped_may_keep_its_score() -> None:
    """It ends its epoch, its score counts as that of a trial that stopped itself, and it trains no more."""
    course = Course(Hyperband(space(), LOSS, max_epochs=9, factor=3), slots=1)
    first = course.out[0]
    course.end(first)
    commands = course.do(TrialStopAsked(at=1.0, trial=course.out[0].trial, keep=True))
    assert commands == [Interrupt(trial=1, attempt=1, now=False)]
    course.end(course.out[0], End.INTERRUPTED, 1)
    assert course.search.oracle.scores[1] == 1.0
    course.run()
    assert course.search.trials[1].state is TrialState.COMPLETED
    assert [launch.trial for launch in course.launched].count(1) == 1
    # The score counts: of the first bracket, trials 0, 1 and 2 are the best and go on.
    assert set(course.search.oracle.rungs()[1].trials) == {0, 1, 2}


def test_a_waiting_trial_that_is_stopped_keeps_what_it_has_reached() -> None:
    """A trial between two rungs trains no more, and its score stays in the comparison."""
    course = Course(Hyperband(space(), LOSS, max_epochs=9, factor=3), slots=1)
    course.end(course.out[0])
    course.do(TrialStopAsked(at=1.0, trial=0, keep=True))
    course.run()
    assert course.search.trials[0].state is TrialState.COMPLETED
    assert course.search.oracle.rank()[0] == 0
    assert course.search.trials[0].epochs == 1


def test_without_a_score_there_is_nothing_to_keep() -> None:
    """A trial that is stopped before its first epoch counts as stopped."""
    course = Course(RandomSearch(space(), LOSS, 3, 3), slots=1)
    course.do(TrialStopAsked(at=1.0, trial=0, keep=True))
    course.end(course.out[0], End.INTERRUPTED, 0)
    assert course.search.trials[0].state is TrialState.STOPPED
    assert 0 not in course.search.oracle.scores


def test_what_an_interrupted_trial_has_reported_can_be_kept() -> None:
    """A trial that waits in the middle of its training keeps the epochs of its interrupted attempt."""
    course = Course(RandomSearch(space(), LOSS, 3, 2), slots=1)
    course.end(course.out[0], End.INTERRUPTED, 2)
    again = course.out.pop()
    assert (again.trial, again.attempt) == (0, 2)
    course.do(TrialStopAsked(at=1.0, trial=0, keep=True))
    course.out.append(again)
    course.end(again, End.KILLED, 2)
    assert course.search.oracle.trials[0].epochs == 2


@pytest.mark.parametrize(
    "make",
    [
        lambda: Hyperband(space(), LOSS, max_epochs=9, factor=3),
        lambda: ASHA(space(), LOSS, max_epochs=9, factor=3, max_trials=6),
        lambda: RandomSearch(space(), LOSS, 2, 4),
        lambda: RandomSearch(few(), LOSS, 2, None),
        lambda: GridSearch(few(), LOSS, 2),
    ],
    ids=["hyperband", "asha", "random", "small space", "grid"],
)
def test_a_configuration_of_one_s_own_is_trained_also_when_all_have_been(make: Any) -> None:
    """Added before, during or after a search, a configuration is tried."""
    plain = Course(make())
    plain.run()
    wanted = {"units": 32} if "units" in plain.search.trials[0].values else {"lr": 0.0123}
    course = Course(make())
    course.run()
    planned = len(course.search.trials)
    course.close()
    course.do(ConfigurationAdded(at=2.0, values=wanted))
    course.open()
    course.run()
    assert len(course.search.trials) == planned + 1
    assert course.search.trials[max(course.search.trials)].values == wanted
    assert course.finish == Finish(reason="complete", code=0)
    early = Course(make(), slots=1)
    early.do(ConfigurationAdded(at=0.5, values=wanted))
    early.run()
    assert wanted in [trial.values for trial in early.search.trials.values()]
    assert len(early.search.trials) == planned
    assert all(trial.state is TrialState.COMPLETED for trial in early.search.trials.values())


def test_a_grid_keeps_its_points_beside_a_configuration_of_one_s_own() -> None:
    """What is not of the grid comes on top of it."""
    hp = HyperParameters()
    hp.Int("units", 16, 64, step=16)
    hp.Float("rate", 0.1, 0.3, step=0.1)
    course = Course(GridSearch(hp, LOSS, 1))
    course.do(ConfigurationAdded(at=0.0, values={"units": 16, "rate": 0.3}))
    course.run()
    tried = [tuple(trial.values.values()) for trial in course.search.trials.values()]
    assert len(tried) == len(set(tried)) == 12
    assert (16, 0.3) in tried


def test_a_configuration_outside_of_the_space_is_refused() -> None:
    """Neither a name nor a value that the space does not have is tried."""
    course = Course(RandomSearch(few(), LOSS, 1, None))
    with pytest.raises(UsageError, match="units=5"):
        course.do(ConfigurationAdded(at=0.0, values={"units": 5}))
