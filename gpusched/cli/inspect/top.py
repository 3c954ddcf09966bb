"""gpusched top"""

from __future__ import annotations

import sys

import click

from gpusched.cli.options import run_argument
from gpusched.errors import UsageError
from gpusched.storage.rundir import RunDir


@click.command("top")
@run_argument
def command(run: RunDir) -> int:
    """A search in full screen: devices, trials, curves, logs; keys to stop a trial, pause, change the cap.

    On a search that has ended it only shows.
    """
    if not sys.stdout.isatty() or not sys.stdin.isatty():
        raise UsageError("top: needs a terminal; `gpusched status` prints the same facts")
    try:
        from gpusched.ui.top.app import Top
    except ModuleNotFoundError as error:
        if error.name != "textual":
            raise
        raise UsageError("top: needs the package textual: pip install textual") from None
    from gpusched.runtime.reader import Run

    top = Top(Run.open(run.path))
    top.run()
    return top.return_code or 0
