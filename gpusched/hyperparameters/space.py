"""A search space, the values of one trial in it, and the `hp` that a build function asks for them.

Holds which hyperparameters there are, in the order in which they were met, and which count under the present values.
Refuses to know how values are chosen: who draws them says so through `draw`.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator, Mapping
from contextlib import AbstractContextManager, contextmanager, nullcontext
from typing import Any

from gpusched.errors import UsageError
from gpusched.hyperparameters import discrete, numeric
from gpusched.hyperparameters.conditions import Parent, Value, all_active, plain
from gpusched.hyperparameters.parameter import HyperParameter

TYPES: dict[str, type[HyperParameter]] = {
    kind.__name__: kind for kind in (numeric.Int, numeric.Float, discrete.Choice, discrete.Boolean, discrete.Fixed)
}


class UnknownHyperParameter(UsageError, KeyError):
    """No hyperparameter has this name (a KeyError as well, as in Keras Tuner)."""

    __str__ = Exception.__str__  # KeyError's shows its text as a quoted key


def serialize(hyperparameter: HyperParameter | HyperParameters) -> dict[str, Any]:
    """A hyperparameter, or a whole space, as a dict of JSON's types."""
    return {"class_name": type(hyperparameter).__name__, "config": hyperparameter.get_config()}


def deserialize(config: Mapping[str, Any]) -> Any:
    """What `serialize` made the dict of."""
    name = config["class_name"]
    kind = HyperParameters if name == "HyperParameters" else TYPES.get(name)
    if kind is None:
        raise UsageError(f"hyperparameter type {name!r} is unknown: there are {', '.join(TYPES)}")
    return kind.from_config(config["config"])


