"""gpusched logs"""

from __future__ import annotations

import asyncio
import os
import sys
import time
from typing import Any

import click

from gpusched.cli.options import Duration, ParamType, examples, json_option, known_trials, run_and_trials
from gpusched.errors import UsageError
from gpusched.storage.rundir import RunDir


class _LineCount(ParamType[int | None]):
    name = "LINES"

    def convert(self, value: Any, param: click.Parameter | None, ctx: click.Context | None) -> int | None:
        if value is None or value == "all":
            return None
        if not str(value).isdecimal():
            self.fail(f"{value!r} is not a number of lines; give one, or all", param, ctx)
        return int(value)


@click.command(
    "logs",
    epilog=examples(
        "gpusched logs -f --all", "gpusched logs 3 7 -n 20", "gpusched logs --failed", "gpusched logs -f --since 10m"
    ),
)
@run_and_trials
@click.option("-f", "--follow", is_flag=True, help="Go on with what they print, until they end.")
@click.option("-n", "--tail", "last", type=_LineCount(), default="all", help="Only the last LINES of each.")
@click.option("--all", "everyone", is_flag=True, help="All trials, those that start later too.")
@click.option("--running", is_flag=True, help="Trials in training.")
@click.option("--failed", is_flag=True, help="Trials that failed.")
@click.option("--since", type=Duration(), help="Only what was printed in the last TIME (90, 5m, 2h), to the epoch.")
@click.option("--no-prefix", is_flag=True, help="Without the trial's name in front.")
@click.option("--no-color", is_flag=True, help="Without colours.")
@click.option("--interval", type=click.FloatRange(min=0.01), default=0.2, hidden=True)
@json_option
def command(
    targets: tuple[RunDir, list[int]],
    follow: bool,
    last: int | None,
    everyone: bool,
    running: bool,
    failed: bool,
    since: float | None,
    no_prefix: bool,
    no_color: bool,
    interval: float,
    as_json: bool,
) -> int:
    """What trials print: those named, or those in training, or, when none trains, all."""
    from gpusched.core.trial import TrialState
    from gpusched.runtime.reader import Run
    from gpusched.ui.logs.follow import Choice, Printer, show
    from gpusched.ui.logs.follow import follow as follow_logs
    from gpusched.ui.watch.terminal import Output

    run, trials = targets
    if trials and (everyone or running or failed):
        raise UsageError("trials by number, or --all, --running, --failed: take one")
    opened = Run.open(run.path)
    trials = known_trials(run, trials)
    states: frozenset[TrialState] | None = None
    if running or failed:
        chosen = {TrialState.RUNNING: running, TrialState.FAILED: failed, TrialState.OVERSIZE: failed}
        states = frozenset(state for state, wanted in chosen.items() if wanted)
    elif not trials and not everyone and opened.search.running:
        states = frozenset({TrialState.RUNNING})
    joining = not trials and (everyone or running or failed or states is None)
    choice = Choice(trials=tuple(trials), states=states, joining=joining)
    output = Output(sys.stdout)
    picked = choice.pick(opened)
    printer = Printer(
        output,
        prefix=not no_prefix and (len(picked) != 1 or joining),
        colors=output.is_terminal and not no_color and not as_json and not os.environ.get("NO_COLOR"),
        as_json=as_json,
        digits=len(str(max(picked, default=0))),
    )
    begin = None if since is None else time.time() - since
    try:
        if follow:
            asyncio.run(follow_logs(opened, choice, printer, last=last, since=begin, interval_seconds=interval))
        else:
            asyncio.run(show(opened, picked, printer, last=last, since=begin))
    except KeyboardInterrupt:
        return 130
    return 0
