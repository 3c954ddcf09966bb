"""Whose an object is: forks of a process have copies of all that it has, and are not to act with them."""

from __future__ import annotations

import os


class Owner:
    """The process that made this."""

    def __init__(self) -> None:
        self._pid = os.getpid()

    @property
    def here(self) -> bool:
        """Whether it is this process, and not one that it has forked."""
        return os.getpid() == self._pid

    def demand(self, doing: str) -> None:
        """Raises RuntimeError in a fork."""
        if not self.here:
            raise RuntimeError(
                f"{doing}: process {os.getpid()} was started by the trial and is not the trial's own ({self._pid}); "
                "send the values there, by a multiprocessing.Queue for example"
            )
