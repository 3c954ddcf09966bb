"""Which value each type gives for a seed or a probability; the expected values were computed with Keras Tuner 1.4.8."""

import pytest

from gpusched.errors import UsageError
from gpusched.hyperparameters import Boolean, Choice, Fixed, Float, HyperParameter, Int

PROBABILITIES = [0.0, 0.25, 0.5, 0.75, 0.999]

# hyperparameter, values for the seeds 0 … 3, values at PROBABILITIES, the probabilities of those, default
KERAS_TUNER = [
    (Int("n", 6, 12), [11, 6, 12, 7], [6, 7, 9, 11, 12], [1 / 14, 3 / 14, 0.5, 11 / 14, 13 / 14], 6),
    (Int("n", 6, 13, step=3), [12, 6, 12, 6], [6, 6, 9, 12, 12], [1 / 6, 1 / 6, 0.5, 5 / 6, 5 / 6], 6),
    (Int("n", 2, 32, step=2, sampling="log"), [32, 2, 32, 4], [2, 4, 8, 16, 32], [0.1, 0.3, 0.5, 0.7, 0.9], 2),
    (
        Int("n", 1, 1000, sampling="log", default=10),
        [341, 2, 738, 5],
        [1, 5, 31, 177, 994],
        [0.058688594553, 0.246751860023, 0.499364596955, 0.749624320785, 0.999057039766],
        10,
    ),
    (
        Int("n", 1, 1000, sampling="reverse_log"),
        [999, 606, 1000, 808],
        [1, 824, 970, 996, 1000],
        [7.2317705e-05, 0.250375679215, 0.500635403045, 0.753248139977, 0.941311405447],
        1,
    ),
    (
        Int("n", 1, 100, step=10, sampling="reverse_log"),
        [1, 100, 1, 100],
        [100, 100, 91, 1, 1],
        [1 / 6, 1 / 6, 0.5, 5 / 6, 5 / 6],
        1,
    ),
    (
        Float("x", 0, 1),
        [0.8444218515250481, 0.13436424411240122, 0.9560342718892494, 0.23796462709189137],
        [0.0, 0.25, 0.5, 0.75, 0.999],
        [0.0, 0.25, 0.5, 0.75, 0.999],
        0.0,
    ),
    (
        Float("x", 0.5, 9.5, step=0.25, default=9),
        [8.25, 1.5, 9.25, 2.5],
        [0.5, 2.75, 5.0, 7.25, 9.5],
        [0.5 / 37, 9.5 / 37, 0.5, 27.5 / 37, 36.5 / 37],
        9.0,
    ),
    (
        Float("x", 1e-4, 1e-1, sampling="log"),
        [0.034140160192072944, 0.00025298381201802614, 0.073807894360257, 0.0005174803715214935],
        [0.0001, 0.0005623413251903491, 0.0031622776601683794, 0.01778279410038923, 0.09931160484209338],
        [0.0, 0.25, 0.5, 0.75, 0.999],
        0.0001,
    ),
    (
        Float("x", 1e-4, 1e-1, sampling="reverse_log"),
        [0.09980708983368151, 0.060571779122027554, 0.09996451313796884, 0.08077559553882588],
        [0.0001, 0.08231720589961078, 0.09693772233983163, 0.09953765867480965, 0.09999930683311482],
        [0.0, 0.25, 0.5, 0.75, 0.999],
        0.0001,
    ),
    (
        Float("x", 0.001, 10, step=10, sampling="log"),
        [10.0, 0.001, 10.0, 0.01],
        [0.001, 0.01, 0.1, 1.0, 10.0],
        [0.1, 0.3, 0.5, 0.7, 0.9],
        0.001,
    ),
    (Choice("c", ["a", "b", "c"]), list("caca"), list("aabcc"), [1 / 6, 1 / 6, 0.5, 5 / 6, 5 / 6], "a"),
    (
        Choice("c", [0.1, 0.01, 0.001], default=0.01),
        [0.001, 0.1, 0.001, 0.1],
        [0.1, 0.1, 0.01, 0.001, 0.001],
        [1 / 6, 1 / 6, 0.5, 5 / 6, 5 / 6],
        0.01,
    ),
    (Boolean("b"), [True, False, True, False], [False, False, True, True, True], [0.25, 0.25, 0.75, 0.75, 0.75], False),
    (Fixed("f", 3), [3, 3, 3, 3], [3, 3, 3, 3, 3], [0.5] * 5, 3),
]


