"""A search for TensorBoard: scalars of every trial, and its HParams table."""

from __future__ import annotations

import math
from pathlib import Path
from typing import TYPE_CHECKING

from gpusched.core.events import SessionOpened
from gpusched.core.trial import LOST, TrialState
from gpusched.ui.export import tfevents
from gpusched.ui.export.tfevents import EventWriter

if TYPE_CHECKING:
    from gpusched.runtime.reader import Run


def write(run: Run, folder: Path) -> int:
    """A folder a trial, below `folder`; what an earlier export left there is replaced. Returns how many trials.

    The objective stands as `objective` too, its best so far at each epoch: HParams shows the last value of a tag.
    """
    folder.mkdir(parents=True, exist_ok=True)
    began = next((event.wall - event.at for event in run.events if isinstance(event, SessionOpened)), 0.0)
    objective = run.search.oracle.objectives[0]
    kinds: dict[str, str] = {}
    for trial in run.search.trials.values():
        for name, value in trial.values.items():
            kinds.setdefault(
                name, "bool" if isinstance(value, bool) else "float" if isinstance(value, int | float) else "string"
            )
    with open(_event_file(folder), "wb") as file:
        shown = [("objective", f"best {objective.name}")]
        EventWriter(file, began).summary(began, 0, [tfevents.experiment(run.dir.name, began, kinds, shown)])
    for trial_id, trial in run.search.trials.items():
        path = folder / f"trial-{trial_id:04d}"
        path.mkdir(exist_ok=True)
        with open(_event_file(path), "wb") as file:
            writer = EventWriter(file, began)
            writer.summary(began, 0, [tfevents.session_start(trial.values, path.name, began)])
            best, at = None, began
            for line in run.metrics(trial_id):
                seconds = line.get("seconds")
                at += seconds if isinstance(seconds, int | float) else 0.0
                score = objective.of(line)
                best = score if best is None or objective.better(score, best) else best
                values = [tfevents.scalar(tag, value) for tag, value in _metrics(line).items()]
                if best is not None:
                    values.append(tfevents.scalar("objective", best))
                writer.summary(at, line["epoch"], values)
            status = (
                tfevents.FAILURE
                if trial.state in LOST
                else tfevents.RUNNING
                if trial.state is TrialState.RUNNING
                else tfevents.SUCCESS
            )
            writer.summary(at, 0, [tfevents.session_end(status, at)])
    return len(run.search.trials)


def _event_file(folder: Path) -> Path:
    """One name for ever, so that exporting again replaces what is there."""
    return folder / "events.out.tfevents.0.gpusched"


def _metrics(line: dict[str, object]) -> dict[str, float]:
    execution = line.get("execution", 0)
    suffix = f" (execution {execution})" if execution else ""
    return {
        f"{name}{suffix}": float(value)
        for name, value in line.items()
        if name not in ("epoch", "execution", "seconds") and isinstance(value, int | float) and math.isfinite(value)
    }
