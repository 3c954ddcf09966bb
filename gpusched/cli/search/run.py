"""gpusched run SCRIPT"""

from __future__ import annotations

import difflib
import sys
from pathlib import Path
from typing import Any

import click

from gpusched.cli.options import RunArgument, examples
from gpusched.cli.search.command import ScriptCommand
from gpusched.cli.search.options import given, search_options, words_of
from gpusched.cli.sections import section
from gpusched.errors import UsageError
from gpusched.storage.rundir import RunDir
from gpusched.system.early import Keeping


def _numbers(ctx: click.Context, param: click.Parameter, value: str | None) -> list[int] | None:
    return [int(word) for word in value.split(",")] if value else None


@click.command(
    "run",
    cls=ScriptCommand,
    epilog=examples(
        "gpusched run search.py --gpus 0,1 --per-gpu 2",
        "gpusched run -d search.py --max-time 2h",
        "gpusched run search.py --restart -- --data /data   (what stands behind -- is the script's)",
    ),
)
@click.argument("script", type=click.Path(path_type=Path))
@click.argument("arguments", nargs=-1, type=click.UNPROCESSED, metavar="[-- ARGUMENTS...]")
@click.option("-d", "--detach", is_flag=True, help="Run in the background.")
@click.option("--report-fd", type=int, hidden=True)
@search_options
@section("The run")("--retry-failed", is_flag=True, help="Train trials again that failed in an earlier session.")
@section("What is searched")(
    "--learn-from",
    type=RunArgument(),
    metavar="RUN",
    help="A new search starts from the results of an older run, also where the space has changed.",
)
@section("What is searched")(
    "--try",
    "tried",
    multiple=True,
    metavar="NAME=VALUE,...",
    help="Try this configuration next; what it leaves out is drawn. May be given several times.",
)
@section("The run")(
    "--notify",
    multiple=True,
    metavar="TARGET",
    help="Tell when the search ends: bell, command:'...', or a URL like ntfy://topic or https://example.com/hook. May "
    "be given several times.",
    otherwise="nobody",
)
@click.option("--retry", metavar="TRIALS", callback=_numbers, hidden=True)
def command(
    script: Path,
    arguments: tuple[str, ...],
    detach: bool,
    notify: tuple[str, ...],
    report_fd: int | None,
    retry_failed: bool,
    retry: list[int] | None,
    tried: tuple[str, ...],
    learn_from: RunDir | None,
    **options: Any,
) -> int:
    """Start the search of SCRIPT, or continue it where it was stopped or killed.

    Options beat what the script says; defaults hold where neither says anything. Arguments after -- are the
    script's own.
    """
    if not script.exists():
        beside = [each.name for each in script.parent.glob("*.py")]
        close = difflib.get_close_matches(script.name, beside, 1)
        hint = f"; did you mean {script.with_name(close[0])}?" if close else ""
        raise UsageError(f"{script}: there is no such file{hint}")
    if script.is_dir():
        raise UsageError(f"{script}: is a folder; name a Python script")
    ctx = click.get_current_context()
    if detach:
        from gpusched.cli.search.background import start

        argv = sys.argv[1:] if len(sys.argv) > 1 else []
        if ctx.parent is None:
            argv = ["run", *ctx.obj]  # Called by another command, in these words.
        return start([word for word in argv[: _own(argv)] if word not in ("-d", "--detach")] + argv[_own(argv) :])
    options |= {
        "retry": "failed" if retry_failed else retry,
        "tried": list(tried) or None,
        "notify": list(notify) or None,
        "learn_from": str(learn_from.path) if learn_from is not None else None,
    }
    options["words"] = words_of(ctx, arguments)
    with Keeping():
        return _run(script, arguments, report_fd, options)


def _run(script: Path, arguments: tuple[str, ...], report_fd: int | None, options: dict[str, Any]) -> int:
    from gpusched.cli.search.hooks import Following
    from gpusched.runtime.entry import run_script
    from gpusched.runtime.view import View
    from gpusched.ui.notify.view import Notifying
    from gpusched.ui.watch.view import choose

    view: View
    if report_fd is not None:
        from gpusched.cli.search.background import BackgroundView

        view = BackgroundView(report_fd)
    else:
        view = choose()
    asked = given(options)
    if arguments:
        asked["argv"] = list(arguments)
    following = Following(view, script.absolute(), list(arguments))
    notifying = Notifying(following)
    code = None
    try:
        code = run_script(script.absolute(), asked, view=notifying)
    finally:
        following.close(code)
        notifying.ended(sys.exception())
    return code


def _own(argv: list[str]) -> int:
    """Where the script's own arguments begin: a -d behind -- is not ours."""
    return argv.index("--") if "--" in argv else len(argv)
