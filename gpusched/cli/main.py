"""The entry point: which command is where, and what an error looks like to a person.

Imports no command before it is asked for, so that `gpusched --help` and shell completion answer at once.
"""

from __future__ import annotations

import contextlib
import difflib
import errno
import importlib
import os
import signal
import sys
from collections.abc import Sequence
from typing import Any

if sys.version_info < (3, 11):  # noqa: UP036  # what pip refuses to install can still be run from a checkout
    sys.exit("gpusched: needs Python 3.11 or newer, this is " + sys.version.split()[0])
if not sys.platform.startswith("linux"):
    sys.exit("gpusched: needs Linux, this is " + sys.platform)

import click

from gpusched.errors import GpuschedError, UsageError
from gpusched.system import early

#: By section, command: its module and its line in `gpusched --help` (here, so that the help imports nothing).
SECTIONS: dict[str, dict[str, tuple[str, str]]] = {
    "Search": {
        "run": ("search.run", "Start a search, or continue one that was stopped or killed."),
        "attach": ("search.attach", "Show a running search live again."),
        "retry": ("search.retry", "Train failed trials again, once their error is mended."),
        "plan": ("search.plan", "What a search will do, without training."),
    },
    "See how it goes": {
        "status": ("inspect.status", "Trials, rungs, devices, best so far, time left."),
        "top": ("inspect.top", "A running search in full screen."),
        "logs": ("inspect.logs", "What trials print."),
        "devices": ("inspect.devices", "Every GPU and CPU slot, and why one is not used."),
    },
    "Change a running search": {
        "pause": ("control.pause", "Pause a search: free its devices for a while."),
        "resume": ("control.resume", "Resume a paused search."),
        "stop": ("control.stop", "Stop a search, or some of its trials."),
        "set": ("control.set", "Change the cap of trials per GPU, the GPUs, or the time."),
    },
    "Results": {
        "best": ("inspect.best", "The best trials with their values."),
        "report": ("inspect.report", "One self-contained HTML page."),
        "export": ("inspect.export", "Every trial and epoch, as CSV, JSON or TensorBoard files."),
    },
    "Runs": {
        "list": ("runs.list", "All runs below this folder: state, best, age, size."),
        "delete": ("runs.delete", "Delete a run that is not running; asks first."),
        "verify": ("inspect.verify", "Check every decision and file against the journal."),
        "import-keras-tuner": ("search.import_keras_tuner", "Make a run of a Keras Tuner project's finished trials."),
    },
    "For programs and shells": {
        "schema": ("schema", "The JSON Schema of what a command prints with --json."),
        "completion": ("completion", "Print the completion script of your shell."),
    },
}
COMMANDS = {name: known for section in SECTIONS.values() for name, known in section.items()}


class Commands(click.Group):
    """Imports a command when it is used."""

    def list_commands(self, ctx: click.Context) -> list[str]:
        return list(COMMANDS)

    def get_command(self, ctx: click.Context, cmd_name: str) -> click.Command | None:
        if cmd_name not in COMMANDS:
            return None
        module = importlib.import_module(f"gpusched.cli.{COMMANDS[cmd_name][0]}")
        command: click.Command = module.command
        early.raise_interrupts()
        return command

    def resolve_command(
        self, ctx: click.Context, args: list[str]
    ) -> tuple[str | None, click.Command | None, list[str]]:
        if args and args[0] not in COMMANDS and not args[0].startswith("-"):
            close = difflib.get_close_matches(args[0], COMMANDS, 1)
            hint = f"did you mean {close[0]}?" if close else f"there are {', '.join(COMMANDS)}"
            if args[0].endswith(".py"):
                hint = f"to run a script: gpusched run {args[0]}"
            raise click.UsageError(f"there is no command {args[0]!r}; {hint}")
        return super().resolve_command(ctx, args)

    def format_commands(self, ctx: click.Context, formatter: click.HelpFormatter) -> None:
        wide = max(map(len, COMMANDS))
        for title, commands in SECTIONS.items():
            with formatter.section(title):
                formatter.write_dl([(f"{name:<{wide}}", line) for name, (_, line) in commands.items()])


