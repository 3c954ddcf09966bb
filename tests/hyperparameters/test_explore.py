"""How the space of a build function is found."""

import itertools

import pytest

from gpusched.errors import UsageError
from gpusched.hyperparameters import Choice, Fixed, HyperParameters, Int, explore


class Counted:
    """A build function that notes the values it was called with."""

    def __init__(self, build):
        self.build = build
        self.seen = []

    def __call__(self, hp):
        self.build(hp)
        self.seen.append(dict(hp.values))


def full_names(hp):
    return [each.full_name for each in hp.space]


def test_without_conditions_one_call_is_enough():
    """A plain build function is called once, with its defaults, which are the values of what comes back."""
    build = Counted(lambda hp: [hp.Int("n", 1, 9, default=4), hp.Float("x", 0, 1)])
    found = explore(build)
    assert (full_names(found), found.values, found.draw) == (["n", "x"], {"n": 4, "x": 0.0}, None)
    assert build.seen == [{"n": 4, "x": 0.0}]


def test_every_branch_is_entered_once():
    """Hyperparameters that only exist in a branch that the defaults do not take are found, nested ones too."""

    def branches(hp):
        model = hp.Choice("model", ["mlp", "cnn", "rnn"])
        for name in ("cnn", "rnn"):
            with hp.conditional_scope("model", [name]):
                if model == name and hp.Boolean(f"{name}_extra"):
                    pass
                if model == name:
                    with hp.conditional_scope(f"{name}_extra", True):
                        if hp.get(f"{name}_extra"):
                            hp.Int(f"{name}_depth", 1, 3)

    build = Counted(branches)
    found = explore(build)
    assert full_names(found) == [
        "model",
        'cnn_extra if "model" in ["cnn"]',
        'rnn_extra if "model" in ["rnn"]',
        'cnn_depth if "model" in ["cnn"] and "cnn_extra" in [true]',
        'rnn_depth if "model" in ["rnn"] and "rnn_extra" in [true]',
    ]
    assert found.values == {"model": "mlp"}
    assert build.seen == [
        {"model": "mlp"},
        {"model": "cnn", "cnn_extra": False},
        {"model": "rnn", "rnn_extra": False},
        {"model": "cnn", "cnn_extra": True, "cnn_depth": 1},
        {"model": "rnn", "rnn_extra": True, "rnn_depth": 1},
    ]


def test_layers_that_depend_on_their_number_are_found():
    """The common loop over layers, each conditional on how many there are, is found whole."""

    def layers(hp):
        count = hp.Int("layers", 1, 5)
        for i in range(count):
            hp.Int(f"units_{i}", 8, 64, parent_name="layers", parent_values=list(range(i + 1, 6)))
        with hp.conditional_scope("layers", [5]):
            pass

    assert full_names(explore(layers)) == [
        "layers",
        'units_0 if "layers" in [1, 2, 3, 4, 5]',
        'units_1 if "layers" in [2, 3, 4, 5]',
        'units_2 if "layers" in [3, 4, 5]',
        'units_3 if "layers" in [4, 5]',
        'units_4 if "layers" in [5]',
    ]


def test_a_given_space_is_kept_and_completed():
    """What the caller gives overrides the build function's ranges and is not changed; a fixed parent stays fixed."""
    given = HyperParameters()
    given.Fixed("model", "mlp")
    given.Int("n", 1, 3)
    given.values["n"] = 2
    given.draw = lambda hyperparameter: hyperparameter.default

    def branches(hp):
        model = hp.Choice("model", ["mlp", "cnn"])
        hp.Int("n", 1, 99)
        with hp.conditional_scope("model", ["cnn"]):
            hp.Int("filters", 8, 16)
            assert model == "mlp"

    found = explore(branches, given)
    assert found.space[:2] == [Fixed("model", "mlp"), Int("n", 1, 3)]
    assert full_names(found)[2:] == ['filters if "model" in ["cnn"]']
    assert (found.values, found.draw) == ({"model": "mlp", "n": 2}, given.draw)
    assert (given.space, given.values) == ([Fixed("model", "mlp"), Int("n", 1, 3)], {"model": "mlp", "n": 2})


def test_a_parent_is_only_given_values_it_can_take():
    """Of a condition's values the first that its parent has is tried; one that it never has opens nothing."""

    def build(hp):
        hp.Choice("a", [1, 2])
        assert hp.get("a") in (1, 2)
        with hp.conditional_scope("a", [7, 2]):
            hp.Int("n", 1, 2)
        with hp.conditional_scope("a", [8]):
            hp.Int("m", 1, 2)

    counted = Counted(build)
    assert explore(counted).space[0] == Choice("a", [1, 2])
    assert [seen["a"] for seen in counted.seen] == [1, 2]


def test_a_scope_that_contradicts_itself_does_not_hang():
    """A scope that is only reached while it is closed is tried once and left."""

    def build(hp):
        if hp.Choice("a", [1, 2]) == 1:
            with hp.conditional_scope("a", [2]):
                hp.Int("n", 1, 2)

    counted = Counted(build)
    assert full_names(explore(counted)) == ["a", 'n if "a" in [2]']
    assert len(counted.seen) == 2


def test_a_space_without_end_is_an_error():
    """Names that change at every call are reported after the limit, with the newest."""
    numbers = itertools.count()

    def build(hp):
        name = f"n{next(numbers)}"
        hp.Boolean(name)
        hp.Int(f"{name}_child", 1, 2, parent_name=name, parent_values=True)

    with pytest.raises(UsageError) as caught:
        explore(build, limit=5)
    assert str(caught.value) == (
        "the search space is still growing after 5 calls of the build function, whose newest hyperparameter is "
        "Int('n4_child'): are there names or conditions that change from call to call?"
    )


def test_the_limit_is_met_exactly():
    """A space that needs as many calls as are allowed is found."""
    build = Counted(lambda hp: [hp.Boolean("a"), hp.Int("n", 1, 2, parent_name="a", parent_values=True)])
    assert full_names(explore(build, limit=2)) == ["a", 'n if "a" in [true]']
    assert len(build.seen) == 2


def test_new_entries_can_be_forbidden_while_exploring():
    """The given space's refusal of new entries holds here too."""
    given = HyperParameters()
    given.Int("n", 1, 3)
    given.allow_new_entries = False
    with pytest.raises(UsageError, match=r"^Boolean\('b'\) is not in the given hyperparameters"):
        explore(lambda hp: [hp.Int("n", 1, 3), hp.Boolean("b")], given)


def test_what_the_build_function_raises_is_passed_on():
    """The user's own error is not dressed up."""
    with pytest.raises(ZeroDivisionError):
        explore(lambda hp: 1 / 0)
