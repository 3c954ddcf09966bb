"""A plan in words: brackets and rungs, and with a calibration the time they take."""

from __future__ import annotations

from collections.abc import Iterator

from gpusched.oracles import Plan
from gpusched.runtime.forecast.planning import Forecast
from gpusched.ui import answers, words


def plan_lines(plan: Plan) -> Iterator[str]:
    """One line a bracket, and the sums."""
    for bracket in plan.brackets:
        rungs = " → ".join(f"{rung.trials}×{rung.stop_epoch}" for rung in bracket.rungs if rung.trials)
        yield f"  round {bracket.iteration + 1}, bracket {bracket.bracket}:  {rungs}"
    if plan.trials is None:
        yield "  and so on without end"
    else:
        yield f"  {words.plural(plan.trials, 'trial')}, {words.plural(plan.epochs or 0, 'epoch')} in all"


def forecast_lines(told: Forecast) -> Iterator[str]:
    """All of a forecast, for people."""
    seed = "drawn at the start" if told.seed is None else told.seed
    yield f"search  {told.algorithm}, {told.objective}, seed {seed}"
    yield f"space   {words.plural(len(told.space), 'hyperparameter')}"
    for each in told.space:
        yield f"  {words.clean(each)}"
    yield f"slots   {len(told.slots)} ({', '.join(told.slots)})"
    yield "plan    trials×epochs of each rung"
    yield from plan_lines(told.plan)
    measured = told.calibration
    if measured is not None:
        epoch = sum(measured.epoch_seconds) / len(measured.epoch_seconds)
        yield (
            f"speed   {epoch:.3g} s an epoch and {measured.startup_seconds:.3g} s to start a job, "
            f"from {words.plural(measured.trials, 'short trial')}"
        )
    if told.seconds is not None and told.busy is not None:
        yield f"time    about {words.duration(told.seconds)}, slots busy {told.busy:.0%}"
    if told.disk_bytes is not None and measured is not None:
        yield f"disk    {words.size(told.disk_bytes)} at most, {words.size(measured.checkpoint_bytes)} a trial"
    for note in told.notes:
        yield f"note    {note}"


def answer(told: Forecast) -> answers.PlanTold:
    """What `gpusched plan --json` prints."""
    brackets = [
        answers.PlannedBracket(
            iteration=bracket.iteration,
            bracket=bracket.bracket,
            first_trial=bracket.first_trial,
            rungs=[
                answers.PlannedRung(trials=rung.trials, start_epoch=rung.start_epoch, stop_epoch=rung.stop_epoch)
                for rung in bracket.rungs
            ],
        )
        for bracket in told.plan.brackets
    ]
    return answers.PlanTold(
        algorithm=told.algorithm,
        seed=told.seed,
        objective=told.objective,
        space=told.space,
        plan=answers.Plan(brackets=brackets, trials=told.plan.trials, epochs=told.plan.epochs),
        slots=told.slots,
        notes=told.notes,
        calibration=told.calibration,
        seconds=told.seconds,
        busy=told.busy,
        disk_bytes=told.disk_bytes,
    )
