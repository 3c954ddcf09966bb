"""The launcher's parent: waits until it can serve, and minds what it leaves if it dies.

Loads nothing itself, so that nothing of the user's can bring it down. Whether what was loaded can be
forked is not its judgement.
"""

from __future__ import annotations

import os
import select
import signal
import socket
import time
from collections.abc import Callable

import msgspec

from gpusched.launcher.source import GoOn
from gpusched.system.process.kernel import (
    END_SECONDS,
    SHORT_SECONDS,
    adopt_orphans,
    die_with,
    end_children,
    own_children,
    session_of,
)
from gpusched.system.streams import flush, show


class Verdict(msgspec.Struct, frozen=True, kw_only=True):
    """What a loading fork says to its parent."""

    serve: bool  #: the fork serves, or has refused; there is nothing more to try
    keras: bool = True
    reason: str = ""
    moved: int = 0  #: pid of another guardian, whose launcher serves in the fork's place
    notice: str | None = None  #: what people should know of the user's code


class Ended(Exception):
    """The loading fork ended without a verdict."""

    def __init__(self, code: int) -> None:
        super().__init__(code)
        self.code = code


class SchedulerGone(Exception):
    """Nobody waits for this launcher any more."""


def in_fork(sock: socket.socket, work: Callable[[int], None]) -> tuple[int, Verdict]:
    """Runs work(fd), which writes a verdict to fd, in a fork; returns its pid with the verdict.

    While it loads, it dies with this process, and is killed when the scheduler closes `sock`. Raises Ended where it
    dies on its own, SchedulerGone where it is not wanted any more; a fork of the fork passes GoOn.
    """
    read, write = os.pipe()
    parent = os.getpid()
    flush()
    pid = os.fork()
    if pid == 0:
        code = 1
        try:
            die_with(parent)
            os.close(read)
            adopt_orphans()
            work(write)
            code = 0
        except GoOn:
            raise
        except BaseException as error:
            show(error)
        flush()
        os._exit(code)
    os.close(write)
    try:
        return pid, _await_verdict(sock, read, pid)
    finally:
        os.close(read)


def say(fd: int, verdict: Verdict) -> None:
    os.write(fd, msgspec.json.encode(verdict) + b"\n")
    os.close(fd)


def _await_verdict(sock: socket.socket, read: int, pid: int) -> Verdict:
    pidfd = os.pidfd_open(pid)
    poll = select.poll()
    poll.register(read, select.POLLIN)
    poll.register(pidfd, select.POLLIN)
    poll.register(sock, select.POLLRDHUP)
    said = b""
    try:
        while True:
            ready = {fd for fd, _ in poll.poll()}
            if read in ready:
                block = os.read(read, 4096)
                said += block
                if said.endswith(b"\n"):
                    return msgspec.json.decode(said, type=Verdict)
                if not block:
                    poll.unregister(read)  # Its end is told by its pidfd.
                continue
            if pidfd in ready:
                _, status = os.waitpid(pid, 0)
                end_children()
                raise Ended(os.waitstatus_to_exitcode(status))
            end_children()
            raise SchedulerGone
    finally:
        os.close(pidfd)


def inherit(pid: int) -> None:
    """Waits until `pid`, a descendant whose parents have ended or are about to, has become this process's child."""
    while pid not in own_children() and os.path.exists(f"/proc/{pid}"):
        time.sleep(0.002)


def mind(pid: int) -> int:
    """Waits for the launcher `pid`, then for the trials it leaves, ending what those leave; returns its exit code."""
    null = os.open(os.devnull, os.O_RDWR)
    for fd in (0, 1, 2):  # Whoever reads our output is not to wait for us.
        os.dup2(null, fd)
    os.close(null)
    _, status = os.waitpid(pid, 0)
    # Trials lead sessions of their own. What else the launcher has left is of no use without it, and nothing is of use
    # behind one that was told to quit.
    has_quit = os.WIFEXITED(status) and not os.WEXITSTATUS(status)
    trials = set() if has_quit else {child for child in own_children() if session_of(child) == child}
    end_children(trials, SHORT_SECONDS if has_quit else END_SECONDS)  # It has waited for them itself.
    while trials:
        try:
            ended, _ = os.waitpid(-1, 0)
        except ChildProcessError:
            break
        trials.discard(ended)
        end_children(trials)
    return abs(os.waitstatus_to_exitcode(status))


def detach_signals() -> None:
    """Ctrl-C and a lost terminal are the scheduler's to hear."""
    signal.signal(signal.SIGINT, signal.SIG_IGN)
    signal.signal(signal.SIGHUP, signal.SIG_IGN)
