"""gpusched pause"""

from __future__ import annotations

import click

from gpusched.cli.options import examples, run_to_act_on, say
from gpusched.storage.rundir import RunDir


@click.command("pause", epilog=examples("gpusched pause", "gpusched pause --now"))
@run_to_act_on
@click.option("--now", is_flag=True, help="At once: the epochs that are running are given up.")
def command(run: RunDir, now: bool) -> int:
    """Free the devices at the end of the running epochs; nothing is lost. `gpusched resume` resumes the search."""
    from gpusched.ui import words
    from gpusched.ui.order import order

    say(f"{run.name}: {words.clean(order(run, 'pause', now=now))}")
    return 0
