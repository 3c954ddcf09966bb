"""From the user's code to a launcher that serves, in a process that has been made for it.

Loads the user's code in a fork of itself. If that fork is still fit to be forked, it becomes the
launcher; if the user's code has started something unforkable, it is thrown away, and another fork,
with the framework alone, serves in its place. This process itself stays empty, and minds them.
"""

from __future__ import annotations

import contextlib
import gc
import os
import socket
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from typing import TYPE_CHECKING

import msgspec

from gpusched.errors import GpuschedError, words_of
from gpusched.launcher import guardian, pins
from gpusched.launcher.guardian import SchedulerGone, Verdict, say
from gpusched.launcher.protocol import Load, Loaded, Refused, decode_request, encode
from gpusched.launcher.source import (
    Ahead,
    GoOn,
    Held,
    UserCode,
    Written,
    blame,
    details,
    import_framework,
    imports_keras,
    take,
)
from gpusched.launcher.standby import standby, wakes
from gpusched.launcher.standby.forkable import unforkable
from gpusched.system import frames
from gpusched.system.process import threads
from gpusched.system.process.kernel import adopt_orphans, end_children, outlive_parent
from gpusched.system.process.tags import MARK

if TYPE_CHECKING:
    from gpusched.trial.task import Task


def launch(sock: socket.socket, made: UserCode | None = None, source: Load | None = None) -> int:
    """Serves the scheduler at the other end of `sock`; returns this process's exit code.

    `made` is what this process, a fork of a script's, has or comes to where nothing is pickled for it; None: the first
    message says what to load.
    `source` is that message where it has been read already. Raises GoOn in a trial's process that goes on with the
    script.
    """
    guardian.detach_signals()
    os.environ.setdefault("TF_CPP_MIN_LOG_LEVEL", "2")
    pins.hold(pins.NONE)
    adopt_orphans()
    source = source or _first_message(sock)
    by_value = isinstance(made, Held) and source.pickled_fd is not None
    code = Written(source) if made is None or by_value else made
    if isinstance(code, Ahead):
        code = Ahead(source.nth, tuple(source.answers))
    try:
        pid, verdict = guardian.in_fork(sock, lambda fd: _load(sock, source, code, fd))
        if verdict.moved:
            os.waitpid(pid, 0)
            guardian.inherit(verdict.moved)
            pid = verdict.moved
        elif not verdict.serve:
            os.waitpid(pid, 0)
            end_children()
            pid, _ = guardian.in_fork(sock, lambda fd: _serve_frame(sock, source, code, verdict, fd))
    except SchedulerGone:
        return 0
    except guardian.Ended as ended:
        message = f"loading the script ended its process ({ended.code}); see what it printed"
        _refuse(sock, Refused(message=message))
        return 1
    sock.close()
    if source.pickled_fd is not None:
        os.close(source.pickled_fd)
    return guardian.mind(pid)


def _first_message(sock: socket.socket) -> Load:
    """Reads no further: what follows is for the process that serves."""
    buffer = b""
    while not buffer.endswith(b"\n"):
        ahead = sock.recv(1 << 16, socket.MSG_PEEK)
        if not ahead:
            raise SystemExit(0)
        buffer += sock.recv(ahead.find(b"\n") + 1 or len(ahead))
    message = decode_request.decode(buffer)
    assert isinstance(message, Load)
    return message


def _refuse(sock: socket.socket, refused: Refused) -> None:
    """Says so, and waits for the other end to hang up: a line closed over unread requests loses its last words."""
    with contextlib.suppress(OSError):  # Nobody is there to be told.
        sock.sendall(encode(refused))
        sock.shutdown(socket.SHUT_WR)
        while sock.recv(1 << 16):
            pass


