"""gpusched status"""

from __future__ import annotations

import sys
import time
from typing import TYPE_CHECKING, Any

import click

from gpusched.cli.options import examples, json_option, print_json, run_argument, tell_damage
from gpusched.errors import UsageError
from gpusched.storage.rundir import RunDir

if TYPE_CHECKING:
    from gpusched.runtime.reader import Run


@click.command(
    "status",
    epilog=examples("gpusched status", "gpusched status runs/search --watch", "gpusched status --json | jq .best"),
)
@run_argument
@click.option("-w", "--watch", is_flag=True, help="Keep showing it, until the search ends or Ctrl-C.")
@json_option
def command(run: RunDir, watch: bool, as_json: bool) -> int:
    """Trials, rungs, devices, best so far, time left, failures with their reasons."""
    from gpusched.runtime.reader import Run
    from gpusched.storage.lock import holder

    opened = Run.open(run.path)
    pid = holder(run.lock)
    if watch and as_json:
        raise UsageError("--watch and --json: take one; `gpusched status --json` may be asked again and again")
    if watch and pid is not None:
        return _watch(opened)
    if as_json:
        from gpusched.ui.status import answer

        print_json(answer(opened, pid))
        tell_damage(opened)
        return 0
    from gpusched.ui.status import WIDE, page
    from gpusched.ui.watch.terminal import Harmless, console

    # What is read from a pipe or a file has no width to be cut to.
    paper = console() if sys.stdout.isatty() else console(width=WIDE)
    paper.print(Harmless(page(opened, pid, paper.width)), soft_wrap=True)
    tell_damage(opened)
    return 0


def _watch(run: Run) -> int:
    from gpusched.storage.lock import holder
    from gpusched.ui.watch.live import follow
    from gpusched.ui.watch.plain import follow_lines
    from gpusched.ui.watch.terminal import Output

    output = Output(sys.stdout)
    keywords: dict[str, Any] = {"alive": lambda: holder(run.dir.lock) is not None, "sleep": time.sleep}
    if output.is_terminal:
        follow(run, output, **keywords, hint="Ctrl-C leaves; the search runs on")
    else:
        follow_lines(run, output, **keywords)
    return 0
