"""Which view fits the process's standard output."""

from __future__ import annotations

import os
import sys

from gpusched.runtime.view import View
from gpusched.ui.watch.terminal import Output


def choose() -> View:
    """Live on a terminal, plain lines elsewhere."""
    output = Output(sys.stdout)
    if output.is_terminal and os.environ.get("TERM", "") not in ("", "dumb"):
        from gpusched.ui.watch.live import LiveView

        return LiveView(output)
    from gpusched.ui.watch.plain import PlainView

    return PlainView(output)