@pytest.mark.parametrize(("hp", "seeded", "at", "back", "default"), KERAS_TUNER, ids=lambda each: repr(each)[:60])
def test_the_values_are_those_of_keras_tuner(hp, seeded, at, back, default):
    """A seed and a probability give the value that Keras Tuner 1.4.8 gives, and the value its probability."""
    near = (lambda expected: expected) if isinstance(default, str) else (lambda expected: pytest.approx(expected, 1e-9))
    assert [hp.random_sample(seed) for seed in range(4)] == near(seeded)
    assert [hp.prob_to_value(p) for p in PROBABILITIES] == near(at)
    assert [hp.value_to_prob(value) for value in at] == pytest.approx(back, abs=1e-9)
    assert (hp.default, type(hp.default)) == (default, type(default))
    assert {type(hp.prob_to_value(p)) for p in PROBABILITIES} == {type(default)}


@pytest.mark.parametrize(
    ("hp", "values"),
    [
        (Int("n", 6, 12), [6, 7, 8, 9, 10, 11, 12]),
        (Int("n", 6, 13, step=3), [6, 9, 12]),
        (Int("n", 32, 96, step=32), [32, 64, 96]),
        (Int("n", 2, 32, step=2, sampling="log"), [2, 4, 8, 16, 32]),
        (Int("n", 1, 243, step=3, sampling="log"), [1, 3, 9, 27, 81, 243]),
        (Int("n", 1, 100, step=10, sampling="reverse_log"), [100, 91, 1]),
        (Float("x", 2, 8, step=2), [2.0, 4.0, 6.0, 8.0]),
        (Float("x", 0.1, 100, step=10, sampling="log"), [0.1, 1.0, 10.0, 100.0]),
        (Float("x", 3, 3), [3.0]),
        (Choice("c", ["b", "a"]), ["b", "a"]),
        (Choice("c", [True, False]), [True, False]),
        (Boolean("b"), [True, False]),
        (Fixed("f", "x"), ["x"]),
    ],
    ids=repr,
)
def test_a_finite_hyperparameter_lists_its_values(hp, values):
    """`values` are all there are, in Keras Tuner's order, as often as they are asked for; `size` is their number."""
    assert [list(hp.values), list(hp.values), list(hp.support)] == [values, values, values]
    assert hp.size == len(values)
    assert [hp.accepts(value) for value in values] == [True] * len(values)


def test_a_stepped_range_contains_its_end():
    """Rounding does not cost the last step (Keras Tuner drops it here, against its own documentation)."""
    assert list(Float("x", 0, 1, step=0.2).values) == pytest.approx([0, 0.2, 0.4, 0.6, 0.8, 1.0])
    assert list(Float("x", 0, 1, step=0.1).values)[-1] == 1.0
    assert list(Float("x", -10, -9, step=0.1).values)[-1] == -9.0
    assert list(Float("x", 0, 0.95, step=0.1).values)[-1] == pytest.approx(0.9)


def test_a_range_without_step_gives_a_grid_of_ten():
    """Ten values, even in probability and ascending, stand for a range without step; whole numbers still count."""
    lr = Float("lr", 1e-4, 1e-1, sampling="log")
    assert list(lr.values) == pytest.approx([10 ** (-4 + 0.3 * (i + 0.5)) for i in range(10)])
    assert (lr.support, lr.size) == (None, None)
    n = Int("n", 1, 1000, sampling="log")
    assert list(n.values) == [1, 2, 5, 11, 22, 44, 89, 177, 355, 708]
    assert (n.size, list(n.support)) == (1000, list(range(1, 1001)))


def test_values_are_not_made_before_they_are_asked_for():
    """A billion steps take no memory."""
    n, x = Int("n", 1, 10**9), Float("x", 0, 1, step=1e-9)
    assert (n.size, n.values[-1], x.size, x.values[-1]) == (10**9, 10**9, 10**9 + 1, 1.0)
    assert list(x.values[1:3]) == [1e-9, 2e-9]


