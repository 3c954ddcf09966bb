"""Hyperband: who is promoted, when, and in which order jobs go."""

import heapq
import random

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from gpusched import HyperParameters, Objective
from gpusched.errors import UsageError
from gpusched.oracles import Hyperband, Job, Place, Wait

LOSS = Objective("val_loss", "min")


def make(max_epochs=27, factor=3, iterations=1, hp=None, **more):
    if hp is None:
        hp = HyperParameters()
        hp.Float("x", 0.0, 1.0)
    return Hyperband(hp, LOSS, max_epochs, factor, iterations, **more)


def test_first_bracket_of_27_3(drive):
    """One iteration of 27/3 is 70 trials-at-a-rung and 375 epochs, trials numbered through its brackets."""
    oracle = make()
    plan = oracle.plan()
    assert (plan.trials, plan.epochs) == (49, 375)
    assert [(b.bracket, b.first_trial, [r.trials for r in b.rungs]) for b in plan.brackets] == [
        (3, 0, [27, 9, 3, 1]),
        (2, 27, [12, 4, 2]),
        (1, 39, [6, 2]),
        (0, 45, [4]),
    ]
    course = drive(oracle, slots=4)
    assert (len(course.jobs), course.epochs) == (70, 375)


def test_promoted_are_the_top(drive):
    """Of each rung exactly the best k go on."""
    oracle = make()
    drive(oracle, slots=4, score=lambda trial, epoch: float(trial * 37 % 49))
    for low, high in zip(oracle.rungs(), oracle.rungs()[1:], strict=False):
        if high.rung:
            best = sorted(low.trials, key=lambda i: (i * 37 % 49, i))[: low.promotes]
            assert sorted(high.trials) == sorted(best)


@given(lost=st.sets(st.integers(0, 26), max_size=26), seed=st.integers(0, 1000), slots=st.integers(1, 8))
@settings(max_examples=60, deadline=None)
def test_failures_do_not_shrink_a_rung(drive, lost, seed, slots):
    """The next rung has min(k, survivors) trials; missing entrants do not stall those above."""
    oracle = make(max_trials=27)
    drive(oracle, slots=slots, order=random.Random(seed), fails=lambda job: job.trial_id in lost)
    alive = 27 - len(lost)
    assert [rung.entered for rung in oracle.rungs()] == [27, min(9, alive), min(3, alive), min(1, alive)]


def test_promotion_does_not_wait_for_the_last():
    """With one of the rung still out, all but the places it could take are promoted already."""
    oracle = make(max_epochs=3, max_trials=3)
    a, b, c = oracle.ask(), oracle.ask(), oracle.ask()
    oracle.tell(a, [0.1])
    oracle.tell(b, [0.2])
    assert oracle.ask() == Wait()  # c may yet be the best of three
    oracle.fail(c)
    assert oracle.ask() == Job(a.trial_id, a.values, 1, 3)


def test_early_stopped_is_promoted_without_a_job():
    """A promoted trial that had stopped itself counts as finished in the next rung at once, with its score."""
    oracle = make(max_epochs=9, max_trials=9)
    jobs = [oracle.ask() for _ in range(9)]
    for job in jobs:
        oracle.tell(job, [] if job.trial_id == 8 else [float(job.trial_id)])
    ups = [oracle.ask() for _ in range(3)]
    assert [job.trial_id for job in ups] == [0, 1, 2]
    oracle.tell(ups[0], [5.0])  # stopped after one of two epochs, best still 0.0
    oracle.tell(ups[1], [5.0, 5.0])
    oracle.tell(ups[2], [5.0, 5.0])
    assert oracle.ask().__class__.__name__ == "Done"
    assert oracle.place(0) == Place(0, 2, 2, 0)
    assert oracle.rank()[0] == 0


