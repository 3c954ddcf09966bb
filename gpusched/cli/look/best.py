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

    Those trained further stand before the others, then the better score: scores after 3 epochs and after 27
    cannot be compared. A trial's score is that of its best epoch.
    """
    from gpusched.runtime.reader import Run
    from gpusched.ui import answers, words
    from gpusched.ui.facts import finished_trial
    from gpusched.ui.report.advice import agreed

    opened = Run.open(run.path)
    oracle = opened.search.oracle
    objective = oracle.objectives[0]
    ranked = [best for trial in oracle.rank() if (best := finished_trial(oracle, trial)) is not None]
    found, advice = ranked[:number], agreed(ranked, oracle.space.hyperparameters)
    if as_json:
        rows = [
            answers.Ranked(
                trial=best.trial,
                score=best.score,
                epoch=best.epoch,
                budget=best.budget,
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
        say(f"{near(run)}: no trial has completed yet")
        return 0
    budgets = sorted({best.budget for best in found}, reverse=True)
    order = "highest first" if objective.direction == "max" else "lowest first"
    by = (
        f"by epochs trained ({', '.join(map(str, budgets))}), then {objective.name}"
        if len(budgets) > 1
        else (f"by {objective.name} over {words.plural(budgets[0], 'epoch')}")
    )
    say(f"{near(run)}: the best {len(found)} of {len(oracle.scores)} finished trials, {by}, {order}")
    for place, best in enumerate(found, 1):
        say(
            f"\n{place:3}. trial {best.trial}   {objective.name} {words.score(best.score)}   "
            f"epoch {best.epoch} of {best.budget}"
        )
        width = max((len(words.clean(name)) for name in best.values), default=0)
        for name, value in best.values.items():
            say(f"     {words.clean(name):<{width}}  {words.value(value)}")
    for line in advice:
        say(f"\n{line}")
    return 0
