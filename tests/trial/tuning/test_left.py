"""What trials leave in the attributes of a tuner, brought to the tuner of the process that searches."""

from __future__ import annotations

import copy
import io
import pickle
from contextlib import redirect_stdout
from pathlib import Path
from typing import Any

import numpy as np

import gpusched as gs
from gpusched.trial.tuning.left import Left, bring_back


class Noting(gs.RandomSearch):
    """Its run_trial is not called here: these tests change the attributes themselves."""

    def __init__(self, **notes: Any) -> None:
        super().__init__(objective="loss")
        self.notes = notes
        self.__dict__.update(notes)

    def run_trial(self, trial: Any, *args: Any, **kwargs: Any) -> Any:
        raise AssertionError


def leave(tuner: Noting, file: Path, **changed: Any) -> bool:
    """A trial's copy changes so; whether it leaves a file."""
    trial = copy.deepcopy(tuner)
    left = Left(trial)
    trial.__dict__.update(changed)
    left.write(file)
    return file.exists()


def logs(trial: str) -> dict[str, Any]:
    """A note of one trial inside a note of each trial."""
    noted: dict[str, Any] = {"a": {"r": [0]}, "b": {"r": []}}
    noted[trial]["r"].append(1)
    return {"logs": noted}


def test_trials_beside_each_other_add_up(place: Path) -> None:
    """Both start from the same attributes, and neither takes away what the other has brought."""
    tuner = Noting(logs={"a": {"r": [0]}, "b": {"r": []}}, kinds={"old": 1}, scores=[0.5], count=3, best=None)
    one, other = place / "one", place / "other"
    assert leave(tuner, one, kinds={"old": 1, "a": 2}, scores=[0.5, 0.6], count=4, best=0.6, new=["x"], **logs("a"))
    assert leave(tuner, other, kinds={"old": 1, "b": 3}, scores=[0.5, 0.7], count=4, best=0.7, new=["y"], **logs("b"))
    for file in (one, other):
        bring_back(tuner, file)
    told = {name: getattr(tuner, name) for name in ("kinds", "scores", "count", "best", "new", "logs")}
    assert told == {
        "kinds": {"old": 1, "a": 2, "b": 3},
        "scores": [0.5, 0.6, 0.7],
        "count": 5,
        "best": 0.7,
        "new": ["x", "y"],
        "logs": {"a": {"r": [0, 1]}, "b": {"r": [1]}},
    }
    bring_back(tuner, one)  # Once.
    assert tuner.__dict__["count"] == 5


def test_data_and_objects_stay_where_they_are(place: Path) -> None:
    """Notes travel; what is large, and what is no note, does not, nor does what has not changed."""
    data = np.zeros(1 << 20)
    assert not leave(Noting(data=data, log=[]), place / "left", data=data + 1, log=[], model=object())
    tuner = Noting(curve=np.zeros(3))
    assert leave(tuner, place / "left", curve=np.ones(3))
    bring_back(tuner, place / "left")
    assert tuner.__dict__["curve"].tolist() == [1.0, 1.0, 1.0]


def test_a_file_of_somebody_else_runs_no_code(place: Path) -> None:
    """Only plain values are made from it; what is not, or is damaged, is left out, and the rest is brought back."""

    class Evil:
        def __reduce__(self) -> Any:
            return print, ("run",)

    tuner, file = Noting(count=1), place / "left"
    evil = pickle.dumps(("tuner", "evil", "set", Evil()))
    good = pickle.dumps(("tuner", "count", "add", 2))
    whole = pickle.dumps([evil, good[:-4], b"\x80\x05garbage", pickle.dumps(7), good])
    file.write_bytes(whole)
    with redirect_stdout(io.StringIO()) as printed:
        bring_back(tuner, file)
        for damaged in (whole[:-3], b"", b"\xff" * 50, pickle.dumps(Evil())):
            file.write_bytes(damaged)
            bring_back(tuner, file)
    assert tuner.__dict__["count"] == 3
    assert "evil" not in tuner.__dict__
    assert printed.getvalue() == ""


def test_a_tuner_without_methods_of_its_own_leaves_nothing(place: Path) -> None:
    """Where our training alone is at work there is nobody who could take notes."""
    left = Left(gs.RandomSearch(lambda hp: None, "loss"))
    left.write(place / "left")
    assert not (place / "left").exists()
