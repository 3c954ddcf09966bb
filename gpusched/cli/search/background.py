"""`gpusched run -d`: the same command in a session of its own, and how its start is reported.

The background process says over a pipe which run directory it works on; until then its output is kept
in an unnamed file, and if it ends before that, its error becomes the foreground's.
"""

from __future__ import annotations

import contextlib
import os
import signal
import subprocess
import sys
import tempfile
from pathlib import Path
from typing import TYPE_CHECKING

from gpusched.cli.options import say
from gpusched.core.commands import AnyCommand
from gpusched.core.events import AnyEvent
from gpusched.core.search import Search
from gpusched.storage.files import near, open_own
from gpusched.storage.rundir import RunDir
from gpusched.ui.watch.plain import PlainView
from gpusched.ui.watch.terminal import Output

if TYPE_CHECKING:
    from gpusched.runtime.reader import Run


def start(argv: list[str]) -> int:
    """Runs `gpusched ARGV` in the background; returns the exit code of the foreground."""
    reading, writing = os.pipe()
    at = argv.index("run") + 1
    words = [*argv[:at], "--report-fd", str(writing), *argv[at:]]
    with tempfile.TemporaryFile() as output:
        child = subprocess.Popen(
            # -P: the folder one stands in is not to shadow the packages of this Python.
            [sys.executable, "-P", "-m", "gpusched.cli", *words],
            stdin=subprocess.DEVNULL,
            stdout=output,
            stderr=output,
            pass_fds=[writing],
            start_new_session=True,
        )
        os.close(writing)
        try:
            with open(reading, "rb") as pipe:
                path, *notices = os.fsdecode(pipe.read()).split("\0")
        except KeyboardInterrupt:
            os.killpg(child.pid, signal.SIGTERM)
            child.wait()
            return 130
        if not path:
            code = child.wait()
            output.seek(0)
            sys.stderr.write(output.read().decode(errors="replace"))
            return code if code > 0 else 1
    say("\n".join([f"{path} runs in the background (process {child.pid})", *notices]))
    name = shown(Path(path))
    say(f"gpusched attach {name}    show it live\ngpusched logs -f {name}   follow its trials")
    say(f"gpusched stop {name}      stop it; it can be continued later")
    return 0


def shown(path: Path) -> str:
    """The shortest way to name a path from here, quoted for a shell."""
    import shlex

    return shlex.quote(near(path))


class BackgroundView:
    """Plain lines to RUN/scheduler.log; to whoever started this process its path, and what is said at first."""

    def __init__(self, report_fd: int) -> None:
        self._report_fd = report_fd
        self._reports = False  #: whether the run directory has been told, and notices may follow
        os.set_inheritable(report_fd, False)
        self._plain = PlainView(Output(sys.stdout))

    def message(self, text: str) -> None:
        self._plain.message(text)
        if self._reports:
            self._report(f"\0{text}")

    def started(self, run: RunDir) -> None:
        sys.stdout.flush()
        log = open_own(run.log, os.O_WRONLY | os.O_CREAT | os.O_APPEND)
        _copy(sys.stdout.fileno(), log)
        os.dup2(log, 1)
        os.dup2(log, 2)
        os.close(log)
        self._plain.started(run)
        self._reports = True
        self._report(os.fspath(run.path))

    def _report(self, text: str) -> None:
        # Whoever started this may have been killed meanwhile: the search goes on.
        with contextlib.suppress(BrokenPipeError):
            os.write(self._report_fd, os.fsencode(text))

    def event(self, event: AnyEvent, commands: list[AnyCommand], search: Search) -> None:
        if self._reports:
            self._reports = False
            os.close(self._report_fd)
        self._plain.event(event, commands, search)

    async def show(self, run: Run) -> None:
        await self._plain.show(run)


def _copy(source: int, target: int) -> None:
    """What was said before there was a log belongs into it."""
    os.write(target, os.pread(source, 1 << 20, 0))
