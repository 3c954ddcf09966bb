"""A launcher that does not answer."""

from __future__ import annotations

import asyncio
import os
import signal
from pathlib import Path
from typing import Any

import pytest

from gpusched.core.outcome import End
from gpusched.launcher import client
from gpusched.launcher.protocol import Load
from gpusched.storage.identity import identity_of


@pytest.mark.parametrize("engines", ["local"], indirect=True)
async def test_a_launcher_that_is_stopped_is_replaced(engines: Any, monkeypatch: pytest.MonkeyPatch) -> None:
    """It is ended, its trials train on, and another starts what it has not started, with no failure counted."""
    monkeypatch.setattr(client, "SILENT_SECONDS", 3.0)
    async with engines() as place:
        await place.engine.launch(place.spec(0, "hang"))
        await place.begun(0)
        stopped = launchers(place)
        os.kill(*stopped, signal.SIGSTOP)
        await place.engine.launch(place.spec(1))
        lost = await place.end_of(1)
        assert (lost.end, lost.failure) == (End.KILLED, None)
        await place.engine.launch(place.spec(1, attempt=2))
        await place.until(lambda: len(place.ends(1)) == 2)
        assert place.ends(1)[1].end is End.COMPLETED
        assert launchers(place) != stopped
        assert place.ends(0) == []
        (place.work.trial(0).path / "go").touch()
        assert (await place.end_of(0)).end is End.COMPLETED


def launchers(place: Any) -> list[int]:
    """By their files, which go with them."""
    return [int(file.stem) for file in place.run.launcher.glob("*.json")]


async def test_a_launcher_that_is_stopped_while_it_loads_ends_the_search(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """A script may load as long as it likes; a process that a signal has stopped loads nothing."""
    monkeypatch.setattr(client, "SILENT_SECONDS", 1.0)
    script = tmp_path / "slow.py"
    script.write_text("import os, pathlib, time\npathlib.Path('pid').write_text(str(os.getpid()))\ntime.sleep(1000)\n")
    monkeypatch.chdir(tmp_path)
    launcher = await client.LauncherClient.start(Load(script=str(script)))
    loading = asyncio.create_task(launcher.loaded())
    pid = tmp_path / "pid"
    async with asyncio.timeout(60):
        while not pid.exists() or not pid.read_text():  # noqa: ASYNC110
            await asyncio.sleep(0.01)
        assert not (await asyncio.wait({loading}, timeout=2.0))[0]
        os.kill(int(pid.read_text()), signal.SIGSTOP)
        with pytest.raises(client.LauncherGone, match=f"pid {pid.read_text()}.* was stopped by a signal"):
            await loading
        await launcher.close()
    assert identity_of(int(pid.read_text())) is None
