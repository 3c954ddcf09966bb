"""Failed trials that train again."""

import random

import pytest

from gpusched import Objective
from gpusched.errors import UsageError
from gpusched.oracles import ASHA, BayesianOptimization, GridSearch, Hyperband, Job, RandomSearch

KINDS = {
    "hyperband": lambda hp, loss: Hyperband(hp, loss, max_epochs=27, factor=3),
    "two iterations": lambda hp, loss: Hyperband(hp, loss, max_epochs=9, factor=3, iterations=2),
    "asha": lambda hp, loss: ASHA(hp, loss, max_epochs=27, factor=3, max_trials=20),
    "random": lambda hp, loss: RandomSearch(hp, loss, max_epochs=3, max_trials=12),
    "bayesian": lambda hp, loss: BayesianOptimization(hp, loss, max_epochs=3, max_trials=8),
    "model": lambda hp, loss: Hyperband(hp, loss, max_epochs=9, factor=3, sampler="model"),
}


def promoted(oracle):
    """The trials that entered each rung."""
    return {(rung.iteration, rung.bracket, rung.rung): set(rung.trials) for rung in oracle.rungs()}


@pytest.mark.parametrize("lost", range(10, 100, 20))
@pytest.mark.parametrize("kind", KINDS)
def test_after_a_retry_all_is_as_if_nothing_had_failed(unit, loss, drive, kind, lost):
    """Whatever failed, once it is tried again every trial that deserves it reaches its rung."""
    seed = lost * 31
    fails = random.Random(seed)
    oracle, sound = (KINDS[kind](unit, loss) for _ in range(2))
    course = drive(oracle, slots=4, order=random.Random(seed), fails=lambda job: fails.random() < lost / 100)
    for trial in sorted(course.failed):
        oracle.give_back(trial)
    more = drive(oracle, slots=3, order=random.Random(seed + 1))
    assert not any(trial.failed for trial in oracle.trials.values())
    assert course.failed <= {job.trial_id for job in more.jobs}
    assert len(oracle.scores) == len(oracle.trials)
    if kind in ("hyperband", "two iterations"):
        drive(sound)
        reached = promoted(oracle)
        assert all(trials <= reached[rung] for rung, trials in promoted(sound).items())
    # Every trial but those that trained in full has been given up, and nothing is left to do.
    assert {trial for trial in oracle.trials if oracle.useless(trial)} | set(oracle.rank()) == set(oracle.trials)


@pytest.mark.parametrize("kind", KINDS)
def test_trials_may_fail_again_and_again(unit, loss, drive, kind):
    """Failing and being given back any number of times, in any order, ends with every rung settled."""
    for seed in range(12):
        chance = random.Random(seed)
        oracle = KINDS[kind](unit, loss)
        course = drive(oracle, slots=3, order=chance, fails=lambda job, chance=chance: chance.random() < 0.5)
        for _ in range(3):
            for trial in sorted(course.failed):
                if oracle.trials[trial].failed and chance.random() < 0.7:
                    oracle.give_back(trial)
            course = drive(oracle, slots=3, order=chance, fails=lambda job, chance=chance: chance.random() < 0.5)
        for rung in oracle.rungs():
            assert rung.finished + rung.failed + rung.missing == rung.size or kind == "asha"


def test_a_retry_while_others_train(unit, loss):
    """A trial that is given back before its rung is decided takes part in the decision as any other."""
    oracle = Hyperband(unit, loss, max_epochs=3, factor=3)
    jobs = [oracle.ask() for _ in range(3)]
    oracle.fail(jobs[0])
    oracle.tell(jobs[1], [0.5])
    oracle.give_back(0)
    again = oracle.ask()
    assert (again.trial_id, again.values, again.start_epoch) == (0, jobs[0].values, 0)
    oracle.tell(jobs[2], [0.7])
    oracle.tell(again, [0.1])
    assert promoted(oracle)[0, 1, 1] == {0}


def test_who_was_promoted_stays_promoted(unit, loss):
    """The trial that a failed one made room for goes on beside it."""
    oracle = Hyperband(unit, loss, max_epochs=3, factor=3)
    jobs = [oracle.ask() for _ in range(3)]
    oracle.fail(jobs[0])
    oracle.tell(jobs[1], [0.5])
    oracle.tell(jobs[2], [0.7])
    oracle.give_back(0)
    oracle.tell(next(job for job in iter(oracle.ask, None) if job.trial_id == 0), [0.1])
    assert promoted(oracle)[0, 1, 1] == {0, 1}
    assert 2 in oracle.released()


def test_several_objectives(unit, drive):
    """A retry ends also where places are given by dominance."""
    both = [Objective("a", "min"), Objective("b", "min")]
    oracle = Hyperband(unit, both, max_epochs=9, factor=3)
    course = drive(oracle, slots=4, fails=lambda job: job.trial_id % 3 == 0)
    for trial in sorted(course.failed):
        oracle.give_back(trial)
    drive(oracle, slots=4)
    assert all(rung.finished + rung.missing == rung.size for rung in oracle.rungs())


def test_a_grid_is_completed(five, loss, drive):
    """Every configuration of a grid is trained in the end."""
    oracle = GridSearch(five, loss)
    course = drive(oracle, fails=lambda job: job.trial_id in (1, 4))
    for trial in course.failed:
        oracle.give_back(trial)
    drive(oracle)
    assert sorted(oracle.scores) == [0, 1, 2, 3, 4]


def test_only_failed_trials_are_given_back(unit, loss):
    """What runs, has been trained or is unknown is refused by name."""
    oracle = RandomSearch(unit, loss, 1, 3)
    job = oracle.ask()
    assert isinstance(job, Job)
    with pytest.raises(UsageError, match="trial 0: it has not failed"):
        oracle.give_back(0)
    with pytest.raises(UsageError, match="trial 9: it is unknown"):
        oracle.give_back(9)
