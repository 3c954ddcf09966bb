"""A run directory against its journal."""

from __future__ import annotations

import json
import re
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from gpusched.errors import UsageError
from gpusched.runtime.reader import Run
from gpusched.ui.verify import verify


def complaints(made: Any) -> list[str]:
    return [line.replace(str(made.dir.path) + "/", "") for line in verify(Run.open(made.dir.path)).complaints]


@pytest.mark.parametrize("algorithm", ["hyperband", "random"])
def test_a_sound_run_is_sound(make_run: Callable[..., Any], algorithm: str) -> None:
    """Failures included, every decision is what the rules say and every file what the journal says."""
    arguments = {} if algorithm == "hyperband" else {"max_epochs": 2, "max_trials": 6}
    made = make_run(algorithm=algorithm, failing={1, 4}, **arguments).finish()
    assert complaints(made) == []


def test_a_run_at_work_is_sound(make_run: Callable[..., Any]) -> None:
    """Trials in training have no end yet; that is nothing to complain of."""
    made = make_run()
    made.step()
    made.train(made.out[0], 1)
    assert complaints(made) == []


def change(path: Path, edit: Callable[[list[dict[str, Any]]], object]) -> None:
    """As somebody would who takes the checksums away."""
    lines = [json.loads(line) for line in path.read_text().splitlines()]
    for line in lines:
        line.pop("crc32", None)
    edit(lines)
    path.write_text("".join(json.dumps(line) + "\n" for line in lines))


def test_a_changed_decision_is_found(make_run: Callable[..., Any]) -> None:
    """Other values than the seed gives, or another slot: the line is named."""
    made = make_run(algorithm="random", max_epochs=1, max_trials=3).finish()

    def edit(lines: list[dict[str, Any]]) -> None:
        lines[1]["values"]["units"] += 1

    change(made.dir.journal, edit)
    assert complaints(made)[0].startswith("journal line 2: launch(")


def test_a_changed_metric_is_found(make_run: Callable[..., Any]) -> None:
    """What a trial wrote is what the algorithm was told."""
    made = make_run(algorithm="random", max_epochs=2, max_trials=3).finish()
    told = made.score(made.run.launches[1][1], 2)

    def edit(lines: list[dict[str, Any]]) -> None:
        lines[1]["val_accuracy"] = 0.5

    change(made.dir.trial(1).metrics, edit)
    assert complaints(made) == [f"trials/0001/metrics.jsonl: val_accuracy at epoch 2 is 0.5, the journal has {told}"]


def test_lost_and_unknown_files_are_found(make_run: Callable[..., Any]) -> None:
    """A missing trial.json, an epoch cut out, a folder of no trial."""
    made = make_run(algorithm="random", max_epochs=3, max_trials=3).finish()
    made.dir.trial(0).record.unlink()
    change(made.dir.trial(1).metrics, lambda lines: lines.pop(1))
    made.dir.trial(9).path.mkdir()
    assert complaints(made) == [
        "trials/0000/trial.json: is missing",
        "trials/0001/metrics.jsonl: epochs of execution 0 are 1, 3, not 1 to 2",
        "trials/0009: the journal knows of no trial 9",
    ]


@pytest.mark.parametrize(
    ("file", "edit"),
    [
        ("journal.jsonl", lambda lines: lines[1]["values"].update(units=10**400)),
        ("search.json", lambda lines: lines[0]["space"].update(space=[{"class_name": "Choice", "config": {}}])),
        ("search.json", lambda lines: lines[0].update(objectives=[])),
        ("search.json", lambda lines: lines[0]["arguments"].update(max_epochs=10**400)),
        ("search.json", lambda lines: lines[0]["arguments"].update(bogus=1)),
        ("search.json", lambda lines: lines[0].update(policy={"max_kills": "many"})),
    ],
)
def test_files_of_a_wrong_shape_end_in_one_line(
    make_run: Callable[..., Any], file: str, edit: Callable[[list[dict[str, Any]]], object]
) -> None:
    """JSON that is well, and no search: whoever reads it says which file, and does not raise something else."""
    made = make_run(algorithm="random", max_epochs=1, max_trials=3).finish()
    change(made.dir.path / file, edit)
    with pytest.raises(UsageError, match=rf"^{re.escape(str(made.dir.path / file))}: .*; restore the file, or start"):
        Run.open(made.dir.path)
