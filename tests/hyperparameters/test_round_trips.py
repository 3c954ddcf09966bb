"""What must hold of every hyperparameter, whatever its arguments."""

import json

import pytest
from hypothesis import given
from hypothesis import strategies as st

from gpusched.hyperparameters import (
    Boolean,
    Choice,
    Fixed,
    Float,
    HyperParameter,
    HyperParameters,
    Int,
    Parent,
    deserialize,
    serialize,
)

names = st.text(max_size=8)
scalars = st.one_of(st.booleans(), st.integers(-100, 100), st.floats(-1e6, 1e6), st.text(max_size=4))
parents = st.builds(
    Parent,
    names,
    st.one_of(
        st.lists(st.text(max_size=4), min_size=1, max_size=3),
        st.lists(st.one_of(st.integers(0, 9), st.booleans(), st.floats(0, 9)), min_size=1, max_size=3),
    ),
)
conditions = st.lists(parents, max_size=2)
probabilities = st.floats(0, 1, exclude_max=True)


@st.composite
def ints(draw):
    sampling = draw(st.sampled_from(["linear", "log", "reverse_log"]))
    low = draw(st.integers(-1000, 1000) if sampling == "linear" else st.integers(1, 1000))
    high = low + draw(st.integers(0, 10_000))
    step = draw(st.one_of(st.none(), st.integers(1 if sampling == "linear" else 2, 50)))
    default = draw(st.one_of(st.none(), st.integers(low, high)))
    return Int(draw(names), low, high, step, sampling, default, draw(conditions))


@st.composite
def floats(draw):
    sampling = draw(st.sampled_from(["linear", "log", "reverse_log"]))
    low = draw(st.floats(-1e3, 1e3) if sampling == "linear" else st.floats(1e-6, 10))
    high = low + draw(st.one_of(st.just(0.0), st.floats(1e-3, 1e3)))
    steps = st.floats(1e-2, 1e3) if sampling == "linear" else st.floats(1.01, 1e3)
    default = draw(st.one_of(st.none(), st.floats(low, high)))
    return Float(draw(names), low, high, draw(st.one_of(st.none(), steps)), sampling, default, draw(conditions))


choices = st.one_of(
    st.builds(Choice, names, st.lists(st.text(max_size=4), min_size=1), conditions=conditions),
    st.builds(Choice, names, st.lists(st.integers(), min_size=1), st.none() | st.booleans(), conditions=conditions),
    st.builds(Choice, names, st.lists(st.floats(-1e9, 1e9), min_size=1), conditions=conditions),
    st.builds(Choice, names, st.lists(st.booleans(), min_size=1), conditions=conditions),
)
hyperparameters = st.one_of(
    ints(),
    floats(),
    choices,
    st.builds(Boolean, names, st.booleans(), conditions),
    st.builds(Fixed, names, scalars, conditions),
)


@given(hyperparameters, probabilities)
def test_what_is_drawn_can_be_taken(hp: HyperParameter, prob: float):
    """Every value drawn is accepted: within its bounds, on its grid, of its type."""
    value = hp.prob_to_value(prob)
    assert hp.accepts(value)
    assert type(value) is type(hp.values[0])


@given(hyperparameters, probabilities)
def test_a_probability_leads_back_to_its_value(hp: HyperParameter, prob: float):
    """prob_to_value(value_to_prob(v)) is v: exactly where values are counted, closely where they are continuous."""
    value = hp.prob_to_value(prob)
    back = hp.value_to_prob(value)
    assert 0 <= back <= 1
    if isinstance(hp, Float):
        # Far from the end where reverse_log is dense, one unit in the last place is a long way.
        assert hp.prob_to_value(back) == pytest.approx(value, rel=1e-6, abs=1e-9 * max(1, abs(hp.max_value)))
    else:
        assert hp.prob_to_value(back) == value


@given(hyperparameters)
def test_the_grid_is_in_range_and_never_repeats(hp: HyperParameter):
    """`values` are accepted ones; `support` is free of repeats and `size` counts it."""
    values = hp.values[:100]
    assert all(hp.accepts(value) for value in values)
    if hp.support is None:
        assert hp.size is None
    else:
        assert hp.size == len(hp.support)
        few = hp.support[:1000]
        assert len(set(few)) == len(few)


@given(hyperparameters)
def test_a_config_survives_json(hp: HyperParameter):
    """A hyperparameter made from its own config, by way of JSON, is equal, looks the same and keeps its name."""
    config = serialize(hp)
    again = deserialize(json.loads(json.dumps(config)))
    assert again == hp
    assert (hash(again), repr(again), again.full_name) == (hash(hp), repr(hp), hp.full_name)
    assert serialize(again) == config == serialize(hp)


@given(st.lists(hyperparameters, max_size=6))
def test_a_space_survives_json(some: list[HyperParameter]):
    """A space keeps its hyperparameters, their order and the values by way of JSON; full names are unique in it."""
    hps = HyperParameters()
    hps.merge([each for each in some if each.name not in {condition.name for condition in each.conditions}])
    again = HyperParameters.from_config(json.loads(json.dumps(hps.get_config())))
    assert (again.space, again.values, again.discovered) == (hps.space, hps.values, [])
    assert len({each.full_name for each in hps.space}) == len(hps.space)
