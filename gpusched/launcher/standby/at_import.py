"""What a caller that imports gpusched keeps ready for its search() to come."""

from __future__ import annotations

import os
import sys

from gpusched.launcher.standby import wakes
from gpusched.launcher.standby.forkable import started
from gpusched.system.session import script


def keep_ready() -> None:
    """From now on a copy of this process is made right before a framework's runtime starts in it."""
    if os.environ.get(wakes.SWITCH) == "0":
        return
    wakes.watch(_copy)
    if "keras" in sys.modules and started() is not None and script() is not None:
        # No copy of this process can be made any more: its search() will need another that has imported Keras.
        from gpusched.launcher.standby.prepared import prepared

        prepared()


def _copy() -> None:
    # Imported now: few scripts need it, and all import gpusched.
    from gpusched.launcher.loading import launch
    from gpusched.launcher.standby import standby

    if script() is not None:  # In a trial, whoever runs the code of others must not go on with it.
        standby.make(launch)
