"""What one types to see some trials only."""

from __future__ import annotations

import pytest

from gpusched.ui.top.filtering import filtered
from gpusched.ui.top.rows import Column, TrialRow, ordered

ROWS = [
    TrialRow(
        trial=1, state="completed", epochs=9, score=0.91, rank=-0.91, seconds=5.0, values={"lr": 0.01, "opt": "adam"}
    ),
    TrialRow(
        trial=2, state="failed", epochs=0, score=None, rank=float("inf"), seconds=1.0, values={"lr": 0.1, "opt": "sgd"}
    ),
    TrialRow(trial=12, state="running", epochs=3, score=0.5, rank=-0.5, seconds=3.0, values={"lr": 1e-3, "bn": True}),
]
COLUMNS = [
    *(Column(key, key) for key in ("trial", "state", "epochs")),
    Column("score", "val_accuracy"),
    *(Column(f"hp {name}", name) for name in ("lr", "opt", "bn")),
]


@pytest.mark.parametrize(
    ("text", "trials"),
    [
        ("", [1, 2, 12]),
        ("12", [12]),
        ("fail", [2]),
        ("ADAM", [1]),
        ("lr<0.05", [1, 12]),
        ("lr<=0.01 lr>=0.01", [1]),
        ("lr=0.1", [2]),
        ("lr!=0.1", [1, 12]),
        ("opt=sgd", [2]),
        ("bn=true", [12]),
        ("score>0.6", [1]),
        ("val_acc>0.4 running", [12]),
        ("epochs=0", [2]),
        ("state=running", [12]),
        ("lr<", [1, 2, 12]),
        ("lr<x", []),
        ("nothing=3", []),
    ],
)
def test_words_that_must_all_hold(text: str, trials: list[int]) -> None:
    """A number is a trial, a comparison is of a column, any other word is in a cell; none yet while one types."""
    assert [row.trial for row in filtered(ROWS, COLUMNS, text)] == trials


@pytest.mark.parametrize("reverse", [False, True])
@pytest.mark.parametrize("order", ["score", "hp opt", "hp bn"])
def test_what_has_no_value_comes_last(order: str, reverse: bool) -> None:
    """Sorted either way."""
    missing = {"score": [2], "hp opt": [12], "hp bn": [1, 2]}[order]
    assert [row.trial for row in ordered(ROWS, order, reverse=reverse)][-len(missing) :] == missing
