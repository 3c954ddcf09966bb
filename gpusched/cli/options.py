"""Arguments and options that several commands share, and how they print facts."""

from __future__ import annotations

import re
from collections.abc import Callable
from typing import TYPE_CHECKING, Any, Generic, TypeVar

import click

from gpusched.printable import escaped, plain_lines
from gpusched.storage import files
from gpusched.storage.rundir import RunDir
from gpusched.storage.runs.known import find_run

F = TypeVar("F", bound=Callable[..., Any])

if TYPE_CHECKING:
    from click import ParamType as ParamType

    from gpusched.runtime.reader import Run
else:
    T = TypeVar("T")

    class ParamType(click.ParamType, Generic[T]):
        """click's own says what it converts to only since click 8.4."""


#: Exit codes: SIGPIPE's and SIGINT's are the shell's convention.
_UNITS = {"": 1.0, "s": 1.0, "m": 60.0, "min": 60.0, "h": 3600.0, "d": 86400.0}


class Duration(ParamType[float]):
    """Seconds, or a number with a unit: 90, 45m, 2h, 1h30m, 1.5d."""

    name = "time"

    def convert(self, value: Any, param: click.Parameter | None, ctx: click.Context | None) -> float:
        if isinstance(value, int | float):
            return float(value)
        text = str(value).replace(" ", "").lower()
        parts = re.findall(r"(\d+(?:\.\d*)?|\.\d+)(min|[smhd]?)", text)
        seconds = sum(float(number) * _UNITS[unit] for number, unit in parts)
        if "".join(number + unit for number, unit in parts) != text or seconds <= 0:
            self.fail(f"{value!r} is not a time: give seconds, or for example 45m, 2h, 1h30m", param, ctx)
        return seconds


class PerGpu(ParamType[int | str]):
    """How many trials share a GPU: a number, or "auto"."""

    name = "number"

    def convert(self, value: Any, param: click.Parameter | None, ctx: click.Context | None) -> int | str:
        text = str(value).strip().lower()
        if text == "auto":
            return text
        if not text.isdecimal() or int(text) < 1:
            self.fail(f"{value!r} is not possible: give a number of at least 1, or auto", param, ctx)
        return int(text)


class RunArgument(ParamType[RunDir]):
    """A run directory by path, or by name under runs/."""

    name = "RUN"

    def convert(self, value: Any, param: click.Parameter | None, ctx: click.Context | None) -> RunDir:
        return value if isinstance(value, RunDir) else find_run(str(value))

    def shell_complete(self, ctx: click.Context, param: click.Parameter, incomplete: str) -> list[Any]:
        from pathlib import Path

        from click.shell_completion import CompletionItem

        names = [search.parent.name for search in Path("runs").glob("*/search.json")]
        found = [CompletionItem(name) for name in sorted(names) if name.startswith(incomplete)]
        return found or [CompletionItem(incomplete, type="dir")]


def run_argument(function: F) -> F:
    """`[RUN]`: the function gets a RunDir, the newest one where nothing is named."""
    return _run_argument(function, acting=False)


def run_to_act_on(function: F) -> F:
    """The same for a command that changes a search: where nothing is named, the run is below the working directory."""
    return _run_argument(function, acting=True)


def _run_argument(function: F, *, acting: bool) -> F:
    def newest(ctx: click.Context, param: click.Parameter, value: RunDir | None) -> RunDir | None:
        return find_run(None, acting=acting) if value is None and not ctx.resilient_parsing else value

    return click.argument("run", type=RunArgument(), required=False, callback=newest)(function)


def run_and_trials(function: F) -> F:
    """`[RUN] [TRIAL ...]`: arguments of digits are trials; the function gets `run` and `trials`."""
    return _run_and_trials(function, acting=False)


def run_and_trials_to_act_on(function: F) -> F:
    """The same for a command that changes a search."""
    return _run_and_trials(function, acting=True)


def _run_and_trials(function: F, *, acting: bool) -> F:
    def split(ctx: click.Context, param: click.Parameter, given: tuple[str, ...]) -> tuple[RunDir, list[int]] | None:
        if ctx.resilient_parsing:
            return None
        trials = [int(word) for word in given if word.isdecimal()]
        named = [word for word in given if not word.isdecimal()]
        if len(named) > 1:
            raise click.UsageError(f"one RUN at a time, not {', '.join(named)}; trials are numbers", ctx)
        return find_run(named[0] if named else None, acting=acting), trials

    return click.argument("targets", nargs=-1, callback=split, metavar="[RUN] [TRIAL]...")(function)


#: Complaints that a command shows of a run that is damaged.
_SHOWN = 5


def examples(*lines: str) -> str:
    """What stands below a command's options in its help."""
    return "\b\nExamples:\n" + "\n".join(f"  {line}" for line in lines)


def near(run: RunDir) -> str:
    """The run's path as one would type it here: a command that names no run says which one it took."""
    return files.near(run.path)


def json_option(function: F) -> F:
    return click.option("--json", "as_json", is_flag=True, help="Print JSON, for programs.")(function)


def print_json(facts: Any) -> None:
    """Facts of plain types as JSON of two spaces; NaN and infinity as null."""
    import msgspec

    click.echo(escaped(msgspec.json.format(msgspec.json.encode(facts), indent=2).decode()))


def say(text: str) -> None:
    """Prints lines for people, whoever named what is in them."""
    click.echo(plain_lines(text))


def tell_damage(run: Run) -> None:
    """Says on standard error what is missing in what has just been shown."""
    from gpusched.ui.words import clean, plural

    lines = [line for trial in sorted(run.damage) for line in run.damage[trial]]
    for line in lines[:_SHOWN]:
        click.echo(f"gpusched: {clean(line)}; it is left out here", err=True)
    if len(lines) > _SHOWN:
        click.echo(f"gpusched: {plural(len(lines) - _SHOWN, 'more complaint')}; `gpusched verify` has all", err=True)


def known_trials(run: RunDir, trials: list[int]) -> list[int]:
    """The same ids, once each. Raises UsageError for one that the run does not have."""
    from gpusched.errors import UsageError

    there = set(run.trial_ids())
    for trial in trials:
        if trial not in there:
            span = f"it has trials {min(there)} to {max(there)}" if there else "none has started yet"
            raise UsageError(f"{run.name}: there is no trial {trial}; {span}")
    return list(dict.fromkeys(trials))
