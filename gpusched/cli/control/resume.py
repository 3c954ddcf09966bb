"""gpusched resume"""

from __future__ import annotations

import click

from gpusched.cli.options import run_to_act_on, say
from gpusched.storage.rundir import RunDir


@click.command("resume")
@run_to_act_on
def command(run: RunDir) -> int:
    """Resume a search that `gpusched pause` has paused."""
    from gpusched.ui import words
    from gpusched.ui.order import order

    say(f"{run.name}: {words.clean(order(run, 'resume'))}")
    return 0
