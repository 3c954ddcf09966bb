"""What kind of session this process is: one script, or something that runs the code of others piece by piece."""

from __future__ import annotations

import os
import sys
from pathlib import Path

from gpusched.system.notebook import shell
from gpusched.system.origin import working_directory

#: The working directory when gpusched was imported: a script that is executed again begins there.
BEGAN_IN = working_directory()


def script() -> Path | None:
    """The script that this process executes from its first line to its last; None in a notebook or a test runner."""
    main = sys.modules.get("__main__")
    file = getattr(main, "__file__", None)
    if file is None or sys.flags.interactive or shell() is not None or "pytest" in sys.modules:
        return None
    path = Path(os.path.abspath(file))
    return path if path.is_file() and path.parent.name != "unittest" else None
