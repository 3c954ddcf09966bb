"""A configuration as people write it: text like `lr=0.01,units=64`, or a dict, as values of a space. Pure."""

from __future__ import annotations

import difflib
import re
from collections.abc import Iterator, Mapping, Sequence
from typing import Any

from gpusched.errors import UsageError
from gpusched.hyperparameters import Float, HyperParameter, Int

#: A comma ends a value where another name follows it: values may have commas of their own.
_BETWEEN = re.compile(r",(?=[^,=]+=)")
_TRUTH = {"true": True, "false": False}


def typed(text: str, space: Sequence[HyperParameter]) -> dict[str, Any]:
    """The values that the text names; each is read as its hyperparameter has it. Raises UsageError, naming the part."""
    values: dict[str, Any] = {}
    for part in _BETWEEN.split(text):
        name, equals, word = part.partition("=")
        if not equals or not name.strip():
            raise UsageError(f"--try: {part.strip()!r} is no NAME=VALUE; write for example --try lr=0.01,units=64")
        named = _named(name.strip(), space, "--try")
        found = [value for given in _readings(word.strip()) for value in _accepted(given, named)]
        if not found:
            raise UsageError(f"--try: {part.strip()} is outside of {named[0]!r}")
        values[name.strip()] = found[0]
    return _active(values, space, "--try")


def checked(given: Mapping[str, Any], space: Sequence[HyperParameter], by: str) -> dict[str, Any]:
    """The same values as the space has them. Raises UsageError for a name or value that it does not have."""
    values: dict[str, Any] = {}
    for name, value in given.items():
        named = _named(name, space, by)
        found = _accepted(value, named)
        if not found:
            raise UsageError(f"{by}: {name}={value!r} is outside of {named[0]!r}")
        values[name] = found[0]
    return _active(values, space, by)


def _named(name: str, space: Sequence[HyperParameter], by: str) -> list[HyperParameter]:
    named = [each for each in space if each.name == name]
    if not named:
        known = list(dict.fromkeys(each.name for each in space))
        close = difflib.get_close_matches(name, known, 1)
        hint = f"did you mean {close[0]}?" if close else f"there are {', '.join(known) or 'none'}"
        raise UsageError(f"{by}: there is no hyperparameter {name!r}; {hint}")
    return named


def _readings(word: str) -> Iterator[Any]:
    """What a word may stand for, the most particular first."""
    if word.lower() in _TRUTH:
        yield _TRUTH[word.lower()]
    for kind in (int, float):
        try:
            yield kind(word)
        except ValueError:
            continue
    yield word


def _accepted(given: Any, named: Sequence[HyperParameter]) -> list[Any]:
    """The value as those hyperparameters have it that can take it."""
    return [_own(each, given) for each in named if each.accepts(given)]


def _own(hyperparameter: HyperParameter, given: Any) -> Any:
    if isinstance(hyperparameter, Int):
        return int(given)
    if isinstance(hyperparameter, Float):
        return float(given)
    return next((value for value in hyperparameter.support or () if value == given), given)


def _active(values: dict[str, Any], space: Sequence[HyperParameter], by: str) -> dict[str, Any]:
    """Refuses a value that counts for nothing beside the others."""
    for name in values:
        named = [each for each in space if each.name == name]
        decided = all(condition.name in values for each in named for condition in each.conditions)
        if decided and not any(condition_holds(each, values) for each in named):
            others = ", ".join(f"{c.name}={values[c.name]}" for c in named[0].conditions)
            raise UsageError(f"{by}: {name} has no effect beside {others}; leave it out, or change that")
    return values


def condition_holds(hyperparameter: HyperParameter, values: Mapping[str, Any]) -> bool:
    """Whether a hyperparameter counts beside these values."""
    return all(condition.is_active(values) for condition in hyperparameter.conditions)
