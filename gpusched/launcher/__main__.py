"""`python -m gpusched.launcher FD`: started by an engine, which holds the other end of socket FD.

Loads the user's code in a fork of itself. If that fork is still fit to be forked, it becomes the
launcher; if the user's code has started something unforkable, it is thrown away, and this process,
with the framework alone, serves in its place.
"""

from __future__ import annotations

import ctypes
import gc
import os
import signal
import socket
import sys
import traceback

import msgspec

from gpusched.errors import GpuschedError
from gpusched.launcher.protocol import Load, Loaded, Refused, decode_request, encode
from gpusched.launcher.source import import_framework, imports_keras, load_task, unforkable


class Verdict(msgspec.Struct, frozen=True, kw_only=True):
    """What the loading fork says to its parent."""

    serve: bool  #: the fork serves itself
    keras: bool = True
    reason: str = ""


def _subreaper() -> None:
    """Orphans of trials become children of this process, so that none escapes."""
    PR_SET_CHILD_SUBREAPER = 36
    ctypes.CDLL(None, use_errno=True).prctl(PR_SET_CHILD_SUBREAPER, 1, 0, 0, 0)


def _first_message(sock: socket.socket) -> Load:
    buffer = b""
    while not buffer.endswith(b"\n"):
        block = sock.recv(1 << 16)
        if not block:
            raise SystemExit(0)
        buffer += block
    message = decode_request.decode(buffer)
    assert isinstance(message, Load)
    return message


def _load(sock: socket.socket, source: Load, verdict: int) -> None:
    """In the fork: loads everything, tells the parent whether this process can serve, and serves."""
    from gpusched.launcher.server import Server
    from gpusched.trial.task import settings

    try:
        if imports_keras(source) and source.mode != "spawn":
            import_framework()
        task = load_task(source)
        wanted = settings(task, source.options)
        sock.sendall(encode(Loaded(settings=msgspec.to_builtins(wanted))))
        keras = wanted.keras
        if source.mode == "spawn":
            _say(verdict, Verdict(serve=False, keras=keras))
            return
        if keras:
            import_framework()
        task.load()
    except GpuschedError as error:
        sock.sendall(encode(Refused(message=str(error), details=traceback.format_exc())))
        _say(verdict, Verdict(serve=True))
        return
    reason = unforkable()
    if reason is not None and source.mode != "fork":
        _say(verdict, Verdict(serve=False, keras=keras, reason=reason))
        return
    _say(verdict, Verdict(serve=True))
    _settle()
    Server(sock, source, task, "fork", None).serve()


def _say(fd: int, verdict: Verdict) -> None:
    os.write(fd, msgspec.json.encode(verdict))
    os.close(fd)


def _settle() -> None:
    """Loads what each trial would load otherwise, and leaves it to no collector: its pages stay shared after forks."""
    import gpusched.trial.job  # noqa: F401

    gc.collect()
    gc.freeze()


def main() -> int:
    sock = socket.socket(fileno=int(sys.argv[1]))
    os.set_inheritable(sock.fileno(), False)
    signal.signal(signal.SIGINT, signal.SIG_IGN)
    signal.signal(signal.SIGHUP, signal.SIG_IGN)
    os.environ.setdefault("TF_CPP_MIN_LOG_LEVEL", "2")
    os.environ["CUDA_VISIBLE_DEVICES"] = "-1"
    _subreaper()
    source = _first_message(sock)
    read, write = os.pipe()
    pid = os.fork()
    if pid == 0:
        os.close(read)
        code = 0
        try:
            _subreaper()
            _load(sock, source, write)
        except BaseException:
            traceback.print_exc()
            code = 1
        finally:
            sys.stdout.flush()
            sys.stderr.flush()
            os._exit(code)
    os.close(write)
    with os.fdopen(read, "rb") as pipe:
        said = pipe.read()
    if not said:
        _, status = os.waitpid(pid, 0)
        code = os.waitstatus_to_exitcode(status)
        sock.sendall(encode(Refused(message=f"loading the script ended its process ({code}); see what it printed")))
        return 1
    verdict = msgspec.json.decode(said, type=Verdict)
    if verdict.serve:
        sock.close()
        _, status = os.waitpid(pid, 0)
        return abs(os.waitstatus_to_exitcode(status))
    os.waitpid(pid, 0)
    return _serve_frame(sock, source, verdict)


def _serve_frame(sock: socket.socket, source: Load, verdict: Verdict) -> int:
    """Serves with the framework alone, or with nothing where every trial is to start anew."""
    from gpusched.launcher.server import Server

    notice = None
    if source.mode == "spawn":
        mode = "spawn"
    else:
        mode = "fork-framework"
        notice = (
            f"the script cannot be shared by forking, {verdict.reason}: "
            "each trial loads it anew (moving that into build_model or load_data makes trials start faster)"
        )
        if verdict.keras:
            import_framework()
    _settle()
    Server(sock, source, None, mode, notice).serve()
    return 0


if __name__ == "__main__":
    sys.exit(main())
