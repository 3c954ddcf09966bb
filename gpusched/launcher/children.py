"""Trial processes: started by fork or anew, watched, ended with everything they started."""

from __future__ import annotations

import contextlib
import errno
import io
import os
import signal
import subprocess
import sys
import time
from collections.abc import Callable, Iterable
from dataclasses import dataclass, field
from pathlib import Path
from typing import TYPE_CHECKING, NoReturn

import msgspec

from gpusched.core.outcome import End, Failure, Usage
from gpusched.errors import GpuschedError, name_of_class, traceback_of, words_of
from gpusched.launcher import pins
from gpusched.launcher.life.silence import Silence
from gpusched.launcher.protocol import Load, encode
from gpusched.launcher.source import Ahead, GoOn, UserCode, blame, take
from gpusched.storage import claim
from gpusched.storage.files import open_own
from gpusched.storage.records import JobSpec, Outcome
from gpusched.storage.rundir import RunDir, TrialDir, as_json, write_record, write_whole
from gpusched.system.process import exits, threads
from gpusched.system.process.kernel import adopt_orphans, ask_children, die_with, end_children, outlive_parent
from gpusched.system.streams import flush, say, show

if TYPE_CHECKING:
    from gpusched.trial.task import Task

#: A trial's exit code where its folder does not take what has to be written (EX_IOERR of sysexits.h).
NO_ROOM = 74
#: A trial's exit code where another process trains it by now (EX_TEMPFAIL).
SUPERSEDED = 75
#: A trial's exit code where it left in a way that nobody foresaw (EX_SOFTWARE).
UNFORESEEN = 70
#: How long what a trial has asked for at its end may take (atexit, threads that are no daemons).
_LAST_SECONDS = 10.0
#: How long what a trial leaves running may take to end when it is asked to: one that uploads has a line to send.
_HELPERS_SECONDS = 1.0
#: Where memory runs out, the kernel is to end a trial, which is tried again, and not the launcher of them all.
_OOM_SCORE = "500"


@dataclass(slots=True)
class Child:
    """A trial's process as its launcher sees it."""

    spec: JobSpec
    pid: int
    pidfd: int
    life: int  #: becomes readable with the first sign of life, or at the end; -1 once that has come
    began: float = field(default_factory=time.monotonic)
    silence: Silence | None = None  #: of a fork, until it has trained
    spawned: bool = False
    killed: bool = False  #: by this launcher
    hung: bool = False  #: it has been killed, and is to be started anew

    @property
    def lives(self) -> bool:
        return self.life < 0

    def close_life(self) -> None:
        if self.life >= 0:
            os.close(self.life)
            self.life = -1


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
    return open_own(trial_dir(spec).log, os.O_WRONLY | os.O_CREAT | os.O_APPEND)


# ---------------------------------------------------------------------------- by fork


@dataclass(slots=True)
class Spare:
    """A fork that waits for its job: the fork of a process with a framework in it takes longer than all else."""

    pid: int
    orders: int  #: takes the job
    life: int

    def begin(self, spec: JobSpec) -> Child:
        """Makes it the trial's process. Raises OSError where it is dead, or the trial's folder cannot be written."""
        os.close(_open_log(spec))
        line = as_json(spec) + b"\n"
        while line:
            line = line[os.write(self.orders, line) :]
        os.close(self.orders)
        return Child(spec=spec, pid=self.pid, pidfd=os.pidfd_open(self.pid), life=self.life)

    def close(self) -> None:
        """Ends it."""
        os.close(self.orders)
        os.close(self.life)
        with contextlib.suppress(ProcessLookupError):
            os.kill(self.pid, signal.SIGKILL)  # It is buried with what the next trial leaves.


def fork(work: Callable[[JobSpec, Callable[[], None]], int], inherited: Iterable[int]) -> Spare:
    """A child of this process that waits for a job, runs work(spec, alive) and exits with what that returns.

    `inherited` are descriptors of the launcher's own business, which the child closes. Raises OSError where no process
    can be started, and in the child what `work` raises to go on with the script.
    """
    orders_read, orders_write = os.pipe()
    life_read, life_write = os.pipe()
    parent = os.getpid()
    flush()
    try:
        pid = os.fork()
    except OSError:
        for fd in (orders_read, orders_write, life_read, life_write):
            os.close(fd)
        raise
    if pid:
        os.close(life_write)
        os.close(orders_read)
        return Spare(pid, orders_write, life_read)
    code = UNFORESEEN
    try:
        die_with(parent)
        for fd in (*inherited, life_read, orders_write):
            with contextlib.suppress(OSError):
                os.close(fd)
        os.setsid()
        with open(orders_read, "rb") as orders:
            line = orders.readline()
        if not line.endswith(b"\n"):
            os._exit(0)
        spec = msgspec.json.decode(line, type=JobSpec)
        _take_over_output(_open_log(spec))
        enter(spec, parent)
        code = work(spec, lambda: _sign(life_write))
    except GoOn:
        raise
    except OSError as error:
        code = NO_ROOM
        show(error)
    except BaseException as error:
        show(error)
    return leave(code)


