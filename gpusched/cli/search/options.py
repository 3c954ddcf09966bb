"""The options of `run` and `plan`: they beat what the script says. Only those that were given are passed on."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any, TypeVar

import click

from gpusched.cli.options import Duration, PerGpu

F = TypeVar("F", bound=Callable[..., Any])

_WHOLE = click.IntRange(min=1)

_OPTIONS: list[Callable[[Any], Any]] = [
    click.option(
        "--algorithm",
        type=click.Choice(["hyperband", "asha", "random", "grid", "bayesian"]),
        help="How to search.",
    ),
    click.option("--objective", metavar="NAME[:min|max]", help="The metric to optimise, as trials report it."),
    click.option("--max-epochs", type=_WHOLE, metavar="N", help="Epochs of a full training."),
    click.option("--factor", type=click.IntRange(min=2), metavar="N", help="Hyperband, ASHA: how hard a rung is cut."),
    click.option("--iterations", type=_WHOLE, metavar="N", help="Hyperband: how often all brackets are run."),
    click.option("--max-trials", type=_WHOLE, metavar="N", help="Budget: trials."),
    click.option(
        "--max-time", type=Duration(), metavar="TIME", help="Budget: running time, over all sessions (90, 45m, 2h)."
    ),
    click.option("--seed", type=int, metavar="N", help="Of all random draws."),
    click.option("--sampler", type=click.Choice(["random", "model"]), help="Where new trials' values come from."),
    click.option("--gpus", metavar="LIST", help="all, none, or indices and UUIDs with commas."),
    click.option(
        "--per-gpu", type=PerGpu(), metavar="N|auto", help="Trials at once on one GPU; auto: as many as fit its memory."
    ),
    click.option("--gpus-per-trial", type=_WHOLE, metavar="N", help="GPUs that one trial gets."),
    click.option("--cpu-slots", type=_WHOLE, metavar="N", help="Trials at once where there is no GPU."),
    click.option(
        "--busy", type=click.Choice(["wait", "skip", "share"]), help="What to do about GPUs that others compute on."
    ),
    click.option(
        "--trial-timeout", type=Duration(), metavar="TIME", help="End a trial that reports no epoch for so long."
    ),
    click.option("--run", metavar="RUN", help="The run directory, in place of directory/project_name."),
    click.option("--fresh", is_flag=True, default=None, help="Move an older run of that name aside and start anew."),
    click.option(
        "--take-over",
        is_flag=True,
        default=None,
        help="Continue a run that another host has worked on, where none of its processes is left.",
    ),
    click.option(
        "--narrow",
        is_flag=True,
        default=None,
        help="Search on in RUN-narrow, with the values fixed on which RUN's best trials agree.",
    ),
    click.option("--engine", type=click.Choice(["local", "ray"]), help="Where trials run."),
    click.option("--address", metavar="HOST:PORT", help="With --engine ray: the cluster to join."),
    click.option("--launch", type=click.Choice(["auto", "fork", "spawn"]), help="How trial processes are made."),
    click.option(
        "--checkpoint-every", type=click.Choice(["rung", "epoch"]), help="How often a trial saves its full state."
    ),
]


def search_options(function: F) -> F:
    decorated: Any = function
    for option in reversed(_OPTIONS):
        decorated = option(decorated)
    return decorated  # type: ignore[no-any-return]


def given(options: dict[str, Any]) -> dict[str, Any]:
    """The options a person gave, by their Python names."""
    found = {name: value for name, value in options.items() if value is not None}
    if "gpus" in found:
        found["gpus"] = parse_gpus(found["gpus"])
    return found


def parse_gpus(text: str) -> str | list[str | int]:
    """ "all", "none", or a list of indices and UUIDs."""
    words = [word.strip() for word in text.split(",") if word.strip()]
    if len(words) == 1 and words[0] in ("all", "none"):
        return words[0]
    return [int(word) if word.isdecimal() else word for word in words]
