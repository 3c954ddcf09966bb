"""How much one value explains, and what is advised."""

from __future__ import annotations

import random
from typing import Any

import pytest

from gpusched.ui.report.importance import comparable_epoch, importance


def test_what_decides_stands_first() -> None:
    """A value that decides the score explains nearly all of it, one that does nothing next to nothing."""
    draw = random.Random(0)
    values = [{"lr": draw.random(), "noise": draw.random(), "kind": draw.choice("ab")} for _ in range(300)]
    found = importance(values, [each["lr"] ** 2 for each in values])
    assert next(iter(found)) == "lr"
    assert found["lr"] == pytest.approx(1.0, abs=0.05)
    assert found["noise"] == pytest.approx(0.0, abs=0.05)
    assert found["kind"] == pytest.approx(0.0, abs=0.05)


def test_values_that_count_together() -> None:
    """Neither of two values says anything alone where only their product counts; both are named."""
    draw = random.Random(0)
    values = [{"a": draw.choice([-1, 1]), "b": draw.choice([-1, 1]), "c": draw.random()} for _ in range(120)]
    found = importance(values, [each["a"] * each["b"] for each in values])
    assert [name for name, share in found.items() if share and share > 0.5] == ["a", "b"]


def test_a_conditional_value_counts_where_it_is_active() -> None:
    """Trials without the hyperparameter are compared too: that they have none is known."""
    draw = random.Random(0)
    values: list[dict[str, Any]] = [{"depth": draw.choice([1, 2])} for _ in range(120)]
    for each in values:
        if each["depth"] == 2:
            each["second"] = draw.random()
    found = importance(values, [each.get("second", 0.5) for each in values])
    assert list(found) == ["second", "depth"]
    assert found["second"] == pytest.approx(1.0, abs=0.15)


def test_noise_is_not_explained() -> None:
    """Scores that no value explains give None, not the largest of meaningless numbers."""
    draw = random.Random(0)
    values = [{"x": draw.random(), "y": draw.random()} for _ in range(60)]
    assert importance(values, [draw.random() for _ in values]) == {"x": None, "y": None}


def test_a_diverged_trial_does_not_decide() -> None:
    """Scores count by rank: NaN is worst, and no worse than that."""
    values = [{"x": i % 2} for i in range(20)]
    scores = [float(i % 2) for i in range(19)] + [float("nan")]
    assert importance(values, scores)["x"] == pytest.approx(1.0, abs=0.2)


def test_many_trials_are_sampled() -> None:
    """Of more trials than the forest needs, evenly spread ones say the same."""
    draw = random.Random(0)
    values = [{"lr": draw.random(), "noise": draw.random()} for _ in range(3000)]
    found = importance(values, [each["lr"] ** 2 for each in values])
    assert found == {"lr": pytest.approx(1.0, abs=0.05), "noise": pytest.approx(0.0, abs=0.05)}


def test_too_little_says_nothing() -> None:
    """Few trials, or one value: None, not a made-up number."""
    assert importance([{"x": i} for i in range(5)], [1.0, 2.0, 3.0, 4.0, 5.0]) == {"x": None}
    assert importance([{"x": 1}] * 20, [float(i) for i in range(20)]) == {"x": None}
    assert importance([{"x": i % 2} for i in range(20)], [1.0] * 20) == {"x": None}


def test_trials_are_compared_where_half_of_them_have_been() -> None:
    """The latest epoch that at least half have reached."""
    assert comparable_epoch([1, 1, 3, 9]) == 3
    assert comparable_epoch([2, 2, 2]) == 2
    assert comparable_epoch([0, 0]) == 0
