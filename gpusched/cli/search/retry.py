"""gpusched retry"""

from __future__ import annotations

from typing import TYPE_CHECKING

import click

from gpusched.cli.options import examples, near, run_and_trials_to_act_on, say
from gpusched.errors import UsageError
from gpusched.storage.rundir import RunDir

if TYPE_CHECKING:
    from gpusched.runtime.reader import Run


@click.command(
    "retry",
    epilog=examples(
        "gpusched retry              (every trial that failed)",
        "gpusched retry 3 7 -d       (these two, in the background)",
        "gpusched retry runs/search --failed",
    ),
)
@run_and_trials_to_act_on
@click.option("--failed", is_flag=True, help="Every trial that failed by an error: what is done where none is named.")
@click.option("-d", "--detach", is_flag=True, help="Where the search has ended: continue it in the background.")
def command(targets: tuple[RunDir, list[int]], failed: bool, detach: bool) -> int:
    """Train failed trials again, once what made them fail is mended.

    Each goes back to the rung where it failed, with its values, as if it had not failed. Trials that were stopped
    by hand are trained again where they are named. One that has ended is continued; a search that runs takes them in,
    with the script as it has loaded it: where that has been edited since, it is to be stopped first.
    """
    from gpusched.runtime.reader import Run
    from gpusched.runtime.startup.wishes import failed as failed_of
    from gpusched.runtime.startup.wishes import may_retry
    from gpusched.storage.lock import holder
    from gpusched.ui import words
    from gpusched.ui.order import order

    run, trials = targets
    if trials and failed:
        raise UsageError("--failed means every trial that failed; give trials or --failed, not both")
    opened = Run.open(run.path)
    wanted = trials or failed_of(opened.search)
    if not wanted:
        raise UsageError(f"{near(run)}: no trial has failed, so there is none to train again")
    if holder(run.lock) is not None:
        say(f"{run.name}: {words.clean(order(run, 'retry', trials=wanted))}")
        return 0
    for trial in wanted:
        may_retry(trial, opened.search)
    return _continue(opened, wanted, detach)


def _continue(run: Run, trials: list[int], detach: bool) -> int:
    from gpusched.cli.search.run import command as run_command
    from gpusched.runtime.startup.wishes import note
    from gpusched.ui import words
    from gpusched.ui.status import carry_on, words_to_continue

    if run.record.script is None:
        note(run.dir, trials)
        say(f"{near(run.dir)}: {words.plural(len(trials), 'trial')} will be trained again; {carry_on(run)}")
        return 0
    script, *more = words_to_continue(run)
    asked = [script, "--retry", ",".join(map(str, trials)), *(["--detach"] if detach else []), *more]
    answer = run_command.main(args=asked, prog_name="gpusched run", standalone_mode=False, obj=asked)
    return answer if isinstance(answer, int) else 0
