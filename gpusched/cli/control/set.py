"""gpusched set"""

from __future__ import annotations

from typing import Any

import click

from gpusched.cli.options import Duration, examples, run_to_act_on, say
from gpusched.errors import UsageError
from gpusched.storage.rundir import RunDir


@click.command("set", epilog=examples("gpusched set --per-gpu 2", "gpusched set runs/search --gpus 0,1 --max-time 8h"))
@run_to_act_on
@click.option("--per-gpu", type=click.IntRange(min=1), metavar="N", help="Trials at once on one GPU.")
@click.option("--gpus", metavar="LIST", help="all, or indices and UUIDs with commas.")
@click.option("--max-time", type=Duration(), help="Budget of running time, over all sessions (90, 45m, 2h).")
@click.option("--try", "tried", multiple=True, metavar="NAME=VALUE,...", help="Try this configuration next.")
def command(run: RunDir, per_gpu: int | None, gpus: str | None, max_time: float | None, tried: tuple[str, ...]) -> int:
    """Change the cap of trials per GPU, the GPUs, or the time, of a running search, or add a configuration to it.

    Running trials go on.
    """
    from gpusched.trial.settings import gpu_names
    from gpusched.ui import words
    from gpusched.ui.order import order

    wanted: dict[str, Any] = {
        "per_gpu": per_gpu,
        "gpus": None if gpus is None else gpu_names(gpus),
        "max_time": max_time,
    }
    asked = {name: value for name, value in wanted.items() if value is not None}
    if not asked and not tried:
        raise UsageError("set: nothing to change; give --per-gpu, --gpus, --max-time or --try")
    if tried:
        say(f"{run.name}: {words.clean(order(run, 'try', tried=list(tried)))}")
    if asked:
        say(f"{run.name}: {words.clean(order(run, 'set', **asked))}")
    return 0
