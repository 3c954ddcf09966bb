"""The line to a launcher: what goes wrong with news is not the line's end."""

from __future__ import annotations

import asyncio
import socket
from typing import Any

import pytest

from gpusched.launcher.client import LauncherClient, LauncherGone
from gpusched.launcher.protocol import Acknowledge, Started, encode


async def client_of(sock: socket.socket) -> LauncherClient:
    return LauncherClient(sock, *await asyncio.open_unix_connection(sock=sock))


@pytest.mark.parametrize("error", [OSError(5, "Input/output error"), ValueError("an invalid byte"), KeyError(3)])
async def test_news_that_nobody_can_take(error: Exception) -> None:
    """It is told to whoever can end the search; what is said behind it is still heard, and then the line's end."""
    ours, theirs = socket.socketpair()
    client = await client_of(ours)
    heard: list[Any] = []
    told: list[tuple[str, BaseException]] = []
    over = asyncio.Event()

    def hear(news: Any) -> None:
        heard.append(news)
        if news is None:
            over.set()
        elif news.trial == 0:
            raise error

    client.on_news, client.on_error = hear, lambda doing, raised: told.append((doing, raised))
    for trial in range(2):
        theirs.sendall(encode(Started(trial=trial, attempt=1, pid=7)))
    theirs.close()
    await asyncio.wait_for(over.wait(), 10)
    assert [news and news.trial for news in heard] == [0, 1, None]
    assert told == [("news of the launcher", error)]
    await client.leave()


@pytest.mark.parametrize("said", [b"no message\n", b'{"type": "started", "trial": "\xff"}\n', b"[" * 100_000 + b"\n"])
async def test_a_line_that_is_no_message(said: bytes) -> None:
    """A launcher that talks nonsense has died mid-line."""
    ours, theirs = socket.socketpair()
    client = await client_of(ours)
    over = asyncio.Event()
    client.on_news = lambda news: over.set() if news is None else None
    theirs.setblocking(False)
    await asyncio.get_running_loop().sock_sendall(theirs, said)
    await asyncio.wait_for(over.wait(), 10)
    assert client.gone
    theirs.close()
    await client.leave()


async def test_nothing_is_said_to_a_launcher_that_is_told_to_end() -> None:
    """Whether it is there is asked in a task of its own, which may come to it behind the last word."""
    ours, theirs = socket.socketpair()
    client = await client_of(ours)
    client._writer.write_eof()
    with pytest.raises(LauncherGone):
        client._write(Acknowledge(trial=0, attempt=1))
    with pytest.raises(LauncherGone):
        await client.send(Acknowledge(trial=0, attempt=1))
    theirs.close()
    await client.leave()
