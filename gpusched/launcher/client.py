"""A scheduler's end of the line to a launcher."""

from __future__ import annotations

import asyncio
import contextlib
import os
import signal
import socket
import time
from collections.abc import Callable
from pathlib import Path
from typing import TYPE_CHECKING

from gpusched.errors import GpuschedError, UsageError, raised_again
from gpusched.launcher.life.start import Guardian, launched
from gpusched.launcher.protocol import (
    Begin,
    Discover,
    Found,
    Load,
    Loaded,
    Ping,
    Pong,
    Quit,
    Ready,
    Refused,
    Reply,
    Request,
    Retire,
    Retired,
    Told,
    decode_reply,
    encode,
)
from gpusched.storage.identity import pidfd
from gpusched.storage.reading import NOT_DECODED
from gpusched.storage.records import Identity
from gpusched.storage.rundir import RunDir, keep_traceback
from gpusched.system.attention import TICK_SECONDS, Attention
from gpusched.system.process.kernel import END_SECONDS, SHORT_SECONDS, stopped_below
from gpusched.system.process.tags import new_mark, sweep
from gpusched.system.sockets import connect
from gpusched.system.tasks import OnError, supervised, unexpected

if TYPE_CHECKING:
    from gpusched.launcher.standby.copies import Copy

#: A launcher answers at once, and ends at once when told to. One that does not is stopped or stuck.
PATIENCE_SECONDS = 10.0
#: How often it is asked whether it is there, and how long it may leave that unanswered: it may be forking.
_PING_SECONDS = 2.0
SILENT_SECONDS = 15.0


class LauncherGone(GpuschedError):
    """The launcher's process ended."""


