"""Brackets and rungs in words, of a plan and of what runs: one numbering and one form for all that people read.

Iterations and rungs count from 1; a bracket has its number of the literature, how many times it halves.
"""

from __future__ import annotations

from collections.abc import Iterator

from gpusched.oracles import Plan
from gpusched.oracles.base import Oracle
from gpusched.oracles.brackets import BracketPlan
from gpusched.runtime.forecast.planning import Forecast
from gpusched.ui import answers, words


def bracket_words(bracket: int, iteration: int, *, several: bool) -> str:
    """`bracket 2`; of a search with several iterations `iteration 3, bracket 2`. `iteration` is an oracle's, from 0."""
    return f"iteration {iteration + 1}, bracket {bracket}" if several else f"bracket {bracket}"


def place_words(oracle: Oracle, trial_id: int) -> str:
    """`bracket 2, rung 1`; empty where the algorithm has one rung only."""
    if not oracle.staged:
        return ""
    place = oracle.place(trial_id)
    return f"{bracket_words(place.bracket, place.iteration, several=oracle.several_iterations)}, rung {place.rung + 1}"


def plan_lines(plan: Plan) -> Iterator[str]:
    """One line a bracket, and the sums."""
    several = _several_iterations(plan)
    staged = len(plan.brackets) > 1 or any(len(bracket.rungs) > 1 for bracket in plan.brackets)
    for bracket in plan.brackets:
        name = f"{bracket_words(bracket.bracket, bracket.iteration, several=several)}:  " if staged else ""
        yield f"  {name}{_rungs(bracket)}"
    if plan.trials is None:
        yield "  and so on without end"
    else:
        yield f"  {words.plural(plan.trials, 'trial')}, {words.plural(plan.epochs or 0, 'epoch')} in all"


def _rungs(bracket: BracketPlan) -> str:
    if any(rung.trials for rung in bracket.rungs):
        return " → ".join(f"{rung.trials}×{rung.stop_epoch}" for rung in bracket.rungs if rung.trials)
    # ASHA: how many trials come to a rung is not known before.
    return " → ".join(f"epoch {rung.stop_epoch}" for rung in bracket.rungs)


def _several_iterations(plan: Plan) -> bool:
    if plan.trials is not None:
        return any(bracket.iteration for bracket in plan.brackets)
    # Without an end the first iteration is planned. The brackets of ASHA have no sizes, and are never run again.
    return len(plan.brackets) > 1 and any(rung.trials for bracket in plan.brackets for rung in bracket.rungs)


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
            iteration=bracket.iteration + 1,
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
