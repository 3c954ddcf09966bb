"""Finding the space in a process of its own: building models starts frameworks, which the launcher must not.

`python -m gpusched.launcher.discovery FD` does it from nothing; a Load message stands on standard input.
"""

from __future__ import annotations

import os
import subprocess
import sys
from collections.abc import Callable, Iterable
from dataclasses import dataclass
from typing import TYPE_CHECKING

from gpusched.errors import GpuschedError, fatal_classes, words_of
from gpusched.launcher import pins
from gpusched.launcher.life.silence import Idle
from gpusched.launcher.protocol import Found, Load, Refused, Reply, decode_request, encode
from gpusched.launcher.source import Ahead, GoOn, UserCode, blame, details, load_task, take
from gpusched.system.process.kernel import adopt_orphans, die_with
from gpusched.system.process.owner import Owner
from gpusched.system.streams import flush, quiet_unless_it_fails, show

if TYPE_CHECKING:
    from gpusched.trial.task import Task


@dataclass
class Discovery:
    """A process that looks for the space, as its launcher sees it."""

    pid: int
    pipe: int
    spawned: bool
    said: bytes = b""
    idle: Idle | None = None  #: of a fork


def by_fork(task: Task | None, code: UserCode, inherited: Iterable[int]) -> Discovery:
    """Starts looking in a fork of this process. Raises OSError, and in the fork perhaps GoOn."""
    read, write = os.pipe()
    parent = os.getpid()
    flush()
    pid = os.fork()
    if pid:
        os.close(write)
        return Discovery(pid, read, spawned=False)
    try:
        die_with(parent)
        os.setsid()
        adopt_orphans()
        pins.hold(pins.NONE)
        for fd in (*inherited, read):
            os.close(fd)
        if isinstance(code, Ahead):
            raise GoOn(
                code,
                lambda task: _tell(write, find(lambda: task)),
                lambda error: _tell(write, _refusal("the script", error)),
            )
        _tell(write, find(lambda: task if task is not None else take(code)))
        flush()
    except GoOn:
        raise
    except BaseException as error:
        show(error)
    os._exit(0)


def anew(source: Load) -> Discovery:
    """Starts looking in a fresh process. Raises OSError."""
    read, write = os.pipe()
    keep = [write] + ([source.pickled_fd] if source.pickled_fd is not None else [])
    process = subprocess.Popen(
        [sys.executable, "-P", "-m", "gpusched.launcher.discovery", str(write), str(os.getpid())],
        stdin=subprocess.PIPE,
        pass_fds=keep,
        start_new_session=True,
    )
    os.close(write)
    assert process.stdin is not None
    process.stdin.write(encode(source))
    process.stdin.close()
    process.returncode = 0  # The launcher waits for it, with whatever it leaves.
    return Discovery(process.pid, read, spawned=True)


def find(load: Callable[[], Task]) -> Reply:
    """The space, or why there is none."""
    from gpusched.trial.task import discover

    owner = Owner()
    try:
        with quiet_unless_it_fails():
            task = load()
            pins.again()
            found: Reply = Found(space=discover(task).get_config())
    except BaseException as error:
        found = _refusal("finding the hyperparameters", error)
    if not owner.here:  # User code has forked, and the fork has come here too.
        os._exit(0)
    return found


def _refusal(doing: str, error: BaseException) -> Refused:
    classes = fatal_classes(error)
    message = words_of(error) if classes or isinstance(error, GpuschedError) else blame(doing, error)
    return Refused(message=message, details=details(error), classes=classes)


def _tell(fd: int, reply: Reply) -> int:
    with open(fd, "wb") as pipe:
        pipe.write(encode(reply))
    return 0


if __name__ == "__main__":
    die_with(int(sys.argv[2]))
    pins.hold(pins.NONE)
    message: Load = decode_request.decode(sys.stdin.buffer.readline())  # type: ignore[assignment]
    _tell(int(sys.argv[1]), find(lambda: load_task(message)))
    flush()
    os._exit(0)
