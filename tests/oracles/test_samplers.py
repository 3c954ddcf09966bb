"""Where values come from: even points, grids, the model."""

import math

import numpy as np
import pytest

from gpusched import HyperParameters, Objective
from gpusched.hyperparameters import Choice
from gpusched.oracles import ASHA, BayesianOptimization, Done, GridSearch, Job, RandomSearch
from gpusched.oracles.samplers import Space
from gpusched.oracles.samplers.encoding import Codec
from gpusched.oracles.samplers.gp import GP
from gpusched.oracles.samplers.sobol import DIMENSIONS, sobol
from gpusched.oracles.seeded_values import late_value, uniform

LOSS = Objective("val_loss", "min")


def conditional():
    hp = HyperParameters()
    hp.Choice("kind", ["a", "b", "c"])
    with hp.conditional_scope("kind", ["b"]):
        hp.Int("units", 1, 4)
        with hp.conditional_scope("units", [4]):
            hp.Boolean("wide")
    with hp.conditional_scope("kind", ["c"]):
        hp.Int("units", 10, 12)
    return hp


def test_draws_are_fixed():
    """A draw is a function of seed, trial and name, the same in every version of gpusched."""
    assert uniform(0, 0, "x") == 0.679389567926656
    assert uniform(0, 1, "x") != uniform(0, 0, "x") != uniform(1, 0, "x") != uniform(1, 0, "y")
    hp = conditional().space[1]
    assert late_value(3, 7, hp) == hp.prob_to_value(uniform(3, 7, 'units if "kind" in ["b"]'))


@pytest.mark.parametrize("dimension", range(DIMENSIONS))
def test_sobol_is_even(dimension):
    """The first 2**k points fall one in each of 2**k equal parts, in every dimension, however scrambled."""
    points = [sobol(i, dimension, 12345 * dimension + 1) for i in range(64)]
    assert sorted(int(p * 64) for p in points) == list(range(64))


def test_configurations_are_counted():
    """The count of a conditional space is that of its enumeration, without repeats."""
    space = Space(conditional())
    every = list(space.enumerate())
    assert space.distinct() == len(every) == len({space.key(v) for v in every}) == 1 + (3 + 2) + 3
    assert every[0] == {"kind": "a"}
    assert {"kind": "b", "units": 4, "wide": True} in every
    assert {"kind": "c", "units": 11} in every


def test_count_of_a_large_space():
    """Millions of configurations are counted without listing them; a range without steps has no count."""
    hp = HyperParameters()
    for i in range(20):
        hp.Boolean(f"b{i}")
        with hp.conditional_scope(f"b{i}", [True]):
            hp.Int(f"n{i}", 1, 10)
    assert Space(hp).distinct() == 11**20
    hp.Float("x", 0.0, 1.0)
    assert Space(hp).distinct() is None
    assert Space(hp).distinct(grid=True) == 11 * 11**20


def grid_of(hp):
    oracle, values = GridSearch(hp, LOSS), []
    while isinstance(job := oracle.ask(), Job):
        values.append(job.values)
        oracle.tell(job, [1.0])
    return values


def test_grid_order():
    """Keras Tuner's order: the last hyperparameter moves fastest, and defaults come before other values."""
    hp = HyperParameters()
    hp.Int("a", 1, 5, step=2, default=3)
    hp.Choice("b", [10, 20, 30], default=20)
    hp.Fixed("f", 7)
    hp.Boolean("c")
    assert [tuple(values.values()) for values in grid_of(hp)] == [
        (a, b, 7, c) for a in (3, 1, 5) for b in (20, 10, 30) for c in (False, True)
    ]


def test_grid_order_under_conditions():
    """Each branch has its own hyperparameters, and what stands behind them moves faster still."""
    hp = HyperParameters()
    hp.Choice("kind", ["cnn", "mlp"])
    with hp.conditional_scope("kind", ["cnn"]):
        hp.Int("filters", 8, 16, step=8)
    with hp.conditional_scope("kind", ["mlp"]):
        hp.Int("units", 32, 96, step=32)
    hp.Boolean("drop")
    assert grid_of(hp) == [
        *({"kind": "cnn", "filters": n, "drop": drop} for n in (8, 16) for drop in (False, True)),
        *({"kind": "mlp", "units": n, "drop": drop} for n in (32, 64, 96) for drop in (False, True)),
    ]


def test_a_range_without_step_on_the_grid():
    """It stands there with its default and ten more values, the same ones in the same order every time."""
    hp = HyperParameters()
    hp.Float("lr", 1e-3, 1e-1, sampling="log")
    rates = [values["lr"] for values in grid_of(hp)]
    assert rates == [1e-3, *hp.space[0].values]
    assert len(rates) == 11


