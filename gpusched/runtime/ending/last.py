"""The last resort: a third Ctrl-C, or some time after the second, ends whatever the session still waits for.

A fourth ends the process at once.

In a thread of its own, which waits for signals and for nothing else: the loop may be what is stuck, in a disk or in a
hook of the user's.
"""

from __future__ import annotations

import contextlib
import os
import select
import threading
import time
from collections.abc import Callable, Iterable

from gpusched.system.early import INTERRUPTED
from gpusched.system.process.tags import sweep
from gpusched.system.session import script

#: From the second interrupt until nothing is waited for any more.
GRACE_SECONDS = 15.0
#: From there until the process itself is ended: time for the launcher, its guardian and the disk.
END_SECONDS = 15.0

_HEARD, _OVER = b"h", b"o"


class LastResort:
    """That of one session. `give_up` is called in this thread; `marks` says whose processes are to end at last."""

    def __init__(self, give_up: Callable[[], None], marks: Callable[[], Iterable[str]]) -> None:
        self._give_up, self._marks = give_up, marks
        self._thread: threading.Thread | None = None
        self._read = self._write = -1

    def begin(self) -> None:
        self._read, self._write = os.pipe()
        thread = threading.Thread(target=self._wait, name="last resort", daemon=True)
        with contextlib.suppress(RuntimeError):  # There may be no thread left, and little else then.
            thread.start()
            self._thread = thread

    def heard(self) -> None:
        """An interrupt. Safe in a signal's handler."""
        with contextlib.suppress(OSError):
            os.write(self._write, _HEARD)

    def over(self) -> None:
        """The session has ended. Twice is once."""
        if self._write < 0:
            return
        os.write(self._write, _OVER)
        if self._thread is not None:
            self._thread.join()
        os.close(self._read)
        os.close(self._write)
        self._read = self._write = -1

    def _wait(self) -> None:
        heard, until = 0, None
        while heard < 3 and (until is None or time.monotonic() < until):
            said = self._listen(until)
            if _OVER in said:
                return
            heard += len(said)
            if heard >= 2 and until is None:
                until = time.monotonic() + GRACE_SECONDS
        self._give_up()
        until = time.monotonic() + END_SECONDS
        while time.monotonic() < until:
            said = self._listen(until)
            if _OVER in said:
                return
            if said:  # A fourth.
                break
        if script() is not None:  # A notebook's process is more than this search.
            self._end()

    def _listen(self, until: float | None) -> bytes:
        left = None if until is None else max(0.0, until - time.monotonic())
        ready, _, _ = select.select([self._read], [], [], left)
        return os.read(self._read, 64) if ready else b""

    def _end(self) -> None:
        with contextlib.suppress(Exception):
            undead = sweep(self._marks(), seconds=0.5)
            left = f"; still there: {', '.join(map(str, undead))}" if undead else ""
            shown = "\x1b[?25h\n" if os.isatty(2) else ""  # The cursor, which a live view hides.
            os.write(2, f"{shown}gpusched: the session did not end in time: its processes were killed{left}\n".encode())
        os._exit(INTERRUPTED)
