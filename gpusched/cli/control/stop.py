"""gpusched stop"""

from __future__ import annotations

import sys

import click

from gpusched.cli.options import examples, run_and_trials_to_act_on, say
from gpusched.errors import UsageError
from gpusched.storage.rundir import RunDir


@click.command(
    "stop",
    epilog=examples(
        "gpusched stop", "gpusched stop 12 17   (these trials; they count as failed)", "gpusched stop 12 --keep"
    ),
)
@run_and_trials_to_act_on
@click.option("-y", "--yes", is_flag=True, help="Do not ask.")
@click.option("--now", is_flag=True, help="Kill running trials; do not wait for the end of their epochs.")
@click.option("--keep", is_flag=True, help="Of trials: their scores so far count, as if they had stopped themselves.")
def command(targets: tuple[RunDir, list[int]], yes: bool, now: bool, keep: bool) -> int:
    """Stop a search; `gpusched run` continues it later.

    With trials: give up these. They count as failed; with --keep, each ends its epoch and keeps its score.
    """
    from gpusched.ui import words
    from gpusched.ui.order import order, require

    run, trials = targets
    if trials:
        if keep and now:
            raise UsageError("--keep waits for the end of the running epoch, --now does not: give one of the two")
        say(f"{run.name}: {words.clean(order(run, 'stop_trials', trials=trials, keep=keep))}")
        return 0
    if keep:
        raise UsageError("--keep is about trials: name them; a search that is stopped keeps all its results")
    if not yes:
        if not sys.stdin.isatty():
            raise UsageError(f"stop {run.path}: say --yes where nobody can be asked")
        require(run)
        if not click.confirm(f"Stop the search {run.path}?"):
            return 1
    say(f"{run.name}: {words.clean(order(run, 'stop', now=now))}")
    return 0
