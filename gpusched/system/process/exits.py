"""The clean-up that a program has asked Python for, run at the end of a process that leaves by os._exit.

A fork has the handlers of its parent too, which are the parent's business: a folder that the script deletes at its
end is not to be deleted by a trial. What a trial itself has asked for is run, as libraries rely on it: files are
flushed, shared memory is given back, threads that are no daemons come to their end.
"""

from __future__ import annotations

import atexit
import sys
import threading
import weakref
from collections.abc import Callable
from typing import Any


def forget() -> None:
    """From here on nothing that has been asked for so far is run in this process."""
    atexit._clear()
    # These are registered once, when they are first used, which may have been in the parent.
    for finalizer in list(getattr(weakref.finalize, "_registry", ())):
        finalizer.atexit = False
    atexit.register(weakref.finalize._exitfunc)  # type: ignore[attr-defined]
    logging = sys.modules.get("logging")
    if logging is not None:
        atexit.register(logging.shutdown)
    processes: Any = sys.modules.get("multiprocessing.util")
    if processes is not None:
        processes._finalizer_registry.clear()
        atexit.register(processes._exit_function)


def run(seconds: float, late: Callable[[list[str]], object]) -> None:
    """Waits for threads that are no daemons, and runs what has been asked for since forget().

    Where it takes longer, late(names) is called in another thread, with the threads that still run: it is to end the
    process.
    """
    done = threading.Event()

    def watch() -> None:
        if not done.wait(seconds):
            late([each.name for each in threading.enumerate() if not each.daemon and each is not main])

    main = threading.current_thread()
    threading.Thread(target=watch, name="gpusched: end of the process", daemon=True).start()
    threading._shutdown()  # type: ignore[attr-defined]
    atexit._run_exitfuncs()
    done.set()
