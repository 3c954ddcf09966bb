"""Everything the page shows, as plain types: figures only, no markup."""

from __future__ import annotations

import math
import time
from typing import TYPE_CHECKING, Any

from gpusched.core.events import SessionOpened, SlotsChanged
from gpusched.core.trial import Standing, standing
from gpusched.hyperparameters import HyperParameter
from gpusched.ui import failures, words
from gpusched.ui.draw import how
from gpusched.ui.facts import Facts, Observer, failed_trial
from gpusched.ui.plan import place_words
from gpusched.ui.report.advice import advice
from gpusched.ui.report.idle import Use, use_of
from gpusched.ui.report.importance import comparable_epoch, importance
from gpusched.ui.status import state
from gpusched.ui.trials.ranking import rule, sorted_trials

if TYPE_CHECKING:
    from gpusched.runtime.reader import Run

#: Digits of a value in a curve: what a plot can show, and a tenth of a page's size.
_DIGITS = 6


def collect(run: Run, pid: int | None) -> dict[str, Any]:
    """The page's data. `pid` is the scheduler that works on the run, if one does."""
    facts = Observer(run).look(alive=pid is not None)
    oracle = run.search.oracle
    curves = {trial: _curves(run, trial, facts.objective) for trial in sorted(run.search.trials)}
    slots = _slot_labels(run)
    spans, use = _timeline(run, facts, {slot: place for place, slot in enumerate(slots)})
    ranked = sorted_trials(run.search, run.metrics)
    scores = {best.trial: best.score for best in ranked}
    shares, epoch = _importance(run, curves)
    trials = list(run.search.trials.values())
    return {
        "name": facts.name,
        "made": time.strftime("%Y-%m-%d %H:%M"),
        "state": state(facts, run, pid),
        "algorithm": facts.algorithm,
        "objective": facts.objective,
        "direction": facts.direction,
        "seed": run.record.seed,
        "versions": run.record.versions,
        "time": words.duration(facts.seconds),
        "trials_done": facts.trials_done,
        "trials_all": facts.trials_all,
        "epochs_done": facts.epochs_done,
        "epochs_saved": facts.epochs_saved,
        "failed": facts.trials_broken,
        "stopped": facts.trials_stopped,
        "best": facts.best.trial if facts.best else None,
        "best_words": f"{facts.objective} {words.score(facts.best.score)}: {how(facts.best)}" if facts.best else "",
        "failures": [{"reason": group.line, "trials": group.trials} for group in failures.groups(trials)],
        "space": [_axis(hyperparameter) for hyperparameter in oracle.space.hyperparameters],
        "rule": rule(oracle),
        "trials": [_trial(run, trial, curves[trial], scores.get(trial)) for trial in curves],
        "rungs": sorted({rung.stop_epoch for rung in facts.rungs}) if len(facts.rungs) > 1 else [],
        "importance": [{"name": name, "share": share} for name, share in shares.items()],
        "importance_epoch": epoch,
        "slots": list(slots.values()),
        "spans": spans,
        "offered": [[[round(at, 3) for at in stay] for stay in use.lanes.get(slot, [])] for slot in slots],
        "busy": use.busy,
        "seconds": facts.now,
        "advice": advice(facts, ranked, oracle, use),
    }


def _trial(run: Run, trial_id: int, curves: list[list[float | None]], score: float | None) -> dict[str, Any]:
    search = run.search
    trial = search.trials[trial_id]
    told = standing(trial, search.oracle)
    record: dict[str, Any] = {
        "id": trial_id,
        "state": told.value,
        "place": place_words(search.oracle, trial_id),
        "epochs": max(trial.epochs, *map(len, curves), 0),
        "score": score,
        "seconds": round(trial.seconds, 3),
        "values": trial.values,
        "curves": curves,
    }
    if trial.gpu_seconds is not None:
        record |= {"gpu_seconds": trial.gpu_seconds, "gpu_utilisation": trial.gpu_utilisation}
        record["gpu_gib"] = None if trial.gpu_peak_bytes is None else round(trial.gpu_peak_bytes / 2**30, 3)
    if trial.failure is not None or told in (Standing.FAILED, Standing.STOPPED):
        failed = failed_trial(trial)
        record |= {"reason": failures.reason(trial), "traceback": words.plain_lines(failed.traceback)}
    return record


def _curves(run: Run, trial: int, objective: str) -> list[list[float | None]]:
    """The objective after epoch 1, 2, …, one list an execution."""
    by_execution: dict[int, dict[int, float | None]] = {}
    for line in run.metrics(trial):
        value = line.get(objective)
        number = float(f"{value:.{_DIGITS}g}") if isinstance(value, int | float) and math.isfinite(value) else None
        by_execution.setdefault(line.get("execution", 0), {})[line["epoch"]] = number
    return [[curve.get(epoch) for epoch in range(1, max(curve) + 1)] for curve in by_execution.values()]


def _importance(run: Run, curves: dict[int, list[list[float | None]]]) -> tuple[dict[str, float | None], int]:
    oracle = run.search.oracle
    firsts = {trial: lines[0] for trial, lines in curves.items() if lines}
    epoch = comparable_epoch([len(curve) for curve in firsts.values()])
    rank = oracle.objectives[0].rank
    values, scores = [], []
    for trial, curve in firsts.items():
        if len(curve) >= epoch:
            values.append(run.search.trials[trial].values)
            scores.append(min(map(rank, curve[:epoch])))
    return importance(values, scores), epoch


def _axis(hyperparameter: HyperParameter) -> dict[str, Any]:
    low, high = getattr(hyperparameter, "min_value", None), getattr(hyperparameter, "max_value", None)
    axis: dict[str, Any] = {"name": hyperparameter.name}
    if low is not None and high is not None:
        return axis | {"min": low, "max": high, "log": getattr(hyperparameter, "sampling", "linear") == "log"}
    return axis | {"values": list(hyperparameter.values)}


def _slot_labels(run: Run) -> dict[int, str]:
    """By index, ascending, over all sessions: a slot keeps the newest name it had."""
    labels: dict[int, str] = {}
    for event in run.events:
        if isinstance(event, SessionOpened | SlotsChanged):
            labels |= {slot.index: slot.label or f"slot {slot.index}" for slot in event.slots}
    labels |= {span.slot: labels.get(span.slot, f"slot {span.slot}") for span in run.spans()}
    return dict(sorted(labels.items()))


def _timeline(run: Run, facts: Facts, places: dict[int, int]) -> tuple[list[list[float | int | None]], Use]:
    """(slot's place, trial, start, end, start epoch, stop epoch) of every job, and the use of the slots' time."""
    spans: list[list[float | int | None]] = []
    jobs = []
    for span in run.spans():
        jobs.append((span.start, facts.now if span.end is None else span.end))
        times = [round(span.start, 3), None if span.end is None else round(span.end, 3)]
        spans.append([places[span.slot], span.trial, *times, span.start_epoch, span.stop_epoch])
    return spans, use_of(run.events, jobs, facts.now)
