"""Which view a command shows its search with."""

from __future__ import annotations

from gpusched.runtime.view import View

__all__ = ["View", "choose"]


def choose() -> View:
    """The view for this process's standard output: live on a terminal, plain lines elsewhere."""
    import os
    import sys

    from gpusched.ui.terminal import Output

    output = Output(sys.stdout)
    if output.is_terminal and os.environ.get("TERM", "") not in ("", "dumb"):
        from gpusched.ui.live import LiveView

        return LiveView(output)
    from gpusched.ui.plain import PlainView

    return PlainView(output)