def _load(sock: socket.socket, source: Load, code: UserCode, verdict: int) -> None:
    """In the fork: loads everything, tells the parent whether this process can serve, and serves."""
    from gpusched.trial.task import settings

    if isinstance(code, Ahead):
        if source.settings is not None:
            sock.sendall(encode(Loaded(settings=source.settings)))
        _serve(sock, source, code, None, verdict, source.notice)
        return
    doing = "importing Keras"
    try:
        if isinstance(code, Written) and source.mode != "spawn" and imports_keras(source):
            import_framework()
        doing = "the script" if source.script is not None else "what search() was called with"
        with _copied(source) as arrived:
            task = take(code)
            arrived(task)
        doing = "load_data"
        with _copied(source) as arrived:
            wanted = settings(task, source.options)
            arrived(task)
        sock.sendall(encode(Loaded(settings=_plain(wanted))))
        keras = wanted.keras
        if source.mode == "spawn":
            say(verdict, Verdict(serve=False, keras=keras, notice=pins.again()))
            return
        if _moves(sock, source, verdict, "the script starts a framework before search()"):
            return
        if keras:
            doing = "importing Keras"
            import_framework()
        doing = "load_data"
        with _copied(source) as arrived:
            task.load()
            arrived(task)
        if _moves(sock, source, verdict, "load_data starts a framework"):
            return
    except GoOn:
        raise
    except BaseException as error:
        standby.gone_wrong(error)
        text = words_of(error) if isinstance(error, GpuschedError) else blame(doing, error)
        refused = Refused(message=text, details=details(error))
        say(verdict, Verdict(serve=True))
        _refuse(sock, refused)
        return
    notice = pins.again()
    reason = unforkable()
    if reason is not None and source.mode != "fork":
        say(verdict, Verdict(serve=False, keras=keras, reason=reason, notice=notice))
        return
    _serve(sock, source, code, task, verdict, notice)


@contextmanager
def _copied(source: Load) -> Iterator[Callable[[Task], None]]:
    """While the user's code runs here, a copy is made right before that starts a framework's runtime.

    A trial goes on from there, and ends where it calls what this yields with the task.
    """
    if source.mode != "auto":
        yield lambda task: None
        return

    def before() -> None:
        pins.again()
        standby.make(launch)

    wakes.watch(before)
    yield standby.arrived
    wakes.watch(pins.again)


def _moves(sock: socket.socket, source: Load, verdict: int, what: str) -> bool:
    """Whether the copy serves in this process's place, since this one cannot be forked any more."""
    ready = standby.ready() if source.mode == "auto" and unforkable() is not None else None
    if ready is None:
        return False
    moved = msgspec.structs.replace(source, settings=None, notice=ready.notice(what) or source.notice)
    pid, pidfd = ready.copy.launch(sock, os.environ.get(MARK, ""), moved)
    os.close(pidfd)
    say(verdict, Verdict(serve=True, moved=pid))
    return True


def _serve(
    sock: socket.socket, source: Load, code: UserCode, task: Task | None, verdict: int, notice: str | None
) -> None:
    from gpusched.launcher.server import Server

    _settle()
    _become_launcher(verdict)
    Server(sock, source, code, task, "fork", notice).serve()


def _serve_frame(sock: socket.socket, source: Load, code: UserCode, judged: Verdict, verdict: int) -> None:
    """In the second fork: serves with the framework alone, or with nothing where every trial is to start anew."""
    from gpusched.launcher.server import Server

    notices = [judged.notice] if judged.notice else []
    mode = source.mode
    if mode != "spawn":
        mode = "fork-framework"
        if isinstance(code, Held):
            notices.append(f"load_data cannot be shared by forking, {judged.reason}: each trial calls it anew")
        else:
            notices.append(
                f"the script cannot be shared by forking, {judged.reason}: "
                "each trial loads it anew (moving that into build_model makes trials start faster)"
            )
        if judged.keras:
            import_framework()
        _settle()
    _become_launcher(verdict)
    Server(sock, source, code, None, mode, "\n".join(notices) or None).serve()


def _become_launcher(verdict: int) -> None:
    outlive_parent()
    say(verdict, Verdict(serve=True))


def _plain(value: object) -> dict[str, object]:
    plain: dict[str, object] = msgspec.to_builtins(value)
    return plain


def _settle() -> None:
    """Loads what each trial would load otherwise, and leaves it to no collector: its pages stay shared after forks."""
    import gpusched.trial.job  # noqa: F401

    frames.keep_sources()
    threads.find()
    gc.collect()
    gc.freeze()
