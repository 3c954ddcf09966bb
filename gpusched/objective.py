"""What a search optimises: the name of a metric and which way is better.

Knows Keras's names of metrics and losses, from which it infers the direction, without importing Keras. Refuses to
know how scores of several epochs or executions become one.
"""

from __future__ import annotations

import math
import re
from collections.abc import Iterable, Iterator, Mapping
from dataclasses import dataclass
from typing import Any, Literal, cast, overload

from gpusched.errors import UsageError
from gpusched.hyperparameters.conditions import WrongType

Direction = Literal["min", "max"]

#: The name of an objective that was not given, see Objective.parse.
DEFAULT = "default_objective"

# Names as Keras 3 logs them. A name that is a loss here and its opposite, a metric, there (cosine_similarity, dice,
# tversky) is in neither list: guessing wrong would search for the worst model. Keras Tuner 1.4 minimises every metric
# that it does not list, f1_score and r2_score among them.
_MAX_NAMES = """
    acc accuracy binary_accuracy categorical_accuracy sparse_categorical_accuracy top_k_categorical_accuracy
    sparse_top_k_categorical_accuracy true_positives true_negatives precision recall auc sensitivity_at_specificity
    specificity_at_sensitivity precision_at_recall recall_at_precision f1_score fbeta_score f_beta_score r2_score
    io_u iou binary_io_u binary_iou mean_io_u mean_iou one_hot_io_u one_hot_iou one_hot_mean_io_u one_hot_mean_iou
    concordance_correlation pearson_correlation
"""
_MIN_NAMES = """
    loss ce crossentropy bce mse mae mape msle kld rmse binary_crossentropy binary_focal_crossentropy
    categorical_crossentropy categorical_focal_crossentropy sparse_categorical_crossentropy categorical_hinge hinge
    squared_hinge huber poisson log_cosh log_cosh_error logcosh kl_divergence mean_absolute_error
    mean_absolute_percentage_error mean_squared_error mean_squared_logarithmic_error root_mean_squared_error
    false_positives false_negatives ctc
"""
_MAX = frozenset(_MAX_NAMES.split())
_MIN = frozenset(_MIN_NAMES.split())
#: Where a class's name has an underscore as a metric: MeanSquaredError, R2Score.
_CLASSES = re.compile(r"(?<=[a-z0-9])(?=[A-Z])|(?<=[A-Z])(?=[A-Z][a-z])")


def infer_direction(name: str) -> Direction | None:
    """Which way `name` is better, by Keras's names of metrics and losses; None where that is not known.

    `val_` and `weighted_` in front, and the number that Keras puts behind a second metric of one name (`auc_1`), do not
    matter; a class's name (`val_AUC`) says the same as the metric's.
    """
    bare = re.sub(r"_\d+$", "", name.removeprefix("val_").removeprefix("weighted_"))
    for known in (bare, bare.lower(), _CLASSES.sub("_", bare).lower()):
        if known in _MAX:
            return "max"
        if known in _MIN:
            return "min"
    return None


def _is_finite(value: float) -> bool:
    try:
        return math.isfinite(value)
    except OverflowError:  # A whole number beyond all floats.
        return False


@dataclass(frozen=True, slots=True, eq=False)
class Objective:
    """The metric `name`, to be minimised (`"min"`) or maximised (`"max"`).

    A score is a float; None, NaN and the infinities mean that there is none, and are worse than any that is: JSON has
    no form for them, and a search that is read back must decide as it did.
    """

    name: str
    direction: Direction

    def __post_init__(self) -> None:
        if not isinstance(self.name, str) or not self.name:
            raise UsageError(f"Objective: name must be the name of a metric, not {self.name!r}")
        if self.direction not in ("min", "max"):
            raise UsageError(f"Objective({self.name!r}): direction must be 'min' or 'max', not {self.direction!r}")

    @overload
    @staticmethod
    def parse(spec: str | Objective | None) -> Objective: ...
    @overload
    @staticmethod
    def parse(spec: list[Any] | tuple[Any, ...]) -> list[Objective]: ...
    @overload
    @staticmethod
    def parse(spec: Any) -> Objective | list[Objective]: ...
    @staticmethod
    def parse(spec: Any) -> Objective | list[Objective]:
        """The objective that `spec` names: `"val_accuracy"`, `"val_f1:max"`, an Objective; a list of them for a list.

        None stands for what a loop of one's own returns: `default_objective`, minimised, as in Keras Tuner. Raises
        UsageError for a name whose direction is neither given nor known.
        """
        match spec:
            case None:
                return DefaultObjective()
            case MultiObjective():
                return _parse_several(spec.objectives)
            case Objective():
                return spec
            case str():
                return _parse(spec)
            case list() | tuple():
                return _parse_several(spec)
            case _:
                raise WrongType(
                    f"objective {spec!r} is not understood: give the name of a metric, an Objective or a list of them"
                )

    @property
    def worst(self) -> float:
        """A number that no score is worse than."""
        return math.inf if self.direction == "min" else -math.inf

    def of(self, metrics: Mapping[str, Any]) -> float | None:
        """The score among an epoch's metrics; None where it is missing or not finite."""
        value = metrics.get(self.name)
        if value is None:
            return None
        return float(value) if _is_finite(value) else None

    def rank(self, score: float | None) -> float:
        """A key to sort scores by: the smaller, the better; infinity for a score that is not there."""
        if score is None or not _is_finite(score):
            return math.inf
        return score if self.direction == "min" else -score

    def better(self, a: float | None, b: float | None) -> bool:
        """Whether score `a` is strictly better than `b`."""
        return self.rank(a) < self.rank(b)

    def best(self, scores: Iterable[float | None]) -> float | None:
        """The best of the scores; None where there is none."""
        found = min(scores, key=self.rank, default=None)
        return None if found is None or not _is_finite(found) else found

    # As Keras Tuner's own objectives are asked.

    def has_value(self, logs: Mapping[str, Any]) -> bool:
        """Whether an epoch's metrics have the objective among them."""
        return self.name in logs

    def get_value(self, logs: Mapping[str, Any]) -> Any:
        """The objective among an epoch's metrics. Raises KeyError where it is not among them."""
        return logs[self.name]

    def better_than(self, a: float, b: float) -> bool:
        """Whether `a` is strictly better than `b`; NaN is better than nothing, and nothing is better than NaN."""
        return a > b if self.direction == "max" else a < b

    @property
    def spec(self) -> str:
        """As the command line takes it: `val_accuracy:max`."""
        return f"{self.name}:{self.direction}"

    def get_config(self) -> dict[str, str]:
        return {"name": self.name, "direction": self.direction}

    @classmethod
    def from_config(cls, config: Mapping[str, Any]) -> Objective:
        return cls(config["name"], config["direction"])

    def __eq__(self, other: object) -> bool:
        if not isinstance(other, Objective) or isinstance(other, MultiObjective):
            return NotImplemented
        return (self.name, self.direction) == (other.name, other.direction)

    def __hash__(self) -> int:
        return hash((self.name, self.direction))

    def __str__(self) -> str:
        return f'Objective(name="{self.name}", direction="{self.direction}")'


