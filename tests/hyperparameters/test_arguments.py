"""What is refused when a hyperparameter is made, and how other kinds of number are taken in."""

import json
import math

import numpy as np
import pytest

from gpusched.errors import UsageError
from gpusched.hyperparameters import Boolean, Choice, Fixed, Float, Int, Parent


@pytest.mark.parametrize(
    ("make", "message"),
    [
        (lambda: Int("units", 64, 32), "Int('units'): min_value 64 is above max_value 32"),
        (lambda: Float("x", 1, 0.5), "Float('x'): min_value 1.0 is above max_value 0.5"),
        (lambda: Int("n", 0.5, 3), "Int('n'): min_value must be a whole number, not 0.5"),
        (lambda: Int("n", 0, 3, step=1.5), "Int('n'): step must be a whole number, not 1.5"),
        (lambda: Int("n", 0, math.inf), "Int('n'): max_value must be finite, not inf"),
        (lambda: Float("x", math.nan, 1), "Float('x'): min_value must be finite, not nan"),
        (lambda: Float("x", "0", 1), "Float('x'): min_value must be a number, not '0'"),
        (lambda: Int("n", 0, 3, step=0), "Int('n'): step 0 must be above 0"),
        (lambda: Float("x", 0, 3, step=-1), "Float('x'): step -1.0 must be above 0"),
        (
            lambda: Int("n", 1, 8, step=1, sampling="log"),
            "Int('n'): step 1 must be above 1 with sampling='log', where it multiplies",
        ),
        (lambda: Float("x", 0, 1, sampling="log"), "Float('x'): min_value 0.0 must be above 0 with sampling='log'"),
        (
            lambda: Int("n", 1, 8, sampling="cubic"),
            "Int('n'): sampling 'cubic' is unknown, use one of linear, log, reverse_log",
        ),
        (lambda: Choice("c", []), "Choice('c'): values is empty, give at least one"),
        (lambda: Choice("c", ["a"], default="b"), "Choice('c'): default 'b' is not one of the values ['a']"),
        (
            lambda: Choice("c", ["a"], ordered=True),
            "Choice('c'): ordered is True, but the values are strings: leave ordered out",
        ),
        (lambda: Choice("c", [1.0, math.nan]), "Choice('c'): values must be finite, not nan"),
        (lambda: Boolean("b", default=None), "Boolean('b'): default must be True or False, not None"),
        (lambda: Boolean("b", default="yes"), "Boolean('b'): default must be True or False, not 'yes'"),
        (
            lambda: Parent("p", []),
            "conditional_scope('p'): parent_values is empty: name at least one value of the parent",
        ),
    ],
)
def test_a_bad_argument_is_named_with_its_value(make, message):
    """One line says which hyperparameter, which argument, what it is, and what it may be."""
    with pytest.raises(UsageError) as caught:
        make()
    assert str(caught.value) == message


@pytest.mark.parametrize(
    ("make", "message"),
    [
        (lambda: Choice("c", [1, 0.5]), "Choice('c'): values [1, 0.5] are of several types, give them all one type"),
        (
            lambda: Choice("c", [None]),
            "Choice('c'): values must be an int, float, str or bool, not None of type NoneType",
        ),
        (lambda: Fixed("f", [1]), "Fixed('f'): value must be an int, float, str or bool, not [1] of type list"),
        (lambda: Parent("p", [1, "a"]), "conditional_scope('p'): parent_values [1, 'a'] mix numbers and strings"),
    ],
)
def test_a_value_of_a_wrong_type_is_a_type_error_too(make, message):
    """Where Keras Tuner raises TypeError, `except TypeError` goes on working."""
    with pytest.raises(UsageError) as caught:
        make()
    assert (str(caught.value), isinstance(caught.value, TypeError)) == (message, True)


def test_numpy_numbers_become_pythons():
    """What NumPy computed can be written as JSON, and is equal to what Python's own numbers make."""
    made = [
        Int("n", np.int64(2), np.int32(8), step=np.int8(2), default=np.int64(4)),
        Float("x", np.float64(0), np.float32(1), step=np.float64(0.5)),
        Choice("c", np.array([32, 64])),
        Choice("c", [np.str_("a"), "b"], default=np.str_("b")),
        Choice("c", [np.bool_(True), False]),
        Boolean("b", default=np.bool_(True)),
        Fixed("f", np.float64(0.5), conditions=Parent("n", np.arange(2))),
    ]
    assert made == [
        Int("n", 2, 8, step=2, default=4),
        Float("x", 0.0, 1.0, step=0.5),
        Choice("c", [32, 64]),
        Choice("c", ["a", "b"], default="b"),
        Choice("c", [True, False]),
        Boolean("b", default=True),
        Fixed("f", 0.5, conditions=[Parent("n", [0, 1])]),
    ]
    assert [type(hp).from_config(json.loads(json.dumps(hp.get_config()))) for hp in made] == made


def test_sampling_and_parent_values_are_taken_as_keras_tuner_takes_them():
    """`sampling` may be None or in capitals; a single parent value needs no list; strings make all values strings."""
    assert (Int("n", 1, 8, sampling=None).sampling, Int("n", 1, 8, sampling="LOG").sampling) == ("linear", "log")
    assert [Parent("p", "a"), Parent("p", True), Parent("p", ("1", 2))] == [
        Parent("p", ["a"]),
        Parent("p", [True]),
        Parent("p", ["1", "2"]),
    ]