@pytest.mark.parametrize("slots", [1, 2, 4, 7])
@pytest.mark.parametrize("newest_first", [False, True])
def test_a_grid_varies_what_a_branch_asks_for_in_that_branch_alone(slots, newest_first):
    """`if hp.Boolean(...)` around a hyperparameter, without a condition: 3 + 3 x 3 configurations, none twice."""
    hp = HyperParameters()
    hp.Boolean("deep")
    hp.Choice("units", [3, 4, 5])
    oracle, out, asked = GridSearch(hp, LOSS), [], []
    while (job := oracle.ask()) != Done() or out:
        if isinstance(job, Job):
            out.append(job)
        if len(out) == slots or not isinstance(job, Job):
            job = out.pop(-1 if newest_first else 0)
            if job.values["deep"]:
                late = Choice("rate", [0, 1, 2])
                values = {"rate": oracle.draw_late(job.trial_id, late), **job.values}
                if "rate" not in job.values:
                    oracle.extend(job.trial_id, [late], values)
            else:
                values = {name: job.values[name] for name in ("deep", "units")}
            asked.append(tuple(values.items()))
            oracle.tell(job, [1.0])
    wanted = [{"deep": False, "units": n} for n in (3, 4, 5)]
    wanted += [{"deep": True, "units": n, "rate": rate} for n in (3, 4, 5) for rate in (0, 1, 2)]
    assert sorted(map(sorted, asked)) == sorted(sorted(values.items()) for values in wanted)
    assert oracle.plan().trials == 12


def test_codec_round_trip():
    """Values survive the way through probabilities, and inactive ones do not tell configurations apart."""
    space = Space(conditional())
    codec = Codec(space)
    for values in space.enumerate():
        assert codec.values(codec.probs(values)) == values
    rows = np.array([codec.probs(v) for v in space.enumerate()])
    assert len(np.unique(codec.embed(rows), axis=0)) == len(rows)
    a, b = np.array([0.0, 0.1, 0.2, 0.3]), np.array([0.0, 0.9, 0.8, 0.7])  # kind "a": nothing else counts
    assert np.array_equal(codec.embed(a[None]), codec.embed(b[None]))


def test_gp_gradient():
    """The gradient that the fit follows is that of its loss."""
    rng = np.random.default_rng(0)
    t, trial = rng.choice([0.0, 0.5, 1.0], 15), rng.integers(0, 10, 15)
    gp = GP(rng.random((15, 3)), t, trial, rng.standard_normal(15), None)
    loss = gp.loss()
    at = gp.theta + 0.1
    _, gradient = loss(at)
    numeric = [(loss(at + 1e-5 * e)[0] - loss(at - 1e-5 * e)[0]) / 2e-5 for e in np.eye(len(at))]
    assert gradient == pytest.approx(numeric, rel=1e-4, abs=1e-4)


def test_gp_learns():
    """After a fit, the mean follows the points and is unsure away from them."""
    rng = np.random.default_rng(0)
    x = rng.random((40, 2))
    y = np.sin(5 * x[:, 0]) - x[:, 0].mean()
    gp = GP(x, np.ones(40), np.arange(40), (y - y.mean()) / y.std(), None)
    gp.fit()
    gp.condition()
    mean, deviation = gp.predict(x, np.ones(40))
    assert np.corrcoef(mean, y)[0, 1] > 0.99
    _, far = gp.predict(np.full((1, 2), 3.0), np.ones(1))
    assert far[0] > 3 * deviation.mean()


def _bowl(values):
    return (values["x"] - 0.3) ** 2 + (math.log10(values["lr"]) + 2) ** 2 / 9


@pytest.mark.parametrize("kind", ["bayesian", "asha"])
def test_model_beats_chance(kind):
    """On a smooth bowl the model's later proposals are far better than random ones, on average over seeds."""
    hp = HyperParameters()
    hp.Float("x", 0.0, 1.0)
    hp.Float("lr", 1e-4, 1e-1, sampling="log")
    found, chance = [], []
    for seed in range(3):
        if kind == "asha":
            oracle = ASHA(hp, LOSS, 9, max_trials=40, sampler="model", seed=seed)
        else:
            oracle = BayesianOptimization(hp, LOSS, 1, 40, seed=seed)
        for o, into in ((oracle, found), (RandomSearch(hp, LOSS, 1, 40, seed=seed), chance)):
            while isinstance(job := o.ask(), Job):
                epochs = range(job.start_epoch, job.stop_epoch)
                o.tell(job, [_bowl(job.values) + 1 / (epoch + 1) for epoch in epochs])
                if job.start_epoch == 0 and job.trial_id >= 20:
                    into.append(_bowl(job.values))
    assert np.median(found) < np.median(chance) / 2