class DefaultObjective(Objective):
    """What a loop of one's own returns, minimised: stands where no objective is given."""

    __slots__ = ()

    def __init__(self) -> None:
        super().__init__(DEFAULT, "min")


@dataclass(frozen=True, slots=True, eq=False, init=False, repr=False)
class MultiObjective(Objective):
    """Several objectives, in the order given; it can be iterated like the list of them.

    Its value is Keras Tuner's: the sum of all, those to be maximised with a minus, to be minimised.
    """

    objectives: list[Objective]

    def __init__(self, objectives: Iterable[Objective]) -> None:
        Objective.__init__(self, "multi_objective", "min")
        object.__setattr__(self, "objectives", list(objectives))

    @property
    def name_to_direction(self) -> dict[str, Direction]:
        return {each.name: each.direction for each in self.objectives}

    def has_value(self, logs: Mapping[str, Any]) -> bool:
        return all(each.has_value(logs) for each in self.objectives)

    def get_value(self, logs: Mapping[str, Any]) -> Any:
        return sum(
            logs[name] if direction == "min" else -logs[name] for name, direction in self.name_to_direction.items()
        )

    def __iter__(self) -> Iterator[Objective]:
        return iter(self.objectives)

    def __len__(self) -> int:
        return len(self.objectives)

    def __getitem__(self, index: int) -> Objective:
        return self.objectives[index]

    def __eq__(self, other: object) -> bool:
        if not isinstance(other, MultiObjective | list | tuple):
            return NotImplemented
        return sorted(map(str, self)) == sorted(map(str, other))

    def __hash__(self) -> int:
        return hash(frozenset(self.objectives))

    def __str__(self) -> str:
        return f'MultiObjective(name="{self.name}", direction="{self.direction}"): [{", ".join(map(str, self))}]'

    __repr__ = __str__


def create_objective(given: Any) -> Objective:
    """The one Objective that `given` stands for: a MultiObjective for a list. Raises as `Objective.parse`."""
    if isinstance(given, list | tuple):
        return MultiObjective(create_objective(each) for each in given)
    return given if isinstance(given, MultiObjective) else Objective.parse(given)


def _meant(text: str) -> str | None:
    """The metric of Keras's that somebody means who mistypes its name; None where none is like it."""
    import difflib

    prefix = "val_" if text.startswith("val_") else ""
    close = difflib.get_close_matches(text.removeprefix("val_"), sorted(_MAX | _MIN), 1, cutoff=0.75)
    return f"{prefix}{close[0]}" if close else None


def _parse(text: str) -> Objective:
    name, colon, direction = text.rpartition(":")
    if colon:
        return Objective(name, cast(Direction, direction))
    inferred = infer_direction(text)
    if inferred is None:
        like = _meant(text)
        raise UsageError(
            f"objective {text!r}: {f'did you mean {like!r}? If not, ' if like else ''}whether more or less of it is "
            f'better is not known, say Objective("{text}", "max") or "min" '
            f"(on the command line: --objective {text}:max)"
        )
    return Objective(text, inferred)


def _parse_several(specs: list[Any] | tuple[Any, ...]) -> list[Objective]:
    if not specs:
        raise UsageError("objective is an empty list: name at least one metric")
    found: list[Objective] = []
    for spec in specs:
        if not isinstance(spec, str | Objective):
            raise UsageError(
                f"objective {spec!r} in a list is not understood: give the name of a metric or an Objective"
            )
        objective = Objective.parse(spec)
        if objective.name in {each.name for each in found}:
            raise UsageError(f"objective {objective.name!r} is in the list twice: name it once")
        found.append(objective)
    return found
