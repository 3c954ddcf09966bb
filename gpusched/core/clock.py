"""The time that a search has worked: its running time without that in which it was paused and nothing ran."""

from __future__ import annotations

from dataclasses import dataclass


@dataclass(slots=True)
class Clock:
    """Seconds of running time, told by the events. `rests` says whether the search has rested since the last one."""

    at: float = 0.0  #: at the newest event
    rested: float = 0.0  #: of these, so many without work

    def tick(self, at: float, *, rests: bool) -> None:
        if rests:
            self.rested += max(0.0, at - self.at)
        self.at = at

    def worked(self, now: float, *, rests: bool) -> float:
        return now - self.rested - (max(0.0, now - self.at) if rests else 0.0)
