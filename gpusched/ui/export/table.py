"""One row for each trial, execution and epoch: values and metrics side by side, as plain types."""

from __future__ import annotations

import csv
from collections.abc import Iterable, Iterator
from typing import TYPE_CHECKING, Any, TextIO

from gpusched.core.trial import Standing, standing
from gpusched.printable import cell
from gpusched.ui.facts import failed_trial

if TYPE_CHECKING:
    from gpusched.runtime.reader import Run

#: The columns that every row has, before the hyperparameters and the metrics.
FIXED = ("trial", "execution", "epoch", "state", "iteration", "bracket", "seconds", "failure")
#: … of a search on GPUs, after those: what the trial has used of them, see core.outcome.Usage.
ACCOUNTS = ("gpu_seconds", "gpu_peak_bytes", "gpu_utilisation")


def rows(run: Run) -> list[dict[str, Any]]:
    """The rows, all with the same columns in the same order; a trial without an epoch has one row with epoch None.

    A hyperparameter named like a metric or a column stands as `hp:NAME`, such a metric as `metric:NAME`.
    """
    search = run.search
    epochs = {trial: run.metrics(trial) for trial in sorted(search.trials)}
    values = _names(search.trials[trial].values for trial in epochs)
    metrics = _names(line for lines in epochs.values() for line in lines)
    metrics = [name for name in metrics if name not in ("epoch", "execution", "seconds")]
    used_gpus = any(trial.gpu_seconds is not None for trial in search.trials.values())
    fixed = (*FIXED, *ACCOUNTS) if used_gpus else FIXED
    column_of_value = {name: f"hp:{name}" if name in metrics or name in fixed else name for name in values}
    column_of_metric = {name: f"metric:{name}" if name in fixed else name for name in metrics}
    columns = [*fixed, *column_of_value.values(), *column_of_metric.values()]
    return list(_rows(run, epochs, columns, column_of_value, column_of_metric))


def _rows(
    run: Run,
    epochs: dict[int, list[dict[str, Any]]],
    columns: list[str],
    column_of_value: dict[str, str],
    column_of_metric: dict[str, str],
) -> Iterator[dict[str, Any]]:
    for trial_id, lines in epochs.items():
        trial = run.search.trials[trial_id]
        place = run.search.oracle.place(trial_id)
        head: dict[str, Any] = dict.fromkeys(columns)
        state = standing(trial, run.search.oracle)
        head |= {"trial": trial_id, "execution": 0, "state": state.value}
        head |= {"iteration": place.iteration + 1, "bracket": place.bracket}
        if state is Standing.FAILED:
            head["failure"] = failed_trial(trial).reason
        head |= {name: getattr(trial, name) for name in ACCOUNTS if name in head}
        head |= {column_of_value[name]: value for name, value in trial.values.items()}
        for line in lines or [{}]:
            row = dict(head)
            row |= {name: line[name] for name in ("execution", "epoch", "seconds") if name in line}
            row |= {column_of_metric[name]: value for name, value in line.items() if name in column_of_metric}
            yield row


def _names(dicts: Iterable[dict[str, Any]]) -> list[str]:
    """All keys, in the order they are first met."""
    return list(dict.fromkeys(name for each in dicts for name in each))


def write_csv(table: list[dict[str, Any]], file: TextIO) -> None:
    """Numbers in their shortest exact form, None as nothing: what pandas reads is what was reported.

    Texts are made harmless; one that a spreadsheet would take for a formula has an apostrophe in front.
    """
    if not table:
        file.write(",".join(FIXED) + "\n")
        return
    writer = csv.writer(file, lineterminator="\n")
    writer.writerow(map(cell, table[0]))
    writer.writerows(map(cell, row.values()) for row in table)
