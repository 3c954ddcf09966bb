"""What every oracle promises."""

import math
import random

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from gpusched import HyperParameters, Objective
from gpusched.errors import UsageError
from gpusched.oracles import ORACLES, Done, Job

LOSS = Objective("val_loss", "min")


def unit():
    hp = HyperParameters()
    hp.Float("x", 0.0, 1.0)
    hp.Choice("kind", ["a", "b"])
    with hp.conditional_scope("kind", ["b"]):
        hp.Int("units", 8, 64, sampling="log")
    return hp


def few():
    """6 configurations."""
    hp = HyperParameters()
    hp.Choice("kind", ["a", "b", "c"])
    hp.Boolean("wide")
    return hp


CASES = {
    "hyperband": {"max_epochs": 9, "factor": 3, "iterations": 2},
    "hyperband endless": {"max_epochs": 9, "factor": 3, "iterations": None, "max_trials": 17},
    "asha": {"max_epochs": 9, "factor": 3, "max_trials": 20},
    "asha brackets": {"max_epochs": 9, "factor": 3, "max_trials": 20, "brackets": 3},
    "random": {"max_epochs": 3, "max_trials": 12},
    "grid": {"max_epochs": 3, "max_trials": 12},
    "bayesian": {"max_epochs": 3, "max_trials": 12},
    "hyperband model": {"max_epochs": 9, "factor": 3, "sampler": "model"},
    "asha model": {"max_epochs": 9, "factor": 3, "max_trials": 20, "sampler": "model"},
}
SAMPLED = {"bayesian", "hyperband model", "asha model"}
INVARIANT = {"hyperband", "hyperband endless", "random", "grid"}

shuffles = st.tuples(st.integers(1, 8), st.integers(0, 10**6))
losses = st.sets(st.integers(0, 30), max_size=12)


@pytest.fixture(scope="module", params=CASES)
def case(request):
    return request.param


def make(case, hp=None, objective=LOSS, **more):
    return ORACLES[case.split()[0]](hp or unit(), objective, **{**CASES[case], "seed": 0, **more})


