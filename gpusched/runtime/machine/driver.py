"""Talks to the driver from the event loop, and is not held up by it.

Near a broken GPU the driver may take minutes to answer, or never come back. So calls run one after the other in a
thread of their own, which nobody waits for at the end, and while one is overdue nothing more is asked.
"""

from __future__ import annotations

import asyncio
import contextlib
import logging
import queue
import threading
from collections.abc import Callable, Iterator
from typing import Any, TypeVar

from gpusched.devices import Nvml, NvmlMissing
from gpusched.runtime.machine.layout import Layout

log = logging.getLogger(__name__)

T = TypeVar("T")


class Driver:
    """An open conversation; `patience` is how long an answer may take, in seconds."""

    def __init__(self, nvml: Nvml, patience: float = 5.0) -> None:
        self._nvml, self._patience = nvml, patience
        self._calls: queue.SimpleQueue[tuple[Callable[[Nvml], Any], asyncio.Future[Any]] | None] = queue.SimpleQueue()
        self._overdue: asyncio.Future[Any] | None = None
        threading.Thread(target=self._work, name="driver", daemon=True).start()

    @property
    def answers(self) -> bool:
        return self._overdue is None or self._overdue.done()

    async def ask(self, call: Callable[[Nvml], T], more_seconds: float = 0.0) -> T | None:
        """What call(nvml) returns; None where the driver does not answer in time. Raises what the call raises."""
        if not self.answers:
            return None
        answer: asyncio.Future[T] = asyncio.get_running_loop().create_future()
        self._calls.put((call, answer))
        try:
            async with asyncio.timeout(self._patience + more_seconds):
                return await asyncio.shield(answer)
        except TimeoutError:
            self._overdue = answer
            return None

    def close(self) -> None:
        """Asks nothing more."""
        self._calls.put(None)

    def _work(self) -> None:
        while (order := self._calls.get()) is not None:
            call, answer = order
            result: Any = None
            error: Exception | None = None
            try:
                result = call(self._nvml)
            except Exception as raised:
                error = raised
            with contextlib.suppress(RuntimeError):  # The loop has ended meanwhile.
                answer.get_loop().call_soon_threadsafe(_settle, answer, result, error)


def _settle(answer: asyncio.Future[Any], result: Any, error: Exception | None) -> None:
    if answer.cancelled():
        return
    if error is None:
        answer.set_result(result)
    else:
        answer.set_exception(error)
        answer.exception()  # Whoever waited may be gone: that is no reason for a warning.


@contextlib.contextmanager
def conversation(layout: Layout) -> Iterator[Driver | None]:
    """A conversation with the driver for as long as the search runs; None without a GPU to talk about."""
    if not layout.gpus:
        yield None
        return
    driver = None
    try:
        nvml = Nvml().__enter__()
    except NvmlMissing as missing:
        log.warning("the driver is gone: %s", missing)
        yield None
        return
    try:
        nvml.gpus()  # From now on it knows them, were they lost.
        driver = Driver(nvml)
        yield driver
    finally:
        if driver is not None:
            driver.close()
        if driver is None or driver.answers:  # Where it hangs, its end would hang too.
            nvml.__exit__(None, None, None)
