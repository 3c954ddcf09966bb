"""A scheduler's end of the line to a launcher."""

from __future__ import annotations

import asyncio
import contextlib
import os
import socket
import sys
from collections.abc import Callable
from pathlib import Path

import msgspec

from gpusched.errors import GpuschedError, UsageError
from gpusched.launcher.protocol import (
    Discover,
    Found,
    Load,
    Loaded,
    Quit,
    Ready,
    Refused,
    Reply,
    Request,
    decode_reply,
    encode,
)
from gpusched.launcher.sockets import connect
from gpusched.storage.identity import alive
from gpusched.storage.records import Identity
from gpusched.storage.rundir import RunDir, read_record


class LauncherGone(GpuschedError):
    """The launcher's process ended."""


class LauncherClient:
    """Talks to one launcher: questions are answered in order, news go to `on_news`."""

    def __init__(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        self._reader, self._writer = reader, writer
        self._answers: asyncio.Queue[Reply | None] = asyncio.Queue()
        self.on_news: Callable[[Reply | None], None] = lambda news: None  #: None: the launcher is gone
        self.process: asyncio.subprocess.Process | None = None  #: where it was started from here
        self.identity: Identity | None = None
        self._closed = False
        self._listening = asyncio.create_task(self._listen(), name="launcher")

    # ------------------------------------------------------------------ getting one

    @classmethod
    async def start(cls, source: Load) -> LauncherClient:
        """Starts a launcher and asks it to load the user's code."""
        ours, theirs = socket.socketpair()
        keep = [theirs.fileno()] + ([source.pickled_fd] if source.pickled_fd is not None else [])
        with theirs:
            process = await asyncio.create_subprocess_exec(
                sys.executable,
                "-P",  # the folder one stands in is not to shadow the packages of this Python
                "-m",
                "gpusched.launcher",
                str(theirs.fileno()),
                stdin=asyncio.subprocess.DEVNULL,
                pass_fds=keep,
                # In a session of its own: Ctrl-C and a lost terminal are the scheduler's to hear.
                start_new_session=True,
                env={**os.environ, "PYTHONUNBUFFERED": "1"},
            )
        client = cls(*await asyncio.open_unix_connection(sock=ours, limit=1 << 26))
        client.process = process
        await client.send(source)
        return client

    @classmethod
    async def connect(cls, path: Path) -> LauncherClient | None:
        """The launcher that listens at path; None where there is none."""
        sock = await asyncio.to_thread(connect, path)
        if sock is None:
            return None
        return cls(*await asyncio.open_unix_connection(sock=sock, limit=1 << 26))

    # ------------------------------------------------------------------ talking

    async def send(self, request: Request) -> None:
        """Raises LauncherGone."""
        try:
            self._writer.write(encode(request))
            await self._writer.drain()
        except (ConnectionError, RuntimeError) as error:
            raise LauncherGone("the launcher has ended") from error

    async def loaded(self) -> Loaded:
        """Waits for the user's code to be loaded. Raises UsageError with what is wrong with it."""
        answer = await self._answer()
        assert isinstance(answer, Loaded), answer
        return answer

    async def ready(self) -> Ready:
        """Waits for the data to be loaded."""
        answer = await self._answer()
        assert isinstance(answer, Ready), answer
        self.identity = answer.identity
        return answer

    async def discover(self) -> Found:
        """The space of hyperparameters."""
        await self.send(Discover())
        answer = await self._answer()
        assert isinstance(answer, Found), answer
        return answer

    async def _answer(self) -> Reply:
        answer = await self._answers.get()
        if answer is None:
            raise LauncherGone("the launcher ended while it loaded the script; see what it printed")
        if isinstance(answer, Refused):
            raise UsageError(answer.message)
        return answer

    async def _listen(self) -> None:
        try:
            while line := await self._reader.readline():
                reply = decode_reply.decode(line)
                if isinstance(reply, Loaded | Ready | Found | Refused):
                    self._answers.put_nowait(reply)
                else:
                    self.on_news(reply)
        except (ConnectionError, msgspec.DecodeError, ValueError):
            pass  # A launcher that died mid-line has ended like one that closed the line.
        finally:
            self._answers.put_nowait(None)
            self.on_news(None)

    async def close(self, *, quit: bool = True) -> None:
        """Ends the line; and the launcher, with everything below it, unless it is to live on. Twice is once."""
        if self._closed:
            return
        self._closed = True
        if quit:
            with contextlib.suppress(LauncherGone):
                await self.send(Quit())
            await self._listening  # It closes the line when nothing is left.
        self._listening.cancel()
        self._writer.close()
        with contextlib.suppress(ConnectionError):
            await self._writer.wait_closed()
        if self.process is not None and quit:
            await self.process.wait()


def left_behind(run: RunDir) -> list[Path]:
    """Sockets of launchers that an earlier scheduler left and that still live; traces of dead ones are removed."""
    sockets = []
    for file in sorted(run.launcher.glob("*.json")):
        identity = read_record(file, Identity)
        sock = file.with_suffix(".sock")
        if identity is not None and alive(identity):
            sockets.append(sock)
        else:
            file.unlink(missing_ok=True)
            sock.unlink(missing_ok=True)
    return sockets
