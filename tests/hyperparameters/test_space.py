"""What `hp` answers to a build function, and what it remembers; expectations computed with Keras Tuner 1.4.8."""

import pytest

from gpusched.errors import UsageError
from gpusched.hyperparameters import Boolean, Choice, Fixed, Float, HyperParameters, Int, Parent, deserialize, serialize


def ask(hp):
    """A build function with every type, a scope and a parent."""
    with hp.name_scope("head"):
        units = hp.Int("units", 32, 96, step=32)
    model = hp.Choice("model", ["mlp", "cnn"])
    with hp.conditional_scope("model", ["cnn"]):
        filters = hp.Int("filters", 8, 16, default=12)
    depth = hp.Int("depth", 1, 3, parent_name="model", parent_values="mlp")
    return [
        units,
        model,
        filters,
        depth,
        hp.Float("lr", 1e-4, 1e-2, sampling="log"),
        hp.Boolean("bias", default=True),
        hp.Fixed("batch", 32),
    ]


def test_a_new_hyperparameter_has_its_default_and_an_inactive_one_none():
    """A first call gives defaults, None under a condition that does not hold, and only active values are kept."""
    hp = HyperParameters()
    assert ask(hp) == [32, "mlp", None, 1, 0.0001, True, 32]
    assert hp.values == {"head/units": 32, "model": "mlp", "depth": 1, "lr": 0.0001, "bias": True, "batch": 32}
    assert hp.space == [
        Int("head/units", 32, 96, step=32),
        Choice("model", ["mlp", "cnn"]),
        Int("filters", 8, 16, default=12, conditions=[Parent("model", ["cnn"])]),
        Int("depth", 1, 3, conditions=[Parent("model", ["mlp"])]),
        Float("lr", 1e-4, 1e-2, sampling="log"),
        Boolean("bias", default=True),
        Fixed("batch", 32),
    ]


def test_a_known_hyperparameter_has_its_value():
    """A call with values returns them, conditions following the parents' values, and adds nothing to the space."""
    known = HyperParameters()
    ask(known)
    hp = known.copy()
    hp.values = {"head/units": 96, "model": "cnn", "filters": 9, "lr": 0.001, "bias": False, "batch": 32}
    assert ask(hp) == [96, "cnn", 9, None, 0.001, False, 32]
    assert (hp.discovered, hp.space) == ([], known.space)
    assert known.values["model"] == "mlp"


def test_the_config_is_that_of_keras_tuner():
    """The dict that Keras Tuner 1.4.8 makes of this space, from which an equal one is read."""
    hp = HyperParameters()
    hp.Choice("model", ["mlp", "cnn"])
    hp.Int("units", 32, 64, step=32, parent_name="model", parent_values="mlp")
    hp.Float("lr", 1e-4, 1e-2, sampling="log")
    model = {"name": "model", "default": "mlp", "conditions": [], "values": ["mlp", "cnn"], "ordered": False}
    units = {
        "name": "units",
        "default": None,
        "conditions": [{"class_name": "Parent", "config": {"name": "model", "values": ["mlp"]}}],
        "min_value": 32,
        "max_value": 64,
        "step": 32,
        "sampling": "linear",
    }
    lr = {
        "name": "lr",
        "default": 0.0001,
        "conditions": [],
        "min_value": 0.0001,
        "max_value": 0.01,
        "step": None,
        "sampling": "log",
    }
    config = {
        "space": [
            {"class_name": "Choice", "config": model},
            {"class_name": "Int", "config": units},
            {"class_name": "Float", "config": lr},
        ],
        "values": {"model": "mlp", "units": 32, "lr": 0.0001},
    }
    assert hp.get_config() == config
    assert HyperParameters.from_config(config).get_config() == config


def test_one_name_under_two_conditions_is_two_hyperparameters():
    """Each has its own range and full name; the one that is active gives the value."""
    hp = HyperParameters()

    def ask_both():
        hp.Choice("model", ["mlp", "cnn"])
        with hp.conditional_scope("model", ["mlp"]):
            first = hp.Int("units", 32, 64)
        with hp.conditional_scope("model", ["cnn"]):
            second = hp.Int("units", 100, 200)
        return first, second

    assert ask_both() == (32, None)
    hp.values = {"model": "cnn", "units": 150}
    assert ask_both() == (None, 150)
    assert [each.full_name for each in hp.space] == [
        "model",
        'units if "model" in ["mlp"]',
        'units if "model" in ["cnn"]',
    ]
    assert [hp.is_active(each) for each in hp.space] == [True, False, True]
    assert (hp.is_active("units"), hp.is_active("missing")) == (True, False)


