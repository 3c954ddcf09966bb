"""Terminals to look at."""

from __future__ import annotations

import shutil
import subprocess
import sys
import time
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest


class Tmux:
    """A terminal window of one's own."""

    def __init__(self, folder: Path, argv: list[str], columns: int, lines: int) -> None:
        self._socket = str(folder / "tmux")
        size = ["-x", str(columns), "-y", str(lines)]
        self._call("-f", "/dev/null", "new-session", "-d", *size, *argv)

    def _call(self, *words: str) -> str:
        return subprocess.run(["tmux", "-S", self._socket, *words], capture_output=True, text=True, check=True).stdout

    def screen(self) -> list[str]:
        return [line for line in self._call("capture-pane", "-p").splitlines() if line]

    def history(self) -> list[str]:
        """What has scrolled off, too; lines that were wrapped whole again."""
        return [line for line in self._call("capture-pane", "-p", "-J", "-S", "-").splitlines() if line]

    def press(self, key: str) -> None:
        self._call("send-keys", key)

    def resize(self, columns: int, lines: int) -> None:
        self._call("resize-window", "-x", str(columns), "-y", str(lines))

    def until(self, condition: Callable[[list[str]], bool]) -> list[str]:
        deadline = time.monotonic() + 20
        while not condition(screen := self.screen()):
            assert time.monotonic() < deadline, "\n".join(screen)
            time.sleep(0.05)
        return screen

    def until_dead(self) -> None:
        """Waits for the end of what runs in it, with remain-on-exit set. What tmux writes there then may be missing."""
        deadline = time.monotonic() + 20
        while self._call("display-message", "-p", "#{pane_dead}").strip() != "1":
            assert time.monotonic() < deadline, "\n".join(self.screen())
            time.sleep(0.05)

    def close(self) -> None:
        self._call("kill-server")


@pytest.fixture
def window(tmp_path: Path) -> Iterator[Callable[..., Tmux]]:
    """window("top", path, columns=60): a gpusched command in a terminal window."""
    if shutil.which("tmux") is None:
        pytest.skip("no tmux to look at the screen with")
    opened: list[Tmux] = []

    def make(*words: object, columns: int = 100, lines: int = 24) -> Tmux:
        folder = tmp_path / f"window {len(opened)}"
        folder.mkdir()
        opened.append(Tmux(folder, [sys.executable, "-m", "gpusched.cli", *map(str, words)], columns, lines))
        return opened[-1]

    yield make
    for each in opened:
        each.close()
