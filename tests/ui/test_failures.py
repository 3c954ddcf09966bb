"""Why trials failed, for people: grouped, cut and with the line of their own code."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import pytest

from gpusched.core.outcome import Failure
from gpusched.core.trial import Trial, TrialState
from gpusched.oracles import Job
from gpusched.ui import failures
from gpusched.ui.report.data import collect

KERAS = (
    "Exception encountered when calling Dense.call().\n\n\x1b[1mMatrix size-incompatible: In[0]: [32,5], In[1]: [4,10] "
    "[Op:MatMul]\x1b[0m\n\nArguments received by Dense.call():\n  • inputs=tf.Tensor(shape=(32, 5), dtype=float32)\n"
    "  • training=None"
)
GRAPH = (
    'Graph execution error:\n\nDetected at node sequential/dense/MatMul defined at (most recent call last):\n File "a",'
    ' line 5, in <module>\n\n  File "/keras/trainer.py", line 117, in error_handler\n\nMatrix size-incompatible: '
    "In[0]: [32,5], In[1]: [4,10]\n\t [[{{node sequential/dense/MatMul}}]] [Op:__inference_one_step_on_iterator_1]"
)


def lost(trial: int, message: str, *, kind: str = "ValueError", where: str = "train.py:5") -> Trial:
    failure = Failure(kind=kind, message=message, where=where)
    return Trial(trial, Job(trial, {}, 0, 1), state=TrialState.FAILED, failure=failure)


@pytest.mark.parametrize(
    ("message", "brief"),
    [
        ("no such layer", "ValueError: no such layer (train.py:5)"),
        (KERAS, "ValueError: Matrix size-incompatible: In[0]: [32,5], In[1]: [4,10] [Op:MatMul] (train.py:5)"),
        (
            GRAPH,
            "ValueError: sequential/dense/MatMul: Matrix size-incompatible: In[0]: [32,5], In[1]: [4,10] (train.py:5)",
        ),
        ("", "ValueError (train.py:5)"),
    ],
)
def test_a_message_is_what_is_wrong_and_where(message: str, brief: str) -> None:
    """What frameworks put around an error's one sentence is left out of a line for people."""
    assert lost(0, message).failure.brief == brief  # type: ignore[union-attr]


def test_a_long_message_is_cut_between_words() -> None:
    """A line stays readable, and says that there is more."""
    brief = lost(0, "a tensor of another shape " * 20).failure.brief  # type: ignore[union-attr]
    assert len(brief) < 240
    assert brief.endswith(" … (train.py:5)")


def test_trials_that_failed_alike_stand_together() -> None:
    """One line for each reason, the most frequent first; numbers in a message make no other reason of it."""
    trials = [lost(i, f"no room for {i * 8} units") for i in (0, 1, 2, 5, 6, 9)]
    trials += [lost(7, "no room for 3 units", where="train.py:9"), lost(3, "nan", kind="nan", where="")]
    assert failures.lines(trials, "runs/a") == [
        "failed: 6 trials (0 to 2, 5, 6, 9): ValueError: no room for 0 units (train.py:5)",
        "failed: trial 3: nan",
        "failed: trial 7: ValueError: no room for 3 units (train.py:9)",
        "`gpusched logs runs/a 0` shows the whole error, `gpusched retry runs/a` trains failed trials again",
    ]
    assert failures.lines([], "runs/a") == []


def test_many_reasons_are_counted() -> None:
    """Beyond five, reasons are counted and not listed."""
    trials = [lost(i, "other", where=f"train.py:{i}") for i in range(9)]
    assert failures.lines(trials)[5] == "failed: 4 more trials, for 4 other reasons"


def test_trials_that_were_stopped_are_not_failures() -> None:
    """What a person has stopped is no error."""
    stopped = Trial(0, Job(0, {}, 0, 1), state=TrialState.STOPPED)
    assert failures.groups([stopped]) == []


def test_the_page_has_the_groups(make_run: Callable[..., Any]) -> None:
    """One entry for all trials that failed alike, each trial with its reason."""
    made = make_run(failing={3, 4, 9}, algorithm="random", max_epochs=2, max_trials=10).finish()
    data = collect(made.run, None)
    assert data["failures"] == [{"reason": "3 trials (3, 4, 9): ValueError: units is odd", "trials": [3, 4, 9]}]
    assert [trial["reason"] for trial in data["trials"] if "reason" in trial] == ["ValueError: units is odd"] * 3
