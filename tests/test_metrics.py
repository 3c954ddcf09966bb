"""The metrics of a trial, by Keras Tuner's names."""

import math

import pytest

from gpusched.errors import UsageError
from gpusched.metrics import MetricHistory, MetricObservation, MetricsTracker, infer_metric_direction


def tracker(**values):
    made = MetricsTracker()
    for name, each in values.items():
        made.set_history(name, [MetricObservation(value, step) for step, value in enumerate(each)])
    return made


def test_best_and_last_are_those_of_the_metric_s_direction():
    """A loss is best where it is least, an accuracy where it is most, an unknown metric where it is least."""
    seen = tracker(val_loss=[3.0, 1.0, 2.0], val_accuracy=[0.3, 0.9, 0.5], mine=[1.0, 0.0])
    got = {
        name: (seen.get_best_value(name), seen.get_best_step(name), seen.get_last_value(name)) for name in seen.metrics
    }
    assert got == {"val_loss": (1.0, 1, 2.0), "val_accuracy": (0.9, 1, 0.5), "mine": (0.0, 1, 0.0)}
    assert [seen.get_direction(name) for name in seen.metrics] == ["min", "max", "min"]


def test_executions_are_averaged():
    """Values at one step are executions of it, and their mean is what counts."""
    history = MetricHistory("max")
    for value, step in ((1.0, 0), (3.0, 0), (1.5, 1)):
        history.update(value, step)
    assert history.get_history() == [MetricObservation([1.0, 3.0], 0), MetricObservation(1.5, 1)]
    assert (history.get_best_value(), history.get_best_step(), history.get_last_value()) == (2.0, 0, 1.5)


def test_nan_is_never_the_best_value():
    """NaN loses against any number; where there is nothing else, there is no best step."""
    seen = tracker(loss=[math.nan, 2.0], broken=[math.nan])
    assert (seen.get_best_value("loss"), seen.get_best_step("loss")) == (2.0, 1)
    assert math.isnan(seen.get_best_value("broken"))
    assert seen.get_best_step("broken") is None


def test_update_says_whether_the_best_value_changed():
    """The first value and a better one do, a worse one does not."""
    made = MetricsTracker()
    assert [made.update("loss", value, step) for step, value in enumerate([2.0, 3.0, 1.0])] == [True, False, True]


def test_statistics_are_over_the_steps():
    """Six figures, none where nothing was observed."""
    seen = tracker(loss=[1.0, 2.0, 3.0])
    seen.register("none")
    assert seen.get_statistics("loss") == {
        "min": 1.0,
        "max": 3.0,
        "mean": 2.0,
        "median": 2.0,
        "var": pytest.approx(2 / 3),
        "std": pytest.approx(math.sqrt(2 / 3)),
    }
    assert (seen.get_statistics("none"), seen.get_best_value("none"), seen.get_last_value("none")) == ({}, None, None)


def test_metrics_come_back_from_their_config():
    """What is written down is all there is."""
    seen = tracker(val_loss=[1.0, 0.5], acc=[0.5])
    assert MetricsTracker.from_config(seen.get_config()).get_config() == seen.get_config()


def test_wrong_metrics_are_refused_by_name():
    """A metric that is not there, is there already, or has no such direction is named."""
    seen = tracker(loss=[1.0])
    for ask, words in (
        (lambda: seen.get_history("acc"), "Unknown metric: 'acc'.*loss"),
        (lambda: seen.register("loss"), "'loss' already exists"),
        (lambda: seen.register("other", "up"), "one of 'min' and 'max', not 'up'"),
    ):
        with pytest.raises(UsageError, match=words):
            ask()


class Precision:
    """Named like a metric of Keras."""


class MeanMetricWrapper:
    """As Keras wraps a function."""

    def __init__(self, function):
        self._fn = function


def hinge():
    """Named like a loss of Keras."""


def test_the_direction_of_a_metric_object_is_that_of_its_name():
    """An instance, a class, a function and a wrapped function say the same as the name."""
    given = (Precision(), Precision, hinge, MeanMetricWrapper(hinge), "val_weighted_ce", tracker)
    assert [infer_metric_direction(each) for each in given] == ["max", "max", "min", "min", "min", None]
