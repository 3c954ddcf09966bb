"""The launcher: holds the framework, the user's code and data once, and forks a process per trial.

Single-threaded on purpose, since it forks. It outlives a scheduler that is killed: its trials train
on, it keeps how each ended, and the next scheduler connects to the socket it leaves in the run
directory. With nobody connected and nothing running it exits.
"""

from __future__ import annotations

import os
import selectors
import socket
import time
from collections.abc import Callable
from pathlib import Path
from typing import TYPE_CHECKING

from gpusched.core.outcome import Usage
from gpusched.launcher import children, discovery
from gpusched.launcher.children import Child, Spare
from gpusched.launcher.discovery import Discovery
from gpusched.launcher.life.silence import Idle, Silence
from gpusched.launcher.life.undead import Undead, words
from gpusched.launcher.protocol import (
    Acknowledge,
    Begin,
    Connection,
    Discover,
    Ended,
    Found,
    Load,
    Ping,
    Pong,
    Quit,
    Ready,
    Refused,
    Reply,
    Request,
    Retire,
    Retired,
    Signal,
    Start,
    Started,
    Told,
    decode_reply,
    encode,
)
from gpusched.launcher.source import UserCode
from gpusched.storage.files import make_folder, open_own
from gpusched.storage.identity import own_identity
from gpusched.storage.records import JobSpec
from gpusched.storage.rundir import RunDir, as_json, write_whole
from gpusched.system.attention import TICK_SECONDS, Attention
from gpusched.system.process.kernel import END_SECONDS, end_children, ended_within, own_children
from gpusched.system.sockets import listen

if TYPE_CHECKING:
    from gpusched.trial.task import Task

#: Times the patience with a first sign of life: how long a fork that lives may do nothing before its first epoch.
_UNTRAINED = 2


