"""Trial processes: started by fork or anew, watched, ended with everything they started."""

from __future__ import annotations

import contextlib
import os
import signal
import subprocess
import sys
import time
import traceback
from collections.abc import Callable
from dataclasses import dataclass, field
from pathlib import Path

import psutil

from gpusched.core.outcome import Usage
from gpusched.launcher.protocol import Load, encode
from gpusched.storage.identity import own_identity
from gpusched.storage.records import JobSpec
from gpusched.storage.rundir import RunDir, TrialDir, as_json, write_whole


@dataclass(slots=True)
class Child:
    """A trial's process as its launcher sees it."""

    spec: JobSpec
    pid: int
    pidfd: int
    life: int  #: becomes readable with the first sign of life, or at the end
    began: float = field(default_factory=time.monotonic)
    lives: bool = False
    spawned: bool = False
    killed_by_us: bool = False


def trial_dir(spec: JobSpec) -> TrialDir:
    return RunDir(Path(spec.run)).trial(spec.trial)


def environment(spec: JobSpec) -> dict[str, str]:
    """The variables of a trial's process that are gpusched's."""
    return {
        **spec.env,
        "GPUSCHED_RUN": spec.run,
        "GPUSCHED_TRIAL": str(spec.trial),
        "GPUSCHED_SLOT": str(spec.slot),
    }


def _open_log(spec: JobSpec) -> int:
    return os.open(trial_dir(spec).log, os.O_WRONLY | os.O_CREAT | os.O_APPEND | os.O_CLOEXEC, 0o644)


def fork(spec: JobSpec, work: Callable[[Callable[[], None]], int], inherited: list[int]) -> Child:
    """A child of this process that runs work(alive) and exits with what it returns.

    `inherited` are descriptors of the launcher's own business, which the child closes.
    """
    life_read, life_write = os.pipe()
    log = _open_log(spec)
    sys.stdout.flush()
    sys.stderr.flush()
    pid = os.fork()
    if pid:
        os.close(life_write)
        os.close(log)
        return Child(spec=spec, pid=pid, pidfd=os.pidfd_open(pid), life=life_read)
    code = 70  # Left in an unforeseen way.
    try:
        os.setsid()
        for fd in (*inherited, life_read):
            with contextlib.suppress(OSError):
                os.close(fd)
        enter(spec, log)
        code = work(lambda: _sign(life_write))
    except SystemExit as stop:
        code = stop.code if isinstance(stop.code, int) else 0 if stop.code is None else 1
    except BaseException:
        traceback.print_exc()
    finally:
        with contextlib.suppress(Exception):
            sys.stdout.flush()
            sys.stderr.flush()
        os._exit(code)


def _sign(life: int) -> None:
    with contextlib.suppress(OSError):
        os.write(life, b"1")


def enter(spec: JobSpec, log: int | None) -> None:
    """Makes this fresh process the trial's: its output, environment, cores and signals."""
    if log is not None:
        null = os.open(os.devnull, os.O_RDONLY)
        os.dup2(null, 0)
        os.dup2(log, 1)
        os.dup2(log, 2)
        os.close(null)
        os.close(log)
        # The launcher's file objects may be anything by now; the trial's are its log, a line at a time.
        sys.stdin = open(0, closefd=False)  # noqa: SIM115
        sys.stdout = open(1, "w", buffering=1, closefd=False, errors="backslashreplace")  # noqa: SIM115
        sys.stderr = open(2, "w", buffering=1, closefd=False, errors="backslashreplace")  # noqa: SIM115
    for number in (signal.SIGTERM, signal.SIGHUP, signal.SIGCHLD, signal.SIGPIPE):
        signal.signal(number, signal.SIG_DFL)
    signal.signal(signal.SIGPIPE, signal.SIG_IGN)
    signal.signal(signal.SIGINT, signal.SIG_IGN)  # Ctrl-C is the scheduler's to hear.
    signal.set_wakeup_fd(-1)
    os.environ.update(environment(spec))
    if spec.cores:
        with contextlib.suppress(OSError):  # Cores may have been taken from us since they were counted.
            os.sched_setaffinity(0, spec.cores)
    write_whole(trial_dir(spec).process, as_json({"attempt": spec.attempt, "identity": own_identity()}))


