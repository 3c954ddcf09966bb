"""gpusched list"""

from __future__ import annotations

import sys
from pathlib import Path

import click

from gpusched.cli.options import examples, json_option, print_json, say


@click.command("list", epilog=examples("gpusched list", "gpusched list --all", "gpusched list --json | jq '.[].run'"))
@click.option("-a", "--all", "everywhere", is_flag=True, help="Your runs in other folders, too.")
@json_option
def command(everywhere: bool, as_json: bool) -> int:
    """All runs below this folder: state, trials, best score, age and size; what was active last stands first."""
    from gpusched.storage.runs.known import below, of_this_user
    from gpusched.ui.listing import listed, table
    from gpusched.ui.status import WIDE
    from gpusched.ui.watch.terminal import Harmless, console

    runs = [*below(Path.cwd()), *(of_this_user() if everywhere else ())]
    rows = listed(runs)
    if as_json:
        print_json(rows)
        return 0
    if not rows:
        other = "" if everywhere else "; `gpusched list --all` shows yours in other folders"
        say(f"no run {'of yours' if everywhere else 'below this folder'}{other}")
        return 0
    width = console().width if sys.stdout.isatty() else WIDE
    console(width=WIDE).print(Harmless(table(rows, width)), soft_wrap=True)
    for row in rows:
        if row.problem is not None:
            say(f"{row.run}: {row.problem}")
    return 0
