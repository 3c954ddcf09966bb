"""Time in which somebody has watched.

A process that is stopped, frozen, or suspended with its machine sees nothing meanwhile, and what it watches may have
been stopped with it. Whoever measures silence counts only the time in which a sign would have been heard.
"""

from __future__ import annotations

import asyncio
import time

#: How often a watcher notes that it is awake.
TICK_SECONDS = 0.5


class Attention:
    """A clock that runs while it is looked at at least every so often; of a longer gap it counts that much only."""

    def __init__(self, every: float = TICK_SECONDS) -> None:
        self.seconds = 0.0
        self._every = every
        self._last: float | None = None

    def look(self, now: float) -> float:
        """Notes the time, in seconds of any clock that does not go back; returns how long has been watched."""
        gap = 0.0 if self._last is None else now - self._last
        self._last = now
        # A busy machine is a little late all the time: that is no gap.
        self.seconds += gap if gap <= 2 * self._every else self._every
        return self.seconds

    async def keep(self) -> None:
        """Looks for as long as this task lives."""
        while True:
            self.look(time.monotonic())
            await asyncio.sleep(self._every)