def test_a_choice_listed_twice_is_one_value():
    """Doubling a choice doubles its weight, not the number of configurations."""
    hp = Choice("c", [1, 1, 2, 3])
    assert (list(hp.values), list(hp.support), hp.size) == ([1, 1, 2, 3], [1, 2, 3], 3)
    assert [hp.prob_to_value(p) for p in (0.1, 0.3, 0.6, 0.9)] == [1, 1, 2, 3]


@pytest.mark.parametrize(
    ("hp", "value"),
    [
        (Int("n", 2, 10, step=2), 3),
        (Int("n", 2, 10, step=2), 12),
        (Int("n", 2, 32, step=2, sampling="log"), 6),
        (Int("n", 2, 10), 2.5),
        (Int("n", 2, 10), "3"),
        (Int("n", 2, 10), None),
        (Int("n", 2, 10), float("nan")),
        (Float("x", 0, 1), 1.1),
        (Float("x", 0, 1), float("nan")),
        (Float("x", 0, 1), "0.5"),
        (Float("x", 0, 1, step=0.1), 0.25),
        (Choice("c", ["a"]), "b"),
        (Boolean("b"), "yes"),
        (Fixed("f", 1), 2),
    ],
    ids=repr,
)
def test_a_value_out_of_range_or_off_the_grid_is_not_accepted(hp, value):
    """`accepts` tells a value that can be drawn from one that cannot."""
    assert not hp.accepts(value)


def test_a_value_beyond_the_bounds_has_the_probability_of_the_bound():
    """A default outside its range, which Keras Tuner allows, breaks no algorithm."""
    hp = Float("x", 1e-3, 1e-1, sampling="log", default=0)
    assert (hp.default, hp.value_to_prob(hp.default), hp.value_to_prob(7)) == (0.0, 0.0, 1.0)


def test_a_value_that_is_no_choice_has_no_probability():
    """The message names hyperparameter, value and choices."""
    with pytest.raises(UsageError, match=r"^Choice\('c'\): 4 is not one of the values \[1, 2\]$"):
        Choice("c", [1, 2]).value_to_prob(4)


def test_repr_is_that_of_keras_tuner():
    """What is printed of a hyperparameter is what Keras Tuner 1.4.8 prints."""
    assert [
        repr(hp) for hp in (Int("n", 2, 8, 2), Float("x", 0, 1, 0.5), Choice("c", ["a"]), Boolean("b"), Fixed("f", 3))
    ] == [
        "Int(name: 'n', min_value: 2, max_value: 8, step: 2, sampling: linear, default: 2)",
        "Float(name: 'x', min_value: '0.0', max_value: '1.0', step: '0.5', sampling: 'linear', default: '0.0')",
        "Choice(name: 'c', values: ['a'], ordered: False, default: a)",
        'Boolean(name: "b", default: False)',
        "Fixed(name: f, value: 3)",
    ]


def test_the_base_class_can_be_subclassed():
    """The root has name, default and conditions, and leaves the values to its types."""
    hp = HyperParameter("base", default=0)
    assert hp.get_config() == {"name": "base", "default": 0, "conditions": []}
    for ask in (lambda: hp.values, hp.random_sample, lambda: hp.value_to_prob(0)):
        with pytest.raises(NotImplementedError):
            ask()


@pytest.mark.parametrize(
    ("low", "high", "step", "values"),
    [
        (0.1, 0.9, 0.1, [0.1, 0.2, 0.3, 0.4, 0.5, 0.6, 0.7, 0.8, 0.9]),
        (1e-3, 7e-3, 3e-3, [0.001, 0.004, 0.007]),
        (0.0, 1.0, 1 / 3, [0.0, 1 / 3, 2 / 3, 1.0]),
    ],
)
def test_values_on_steps_have_the_decimals_of_the_range(low, high, step, values):
    """0.3 is 0.3 in every table and file; what has no end in decimals is left as it is computed."""
    assert list(Float("x", low, high, step=step).values) == values