def spawn(spec: JobSpec, source: Load) -> Child:
    """A process that starts from nothing: slow, and safe whatever the launcher has in it."""
    life_read, life_write = os.pipe()
    folder = trial_dir(spec)
    order = folder.path / "order.jsonl"
    write_whole(order, encode(source) + as_json(spec) + b"\n")
    keep = [life_write] + ([source.pickled_fd] if source.pickled_fd is not None else [])
    log = _open_log(spec)
    try:
        process = subprocess.Popen(
            [sys.executable, "-P", "-m", "gpusched.trial", str(order), str(life_write)],
            stdin=subprocess.DEVNULL,
            stdout=log,
            stderr=log,
            env={**os.environ, **environment(spec), "PYTHONUNBUFFERED": "1"},
            pass_fds=keep,
            start_new_session=True,
        )
    finally:
        os.close(log)
        os.close(life_write)
    process.returncode = 0  # It is reaped here by wait4; Popen must not wait for it.
    return Child(spec=spec, pid=process.pid, pidfd=os.pidfd_open(process.pid), life=life_read, spawned=True)


def reap(child: Child, known: set[int]) -> tuple[int, Usage]:
    """Takes a dead child's status and accounts, after ending all that it started and left behind.

    `known` are the pids of this process's other children, which stay.
    """
    # Its zombie still holds the process group's number: nobody else can be hit.
    _kill_group(child.pid)
    _, status, usage = os.wait4(child.pid, 0)
    _kill_strays(child, known)
    os.close(child.pidfd)
    os.close(child.life)
    return os.waitstatus_to_exitcode(status), Usage(
        peak_bytes=usage.ru_maxrss * 1024,
        cpu_seconds=round(usage.ru_utime + usage.ru_stime, 3),
        wall_seconds=round(time.monotonic() - child.began, 3),
    )


def terminate(child: Child) -> None:
    """Asks the trial to stop at the end of its epoch."""
    with contextlib.suppress(ProcessLookupError):
        signal.pidfd_send_signal(child.pidfd, signal.SIGTERM)


def kill(child: Child) -> None:
    """Ends the trial's processes at once."""
    child.killed_by_us = True
    _kill_group(child.pid)
    with contextlib.suppress(ProcessLookupError):
        signal.pidfd_send_signal(child.pidfd, signal.SIGKILL)


def _kill_group(pgid: int) -> None:
    with contextlib.suppress(ProcessLookupError, PermissionError):
        os.killpg(pgid, signal.SIGKILL)


def _kill_strays(child: Child, known: set[int]) -> None:
    """Ends what the trial started in sessions of its own: as orphans they have become this subreaper's children."""
    for pid in _own_children() - known:
        with contextlib.suppress(psutil.Error, OSError):
            stray = psutil.Process(pid)
            if os.getsid(pid) == child.pid or stray.environ().get("GPUSCHED_TRIAL") == str(child.spec.trial):
                for process in (*stray.children(recursive=True), stray):
                    process.kill()
        with contextlib.suppress(ChildProcessError):
            os.waitpid(pid, os.WNOHANG)


def _own_children() -> set[int]:
    """Pids of this process's children. The kernel's list: looking through all of /proc would cost a slot's time."""
    try:
        text = Path(f"/proc/self/task/{os.getpid()}/children").read_text()
    except OSError:
        return {process.pid for process in psutil.Process().children()}
    return {int(pid) for pid in text.split()}


def kill_all_descendants() -> None:
    """Ends every process below this one and waits for them."""
    for _ in range(10):
        below = psutil.Process().children(recursive=True)
        if not below:
            return
        for process in below:
            with contextlib.suppress(psutil.Error):
                process.kill()
        psutil.wait_procs(below, timeout=5)