class LauncherClient:
    """Talks to one launcher: questions are answered in order, news go to `on_news`."""

    def __init__(
        self,
        sock: socket.socket,
        reader: asyncio.StreamReader,
        writer: asyncio.StreamWriter,
        guardian: Guardian | None = None,
        identity: Identity | None = None,
    ) -> None:
        self._sock, self._reader, self._writer = sock, reader, writer
        self._answers: asyncio.Queue[Reply | None] = asyncio.Queue()
        self.on_news: Callable[[Reply | None], None] = lambda news: None  #: None: the launcher is gone
        self.on_error: OnError = unexpected
        self.guardian = guardian  #: where it was started from here
        self.identity: Identity | None = None
        self.mark = ""
        self.gone = False  #: its end has been told
        self._closed = False
        self._lost = False  #: it is stopped or stuck, and cannot even be killed
        self._attention = Attention()
        self._heard = 0.0  #: when it was heard last, in seconds of attention
        self._asking: asyncio.Task[None] | None = None
        #: Done when the process is dead; its pending signal has taken unnamed trials with it by then.
        self._dead: asyncio.Task[None] | None = None
        if identity is not None:
            self._meet(identity)
        self._listening = supervised(self._listen(), "listening to the launcher", self._fail)

    # ------------------------------------------------------------------ getting one

    @classmethod
    async def start(cls, source: Load, copy: Copy | None = None) -> LauncherClient:
        """Starts a launcher and asks it to load the user's code: from nothing, or by a copy of the caller.

        Raises OSError where no process can be started.
        """
        ours, theirs = socket.socketpair()
        mark = new_mark()
        guardian = None
        try:
            with theirs:
                guardian = await launched(theirs, mark, source, copy)
            client = cls(ours, *await asyncio.open_unix_connection(sock=ours, limit=1 << 26), guardian=guardian)
        except BaseException:  # Interrupted, for one.
            ours.close()
            if guardian is not None:
                guardian.kill()
                guardian.forget()
            raise
        client.mark = mark
        if copy is None:
            with contextlib.suppress(LauncherGone):  # Whoever waits for its answer is told.
                await client.send(source)
        return client

    @classmethod
    async def connect(cls, path: Path, identity: Identity) -> LauncherClient | None:
        """The launcher that listens at path; None where there is none."""
        sock = await asyncio.to_thread(connect, path)
        if sock is None:
            return None
        return cls(sock, *await asyncio.open_unix_connection(sock=sock, limit=1 << 26), identity=identity)

    # ------------------------------------------------------------------ talking

    async def send(self, request: Request) -> None:
        """Raises LauncherGone."""
        try:
            self._write(request)
            await self._writer.drain()
        except (ConnectionError, RuntimeError) as error:
            raise LauncherGone("the launcher has ended") from error

    def _write(self, request: Request) -> None:
        if self.gone or self._reader.at_eof() or self._writer.is_closing():
            raise LauncherGone("the launcher has ended")
        try:
            self._writer.write(encode(request))
        except RuntimeError as error:  # This end has said its last word, see close().
            raise LauncherGone("the launcher is told to end") from error

    async def loaded(self) -> Loaded:
        """Waits for the user's code to be loaded. Raises UsageError with what is wrong with it."""
        answer = await self._answer()
        assert isinstance(answer, Loaded), answer
        return answer

    async def begin(self, run: RunDir) -> Ready:
        """Names the run directory, and waits for the data to be loaded. Raises UsageError, LauncherGone."""
        with contextlib.suppress(LauncherGone):  # Waiting for it says why.
            await self.send(Begin(run=str(run.path)))
        return await self.ready()

    async def ready(self) -> Ready:
        """Waits for the data to be loaded."""
        answer = await self._answer()
        assert isinstance(answer, Ready), answer
        self._meet(answer.identity)
        self._ask()
        return answer

    async def discover(self) -> Found:
        """The space of hyperparameters."""
        with contextlib.suppress(LauncherGone):
            await self.send(Discover())
        answer = await self._answer()
        assert isinstance(answer, Found), answer
        return answer

    async def retire(self) -> bool:
        """Tells it that another serves now. What it knows has been told as news when this returns.

        False where it did not answer: it is stopped, or ending.
        """
        try:
            await self.send(Retire())
            async with asyncio.timeout(PATIENCE_SECONDS):
                while not isinstance(answer := await self._answers.get(), Retired):
                    if answer is None:
                        return False
        except (LauncherGone, TimeoutError):
            return False
        if answer.pings:
            self._ask()
        return True

    async def _answer(self) -> Reply:
        answer = await self._first_answer()
        if answer is None:
            raise LauncherGone("the launcher ended while it loaded the script; see what it printed")
        if isinstance(answer, Refused):
            fatal = raised_again(answer.classes, answer.message)
            if fatal is not None:
                raise fatal
            kept = keep_traceback(answer.details) if answer.details else None
            raise UsageError(answer.message + (f"; the traceback is in {kept}" if kept is not None else ""))
        return answer

    async def _first_answer(self) -> Reply | None:
        """Waits for as long as the user's code takes, but for no process that somebody has stopped."""
        getting = asyncio.ensure_future(self._answers.get())
        attention, stopped_at = Attention(), None
        try:
            while not (await asyncio.wait({getting}, timeout=TICK_SECONDS))[0]:
                now = attention.look(time.monotonic())
                stopped = stopped_below(self.guardian.pid) if self.guardian is not None else None
                stopped_at = None if stopped is None else now if stopped_at is None else stopped_at
                if stopped_at is not None and now - stopped_at >= SILENT_SECONDS:
                    self.kill()
                    raise LauncherGone(
                        f"the process that loads the script (pid {stopped}) was stopped by a signal, and ended for it; "
                        "run the same command again"
                    )
            return getting.result()
        finally:
            getting.cancel()

    async def _listen(self) -> None:
        while (reply := await self._receive()) is not None:
            self._heard = self._attention.seconds
            if isinstance(reply, Pong):
                continue
            if isinstance(reply, Loaded | Ready | Found | Refused | Retired):
                self._answers.put_nowait(reply)
            else:
                self._tell(reply)
        if self._dead is not None and not self._lost:
            await asyncio.shield(self._dead)
        self.gone = True
        self._answers.put_nowait(None)
        self._tell(None)

    async def _receive(self) -> Reply | None:
        """The next message; None at the end of the line: a launcher that died mid-line has ended like one that closed
        it."""
        try:
            line = await self._reader.readline()
            return decode_reply.decode(line) if line else None
        except (OSError, *NOT_DECODED):
            return None

    # ------------------------------------------------------------------ whether it is there

    def _ask(self) -> None:
        self._heard = self._attention.seconds
        self._asking = supervised(self._ping(), "asking the launcher whether it is there", self._fail)

    async def _ping(self) -> None:
        """Until it has ended. One that is stopped or stuck is ended: its trials live on, another takes its place."""
        with contextlib.suppress(LauncherGone):
            while self._attention.look(time.monotonic()) - self._heard < SILENT_SECONDS:
                # Not awaited: one that reads nothing does not keep this from seeing it.
                self._write(Ping())
                for _ in range(int(_PING_SECONDS / TICK_SECONDS)):
                    await asyncio.sleep(TICK_SECONDS)
                    self._attention.look(time.monotonic())
            if self._closed:
                return
            self._tell(
                Told(message="the launcher does not answer: it is ended, and another is started; its trials go on")
            )
            self.kill()
            await self._buried()

    async def _buried(self) -> None:
        assert self._dead is not None
        done, _ = await asyncio.wait({self._dead}, timeout=END_SECONDS)
        if not done:
            self._lost = True
            with contextlib.suppress(OSError):
                self._sock.shutdown(socket.SHUT_RD)

    def _fail(self, doing: str, error: BaseException) -> None:
        self.on_error(doing, error)

    def _tell(self, news: Reply | None) -> None:
        """What those who hear it do wrong is neither the line's end nor the launcher's."""
        try:
            self.on_news(news)
        except Exception as error:
            self.on_error("news of the launcher", error)

    # ------------------------------------------------------------------ its end

    def _meet(self, identity: Identity) -> None:
        self.identity = identity
        self._dead = supervised(self._mourn(identity), "the launcher's end", self._fail)

    async def _mourn(self, identity: Identity) -> None:
        await until_dead(identity)
        # User code may have left processes that hold the launcher's end of the line open. What the
        # launcher said before it died is still read after this.
        with contextlib.suppress(OSError):
            self._sock.shutdown(socket.SHUT_RD)

    def kill(self) -> None:
        """Ends it at once; its trials live on, unless it is still loading."""
        for fd in [pidfd(self.identity)] if self.identity is not None else []:
            if fd is not None:
                with contextlib.suppress(ProcessLookupError):
                    signal.pidfd_send_signal(fd, signal.SIGKILL)
                os.close(fd)
        if self.guardian is not None and self.identity is None:
            self.guardian.kill()

    async def close(self) -> None:
        """Ends the launcher with everything below it, and the line. Twice is once."""
        if self._closed:
            return
        self._closed = True
        if not self.gone:
            with contextlib.suppress(LauncherGone):
                await self.send(Quit())
            # One that is still loading reads nothing; its guardian sees the line end.
            with contextlib.suppress(OSError, RuntimeError):
                self._writer.write_eof()
            # It closes the line when nothing is left.
            if not await self._ended_within(PATIENCE_SECONDS):
                self.kill()
                if self._dead is not None:
                    await self._buried()
        await self.leave()
        await self.guardian_ended()
        if self.mark:
            await asyncio.to_thread(sweep, [self.mark], seconds=SHORT_SECONDS)

    async def leave(self) -> None:
        """Takes leave of a launcher that is dead, or has been killed."""
        self._closed = True
        await self._ended_within(PATIENCE_SECONDS)
        for task in (self._listening, self._dead, self._asking):
            if task is not None:
                task.cancel()
        self._writer.close()
        with contextlib.suppress(ConnectionError):
            await self._writer.wait_closed()

    async def _ended_within(self, seconds: float) -> bool:
        done, _ = await asyncio.wait({self._listening}, timeout=seconds)
        return bool(done)

    async def guardian_ended(self) -> None:
        """Waits for the process that was started from here; it outlives the launcher's trials, not more."""
        guardian, self.guardian = self.guardian, None
        if guardian is None:
            return
        try:
            async with asyncio.timeout(PATIENCE_SECONDS):
                await readable(os.dup(guardian.pidfd))
        except TimeoutError:
            guardian.kill()
        guardian.forget()


async def until_dead(identity: Identity) -> None:
    """Waits for that process's end."""
    fd = pidfd(identity)
    if fd is not None:
        await readable(fd)


async def readable(fd: int) -> None:
    """Waits until fd can be read, as a pidfd can when its process has ended, and closes it."""
    loop = asyncio.get_running_loop()
    ready = loop.create_future()
    loop.add_reader(fd, lambda: None if ready.done() else ready.set_result(None))
    try:
        await ready
    finally:
        loop.remove_reader(fd)
        os.close(fd)
