"""The launcher: holds the framework, the user's code and data once, and forks a process per trial.

Single-threaded on purpose, since it forks. It outlives a scheduler that is killed: its trials train
on, it keeps how each ended, and the next scheduler connects to the socket it leaves in the run
directory. With nobody connected and nothing running it exits.
"""

from __future__ import annotations

import contextlib
import os
import selectors
import socket
import time
from collections.abc import Callable
from pathlib import Path
from typing import TYPE_CHECKING

from gpusched.errors import GpuschedError
from gpusched.launcher import children
from gpusched.launcher.children import Child
from gpusched.launcher.protocol import (
    Acknowledge,
    Begin,
    Discover,
    Ended,
    Found,
    Load,
    Quit,
    Ready,
    Refused,
    Reply,
    Request,
    Retire,
    Signal,
    Start,
    Started,
    decode_request,
    encode,
)
from gpusched.launcher.sockets import listen
from gpusched.launcher.source import load_task
from gpusched.storage.identity import own_identity
from gpusched.storage.records import JobSpec
from gpusched.storage.rundir import RunDir, as_json, write_whole

if TYPE_CHECKING:
    from gpusched.trial.task import Task

#: A fork that is well wakes its framework in well under a second; machines under load take longer.
FIRST_SIGN_SECONDS = 60.0


class Connection:
    """A scheduler at the other end of a socket."""

    def __init__(self, sock: socket.socket) -> None:
        self.socket = sock
        self._buffer = b""

    def receive(self) -> list[Request] | None:
        """The whole messages that have come; None at the end of the line."""
        try:
            block = self.socket.recv(1 << 20)
        except OSError:
            return None
        if not block:
            return None
        *lines, self._buffer = (self._buffer + block).split(b"\n")
        return [decode_request.decode(line) for line in lines]

    def send(self, reply: Reply) -> bool:
        try:
            self.socket.sendall(encode(reply))
        except OSError:
            return False
        return True


