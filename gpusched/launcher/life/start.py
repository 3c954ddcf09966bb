"""A launcher's process: started from nothing or by a copy of the caller, and its guardian minded."""

from __future__ import annotations

import asyncio
import contextlib
import os
import signal
import socket
import subprocess
import sys
from dataclasses import dataclass
from typing import TYPE_CHECKING

from gpusched.launcher.protocol import Load
from gpusched.system.process.kernel import END_SECONDS
from gpusched.system.process.tags import marking

if TYPE_CHECKING:
    from gpusched.launcher.standby.copies import Copy


@dataclass
class Guardian:
    """A launcher's guardian that was started from here."""

    pid: int
    pidfd: int
    process: subprocess.Popen[bytes] | None = None  #: where it is a child of this process

    def kill(self) -> None:
        with contextlib.suppress(ProcessLookupError):
            signal.pidfd_send_signal(self.pidfd, signal.SIGKILL)

    def forget(self) -> None:
        """Once it has ended."""
        if self.process is not None:
            with contextlib.suppress(subprocess.TimeoutExpired):
                self.process.wait(END_SECONDS)
            if self.process.returncode is None:  # It is stuck or frozen, and dead as soon as it is not.
                self.process.returncode = -signal.SIGKILL
        os.close(self.pidfd)


def _from_nothing(line: socket.socket, mark: str, source: Load) -> Guardian:
    process = subprocess.Popen(
        # -P: the folder one stands in is not to shadow the packages of this Python.
        [sys.executable, "-P", "-m", "gpusched.launcher", str(line.fileno())],
        stdin=subprocess.DEVNULL,
        pass_fds=[line.fileno()] + ([source.pickled_fd] if source.pickled_fd is not None else []),
        # In a session of its own: Ctrl-C and a lost terminal are the scheduler's to hear.
        start_new_session=True,
        env={**os.environ, **marking(mark), "PYTHONUNBUFFERED": "1"},
    )
    return Guardian(process.pid, os.pidfd_open(process.pid), process)


async def launched(line: socket.socket, mark: str, source: Load, copy: Copy | None) -> Guardian:
    """The guardian of a launcher that serves at `line`. Raises OSError where no process can be started."""
    if copy is None:
        return _from_nothing(line, mark, source)
    # In a thread: it may still be importing the framework.
    launching = asyncio.ensure_future(asyncio.to_thread(copy.launch, line, mark, source))
    try:
        return Guardian(*await asyncio.shield(launching))
    except asyncio.CancelledError:
        copy.close()  # Which ends the wait for its answer.
        await asyncio.wait({launching})
        if launching.exception() is None:
            guardian = Guardian(*launching.result())
            guardian.kill()
            guardian.forget()
        raise
