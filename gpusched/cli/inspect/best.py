"""gpusched best"""

from __future__ import annotations

from typing import Any

import click

from gpusched.cli.options import examples, json_option, near, print_json, run_argument, say
from gpusched.storage.rundir import RunDir


@click.command("best", epilog=examples("gpusched best -n 3", "gpusched best runs/search --json"))
@run_argument
@click.option("-n", "--number", type=click.IntRange(min=1), default=10, show_default=True, help="How many.")
@json_option
def command(run: RunDir, number: int, as_json: bool) -> int:
    """The best trials with their values.

    Trials are ranked by score: the best value of the objective at any epoch, however long a trial has trained.
    Trials in training count with what they have reported.
    """
    from gpusched.core.trial import standing
    from gpusched.runtime.reader import Run
    from gpusched.ui import answers, words
    from gpusched.ui.report.advice import agreed
    from gpusched.ui.trials.ranking import in_full, rule, sorted_trials

    opened = Run.open(run.path)
    oracle = opened.search.oracle
    objective = oracle.objectives[0]
    ranked = sorted_trials(opened.search, opened.metrics)
    found = [in_full(opened.search, best, opened.metrics) for best in ranked[:number]]
    states: dict[int, Any] = {best.trial: standing(opened.search.trials[best.trial], oracle).value for best in found}
    advice = agreed([best for best in ranked if best.finished], oracle.space.hyperparameters)
    if as_json:
        rows = [
            answers.Ranked(
                trial=best.trial,
                score=best.score,
                epoch=best.epoch,
                budget=best.budget,
                state=states[best.trial],
                values=best.values,
                checkpoint=str(opened.dir.trial(best.trial).best),
            )
            for best in found
        ]
        direction: Any = objective.direction
        print_json(
            answers.BestTrials(
                run=str(run.path), objective=objective.name, direction=direction, trials=rows, advice=advice
            )
        )
        return 0
    if not found:
        say(f"{near(run)}: no epoch has reported {objective.name} yet")
        return 0
    order = "highest" if objective.direction == "max" else "lowest"
    say(f"{near(run)}: the best {len(found)} of {words.plural(len(ranked), 'trial')}, {order} {objective.name} first")
    if len(found) > 1:
        say(rule(oracle))
    scores = words.column([best.score for best in found])
    longest = max(len(str(best.trial)) for best in found)
    for place, (best, score) in enumerate(zip(found, scores, strict=True), 1):
        training = "" if best.finished else f" so far, {states[best.trial]}"
        epochs = f"epoch {best.epoch} of {best.budget}{training}"
        say(f"\n{place:3}. trial {best.trial:<{longest}}   {objective.name} {score}   {epochs}")
        width = max((len(words.clean(name)) for name in best.values), default=0)
        for name, value in best.values.items():
            say(f"     {words.clean(name):<{width}}  {words.value(value)}")
    for line in advice:
        say(f"\n{line}")
    return 0