def leave(code: int) -> NoReturn:
    """Ends this process, not through the frameworks' own clean-up, which takes a slot's time and may hang in a fork."""
    flush()
    os._exit(code)


def _sign(life: int) -> None:
    with contextlib.suppress(OSError):
        os.write(life, b"1")
        os.close(life)


def _take_over_output(log: int) -> None:
    null = os.open(os.devnull, os.O_RDONLY)
    os.dup2(null, 0)
    os.dup2(log, 1)
    os.dup2(log, 2)
    os.close(null)
    os.close(log)
    own_streams()


def own_streams() -> None:
    """Python's standard streams on this process's descriptors: the launcher's objects may be anything by now.

    Nothing is held back in them: what a trial said before it crashed is in its log.
    """
    sys.stdin = open(0, closefd=False)  # noqa: SIM115
    sys.stdout = _unbuffered(1)
    sys.stderr = _unbuffered(2)


def _unbuffered(fd: int) -> io.TextIOWrapper:
    raw = open(fd, "wb", 0, closefd=False)  # noqa: SIM115
    return io.TextIOWrapper(raw, encoding="utf-8", errors="backslashreplace", write_through=True)


def enter(spec: JobSpec, parent: int) -> None:
    """Makes this fresh process the trial's: its environment, cores and signals, and its name in the run directory.

    A launcher that dies before that name is written takes the process with it: one that nobody could find later
    does not train. Raises OSError where the run directory cannot be written.
    """
    die_with(parent)
    adopt_orphans()
    for number in (signal.SIGTERM, signal.SIGHUP, signal.SIGCHLD, signal.SIGQUIT):
        signal.signal(number, signal.SIG_DFL)
    signal.signal(signal.SIGPIPE, signal.SIG_IGN)
    signal.signal(signal.SIGINT, signal.SIG_IGN)  # Ctrl-C is the scheduler's to hear.
    signal.set_wakeup_fd(-1)
    os.environ.update(environment(spec))
    if spec.cores:
        with contextlib.suppress(OSError):  # Cores may have been taken from us since they were counted.
            os.sched_setaffinity(0, spec.cores)
    with contextlib.suppress(OSError), open("/proc/self/oom_score_adj", "w", encoding="ascii") as file:
        file.write(_OOM_SCORE)
    claim.take(RunDir(Path(spec.run)), spec)
    outlive_parent()


def train(task: Task | None, code: UserCode, spec: JobSpec, alive: Callable[[], None]) -> int:
    """In a trial's process: trains the job, after loading the user's code where it is not there yet.

    Returns the process's exit code. Raises GoOn where the process has to go on with the script first.
    """
    from gpusched.trial.fitting import framework

    # Before the user's code, which may start a framework.
    pins.hold(environment(spec), also=lambda: framework.prepare(spec))
    if task is None:
        threads.forget()  # The user's code loads more.
        alive()  # Loading is the user's own time.
        if isinstance(code, Ahead):
            raise GoOn(code, lambda arrived: _run(arrived, spec, alive), lambda error: _failed(spec, error))
        try:
            task = take(code)
        except Exception as error:
            show(error)
            _failed(spec, error)
            return 1
    return _run(task, spec, alive)


def _run(task: Task, spec: JobSpec, alive: Callable[[], None]) -> int:
    from gpusched.trial.job import run_job

    if said := pins.again():
        say(f"gpusched: {said}\n")
    if spec.cores:
        threads.limit(len(spec.cores))
    exits.forget()
    try:
        run_job(task, spec, alive=alive)
        exits.run(_LAST_SECONDS, _ends_anyway)
    except claim.Superseded as superseded:
        say(f"gpusched: {superseded}\n")
        return SUPERSEDED
    except OSError as error:
        # What user code raises becomes an outcome: this is an outcome that cannot be written.
        show(error)
        return NO_ROOM
    return 0