class TestContract:
    @given(shuffle=shuffles, lost=losses)
    @settings(max_examples=25, deadline=None)
    def test_any_order_ends(self, drive, case, shuffle, lost):
        """Any order of ends and any failures lead to the end: nothing stalls, no trial's epoch is trained twice."""
        slots, seed = shuffle
        oracle = make(case)
        course = drive(oracle, slots=slots, order=random.Random(seed), fails=lambda job: job.trial_id in lost)
        assert oracle.ask() == Done()
        assert len(course.steps) == len(course.jobs)
        trained = {}
        for job in course.jobs:
            assert trained.get(job.trial_id, 0) == job.start_epoch < job.stop_epoch <= oracle.max_epochs
            trained[job.trial_id] = job.stop_epoch
        assert sorted(trained) == list(range(len(trained)))
        assert sorted(oracle.rank()) == sorted(set(trained) - course.failed) == sorted(oracle.scores)
        assert sorted(course.released) == sorted(trained)

    @given(shuffle=shuffles, lost=losses)
    @settings(max_examples=15, deadline=None)
    def test_replay(self, drive, case, shuffle, lost):
        """The same calls give the same answers, and values from a journal stand in for drawing."""
        slots, seed = shuffle
        first, second = make(case), make(case)
        one = drive(first, slots=slots, order=random.Random(seed), fails=lambda job: job.trial_id in lost)
        second.known = {i: dict(values) for i, values in one.values.items()}
        second.sampler.draw = None
        two = drive(second, slots=slots, order=random.Random(seed), fails=lambda job: job.trial_id in lost)
        assert one == two
        assert second.known == {}
        assert first.rungs() == second.rungs()
        assert first.staged == (len(first.rungs()) > 1)
        assert first.rank() == second.rank()

    @given(shuffle=shuffles)
    @settings(max_examples=10, deadline=None)
    def test_finite_space(self, drive, case, shuffle):
        """Six configurations are proposed once each, or as often as the budget allows, never twice."""
        slots, seed = shuffle
        course = drive(make(case, few()), slots=slots, order=random.Random(seed))
        values = [tuple(v.values()) for v in course.values.values()]
        assert sorted(set(values)) == sorted(values)
        assert len(values) == 6

    def test_budget_is_exact(self, drive, case):
        """max_trials configurations are tried, not one more or less, whatever fails."""
        course = drive(make(case, max_trials=5), slots=3, fails=lambda job: job.trial_id % 2 == 0)
        assert sorted(course.values) == list(range(5))

    def test_budget_may_grow(self, drive, case):
        """A search that has used up its budget goes on where it stopped when it is given more."""
        oracle = make(case, max_trials=5)
        drive(oracle, slots=3)
        assert oracle.ask() == Done()
        oracle.set_max_trials(11)
        assert isinstance(oracle.ask(), Job)

    def test_only_jobs_that_are_out_can_end(self, case):
        """Telling a job twice, or one that was never given out, is an error that names the trial."""
        oracle = make(case)
        job = oracle.ask()
        oracle.tell(job, [1.0] * (job.stop_epoch - job.start_epoch))
        for late in (oracle.tell, lambda job, _: oracle.fail(job)):
            with pytest.raises(UsageError, match=f"trial {job.trial_id}"):
                late(job, [1.0])
        with pytest.raises(UsageError, match="trial 77"):
            oracle.fail(Job(77, {}, 0, 1))
        other = oracle.ask()
        with pytest.raises(UsageError, match="scores"):
            oracle.tell(other, [1.0] * 100)

    def test_scores_that_are_none(self, drive, case):
        """A trial without a number ranks behind every trial that has one and was trained as far."""
        oracle = make(case)
        drive(oracle, score=lambda trial, epoch: math.nan if trial % 2 else 1.0 + trial)
        ranking = oracle.rank()
        last = {}
        for i in ranking:
            finite = math.isfinite(oracle.trials[i].score)
            assert not (finite and last.get(oracle.trials[i].budget) is False)
            last[oracle.trials[i].budget] = finite

    def test_maximising_is_minimising_the_negative(self, drive, case):
        """The direction of the objective turns the scores, nothing else."""
        up, down = make(case, objective=Objective("val_accuracy", "max")), make(case)
        one = drive(up, score=lambda trial, epoch: -((trial * 7) % 10) - 1.0)
        two = drive(down, score=lambda trial, epoch: ((trial * 7) % 10) + 1.0)
        assert one == two

    def test_stopped_trials_train_no_more(self, drive, case):
        """A trial that stopped itself keeps its score, may be promoted, and gets no further job."""
        oracle = make(case)
        course = drive(oracle, slots=2, stops=lambda job: 2 if job.trial_id % 2 else None)
        stopped = {job.trial_id for job in course.jobs if job.trial_id % 2 and job.stop_epoch > 2}
        for i in stopped:
            assert sum(job.stop_epoch > 2 for job in course.jobs if job.trial_id == i) == 1
            assert oracle.trials[i].epochs == 2
        assert stopped <= set(oracle.rank())

    def test_initial(self, drive, case):
        """The first trials get the configurations one starts from; a name or value out of the space is refused."""
        start = [{"x": 0.25, "kind": "b", "units": 9}, {"x": 0.75}]
        course = drive(make(case, initial=start))
        assert course.values[0] == start[0]
        assert course.values[1]["x"] == 0.75
        for wrong in ({"z": 1}, {"x": 2.0}):
            with pytest.raises(UsageError, match="initial"):
                make(case, initial=[wrong])

    def test_inactive_hyperparameters_are_absent(self, drive, case):
        """The values of a job hold the active hyperparameters and no others."""
        course = drive(make(case))
        for values in course.values.values():
            assert set(values) == ({"x", "kind", "units"} if values["kind"] == "b" else {"x", "kind"})

    def test_several_objectives(self, drive, case):
        """With several objectives nothing stalls, and the best trials stand on the Pareto front."""
        oracle = make(case, objective=[LOSS, Objective("latency", "min")])
        drive(oracle, slots=3)
        front = oracle.pareto()
        points = {i: oracle.trials[i].point for i in oracle.rank()}
        beaten = {
            i for i in points if any(p != points[i] and all(map(float.__le__, p, points[i])) for p in points.values())
        }
        assert front
        assert set(front) == set(points) - beaten

    def test_late_hyperparameter(self, drive, case):
        """What a trial comes upon joins the space: later trials have it, values drawn before do not change."""
        plain, grown = make(case), make(case)
        course = drive(plain)
        job = grown.ask()
        grown.extend(job.trial_id, [late()])
        grown.tell(job, [0.0] * (job.stop_epoch - job.start_epoch))
        rest = drive(grown)
        fresh = [values for i, values in rest.values.items() if i != job.trial_id]
        assert all(0.0 <= values["dropout"] <= 0.5 for values in fresh)
        if case not in SAMPLED | {"grid"}:
            shared = set(rest.values) & set(course.values) - {job.trial_id}
            for i in shared:
                assert {k: v for k, v in rest.values[i].items() if k != "dropout"} == course.values[i]
                assert rest.values[i]["dropout"] == grown.draw_late(i, late())

    def test_seed_zero_is_a_seed(self, drive, case):
        """Another seed gives other values; seed None is refused, since an oracle has no chance of its own."""
        if case == "grid":
            return
        assert drive(make(case)).values == drive(make(case)).values != drive(make(case, seed=1)).values
        with pytest.raises(UsageError, match="seed"):
            make(case, seed=None)


def late():
    hp = HyperParameters()
    hp.Float("dropout", 0.0, 0.5)
    return hp.space[0]


@pytest.mark.parametrize("case", sorted(INVARIANT))
@given(shuffle=shuffles, lost=losses)
@settings(max_examples=60, deadline=None)
def test_same_decisions_on_any_slots(drive, case, shuffle, lost):
    """The trials, their values and who is promoted are the same on any number of slots and in any order of ends."""
    slots, seed = shuffle

    def fails(job):
        return job.trial_id in lost

    def stops(job):
        return 2 if job.trial_id % 5 == 3 else None

    alone = drive(make(case), fails=fails, stops=stops)
    many = drive(make(case), slots=slots, order=random.Random(seed), fails=fails, stops=stops)
    assert many.steps == alone.steps
    assert many.values == alone.values