def test_active_values_are_completed_and_others_dropped():
    """The values follow a change of the parent; a namesake's value stays where it fits and goes where it does not."""
    hp = HyperParameters()
    hp.Choice("model", ["mlp", "cnn"])
    with hp.conditional_scope("model", ["mlp"]):
        hp.Int("units", 32, 64)
        hp.Boolean("bias", default=True)
    with hp.conditional_scope("model", ["cnn"]):
        hp.Int("units", 100, 200)
    hp.draw = lambda hyperparameter: hyperparameter.default
    hp.values["other"] = "kept"
    hp.values["model"] = "cnn"
    hp.ensure_active_values()
    assert hp.values == {"model": "cnn", "units": 100, "other": "kept"}
    hp.ensure_active_values()
    assert hp.values == {"model": "cnn", "units": 100, "other": "kept"}


def test_missing_values_are_drawn_at_random_without_a_draw_function():
    """As in Keras Tuner, `ensure_active_values` samples."""
    hp = HyperParameters()
    hp.merge([Int("n", 1, 3)])
    hp.values = {}
    hp.ensure_active_values()
    assert hp.values["n"] in {1, 2, 3}


def test_get_tells_inactive_from_unknown():
    """`get`, `[]` and `in` follow the name scopes; the errors are those of Keras Tuner, with the names there are."""
    hp = HyperParameters()
    ask(hp)
    assert (hp.get("lr"), hp["model"], "lr" in hp, "filters" in hp, "lrr" in hp) == (0.0001, "mlp", True, False, False)
    with hp.name_scope("head"):
        assert (hp.get("units"), "units" in hp, "lr" in hp) == (32, True, False)
    with pytest.raises(ValueError, match=r"^hyperparameter 'filters' is inactive under the present values$"):
        hp.get("filters")
    with pytest.raises(KeyError) as caught:
        HyperParameters().get("lrr")
    assert str(caught.value) == "there is no hyperparameter 'lrr': there are none yet"


def test_scopes_nest():
    """Names and conditions add up, also after an error inside; a parent may stand further out."""
    hp = HyperParameters()
    hp.Choice("a", [1, 2])
    hp.Boolean("flag")
    with hp.name_scope("x"), hp.name_scope("y"):
        hp.Int("n", 0, 1)
        with hp.conditional_scope("n", [0]):
            hp.Int("m", 0, 1)
    with hp.conditional_scope("a", [1]):
        hp.Choice("b", [3, 4])
        with hp.conditional_scope("b", [4]):
            assert hp.Choice("c", [5]) is None
            assert hp.Int("d", 1, 2, parent_name="flag", parent_values=True) is None
    with pytest.raises(ZeroDivisionError), hp.conditional_scope("a", 1), hp.name_scope("z"):
        raise ZeroDivisionError
    hp.Int("last", 0, 1)
    assert [each.full_name for each in hp.space] == [
        "a",
        "flag",
        "x/y/n",
        'x/y/m if "x/y/n" in [0]',
        'b if "a" in [1]',
        'c if "a" in [1] and "b" in [4]',
        'd if "a" in [1] and "b" in [4] and "flag" in [true]',
        "last",
    ]


def test_a_full_name_cannot_be_forged():
    """A name that reads like a condition is told from one that has the condition."""
    names = [
        Int("n", 0, 1, conditions=Parent("a", 1)).full_name,
        Int('n if "a" in [1]', 0, 1).full_name,
        Int('"n if \\"a\\" in [1]"', 0, 1).full_name,
    ]
    assert len(set(names)) == 3


def test_a_condition_needs_a_parent_of_another_name():
    """An unknown parent, one that stands under other conditions, no values and the same name are refused by name."""
    hp = HyperParameters()
    hp.Choice("a", [1, 2])
    hp.Int("n", 0, 1, parent_name="a", parent_values=[1])
    undefined = (
        r"^conditional_scope\('{0}'\): that hyperparameter is not defined here, "
        r"ask for it before the scope \(there are 'a', 'n'\)$"
    )
    for name in ("zz", "n"):
        with pytest.raises(UsageError, match=undefined.format(name)), hp.conditional_scope(name, [1]):
            pass
    with pytest.raises(UsageError, match=r"^Int\('a'\): a conditional hyperparameter cannot have the same name"):
        hp.Int("a", 1, 2, parent_name="a", parent_values=[1])
    with pytest.raises(UsageError, match="parent_values is empty"):
        hp.Int("m", 1, 2, parent_name="a")


def test_late_hyperparameters_are_drawn_and_listed():
    """One met for the first time gets its value from `draw` if it is active, and is listed in `discovered`."""
    hp = HyperParameters()
    hp.Choice("model", ["mlp", "cnn"])
    hp = hp.copy()
    asked = []

    def draw(hyperparameter):
        asked.append(hyperparameter.full_name)
        return 7

    hp.draw = draw
    assert [hp.Choice("model", ["mlp", "cnn"]), hp.Int("late", 1, 9), hp.Int("late", 1, 9)] == ["mlp", 7, 7]
    assert hp.Int("inactive", 1, 9, parent_name="model", parent_values="cnn") is None
    assert asked == ["late"]
    assert hp.discovered == [Int("late", 1, 9), Int("inactive", 1, 9, conditions=Parent("model", "cnn"))]
    assert set(hp.get_config()) == {"space", "values"}


