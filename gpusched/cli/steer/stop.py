"""gpusched stop"""

from __future__ import annotations

import sys

import click

from gpusched.cli.options import examples, run_and_trials_to_act_on, say
from gpusched.errors import UsageError
from gpusched.storage.rundir import RunDir


@click.command("stop", epilog=examples("gpusched stop", "gpusched stop 12 17   (these trials; they count as failed)"))
@run_and_trials_to_act_on
@click.option("-y", "--yes", is_flag=True, help="Do not ask.")
@click.option("--now", is_flag=True, help="Kill running trials; do not wait for the end of their epochs.")
def command(targets: tuple[RunDir, list[int]], yes: bool, now: bool) -> int:
    """Stop a search; `gpusched run` continues it later. With trials: give up these; they count as failed."""
    from gpusched.ui import words
    from gpusched.ui.order import order, require

    run, trials = targets
    if trials:
        say(f"{run.name}: {words.clean(order(run, 'stop_trials', trials=trials))}")
        return 0
    if not yes:
        if not sys.stdin.isatty():
            raise UsageError(f"stop {run.path}: say --yes where nobody can be asked")
        require(run)
        if not click.confirm(f"Stop the search {run.path}?"):
            return 1
    say(f"{run.name}: {words.clean(order(run, 'stop', now=now))}")
    return 0
