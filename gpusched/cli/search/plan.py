"""gpusched plan SCRIPT"""

from __future__ import annotations

from pathlib import Path
from typing import Any

import click

from gpusched.cli.options import examples, json_option, print_json, say
from gpusched.cli.search.command import ScriptCommand
from gpusched.cli.search.options import given, search_options


@click.command(
    "plan",
    cls=ScriptCommand,
    epilog=examples("gpusched plan search.py", "gpusched plan search.py --calibrate --cpu-slots 4"),
)
@click.argument("script", type=click.Path(path_type=Path))
@click.argument("arguments", nargs=-1, type=click.UNPROCESSED, metavar="[-- ARGUMENTS...]")
@click.option("--calibrate", is_flag=True, help="Train a few epochs to forecast the time.")
@json_option
@search_options
def command(script: Path, arguments: tuple[str, ...], calibrate: bool, as_json: bool, **options: Any) -> int:
    """What the search of SCRIPT will do: brackets, rungs, trials, epochs; nothing is kept of it.

    With --calibrate, the first trials are trained for three epochs, and the time of the whole search on
    these devices is forecast from that. Options beat what the script says; defaults hold where neither says anything.
    """
    from gpusched.runtime.forecast.planning import plan_script
    from gpusched.ui.plan import forecast_lines

    asked = given(options)
    if arguments:
        asked["argv"] = list(arguments)
    told = plan_script(script, asked, calibrate=calibrate)
    if as_json:
        from gpusched.ui.plan import answer

        print_json(answer(told))
        return 0
    for line in forecast_lines(told):
        say(line)
    return 0