def test_released_as_soon_as_hopeless():
    """A checkpoint is given up once enough better ones are finished, before the rung is."""
    oracle = make(max_epochs=9, max_trials=9)
    jobs = [oracle.ask() for _ in range(9)]
    for job in jobs[:4]:
        oracle.tell(job, [float(job.trial_id)])
    assert oracle.released() == [3]
    assert oracle.useless(3)
    assert not oracle.useless(2)
    assert oracle.released() == []


def test_five_configurations_are_halved(drive, five):
    """In a space of five, five distinct trials run and Hyperband still halves among them."""
    oracle = make(hp=five)
    course = drive(oracle, slots=4)
    assert len({tuple(v.items()) for v in course.values.values()}) == 5
    assert [(r.size, r.stop_epoch) for r in oracle.rungs()] == [(5, 1), (2, 3), (1, 9), (1, 27)]


def test_endless_opens_a_bracket_only_for_an_idle_slot():
    """A search without end keeps to its first bracket while that has jobs."""
    oracle = make(iterations=None)
    oracle.slots = 8
    jobs = [oracle.ask() for _ in range(28)]
    assert {oracle.place(job.trial_id).bracket for job in jobs[:27]} == {3}
    assert oracle.place(jobs[27].trial_id).bracket == 2
    assert oracle.plan().trials is None


def test_values_do_not_depend_on_the_space_found_later():
    """A trial's value for a hyperparameter is a function of (seed, trial, name)."""
    one, two = HyperParameters(), HyperParameters()
    one.Float("x", 0.0, 1.0)
    two.Float("x", 0.0, 1.0)
    two.Float("y", 0.0, 1.0)
    assert make(hp=one).ask().values["x"] == make(hp=two).ask().values["x"]


@pytest.mark.parametrize(("slots", "least"), [(4, 0.93), (8, 0.88)])
def test_slots_are_busy(slots, least):
    """81/3 with trials of unequal speed keeps slots busy, averaged over 30 seeds."""
    assert sum(_busy(slots, seed) for seed in range(30)) / 30 >= least


def _busy(slots, seed):
    oracle = make(81, seed=seed)
    oracle.slots = slots
    now, work, out = 0.0, 0.0, []
    while True:
        while len(out) < slots and isinstance(job := oracle.ask(), Job):
            seconds = random.Random(f"{seed}/{job.trial_id}").uniform(0.5, 1.5) * (job.stop_epoch - job.start_epoch)
            work += seconds
            heapq.heappush(out, (now + seconds, job.trial_id, job))
        if not out:
            return work / (now * slots)
        now, _, job = heapq.heappop(out)
        score = random.Random(f"{job.trial_id}/{seed}").random()
        oracle.tell(job, [score] * (job.stop_epoch - job.start_epoch))


def test_iterations_are_a_staircase(unit, loss):
    """Brackets that cut hard come first, and every bracket comes: each an iteration behind the one before it."""
    oracle = Hyperband(unit, loss, 9, 3, iterations=None)
    began = []
    for _ in range(250):
        job = oracle.ask()
        where = oracle.place(job.trial_id)
        if (where.iteration, where.bracket) not in began:
            began.append((where.iteration, where.bracket))
        oracle.tell(job, [1.0] * (job.stop_epoch - job.start_epoch))
    steps = [(0, 2), (0, 1), (1, 2), (0, 0), (1, 1), (2, 2), (1, 0), (2, 1), (3, 2), (2, 0), (3, 1), (4, 2)]
    assert began[:12] == steps


def test_a_million_iterations_are_as_many_as_without_end() -> None:
    """Their plan is not counted out, and their trials are those of a search without end."""
    far, endless = (make(max_epochs=9, iterations=iterations) for iterations in (10**6, None))
    assert far.plan() == endless.plan()
    assert [far.ask() for _ in range(20)] == [endless.ask() for _ in range(20)]


def test_epochs_beyond_all_trainings_are_refused() -> None:
    """In one line, and at once."""
    with pytest.raises(UsageError, match="max_epochs: more than 1000000000 cannot be planned"):
        make(max_epochs=10**400)
