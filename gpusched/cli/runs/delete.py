"""gpusched delete"""

from __future__ import annotations

import sys

import click

from gpusched.cli.options import RunArgument, examples, near, say
from gpusched.errors import UsageError
from gpusched.storage.rundir import RunDir


@click.command("delete", epilog=examples("gpusched delete runs/search", "gpusched delete --yes search other"))
@click.argument("runs", type=RunArgument(), nargs=-1, required=True, metavar="RUN...")
@click.option("-y", "--yes", is_flag=True, help="Do not ask.")
def command(runs: tuple[RunDir, ...], yes: bool) -> int:
    """Delete runs with their trials, logs and checkpoints; asks first. A running search is not deleted.

    Files in the folder that gpusched has not made are kept.
    """
    from gpusched.storage.lock import away, holder, name_of
    from gpusched.ui import words
    from gpusched.ui.listing import listed, shown_state

    chosen = {run.path: run for run in runs}.values()
    for run in chosen:
        if (elsewhere := away(run.lock)) is not None:
            raise UsageError(
                f"{run.path}: was last run by {name_of(elsewhere)}; delete it there, or, if none of its processes is "
                "left, remove the folder"
            )
        if (pid := holder(run.lock)) is not None:
            raise UsageError(f"{run.path}: process {pid} runs this search; stop it first: `gpusched stop {near(run)}`")
    if not yes and not sys.stdin.isatty():
        raise UsageError(f"delete {near(next(iter(chosen)))}: give --yes where nobody can be asked")
    for run in chosen:
        (row,) = listed([run])
        trials = "" if row.trials is None else f", {words.plural(row.trials, 'trial')}"
        what = f"{near(run)} ({shown_state(row.state)}{trials}, {words.size(row.bytes)})"
        if not yes and not click.confirm(f"Delete {what}? It cannot be restored."):
            say(f"{near(run)} is kept")
            continue
        ended, kept = _delete(run)
        say(f"deleted {what}")
        if ended:
            say(f"ended what its killed scheduler had left: {ended} processes")
        if kept:
            say(f"{near(run)} stays, with what gpusched has not made: {kept}")
    return 0


def _delete(run: RunDir) -> tuple[int, str]:
    """How many processes were ended that a killed scheduler had left, and what is left in the folder."""
    from gpusched.engines import left
    from gpusched.storage.lock import RunLock
    from gpusched.storage.runs.removal import remove

    lock = RunLock(run.lock)
    try:
        ended, kept = left.end_all(run), remove(run)
    finally:
        lock.release()
    return ended, ", ".join(path.name for path in kept[:5]) + (", …" if len(kept) > 5 else "")
