"""A driver that hangs holds nothing up."""

from __future__ import annotations

import asyncio
import threading
from typing import Any, cast

import pytest

from gpusched.devices import Nvml
from gpusched.runtime.machine.driver import Driver


async def test_an_overdue_answer_is_not_waited_for() -> None:
    """Nothing more is asked until it comes; then the conversation goes on."""
    stuck, asked = threading.Event(), []
    driver = Driver(cast(Nvml, "nvml"), patience=0.02)

    def hang(nvml: Any) -> str:
        stuck.wait(60)
        return "late"

    assert await driver.ask(hang) is None
    assert not driver.answers
    assert await driver.ask(asked.append) is None
    assert asked == []
    stuck.set()
    while not driver.answers:  # noqa: ASYNC110 - it is the thread's to say, and it has no event
        await asyncio.sleep(0)
    assert await driver.ask(lambda nvml: f"asked {nvml}") == "asked nvml"
    driver.close()


async def test_what_a_call_raises_is_raised() -> None:
    """… where it is waited for, and the next one is answered."""
    driver = Driver(cast(Nvml, "nvml"))

    def fail(nvml: Any) -> None:
        raise ValueError("no")

    with pytest.raises(ValueError, match="no"):
        await driver.ask(fail)
    assert await driver.ask(lambda nvml: 1) == 1
    driver.close()