class Server:
    """One launcher's loop. `task` is None where each trial has to load the user's code itself."""

    def __init__(self, first: socket.socket, source: Load, task: Task | None, mode: str, notice: str | None) -> None:
        self._source, self._task, self._mode, self._notice = source, task, mode, notice
        self._selector = selectors.DefaultSelector()
        self._connections: list[Connection] = []
        self._children: dict[int, Child] = {}  #: by trial
        self._ended: dict[tuple[int, int], Ended] = {}  #: not acknowledged yet
        self._listener: socket.socket | None = None
        self._run: RunDir | None = None
        self._retired = False
        self._quit = False
        self._connect(first)

    # ------------------------------------------------------------------ the loop

    def serve(self) -> None:
        """Returns when told to quit, or when there is nothing left to do for anybody."""
        first = self._connections[0]
        first.send(Ready(mode=self._mode, notice=self._notice, identity=own_identity()))
        while not self._quit:
            for key, _ in self._selector.select(timeout=self._patience()):
                handler: Callable[[], None] = key.data
                handler()
            self._end_the_lifeless()
            idle = not self._children
            if idle and not self._connections:
                break
            if idle and self._retired and not self._ended:
                break
        self._shut()

    def _shut(self) -> None:
        children.kill_all_descendants()
        if self._listener is not None and self._run is not None:
            for suffix in ("sock", "json"):
                (self._run.launcher / f"{os.getpid()}.{suffix}").unlink(missing_ok=True)

    def _patience(self) -> float | None:
        waits = [FIRST_SIGN_SECONDS - (time.monotonic() - c.began) for c in self._children.values() if not c.lives]
        return max(0.0, min(waits)) if waits else None

    # ------------------------------------------------------------------ schedulers

    def _connect(self, sock: socket.socket) -> None:
        connection = Connection(sock)
        self._connections.append(connection)
        self._selector.register(sock, selectors.EVENT_READ, lambda: self._listen_to(connection))

    def _accept(self) -> None:
        assert self._listener is not None
        sock, _ = self._listener.accept()
        self._connect(sock)
        connection = self._connections[-1]
        for child in self._children.values():
            connection.send(Started(trial=child.spec.trial, attempt=child.spec.attempt, pid=child.pid))
        for ended in self._ended.values():
            connection.send(ended)

    def _listen_to(self, connection: Connection) -> None:
        requests = connection.receive()
        if requests is None:
            self._selector.unregister(connection.socket)
            connection.socket.close()
            self._connections.remove(connection)
            return
        for request in requests:
            try:
                self._do(request, connection)
            except (GpuschedError, OSError) as error:
                connection.send(Refused(message=str(error)))

    def _tell(self, reply: Reply) -> None:
        for connection in self._connections:
            connection.send(reply)

    def _do(self, request: Request, connection: Connection) -> None:
        match request:
            case Begin():
                self._begin(RunDir(Path(request.run)))
            case Discover():
                self._discover(connection)
            case Start():
                self._start(request.spec)
            case Signal():
                child = self._children.get(request.trial)
                if child is not None and child.spec.attempt == request.attempt:
                    (children.kill if request.kill else children.terminate)(child)
            case Acknowledge():
                self._ended.pop((request.trial, request.attempt), None)
            case Retire():
                self._retired = True
            case Quit():
                self._quit = True
            case Load():
                connection.send(Refused(message="this launcher has loaded its script already"))

    def _begin(self, run: RunDir) -> None:
        self._run = run
        run.launcher.mkdir(parents=True, exist_ok=True)
        log = os.open(run.launcher / "log.txt", os.O_WRONLY | os.O_CREAT | os.O_APPEND, 0o644)
        os.dup2(log, 1)
        os.dup2(log, 2)
        os.close(log)
        self._listener = listen(run.launcher / f"{os.getpid()}.sock")
        self._selector.register(self._listener, selectors.EVENT_READ, self._accept)
        write_whole(run.launcher / f"{os.getpid()}.json", as_json(own_identity()))

    # ------------------------------------------------------------------ trials

    def _own_descriptors(self) -> list[int]:
        fds = [key.fd for key in self._selector.get_map().values()]
        return [*fds, self._selector.fileno()]

    def _start(self, spec: JobSpec) -> None:
        children.trial_dir(spec).path.mkdir(parents=True, exist_ok=True)
        if self._mode == "spawn":
            child = children.spawn(spec, self._source)
        else:
            child = children.fork(spec, lambda alive: self._work(spec, alive), self._own_descriptors())
        self._watch(child)
        self._tell(Started(trial=spec.trial, attempt=spec.attempt, pid=child.pid))

    def _watch(self, child: Child) -> None:
        self._children[child.spec.trial] = child
        self._selector.register(child.pidfd, selectors.EVENT_READ, lambda: self._reap(child))
        self._selector.register(child.life, selectors.EVENT_READ, lambda: self._hear(child))

    def _work(self, spec: JobSpec, alive: Callable[[], None]) -> int:
        """In the forked trial."""
        from gpusched.trial.job import run_job

        task = self._task
        if task is None:
            alive()  # Loading is the user's own time.
            task = load_task(self._source)
        run_job(task, spec, alive=alive)
        return 0

    def _hear(self, child: Child) -> None:
        child.lives = True
        self._selector.unregister(child.life)

    def _unwatch(self, child: Child) -> None:
        self._selector.unregister(child.pidfd)
        if not child.lives:
            self._selector.unregister(child.life)

    def _reap(self, child: Child) -> None:
        self._unwatch(child)
        del self._children[child.spec.trial]
        status, usage = children.reap(child, {other.pid for other in self._children.values()})
        ended = Ended(
            trial=child.spec.trial,
            attempt=child.spec.attempt,
            status=status,
            usage=usage,
            note="killed by request" if child.killed_by_us else None,
        )
        self._ended[ended.trial, ended.attempt] = ended
        if not self._connections and self._run is not None:
            with open(self._run.launcher / "ends.jsonl", "ab") as file:
                file.write(encode(ended))
        self._tell(ended)

    def _end_the_lifeless(self) -> None:
        """A fork that hangs before its first sign of life is started anew the slow, safe way."""
        late = time.monotonic() - FIRST_SIGN_SECONDS
        for child in [c for c in self._children.values() if not c.lives and not c.spawned and c.began < late]:
            self._unwatch(child)
            children.kill(child)
            children.reap(child, {other.pid for other in self._children.values()} - {child.pid})
            self._mode = "spawn"
            anew = children.spawn(child.spec, self._source)
            self._watch(anew)
            self._tell(Started(trial=child.spec.trial, attempt=child.spec.attempt, pid=anew.pid))

    # ------------------------------------------------------------------ the space

    def _discover(self, connection: Connection) -> None:
        """Builds models in a process of its own to see which hyperparameters there are."""
        read, write = os.pipe()
        said = bytearray()
        pid = os.fork()
        if pid == 0:
            os.close(read)
            with os.fdopen(write, "wb") as pipe:
                pipe.write(encode(self._find()))
            os._exit(0)
        os.close(write)
        self._selector.register(read, selectors.EVENT_READ, lambda: self._found(read, pid, connection, said))

    def _find(self) -> Reply:
        import traceback

        try:
            from gpusched.trial.task import discover

            task = self._task if self._task is not None else load_task(self._source)
            return Found(space=discover(task).get_config())
        except GpuschedError as error:
            return Refused(message=str(error), details=traceback.format_exc())
        except BaseException as error:
            return Refused(message=f"build_model: {type(error).__name__}: {error}", details=traceback.format_exc())

    def _found(self, read: int, pid: int, connection: Connection, said: bytearray) -> None:
        block = os.read(read, 1 << 20)
        if block:
            said += block
            return
        self._selector.unregister(read)
        os.close(read)
        _, status = os.waitpid(pid, 0)
        if said:
            with contextlib.suppress(OSError):
                connection.socket.sendall(said)
            return
        code = os.waitstatus_to_exitcode(status)
        connection.send(Refused(message=f"build_model: its process ended ({code}) before it told the hyperparameters"))