def test_a_value_that_is_missing_is_drawn_when_asked_for():
    """A known hyperparameter without a value gets one from `draw`, else its default."""
    known = HyperParameters()
    known.merge([Int("n", 1, 9), Int("m", 1, 9)])
    known.values = {}
    hp = known.copy()
    assert hp.Int("n", 1, 9) == 1
    hp.draw = lambda hyperparameter: 5
    assert (hp.Int("m", 1, 9), hp.values) == (5, {"n": 1, "m": 5})


def test_new_entries_can_be_forbidden():
    """With `allow_new_entries` off, also in a copy, a request outside the space is refused by name."""
    hp = HyperParameters()
    hp.Int("n", 1, 9)
    hp.allow_new_entries = False
    hp = hp.copy()
    assert hp.Int("n", 1, 9) == 1
    with pytest.raises(UsageError) as caught:
        hp.Float("lr", 0, 1)
    assert str(caught.value) == (
        "Float('lr') is not in the given hyperparameters (there are 'n') and allow_new_entries is False: "
        "add it there or allow new entries"
    )
    assert hp.space == [Int("n", 1, 9)]


def test_what_was_given_stays_and_the_first_definition_counts():
    """A hyperparameter that is in the space keeps its range when the build function asks with another."""
    hp = HyperParameters()
    hp.Fixed("lr", 0.01)
    assert (hp.Float("lr", 1e-4, 1e-1), hp.space) == (0.01, [Fixed("lr", 0.01)])


def test_merge_takes_the_space_but_not_the_values():
    """Overwriting replaces in place, without a double, and resets to defaults; otherwise what is here stays."""
    hp = HyperParameters()
    hp.Int("a", 1, 5, default=3)
    hp.Int("b", 1, 5)
    other = HyperParameters()
    other.Int("a", 10, 20)
    other.Int("c", 1, 5)
    other.values["c"] = 4
    kept, replaced = hp.copy(), hp.copy()
    kept.merge(other, overwrite=False)
    assert (kept.space, kept.values) == (
        [Int("a", 1, 5, default=3), Int("b", 1, 5), Int("c", 1, 5)],
        {"a": 3, "b": 1, "c": 1},
    )
    replaced.merge(other.space)
    assert (replaced.space, replaced.values) == (
        [Int("a", 10, 20), Int("b", 1, 5), Int("c", 1, 5)],
        {"a": 10, "b": 1, "c": 1},
    )
    assert (hp.space, hp.values, replaced.discovered) == (
        [Int("a", 1, 5, default=3), Int("b", 1, 5)],
        {"a": 3, "b": 1},
        [],
    )


def test_a_copy_is_independent():
    """What is done to a copy, or to the list that `space` returns, does not show in the original."""
    hp = HyperParameters()
    hp.Int("a", 1, 5)
    other = hp.copy()
    other.values["a"] = 4
    other.Int("b", 1, 5)
    other.space.clear()
    assert (hp.values, hp.space, other.space) == ({"a": 1}, [Int("a", 1, 5)], [Int("a", 1, 5), Int("b", 1, 5)])


def test_an_unknown_type_in_a_config_is_named():
    """A config of another version says which type is not known."""
    with pytest.raises(UsageError, match=r"^hyperparameter type 'Matrix' is unknown: there are Int, Float, Choice"):
        HyperParameters.from_config({"space": [{"class_name": "Matrix", "config": {}}], "values": {}})
    condition = {"class_name": "Child", "config": {}}
    with pytest.raises(UsageError, match=r"^condition 'Child' is unknown: the only kind is 'Parent'$"):
        Int.from_config({"name": "n", "min_value": 1, "max_value": 2, "conditions": [condition]})


def test_a_space_is_written_and_read_as_one():
    """serialize and deserialize take whole spaces too, as in Keras Tuner."""
    hp = HyperParameters()
    hp.Int("units", 1, 5)
    again = deserialize(serialize(hp))
    assert (type(again), again.get_config()) == (HyperParameters, hp.get_config())


def test_the_scopes_met_are_known_by_whether_they_held():
    """active_scopes and inactive_scopes have the conditions of each scope opened."""
    hp = HyperParameters()
    hp.Choice("model", ["cnn", "mlp"])
    with hp.conditional_scope("model", "cnn"), hp.conditional_scope("model", ["mlp"]):
        pass
    cnn, mlp = Parent("model", ["cnn"]), Parent("model", ["mlp"])
    assert (hp.active_scopes, hp.inactive_scopes) == ([[cnn]], [[cnn, mlp]])
    assert (hp.copy().active_scopes, hp.copy().inactive_scopes) == ([], [])