def _ends_anyway(threads: list[str]) -> None:
    """Its outcome stands: the slot is not kept for a thread that waits for nothing."""
    what = f"its threads {', '.join(threads)} still run" if threads else "its exit handlers are not done"
    say(f"gpusched: this trial's process is ended, {_LAST_SECONDS:g} s after its training: {what}\n")
    leave(0)


def _failed(spec: JobSpec, error: BaseException) -> None:
    message = words_of(error) if isinstance(error, GpuschedError) else blame("loading the script", error)
    kind = name_of_class(error.__cause__ or error)
    failure = Failure(kind=kind, message=message, traceback=traceback_of(error))
    outcome = Outcome(
        trial=spec.trial,
        attempt=spec.attempt,
        end=End.FAILED,
        start_epoch=spec.start_epoch,
        epochs=spec.start_epoch,
        failure=failure,
        start=spec.start,
    )
    claim.check()
    write_record(trial_dir(spec).outcome, outcome)


# ---------------------------------------------------------------------------- anew


def spawn(spec: JobSpec, source: Load) -> Child:
    """A process that starts from nothing: slow, and safe whatever the launcher has in it. Raises OSError."""
    if source.script is None and source.pickled_fd is None:
        raise OSError(errno.ENOTSUP, "its fork hangs, and what a notebook or prompt defined can only be forked")
    folder = trial_dir(spec)
    order = folder.path / "order.jsonl"
    # It has the script's arguments: its owner's alone.
    write_whole(order, encode(source) + as_json(spec) + b"\n", durable=False, mode=0o600)
    log = _open_log(spec)
    life_read, life_write = os.pipe()
    keep = [life_write] + ([source.pickled_fd] if source.pickled_fd is not None else [])
    try:
        process = subprocess.Popen(
            [sys.executable, "-P", "-m", "gpusched.trial", str(order), str(life_write), str(os.getpid())],
            stdin=subprocess.DEVNULL,
            stdout=log,
            stderr=log,
            env={**os.environ, **environment(spec), "PYTHONUNBUFFERED": "1"},
            pass_fds=keep,
            start_new_session=True,
        )
    except BaseException:
        os.close(life_read)
        raise
    finally:
        os.close(log)
        os.close(life_write)
    process.returncode = 0  # It is reaped here by wait4; Popen must not wait for it.
    return Child(spec=spec, pid=process.pid, pidfd=os.pidfd_open(process.pid), life=life_read, spawned=True)


# ---------------------------------------------------------------------------- to its end


def terminate(child: Child) -> None:
    """Asks the trial to stop at the end of its epoch."""
    with contextlib.suppress(ProcessLookupError, PermissionError):  # It may have become another user's.
        signal.pidfd_send_signal(child.pidfd, signal.SIGTERM)


def kill(child: Child) -> None:
    """Ends the trial's process and those of its group at once; what else it started goes when it is reaped."""
    child.killed = True
    with contextlib.suppress(ProcessLookupError, PermissionError):
        os.killpg(child.pid, signal.SIGKILL)
    with contextlib.suppress(ProcessLookupError, PermissionError):  # It may not lead a group yet.
        signal.pidfd_send_signal(child.pidfd, signal.SIGKILL)


def reap(child: Child, known: set[int]) -> tuple[int, Usage, set[int]]:
    """Takes a dead child's status and accounts, after ending all that it started and left behind.

    Returns with them what it left and could not be ended. `known` are the pids of this process's other children, which
    stay. A trial adopts its own orphans: what it leaves becomes this process's child only now, so every unknown child
    is one that a dead trial left.
    """
    if not child.killed:
        ask_children(known | {child.pid}, _HELPERS_SECONDS)
    # Its zombie still holds the process group's number: nobody else can be hit.
    with contextlib.suppress(ProcessLookupError, PermissionError):
        os.killpg(child.pid, signal.SIGKILL)
    try:
        _, status, used = os.wait4(child.pid, os.WNOHANG)
        usage = Usage(
            peak_bytes=used.ru_maxrss * 1024,
            cpu_seconds=round(used.ru_utime + used.ru_stime, 3),
            wall_seconds=round(time.monotonic() - child.began, 3),
        )
    except ChildProcessError:  # User code in this process has waited for it.
        status, usage = signal.SIGKILL, Usage()
    left = end_children(known)
    os.close(child.pidfd)
    child.close_life()
    return os.waitstatus_to_exitcode(status), usage, left
