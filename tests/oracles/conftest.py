"""Drives an oracle as a scheduler would, in any order of completions."""

import random
from collections.abc import Callable
from dataclasses import dataclass, field

import pytest

from gpusched import HyperParameters, Objective
from gpusched.oracles import Done, Job, Oracle, Wait


@dataclass
class Course:
    """What a search did."""

    jobs: list[Job] = field(default_factory=list)
    failed: set[int] = field(default_factory=set)
    released: list[int] = field(default_factory=list)

    @property
    def steps(self) -> set[tuple[int, int, int]]:
        return {(job.trial_id, job.start_epoch, job.stop_epoch) for job in self.jobs}

    @property
    def values(self) -> dict[int, dict]:
        return {job.trial_id: job.values for job in self.jobs}

    @property
    def epochs(self) -> int:
        return sum(job.stop_epoch - job.start_epoch for job in self.jobs)


def score_of(trial_id: int, epoch: int) -> float:
    """A curve of its own for each trial; curves cross."""
    return random.Random(f"{trial_id}/{epoch}").random() + random.Random(trial_id).random() * 3


def _drive(
    oracle: Oracle,
    *,
    slots: int = 1,
    order: random.Random | None = None,
    fails: Callable[[Job], bool] = lambda job: False,
    stops: Callable[[Job], int | None] = lambda job: None,
    score: Callable[[int, int], float] = score_of,
    most: int = 100_000,
) -> Course:
    course, out = Course(), []
    order = order or random.Random(0)
    oracle.slots = slots
    while True:
        while len(out) < slots and len(course.jobs) < most:
            answer = oracle.ask()
            if not isinstance(answer, Job):
                break
            assert answer.trial_id not in {job.trial_id for job in out}
            course.jobs.append(answer)
            out.append(answer)
        if not out:
            assert len(course.jobs) >= most or oracle.ask() == Done()
            return course
        if len(out) < slots and len(course.jobs) < most:
            assert oracle.ask() == Wait()
        job = out.pop(order.randrange(len(out)))
        if fails(job):
            oracle.fail(job)
            course.failed.add(job.trial_id)
        else:
            end = stops(job)
            stop = job.stop_epoch if end is None else min(max(end, job.start_epoch), job.stop_epoch)
            one = [score(job.trial_id, epoch) for epoch in range(job.start_epoch, stop)]
            if len(oracle.objectives) == 1:
                oracle.tell(job, one)
            else:
                names = [objective.name for objective in oracle.objectives]
                others = {n: [score(job.trial_id + 1000 * k, 0)] * len(one) for k, n in enumerate(names[1:], 1)}
                oracle.tell(job, {names[0]: one, **others})
        fresh = oracle.released()
        course.released += fresh


@pytest.fixture(scope="session")
def drive():
    return _drive


@pytest.fixture(scope="session")
def loss():
    return Objective("val_loss", "min")


@pytest.fixture(scope="session")
def unit():
    """A space without end."""
    hp = HyperParameters()
    hp.Float("x", 0.0, 1.0)
    hp.Int("units", 8, 64, sampling="log")
    return hp


@pytest.fixture(scope="session")
def five():
    """A space of five configurations, two of them behind a condition."""
    hp = HyperParameters()
    hp.Choice("kind", ["a", "b", "c", "d"])
    with hp.conditional_scope("kind", ["d"]):
        hp.Boolean("wide")
    return hp
