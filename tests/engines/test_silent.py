"""A launcher that does not answer."""

from __future__ import annotations

import os
import signal
from typing import Any

import pytest

from gpusched.core.outcome import End
from gpusched.launcher import client


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