def _version(ctx: click.Context, param: click.Parameter, wanted: bool) -> None:
    if wanted and not ctx.resilient_parsing:
        from importlib.metadata import version

        click.echo(f"gpusched {version('gpusched')}")
        ctx.exit()


@click.group(
    cls=Commands,
    context_settings={"help_option_names": ["-h", "--help"], "max_content_width": 100},
    invoke_without_command=True,
)
@click.option(
    "--version", is_flag=True, expose_value=False, is_eager=True, callback=_version, help="Print the version."
)
@click.pass_context
def cli(ctx: click.Context) -> None:
    """Tunes Keras models on every GPU of this machine.

    RUN is a run directory or its name under runs/; left out, it is the newest below this folder, or the newest you ran.
    Commands that change a search without a RUN act below this folder only.
    """
    if ctx.invoked_subcommand is None:
        click.echo(ctx.get_help(), err=True)
        ctx.exit(2)


def main(argv: Sequence[str] | None = None) -> None:
    """Runs a command and exits: 0 done, 1 failed, 2 wrong usage, 130 interrupted."""
    code = _run(argv)
    early.exit_with(code)
    # A reader that left early (`| head`) shows here at the latest, and again when the interpreter flushes.
    try:
        sys.stdout.flush()
    except (OSError, ValueError):
        _mute(sys.stdout)
        code = code or 128 + signal.SIGPIPE
    sys.exit(code)


def _run(argv: Sequence[str] | None) -> int:
    try:
        for stream in (sys.stdout, sys.stderr):
            with contextlib.suppress(AttributeError, ValueError):
                stream.reconfigure(errors="replace")  # type: ignore[union-attr]  # a name is no reason to fail
        answer: Any = cli.main(args=argv, prog_name="gpusched", standalone_mode=False)
        return answer if isinstance(answer, int) else 0
    except click.exceptions.Exit as done:
        return int(done.exit_code)
    except click.UsageError as error:
        path = error.ctx.command_path if error.ctx else "gpusched"
        return _complain(f"{error.format_message().rstrip('.')}; `{path} --help` shows what there is", 2)
    except click.ClickException as error:
        return _complain(error.format_message(), error.exit_code)
    except (KeyboardInterrupt, click.Abort):
        return 130
    except UsageError as error:
        return _complain(str(error), 2)
    except GpuschedError as error:
        return _complain(str(error), 1)
    except BrokenPipeError:
        _mute(sys.stdout)
        return 128 + signal.SIGPIPE
    except OSError as error:
        if error.errno == errno.EIO and _terminal_is_gone():  # Nobody reads this. A disk says the same of itself.
            _mute(sys.stdout)
            return 129
        if error.filename is not None:
            return _complain(f"{os.fsdecode(error.filename)}: {error.strerror}", 1)
        return _complain(f"{error.strerror or error}{_kept(error)}", 1)


def _terminal_is_gone() -> bool:
    for stream in (sys.stdout, sys.stderr):
        try:
            os.tcgetpgrp(stream.fileno())
        except OSError as error:
            if error.errno == errno.EIO:
                return True
        except (AttributeError, ValueError):
            pass  # It is closed.
    return False


def _kept(error: BaseException) -> str:
    """Where its traceback is, for an error that names nothing."""
    from gpusched.errors import traceback_of
    from gpusched.storage.rundir import keep_traceback

    kept = keep_traceback(traceback_of(error))
    return f" (the traceback is in {kept})" if kept is not None else ""


def _complain(text: str, code: int) -> int:
    from gpusched.ui.words import clean

    with contextlib.suppress(OSError, ValueError):
        print(f"gpusched: {clean(text)}", file=sys.stderr, flush=True)
    return code


def _mute(stream: Any) -> None:
    with contextlib.suppress(OSError, ValueError):
        null = os.open(os.devnull, os.O_WRONLY)
        os.dup2(null, stream.fileno())
        os.close(null)


if __name__ == "__main__":
    main()
