"""Configurations as people write them."""

from __future__ import annotations

from typing import Any

import pytest

from gpusched import HyperParameters
from gpusched.errors import UsageError
from gpusched.runtime.startup.typed import checked, typed


def space() -> list[Any]:
    hp = HyperParameters()
    hp.Float("lr", 1e-4, 1e-1, sampling="log")
    hp.Int("units", 16, 128, step=16)
    hp.Boolean("norm")
    hp.Choice("act", ["relu", "tanh", "a,b"])
    hp.Choice("size", ["1", "2"])
    with hp.conditional_scope("act", ["relu"]):
        hp.Float("slope", 0.0, 1.0)
    return list(hp.space)


@pytest.mark.parametrize(
    ("text", "values"),
    [
        ("lr=0.01,units=64", {"lr": 0.01, "units": 64}),
        ("lr=1e-2, norm=true", {"lr": 0.01, "norm": True}),
        ("norm=False,act=tanh", {"norm": False, "act": "tanh"}),
        ("act=a,b,size=2", {"act": "a,b", "size": "2"}),
        ("slope=0,act=relu", {"slope": 0.0, "act": "relu"}),
    ],
)
def test_each_value_is_read_as_its_hyperparameter_has_it(text: str, values: dict[str, Any]) -> None:
    """Numbers, text and truth, also with commas of their own."""
    found = typed(text, space())
    assert found == values
    assert [type(value) for value in found.values()] == [type(value) for value in values.values()]


@pytest.mark.parametrize(
    ("text", "why"),
    [
        ("unit=64", "--try: there is no hyperparameter 'unit'; did you mean units?"),
        ("units=65", "--try: units=65 is outside of Int"),
        ("units", "--try: 'units' is no NAME=VALUE"),
        ("act=tanh,slope=0.5", "--try: slope has no effect beside act=tanh"),
    ],
)
def test_what_the_space_does_not_have_is_refused_by_name(text: str, why: str) -> None:
    """The part that is wrong is named, and what was meant."""
    with pytest.raises(UsageError, match=why.replace("?", r"\?")):
        typed(text, space())


def test_a_script_s_values_are_the_space_s() -> None:
    """1 is no other value than 1.0, and a choice is the one that was offered."""
    found = checked({"lr": 0.1, "units": 16.0, "norm": 1}, space(), "enqueue")
    assert (found, type(found["units"]), found["norm"] is True) == ({"lr": 0.1, "units": 16, "norm": True}, int, True)
    with pytest.raises(UsageError, match="enqueue: there is no hyperparameter 'depth'"):
        checked({"depth": 1}, space(), "enqueue")
