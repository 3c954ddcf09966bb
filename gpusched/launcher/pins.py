"""What pins a process to its devices, held against a script that sets it for itself.

`os.environ["CUDA_VISIBLE_DEVICES"] = "0"` is a common first line of scripts. Where the script is executed in the trial
it would move the trials of all slots to GPU 0, and in a launcher it would open a GPU. CUDA reads the variable when a
framework starts, so it is set again right before that, and once the script has been loaded.
"""

from __future__ import annotations

import os
from collections.abc import Callable, Mapping

from gpusched.launcher.standby import wakes

_VISIBLE = "CUDA_VISIBLE_DEVICES"
#: A process that is to see no GPU.
NONE = {_VISIBLE: "-1"}

_again: Callable[[], str | None] = lambda: None  # noqa: E731
_said: str | None = None


def hold(environ: Mapping[str, str], also: Callable[[], None] = lambda: None) -> None:
    """Sets these variables, now and whenever `again` is called or a framework starts; calls `also` behind that."""
    global _again, _said

    def pin() -> str | None:
        global _said
        found = os.environ.get(_VISIBLE)
        os.environ.update(environ)
        also()
        if found != environ.get(_VISIBLE):
            _said = (
                f"the script sets {_VISIBLE}={found}, which its trials do not follow: each has the devices of its slot"
            )
        return _said

    pin()
    _again, _said = pin, None
    wakes.watch(pin)


def again() -> str | None:
    """To be called when the user's code has been loaded: a line for people, where it had set devices of its own."""
    return _again()
