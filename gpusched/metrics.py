"""What the executions of a trial reported, metric by metric and step by step, in Keras Tuner's terms.

Knows which way a metric is better by its name, without importing Keras. Refuses to know where the values come from.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Iterable, Mapping
from typing import Any

from gpusched.errors import UsageError
from gpusched.objective import Direction, infer_direction


def infer_metric_direction(metric: Any) -> Direction | None:
    """Which way a metric or a loss of Keras is better; None for one that Keras does not have.

    Args:
        metric: its name (`val_` and `weighted_` in front do not matter), the class, an instance, or the function.
    """
    if isinstance(metric, str):
        return infer_direction(metric)
    if hasattr(metric, "__name__"):
        return infer_direction(metric.__name__)
    # Keras wraps its functions in this class.
    function = getattr(metric, "_fn", None) if type(metric).__name__ == "MeanMetricWrapper" else None
    return infer_direction(getattr(function, "__name__", type(metric).__name__))


class MetricObservation:
    """The values of a metric at one step: one for each execution.

    Args:
        value: a number, or a list of them.
        step: of the training, as whoever reports it counts.
    """

    def __init__(self, value: float | list[float], step: int) -> None:
        self.value = list(value) if isinstance(value, list) else [value]
        self.step = step

    def append(self, value: float | list[float]) -> None:
        """Adds the values of further executions."""
        self.value += value if isinstance(value, list) else [value]

    def mean(self) -> float:
        return math.fsum(self.value) / len(self.value)

    def get_config(self) -> dict[str, Any]:
        return {"value": self.value, "step": self.step}

    @classmethod
    def from_config(cls, config: Mapping[str, Any]) -> MetricObservation:
        return cls(config["value"], config["step"])

    def __eq__(self, other: object) -> bool:
        if not isinstance(other, MetricObservation):
            return NotImplemented
        return (self.value, self.step) == (other.value, other.step)

    __hash__ = None  # type: ignore[assignment]

    def __repr__(self) -> str:
        return f"MetricObservation(value={self.value}, step={self.step})"


class MetricHistory:
    """The observations of one metric.

    Args:
        direction: which way it is better, "min" or "max".
    """

    def __init__(self, direction: str = "min") -> None:
        if direction not in ("min", "max"):
            raise UsageError(f"MetricHistory: `direction` should be one of 'min' and 'max', not {direction!r}")
        self.direction = direction
        self._observations: dict[int, MetricObservation] = {}

    def update(self, value: float | list[float], step: int) -> None:
        """Adds a value at `step`, beside those that are there."""
        if step in self._observations:
            self._observations[step].append(value)
        else:
            self._observations[step] = MetricObservation(value, step)

    def get_history(self) -> list[MetricObservation]:
        """The observations by step."""
        return sorted(self._observations.values(), key=lambda each: each.step)

    def set_history(self, observations: Iterable[MetricObservation]) -> None:
        """Adds these observations to those that are there."""
        for each in observations:
            self.update(each.value, each.step)

    def _best(self) -> MetricObservation | None:
        sign = 1 if self.direction == "min" else -1
        known = [each for each in self._observations.values() if not math.isnan(each.mean())]
        return min(known, key=lambda each: sign * each.mean(), default=None)

    def get_best_value(self) -> float | None:
        """The best mean over executions; None without observations, NaN where all of them are."""
        best = self._best()
        if best is None:
            return math.nan if self._observations else None
        return best.mean()

    def get_best_step(self) -> int | None:
        """The step of the best value, the first observed of equal ones; None where there is none."""
        best = self._best()
        return None if best is None else best.step

    def get_last_value(self) -> float | None:
        """The mean over executions at the last step; None without observations."""
        history = self.get_history()
        return history[-1].mean() if history else None

    def get_statistics(self) -> dict[str, float]:
        """min, max, mean, median, var and std over the steps, NaN left out; empty without observations."""
        import numpy as np

        values = [each.mean() for each in self.get_history()]
        if not values:
            return {}
        kinds: dict[str, Callable[[Any], Any]] = {"min": np.nanmin, "max": np.nanmax, "mean": np.nanmean}
        kinds |= {"median": np.nanmedian, "var": np.nanvar, "std": np.nanstd}
        return {name: float(of(values)) for name, of in kinds.items()}

    def get_config(self) -> dict[str, Any]:
        return {"direction": self.direction, "observations": [each.get_config() for each in self.get_history()]}

    @classmethod
    def from_config(cls, config: Mapping[str, Any]) -> MetricHistory:
        history = cls(config["direction"])
        history.set_history(MetricObservation.from_config(each) for each in config["observations"])
        return history


class MetricsTracker:
    """The histories of all metrics of a trial, by name.

    Args:
        metrics: Keras metrics to begin with.
    """

    def __init__(self, metrics: Iterable[Any] | None = None) -> None:
        self.metrics: dict[str, MetricHistory] = {}
        self.register_metrics(metrics)

    def exists(self, name: str) -> bool:
        return name in self.metrics

    def register_metrics(self, metrics: Iterable[Any] | None = None) -> None:
        """Makes room for Keras metrics, by their names."""
        for each in metrics or ():
            self.register(each.name)

    def register(self, name: str, direction: str | None = None) -> None:
        """Makes room for a metric; its direction is inferred, or "min", where it is not given.

        Raises UsageError where it is there.
        """
        if self.exists(name):
            raise UsageError(f"metric {name!r} already exists: there are {self._names()}")
        self.metrics[name] = MetricHistory(direction or infer_metric_direction(name) or "min")

    def update(self, name: str, value: float, step: int = 0) -> bool:
        """Adds a value, registering the metric where it is new; returns whether the best value has changed."""
        if not self.exists(name):
            self.register(name)
        before = self.metrics[name].get_best_value()
        self.metrics[name].update(float(value), step)
        return self.metrics[name].get_best_value() != before

    def set_history(self, name: str, observations: Iterable[MetricObservation]) -> None:
        """Adds observations, registering the metric where it is new."""
        if not self.exists(name):
            self.register(name)
        self.metrics[name].set_history(observations)

    def get_history(self, name: str) -> list[MetricObservation]:
        return self._history(name).get_history()

    def get_best_value(self, name: str) -> float | None:
        return self._history(name).get_best_value()

    def get_best_step(self, name: str) -> int | None:
        return self._history(name).get_best_step()

    def get_last_value(self, name: str) -> float | None:
        return self._history(name).get_last_value()

    def get_statistics(self, name: str) -> dict[str, float]:
        return self._history(name).get_statistics()

    def get_direction(self, name: str) -> str:
        return self._history(name).direction

    def get_config(self) -> dict[str, Any]:
        return {"metrics": {name: each.get_config() for name, each in self.metrics.items()}}

    @classmethod
    def from_config(cls, config: Mapping[str, Any]) -> MetricsTracker:
        tracker = cls()
        tracker.metrics = {name: MetricHistory.from_config(each) for name, each in config["metrics"].items()}
        return tracker

    def _history(self, name: str) -> MetricHistory:
        if name not in self.metrics:
            raise UsageError(f"Unknown metric: {name!r} (there are {self._names()})")
        return self.metrics[name]

    def _names(self) -> str:
        return ", ".join(self.metrics) or "none"