class Server:
    """One launcher's loop. `task` is None where each trial has to load the user's code itself."""

    def __init__(
        self,
        first: socket.socket,
        source: Load,
        code: UserCode,
        task: Task | None,
        mode: str,
        notice: str | None = None,
    ) -> None:
        self._source, self._code, self._task, self._mode, self._notice = source, code, task, mode, notice
        self._selector = selectors.DefaultSelector()
        self._connections: list[Connection] = []
        self._children: dict[int, Child] = {}  #: by trial
        self._ended: dict[tuple[int, int], Ended] = {}  #: not acknowledged yet
        self._forks_ahead = True
        self._spare: Spare | None = None  #: forked ahead of the next job
        self._discovery: Discovery | None = None
        self._asker: Connection | None = None
        self._undead = Undead(lambda line: self._tell(Told(message=line)))
        self._attention = Attention()  #: measures how long forks are silent
        self._listener: socket.socket | None = None
        self._run: RunDir | None = None
        self._retired = False
        self._quit = False
        #: What the user's code has started while it was loaded: all trials may need it.
        self._theirs = own_children()
        self._connect(first)

    # ------------------------------------------------------------------ the loop

    def serve(self) -> None:
        """Returns when told to quit, or when there is nothing left to do for anybody."""
        self._tell(Ready(mode=self._mode, notice=self._notice, identity=own_identity()))
        while not self._quit:
            wants_spare = self._wants_spare()
            ready = self._selector.select(timeout=0.0 if wants_spare else self._patience())
            self._attention.look(time.monotonic())
            if wants_spare and not ready:
                self._fork_ahead()
            for key, _ in ready:
                # An earlier one of the same round may have ended what this one was about.
                if key.fd in self._selector.get_map():
                    handler: Callable[[], None] = key.data
                    handler()
            self._end_the_lifeless()
            self._undead.look()
            if not self._children and (not self._connections or (self._retired and not self._ended)):
                break
        self._shut()

    def _shut(self) -> None:
        for pid in end_children():
            self._tell(Told(message=f"{words(pid)}; it ends as soon as it can"))
        if self._run is not None:
            for suffix in ("sock", "json"):
                (self._run.launcher / f"{os.getpid()}.{suffix}").unlink(missing_ok=True)

    def _patience(self) -> float | None:
        """Until the next look at forks that are silent; None where none is."""
        looking = self._discovery is not None and self._discovery.idle is not None
        return TICK_SECONDS if looking or self._undead or self._quiet() else None

    def _quiet(self) -> list[Child]:
        """Forks that have not trained yet, and may hang; one that lives is let be where nothing can be done for it."""
        source = self._source
        again = source.script is not None or source.pickled_fd is not None
        for child in self._children.values():
            if child.silence is not None and child.silence.is_over:
                child.silence = None
        return [each for each in self._children.values() if each.silence is not None and (again or not each.lives)]

    def _known(self) -> set[int]:
        """This process's children that are to live."""
        others = {other.pid for other in (self._discovery, self._spare) if other is not None}
        return self._theirs | self._undead.pids | others | {child.pid for child in self._children.values()}

    # ------------------------------------------------------------------ schedulers

    def _connect(self, sock: socket.socket) -> None:
        connection = Connection(sock)
        self._connections.append(connection)
        self._selector.register(sock, selectors.EVENT_READ, lambda: self._listen_to(connection))

    def _accept(self) -> None:
        assert self._listener is not None
        sock, _ = self._listener.accept()
        self._connect(sock)

    def _listen_to(self, connection: Connection) -> None:
        requests = connection.receive()
        if requests is None:
            self._disconnect(connection)
            return
        for request in requests:
            self._do(request, connection)

    def _disconnect(self, connection: Connection) -> None:
        self._selector.unregister(connection.socket)
        connection.socket.close()
        self._connections.remove(connection)
        if not self._connections:
            for ended in self._ended.values():
                self._write_down(ended)

    def _tell(self, reply: Reply) -> None:
        for connection in self._connections:
            connection.send(reply)

    def _do(self, request: Request, connection: Connection) -> None:
        match request:
            case Begin():
                try:
                    self._begin(RunDir(Path(request.run)))
                except OSError as error:
                    connection.send(Refused(message=f"{request.run}: cannot be written ({error.strerror})"))
            case Discover():
                self._discover(connection)
            case Start():
                if not self._retired:
                    self._start(request.spec)
            case Signal():
                child = self._children.get(request.trial)
                if child is not None and child.spec.attempt == request.attempt:
                    if request.kill:
                        self._kill(child)
                    else:
                        children.terminate(child)
            case Acknowledge():
                self._ended.pop((request.trial, request.attempt), None)
            case Retire():
                self._retire(connection)
            case Ping():
                connection.send(Pong())
            case Quit():
                self._quit = True
            case Load():
                connection.send(Refused(message="this launcher has loaded its script already"))

    def _begin(self, run: RunDir) -> None:
        make_folder(run.path, run.launcher.name)
        log = open_own(run.launcher / "log.txt", os.O_WRONLY | os.O_CREAT | os.O_APPEND)
        os.dup2(log, 1)
        os.dup2(log, 2)
        os.close(log)
        self._listener = listen(run.launcher / f"{os.getpid()}.sock")
        self._selector.register(self._listener, selectors.EVENT_READ, self._accept)
        self._run = run
        write_whole(run.launcher / f"{os.getpid()}.json", as_json(own_identity(run.path)))

    def _retire(self, successor: Connection) -> None:
        # What the one before has ordered and nobody has read yet will not be done.
        self._retired, self._forks_ahead = True, False
        for child in self._children.values():
            successor.send(_started(child))
        for ended in self._ended.values():
            successor.send(ended)
        successor.send(Retired(pings=True))

    # ------------------------------------------------------------------ trials

    def _own_descriptors(self) -> list[int]:
        fds = [key.fd for key in self._selector.get_map().values()]
        spare = [self._spare.orders, self._spare.life] if self._spare is not None else []
        return [*fds, *spare, self._selector.fileno()]

    def _wants_spare(self) -> bool:
        return self._forks_ahead and self._spare is None and self._run is not None and self._mode != "spawn"

    def _fork_ahead(self) -> None:
        try:
            self._spare = self._fork_now()
        except OSError:
            self._forks_ahead = False  # When it is needed, its want is told.

    def _start(self, spec: JobSpec) -> None:
        try:
            RunDir(Path(spec.run)).make_trial(spec.trial)
            child = children.spawn(spec, self._source) if self._mode == "spawn" else self._fork(spec)
        except OSError as error:
            where = f"{error.filename}: " if error.filename else ""
            self._end(spec, 0, Usage(), error=f"{where}{error.strerror}")
            return
        self._watch(child)
        self._tell(_started(child))

    def _fork(self, spec: JobSpec) -> Child:
        """Raises OSError where a process cannot be started, or not for this trial."""
        ahead, self._spare = self._spare, None
        if ahead is not None:
            try:
                return ahead.begin(spec)
            except BrokenPipeError:  # Somebody has killed it.
                ahead.close()
            except OSError:
                self._spare = ahead
                raise
        spare = self._fork_now()
        try:
            return spare.begin(spec)
        except OSError:
            self._spare = spare
            raise

    def _fork_now(self) -> Spare:
        task, code = self._task, self._code
        return children.fork(lambda spec, alive: children.train(task, code, spec, alive), self._own_descriptors())

    def _watch(self, child: Child) -> None:
        self._children[child.spec.trial] = child
        if not child.spawned:
            child.silence = Silence(child.pid, self._attention.seconds, children.trial_dir(child.spec).metrics)
        self._selector.register(child.pidfd, selectors.EVENT_READ, lambda: self._reap(child))
        self._selector.register(child.life, selectors.EVENT_READ, lambda: self._hear(child))

    def _hear(self, child: Child) -> None:
        if child.silence is not None:
            child.silence.active_at = self._attention.seconds
        self._selector.unregister(child.life)
        child.close_life()

    def _forget(self, child: Child) -> None:
        self._selector.unregister(child.pidfd)
        if not child.lives:
            self._selector.unregister(child.life)
        del self._children[child.spec.trial]

    def _kill(self, child: Child) -> None:
        children.kill(child)
        self._undead.expect(child.pid, f"trial {child.spec.trial}")

    def _reap(self, child: Child) -> None:
        self._forget(child)
        self._undead.forget(child.pid)
        status, usage, left = children.reap(child, self._known())
        self._undead.add(left, f"trial {child.spec.trial}")
        if child.hung:
            self._start(child.spec)
        else:
            self._end(child.spec, status, usage)

    def _end(self, spec: JobSpec, status: int, usage: Usage, error: str | None = None) -> None:
        ended = Ended(trial=spec.trial, attempt=spec.attempt, status=status, usage=usage, error=error, start=spec.start)
        self._ended[ended.trial, ended.attempt] = ended
        if not self._connections:
            self._write_down(ended)
        self._tell(ended)

    def _write_down(self, ended: Ended) -> None:
        """For a scheduler that comes when this process is gone."""
        if self._run is not None:
            try:
                path = self._run.launcher / "ends.jsonl"
                with open(open_own(path, os.O_WRONLY | os.O_CREAT | os.O_APPEND), "ab") as file:
                    file.write(encode(ended))
            except OSError:
                pass  # What counts stands in the trial's own outcome.

    def _end_the_lifeless(self) -> None:
        """A fork that does nothing, before its first sign of life or its first epoch, is started the slow, safe way."""
        patience, now = self._source.first_sign_seconds, self._attention.seconds
        for child in [child for child in self._quiet() if not child.hung]:
            assert child.silence is not None
            allowed = patience * (_UNTRAINED if child.lives else 1)
            if child.silence.lasts(now, allowed):
                if self._mode != "spawn":
                    what = f"trial {child.spec.trial}: its fork has done nothing for {allowed:g} s"
                    self._tell(
                        Told(message=f"{what}; it is started anew, and from here on all are, which takes longer")
                    )
                self._mode, child.hung = "spawn", True
                self._kill(child)
        looking = self._discovery
        if looking is not None and looking.idle is not None and looking.idle.lasts(now, patience):
            self._mode = "spawn"
            self._end_discovery(looking)
            self._look(discovery.anew(self._source))

    # ------------------------------------------------------------------ the space

    def _discover(self, connection: Connection) -> None:
        """Builds models in a process of its own to see which hyperparameters there are."""
        if self._source.space is not None:
            connection.send(Found(space=self._source.space))
            return
        self._asker = connection
        try:
            self._look(discovery.by_fork(self._task, self._code, self._own_descriptors()))
        except OSError as error:
            connection.send(Refused(message=f"finding the hyperparameters: no process can be started ({error})"))

    def _look(self, looking: Discovery) -> None:
        self._discovery = looking
        if not looking.spawned:
            looking.idle = Idle(looking.pid, self._attention.seconds)
        self._selector.register(looking.pipe, selectors.EVENT_READ, lambda: self._found(looking))

    def _end_discovery(self, looking: Discovery) -> int:
        """Ends its process with all that it started; returns its exit code where it had ended by itself."""
        self._selector.unregister(looking.pipe)
        os.close(looking.pipe)
        self._discovery = None
        _, status = os.waitpid(looking.pid, os.WNOHANG)
        self._undead.add(end_children(self._known()), "finding the hyperparameters")
        return os.waitstatus_to_exitcode(status)

    def _found(self, looking: Discovery) -> None:
        block = os.read(looking.pipe, 1 << 20)
        looking.said += block
        if block and not looking.said.endswith(b"\n"):
            return
        if not looking.said:
            ended_within(looking.pid, END_SECONDS)  # It has closed the line: it is about to end.
        code = self._end_discovery(looking)
        message = (
            f"finding the hyperparameters ended its process ({code}); see {self._run and self._run.launcher}/log.txt"
        )
        line = looking.said or encode(Refused(message=message))
        if self._asker is not None:
            self._asker.send(decode_reply.decode(line))


def _started(child: Child) -> Started:
    return Started(trial=child.spec.trial, attempt=child.spec.attempt, pid=child.pid)
