"""Which view fits the process's standard output."""

from __future__ import annotations

import asyncio
import os
import sys
from typing import TYPE_CHECKING, Any

from gpusched.core.commands import AnyCommand
from gpusched.core.events import AnyEvent
from gpusched.core.search import Search
from gpusched.runtime.view import View
from gpusched.storage.rundir import RunDir
from gpusched.system.notebook import kernel
from gpusched.ui.watch.terminal import Output

if TYPE_CHECKING:
    from gpusched.runtime.reader import Run
    from gpusched.ui.watch.plain import Teller


def choose() -> View:
    """Live on a terminal, plain lines elsewhere."""
    return _of(None)


def for_tuner(verbose: Any, *, own_loop: bool = False) -> View:
    """The view of `tuner.search(verbose=...)`, in Keras's meaning.

    0: nothing is printed; 1, "auto" or not given: the trials; 2: also the lines that each trial prints, an epoch each.
    These are shown from 1 on where the training is an `own_loop` of the user's, who prints what they want to see.
    A notebook shows one panel, and these lines in it or, with 2, below it.
    """
    if verbose is not None and not verbose:
        return Silent()
    printing = verbose not in (None, 1, "auto")
    if kernel():
        from gpusched.ui.notebook.view import NotebookView, ipython

        return NotebookView(ipython(), logs=own_loop, printing=printing)
    from gpusched.ui.watch.tuner import TrialTeller

    return _of(TrialTeller(logs=own_loop or printing))


def _of(teller: Teller | None) -> View:
    output = Output(sys.stdout)
    if output.is_terminal and os.environ.get("TERM", "") not in ("", "dumb"):
        from gpusched.ui.watch.live import LiveView

        return LiveView(output, teller)
    from gpusched.ui.watch.plain import PlainView

    return PlainView(output, teller)


class Silent:
    """A View of nothing."""

    def message(self, text: str) -> None:
        """Not printed."""

    def started(self, run: RunDir) -> None:
        """Not printed."""

    def event(self, event: AnyEvent, commands: list[AnyCommand], search: Search) -> None:
        """Not printed."""

    async def show(self, run: Run) -> None:
        await asyncio.Event().wait()
