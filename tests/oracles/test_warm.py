"""Starting from what is known."""

import pytest

from gpusched.errors import UsageError
from gpusched.oracles import ASHA, BayesianOptimization, GridSearch, Hyperband, RandomSearch


def test_enqueue(unit, loss):
    """The next new trial gets what a person asks for; the others are as they were."""
    oracle, plain = (RandomSearch(unit, loss, 1, 4) for _ in range(2))
    jobs = [oracle.ask()]
    oracle.enqueue({"x": 0.125})
    jobs += [oracle.ask(), oracle.ask()]
    others = [plain.ask() for _ in range(3)]
    assert [job.values for job in jobs[::2]] == [job.values for job in others[::2]]
    assert jobs[1].values == {**others[1].values, "x": 0.125}
    with pytest.raises(UsageError, match="depth"):
        oracle.enqueue({"depth": 3})


HISTORY = [({"x": i / 20, "units": 8 + i}, [abs(i / 20 - 0.7) + 1 / e for e in range(1, 4)]) for i in range(20)]


@pytest.mark.parametrize("kind", [Hyperband, ASHA, RandomSearch, BayesianOptimization])
def test_warm_start_tries_the_best_first(unit, loss, kind):
    """The best configuration of an older search is the first that is tried."""
    oracle = kind(unit, loss, max_epochs=3)
    oracle.warm_start([*HISTORY, ({"x": 7.0, "units": 8}, [-1.0] * 3)])
    assert oracle.ask().values == {"x": 0.7, "units": 22}
    assert oracle.rank() == []
    with pytest.raises(UsageError, match="warm_start"):
        oracle.warm_start(HISTORY)


def test_a_model_knows_the_older_search(unit, loss, drive):
    """With an older search known, the first proposals are already better than chance."""
    oracle = BayesianOptimization(unit, loss, max_epochs=3, max_trials=12)
    oracle.warm_start(HISTORY, first=0)
    course = drive(oracle, score=lambda trial, epoch: abs(course_x(oracle, trial) - 0.7))
    near = [abs(values["x"] - 0.7) < 0.2 for values in course.values.values()]
    assert sum(near) >= 6


def course_x(oracle, trial):
    return oracle.trials[trial].values["x"]


def test_what_is_known_is_not_drawn_again(five, loss, drive):
    """Where no configuration is drawn twice, those that another search has trained count as drawn."""
    known = [{"kind": "a"}, {"kind": "d", "wide": True}]
    for kind in (RandomSearch, GridSearch, BayesianOptimization):
        oracle = kind(five, loss, max_trials=None)
        oracle.avoid(known)
        assert oracle.plan().trials == 3
        course = drive(oracle)
        assert sorted(map(str, course.values.values())) == sorted(
            map(str, [{"kind": "b"}, {"kind": "c"}, {"kind": "d", "wide": False}])
        )