class HyperParameters:
    """The search space and the values of one trial, with the semantics of Keras Tuner 1.4.

    `hp.Int(...)` and its siblings return the trial's value of a hyperparameter and put it into the space when it is
    new; under a condition that does not hold they return None. The same name under other conditions is another
    hyperparameter. They are typed `Any`, since a caller inside a condition knows whether there is a value.
    """

    def __init__(self) -> None:
        self._space: list[HyperParameter] = []  #: a parent always comes before those that depend on it
        self._by_name: dict[str, list[HyperParameter]] = {}
        self._name_scopes: list[str] = []
        self._conditions: list[Parent] = []
        self._discovered: list[HyperParameter] = []
        #: Name to value, of the active hyperparameters.
        self.values: dict[str, Any] = {}
        #: Gives the value of a hyperparameter that is met for the first time; its default where this is None.
        #: Not part of the config.
        self.draw: Callable[[HyperParameter], Value] | None = None
        #: False: asking for a hyperparameter that is not in the space is an error. Not part of the config.
        self.allow_new_entries = True
        #: The conditions of each conditional scope opened so far, by whether they held. Not part of the config.
        self.active_scopes: list[list[Parent]] = []
        self.inactive_scopes: list[list[Parent]] = []
        #: Told each conditional scope that is opened and whether it is active. Not part of the config.
        self.on_scope: Callable[[tuple[Parent, ...], bool], None] | None = None

    # The space.

    @property
    def space(self) -> list[HyperParameter]:
        return list(self._space)

    @property
    def discovered(self) -> list[HyperParameter]:
        """Those asked for and put into the space since this object was made, loaded or copied."""
        return list(self._discovered)

    def is_active(self, hyperparameter: str | HyperParameter) -> bool:
        """Whether it counts under the present values; for a name: whether any hyperparameter of that name does."""
        if isinstance(hyperparameter, HyperParameter):
            return all_active(hyperparameter.conditions, self.values)
        return any(all_active(each.conditions, self.values) for each in self._by_name.get(str(hyperparameter), ()))

    def find(self, name: str, conditions: Iterable[Parent] = ()) -> HyperParameter | None:
        """The hyperparameter of exactly this name and these conditions."""
        wanted = list(conditions)
        return next((each for each in self._by_name.get(name, ()) if each.conditions == wanted), None)

    def merge(self, hps: HyperParameters | Iterable[HyperParameter], overwrite: bool = True) -> None:
        """Takes in the hyperparameters of `hps`, not their values.

        With `overwrite`, one that has the name and conditions of one here takes its place, and active ones go back to
        their defaults; without, what is here stays.
        """
        for each in hps.space if isinstance(hps, HyperParameters) else list(hps):
            if overwrite or self.find(each.name, each.conditions) is None:
                self._register(each, overwrite)

    def ensure_active_values(self) -> None:
        """Drops the values of inactive hyperparameters and gives a value to active ones that have none.

        The value comes from `draw`, or at random where that is None.
        """
        draw = self.draw or (lambda hyperparameter: hyperparameter.random_sample())
        kept = {name: value for name, value in self.values.items() if name not in self._by_name}
        for each in self._space:
            if each.name in kept or not all_active(each.conditions, kept):
                continue
            known = each.name in self.values
            if known and len(self._by_name[each.name]) > 1:
                # The value may be that of a namesake under another condition.
                known = each.accepts(self.values[each.name])
            kept[each.name] = self.values[each.name] if known else self._plain(each, draw(each))
        self.values = kept

    def copy(self) -> HyperParameters:
        """An independent copy with the same space, values, `draw` and `allow_new_entries`; nothing is `discovered`."""
        other = HyperParameters()
        for each in self._space:
            other._add(each)
        other.values = dict(self.values)
        other.draw = self.draw
        other.allow_new_entries = self.allow_new_entries
        return other

    def get_config(self) -> dict[str, Any]:
        """Space and values as a dict of JSON's types."""
        values = {name: plain(value, f"values[{name!r}]") for name, value in self.values.items()}
        return {"space": [serialize(each) for each in self._space], "values": values}

    @classmethod
    def from_config(cls, config: Mapping[str, Any]) -> HyperParameters:
        hps = cls()
        for each in config["space"]:
            hps._add(deserialize(each))
        hps.values = dict(config["values"])
        return hps

    # The values.

    def get(self, name: str) -> Any:
        """The value of the active hyperparameter `name`, within the open name scopes."""
        name = self._scoped(name)
        if name in self.values:
            return self.values[name]
        if name in self._by_name:
            raise UsageError(f"hyperparameter {name!r} is inactive under the present values")
        raise UnknownHyperParameter(f"there is no hyperparameter {name!r}: {self._names()}")

    def __getitem__(self, name: str) -> Any:
        return self.get(name)

    def __contains__(self, name: object) -> bool:
        return self._scoped(str(name)) in self.values

    def __repr__(self) -> str:
        return f"HyperParameters(space={self._space}, values={self.values})"

    # What a build function calls.

    def Choice(
        self,
        name: str,
        values: Iterable[Value],
        ordered: bool | None = None,
        default: Value | None = None,
        parent_name: str | None = None,
        parent_values: Value | Iterable[Value] | None = None,
    ) -> Any:
        """One of `values`, all of one type; see `gpusched.hyperparameters.Choice`."""
        with self._under(parent_name, parent_values):
            return self._retrieve(discrete.Choice(self._scoped(name), values, ordered, default, self._conditions))

    def Int(
        self,
        name: str,
        min_value: int,
        max_value: int,
        step: int | None = None,
        sampling: str | None = "linear",
        default: int | None = None,
        parent_name: str | None = None,
        parent_values: Value | Iterable[Value] | None = None,
    ) -> Any:
        """A whole number, both bounds included; see `gpusched.hyperparameters.Int`."""
        with self._under(parent_name, parent_values):
            return self._retrieve(
                numeric.Int(self._scoped(name), min_value, max_value, step, sampling, default, self._conditions)
            )

    def Float(
        self,
        name: str,
        min_value: float,
        max_value: float,
        step: float | None = None,
        sampling: str | None = "linear",
        default: float | None = None,
        parent_name: str | None = None,
        parent_values: Value | Iterable[Value] | None = None,
    ) -> Any:
        """A number, both bounds included; see `gpusched.hyperparameters.Float`."""
        with self._under(parent_name, parent_values):
            return self._retrieve(
                numeric.Float(self._scoped(name), min_value, max_value, step, sampling, default, self._conditions)
            )

    def Boolean(
        self,
        name: str,
        default: bool = False,
        parent_name: str | None = None,
        parent_values: Value | Iterable[Value] | None = None,
    ) -> Any:
        """True or False."""
        with self._under(parent_name, parent_values):
            return self._retrieve(discrete.Boolean(self._scoped(name), default, self._conditions))

    def Fixed(
        self,
        name: str,
        value: Value,
        parent_name: str | None = None,
        parent_values: Value | Iterable[Value] | None = None,
    ) -> Any:
        """A value that is not tuned."""
        with self._under(parent_name, parent_values):
            return self._retrieve(discrete.Fixed(self._scoped(name), value, self._conditions))

    @contextmanager
    def name_scope(self, name: str) -> Iterator[None]:
        """Puts `name/` before the names that are used inside, those of parents included."""
        self._name_scopes.append(str(name))
        try:
            yield
        finally:
            self._name_scopes.pop()

    @contextmanager
    def conditional_scope(self, parent_name: str, parent_values: Value | Iterable[Value]) -> Iterator[None]:
        """What is asked for inside counts only while the hyperparameter `parent_name` has one of `parent_values`.

        The body runs in any case, so that its hyperparameters become known; inactive ones return None.
        """
        name = self._scoped(parent_name)
        if not any(set(each.conditions) <= set(self._conditions) for each in self._by_name.get(name, ())):
            raise UsageError(
                f"conditional_scope({name!r}): that hyperparameter is not defined here, "
                f"ask for it before the scope ({self._names()})"
            )
        self._conditions.append(Parent(name, parent_values))
        try:
            active = all_active(self._conditions, self.values)
            (self.active_scopes if active else self.inactive_scopes).append(list(self._conditions))
            if self.on_scope is not None:
                self.on_scope(tuple(self._conditions), active)
            yield
        finally:
            self._conditions.pop()

    # Inside.

    def _under(
        self, parent_name: str | None, parent_values: Value | Iterable[Value] | None
    ) -> AbstractContextManager[None]:
        if not parent_name:
            return nullcontext()
        return self.conditional_scope(parent_name, () if parent_values is None else parent_values)

    def _scoped(self, name: str) -> str:
        return "/".join([*self._name_scopes, str(name)])

    def _names(self) -> str:
        return f"there are {', '.join(map(repr, self._by_name))}" if self._by_name else "there are none yet"

    def _retrieve(self, asked: HyperParameter) -> Any:
        if self.find(asked.name, asked.conditions) is None:
            if not self.allow_new_entries:
                raise UsageError(
                    f"{asked.label} is not in the given hyperparameters ({self._names()}) "
                    "and allow_new_entries is False: add it there or allow new entries"
                )
            self._register(asked)
            self._discovered.append(asked)
        elif asked.name not in self.values and self.is_active(asked):
            self._give(asked)
        return self.values[asked.name] if self.is_active(asked) else None

    def _register(self, new: HyperParameter, overwrite: bool = False) -> None:
        if any(condition.name == new.name for condition in new.conditions):
            raise UsageError(f"{new.label}: a conditional hyperparameter cannot have the same name as its parent")
        self._add(new)
        if self.is_active(new):
            if overwrite:
                self.values[new.name] = new.default
            elif new.name not in self.values:
                self._give(new)

    def _add(self, new: HyperParameter) -> None:
        present = self.find(new.name, new.conditions)
        if present is None:
            self._space.append(new)
            self._by_name.setdefault(new.name, []).append(new)
            return
        for row in (self._space, self._by_name[new.name]):
            row[next(i for i, each in enumerate(row) if each is present)] = new

    def _give(self, each: HyperParameter) -> None:
        self.values[each.name] = each.default if self.draw is None else self._plain(each, self.draw(each))

    @staticmethod
    def _plain(each: HyperParameter, value: Any) -> Value:
        return plain(value, f"{each.label}: the value drawn")
