"""The options of `run` and `plan`: they beat what the script says. Only those that were given are passed on."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import Any, TypeVar

import click
from click.core import ParameterSource

from gpusched.cli.options import Duration, PerGpu
from gpusched.cli.sections import section
from gpusched.errors import UsageError

F = TypeVar("F", bound=Callable[..., Any])

_WHOLE = click.IntRange(min=1)
_search, _budget, _devices = section("What is searched"), section("Budget"), section("Devices")
_trials, _run = section("Trials"), section("The run")

_OPTIONS: list[Callable[[Any], Any]] = [
    _search(
        "--algorithm",
        type=click.Choice(["hyperband", "asha", "random", "grid", "bayesian"]),
        help="How to search.",
        otherwise="hyperband",
    ),
    _search("--objective", metavar="NAME[:min|max]", help="The metric to optimise.", otherwise="val_loss"),
    _search(
        "--max-epochs",
        type=_WHOLE,
        metavar="N",
        help="Epochs of a full training.",
        otherwise="100; random, grid, bayesian: the epochs given to fit",
    ),
    _search(
        "--factor",
        type=click.IntRange(min=2),
        metavar="N",
        help="Hyperband, ASHA: keep the best 1/N at each rung.",
        otherwise="3",
    ),
    _search("--iterations", type=_WHOLE, metavar="N", help="Hyperband: how often all brackets are run.", otherwise="1"),
    _search(
        "--sampler",
        type=click.Choice(["random", "model"]),
        help="Hyperband, ASHA: where the values of new trials come from.",
        otherwise="random",
    ),
    _search("--seed", type=int, metavar="N", help="Of all random draws.", otherwise="drawn, and kept in the run"),
    _budget(
        "--max-trials",
        type=_WHOLE,
        metavar="N",
        help="How many trials.",
        otherwise="random, bayesian: 10; hyperband: what --iterations makes; asha, grid: no limit",
    ),
    _budget(
        "--max-time",
        type=Duration(),
        metavar="TIME",
        help="Running time over all sessions, without pauses: 90 (seconds), 45m, 2h.",
        otherwise="no limit",
    ),
    _devices("--gpus", metavar="LIST", help="all, none, or indices and UUIDs with commas.", otherwise="all"),
    _devices(
        "--per-gpu",
        type=PerGpu(),
        metavar="N|auto",
        help="Trials at once on one GPU; auto: as many as fit its memory.",
        otherwise="1",
    ),
    _devices("--gpus-per-trial", type=_WHOLE, metavar="N", help="GPUs that one trial gets.", otherwise="1"),
    _devices(
        "--cpu-slots",
        type=_WHOLE,
        metavar="N",
        help="Trials at once where there is no GPU.",
        otherwise="one per physical core",
    ),
    _devices(
        "--when-busy",
        type=click.Choice(["wait", "skip", "share"]),
        help="What to do about GPUs that others compute on.",
        otherwise="wait",
    ),
    _devices("--engine", type=click.Choice(["local", "ray"]), help="Where trials run.", otherwise="local"),
    _devices("--address", metavar="HOST:PORT", help="With --engine ray: the cluster to join."),
    _trials(
        "--trial-timeout",
        type=Duration(),
        metavar="TIME",
        help="End a trial that reports no epoch for this long.",
        otherwise="never",
    ),
    _trials(
        "--checkpoint-every",
        type=click.Choice(["rung", "epoch"]),
        help="How often a trial saves its full state.",
        otherwise="rung",
    ),
    _trials(
        "--start-method",
        type=click.Choice(["auto", "fork", "spawn"]),
        help="How trial processes are made.",
        otherwise="auto",
    ),
    _run("--run", metavar="RUN", help="The run directory.", otherwise="runs/NAME, after the script"),
    _run(
        "--restart",
        is_flag=True,
        default=None,
        help="Start a new search; an older run of that name is moved aside, never deleted.",
    ),
    _run(
        "--fix-settled",
        is_flag=True,
        default=None,
        help="Search on in RUN-narrow, with the values fixed on which RUN's best trials agree.",
    ),
    _run(
        "--take-over",
        is_flag=True,
        default=None,
        help="Continue a run that another host has worked on, where none of its processes is left.",
    ),
]

#: What options were called in earlier versions, and are called now: still taken, not listed.
_OLDER = {"fresh": "restart", "narrow": "fix_settled", "busy": "when_busy", "launch": "start_method"}
_HIDDEN: list[Callable[[Any], Any]] = [
    click.option("--fresh", is_flag=True, default=None, hidden=True),
    click.option("--narrow", is_flag=True, default=None, hidden=True),
    click.option("--busy", type=click.Choice(["wait", "skip", "share"]), hidden=True),
    click.option("--launch", type=click.Choice(["auto", "fork", "spawn"]), hidden=True),
]


def search_options(function: F) -> F:
    decorated: Any = function
    for option in reversed([*_OPTIONS, *_HIDDEN]):
        decorated = option(decorated)
    return decorated  # type: ignore[no-any-return]


def given(options: dict[str, Any]) -> dict[str, Any]:
    """The options a person gave, by the Python names they have now."""
    found = {name: value for name, value in options.items() if value is not None}
    for older in _OLDER.keys() & found.keys():
        name = _OLDER[older]
        if name in found:
            raise UsageError(f"--{older} is the older name of --{name.replace('_', '-')}; give one of the two")
        found[name] = found.pop(older)
    if "gpus" in found:
        found["gpus"] = parse_gpus(found["gpus"])
    return found


def parse_gpus(text: str) -> str | list[str | int]:
    """ "all", "none", or a list of indices and UUIDs."""
    words = [word.strip() for word in text.split(",") if word.strip()]
    if len(words) == 1 and words[0] in ("all", "none"):
        return words[0]
    return [int(word) if word.isdecimal() else word for word in words]


#: Options that are meant for one session, or that the run itself tells.
_ONCE = {"run", "restart", "fresh", "fix_settled", "narrow", "take_over", "retry_failed", "retry"}
_ONCE |= {"detach", "report_fd", "tried", "learn_from"}
_ONCE |= {"notify"}  # A target is often a secret, and the run is not to keep it.


def words_of(ctx: click.Context, arguments: Sequence[str]) -> list[str]:
    """The options that were given, in the words that give them again, and behind -- the script's own arguments."""
    words: list[str] = []
    for param in ctx.command.params:
        name, value = param.name or "", ctx.params.get(param.name or "")
        if not isinstance(param, click.Option) or name in _ONCE or value is None:
            continue
        if ctx.get_parameter_source(name) is ParameterSource.COMMANDLINE:
            words += [param.opts[0]] if param.is_flag else [param.opts[0], _word(value)]
    return [*words, *(["--", *arguments] if arguments else [])]


def _word(value: Any) -> str:
    return str(int(value)) if isinstance(value, float) and value.is_integer() else str(value)
