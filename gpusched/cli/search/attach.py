"""gpusched attach"""

from __future__ import annotations

import sys
import time

import click

from gpusched.cli.options import examples, run_argument
from gpusched.storage.rundir import RunDir


@click.command("attach", epilog=examples("gpusched attach", "gpusched attach runs/search"))
@run_argument
def command(run: RunDir) -> int:
    """Show a running search live again, until it ends; Ctrl-C leaves it running."""
    from gpusched.runtime.reader import Run
    from gpusched.storage.lock import holder
    from gpusched.ui.order import require
    from gpusched.ui.watch.live import follow
    from gpusched.ui.watch.plain import follow_lines
    from gpusched.ui.watch.terminal import Output

    require(run)
    output = Output(sys.stdout)
    opened = Run.open(run.path)
    try:
        if output.is_terminal:
            hint = "Ctrl-C leaves it running · gpusched stop ends it"
            code = follow(opened, output, alive=lambda: holder(run.lock) is not None, sleep=time.sleep, hint=hint)
        else:
            code = follow_lines(opened, output, alive=lambda: holder(run.lock) is not None, sleep=time.sleep)
    except KeyboardInterrupt:
        output.line(f"left; {run.name} runs on")
        return 130
    if code is None and not output.lost:
        output.line(f"{run.name}: its scheduler was killed; run the same command again to continue")
    return 1 if code is None else code
