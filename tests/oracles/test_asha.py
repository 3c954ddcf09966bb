"""ASHA: nobody is waited for, and who is among the best of a rung goes on at once."""

import itertools
import random

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from gpusched import HyperParameters, Objective
from gpusched.oracles import ASHA, Done, Job

LOSS = Objective("val_loss", "min")


def make(max_epochs=9, factor=3, **more):
    hp = HyperParameters()
    hp.Float("x", 0.0, 1.0)
    return ASHA(hp, LOSS, max_epochs, factor, **more)


def tell(oracle, job, loss):
    oracle.tell(job, [loss] * (job.stop_epoch - job.start_epoch))


def test_the_best_third_goes_on_at_once():
    """With three trials in, the best one carries on before a fourth is started."""
    oracle = make()
    first = [oracle.ask() for _ in range(3)]
    for job, loss in zip(first, (0.5, 0.2, 0.9), strict=True):
        tell(oracle, job, loss)
    promoted, new = oracle.ask(), oracle.ask()
    assert [(j.trial_id, j.start_epoch, j.stop_epoch) for j in (promoted, new)] == [(1, 1, 3), (3, 0, 1)]


def test_a_straggler_holds_nobody_up():
    """While one trial trains for ever, hundreds of others start, climb and finish."""
    oracle = make()
    straggler, random_ = oracle.ask(), random.Random(0)
    jobs = []
    for _ in range(300):
        job = oracle.ask()
        assert isinstance(job, Job)
        jobs.append(job)
        tell(oracle, job, random_.random())
    assert straggler.trial_id not in {job.trial_id for job in jobs}
    assert {job.stop_epoch for job in jobs} == {1, 3, 9}


@given(seed=st.integers(0, 1000), slots=st.integers(1, 8), trials=st.integers(1, 40))
@settings(max_examples=60, deadline=None)
def test_rungs_hold_the_best_of_those_below(drive, seed, slots, trials):
    """In the end each rung's best 1/η are in the one above, all trials started, and one was trained in full."""
    oracle = make(max_trials=trials)
    course = drive(oracle, slots=slots, order=random.Random(seed), score=lambda trial, epoch: float(trial * 37 % 41))
    rungs = oracle.rungs()
    assert isinstance(oracle.ask(), Done)
    assert [(rung.finished, rung.size) for rung in rungs] == [(rung.size, rung.size) for rung in rungs]
    assert rungs[0].size == trials
    for low, high in itertools.pairwise(rungs):
        best = sorted(low.trials, key=lambda i: i * 37 % 41)[: max(1, low.size // 3)]
        assert set(best) <= set(high.trials)
    assert max(job.stop_epoch for job in course.jobs) == 9


def started(sampler, jobs=120):
    """How many trials are started where each trial is better than all before it, as a good model proposes them."""
    oracle = make(sampler=sampler)
    for n in range(jobs):
        tell(oracle, oracle.ask(), 1 / (n + 1))
    return oracle.rungs()[0].size


def test_a_model_that_gets_better_still_starts_trials():
    """The model sampler's promotions are capped, as its newest trial is always among the best; random ones are not."""
    assert started("random") < 60 < started("model")


@pytest.mark.parametrize("brackets", [0, 4, 1.5])
def test_brackets_out_of_range(brackets):
    """The number of brackets is what the budget allows, or an error that says so."""
    with pytest.raises(ValueError, match="brackets"):
        make(brackets=brackets)
