"""SIGSTOP of any part of a search, or of all of it."""

from __future__ import annotations

import os
import signal
import time
from collections.abc import Callable
from typing import Any


def test_time_that_nobody_watched_is_no_silence(lab: Any, until: Callable[..., Any]) -> None:
    """A machine that stands still for longer than a trial may be silent loses none: the watch stood still too."""
    lab.hold()
    scheduler = lab.start(
        *("--algorithm", "random", "--objective", "val_loss", "--max-trials", "2", "--max-epochs", "2"),
        *("--cpu-slots", "2", "--trial-timeout", "4"),
        GPUSCHED_SILENT_SECONDS="4",
    )
    until("two trials in training", lambda: len(lab.ledger) == 2)
    everything = lab.processes()
    for pid in everything:
        os.kill(pid, signal.SIGSTOP)
    time.sleep(5.5)
    for pid in [scheduler.pid, *everything]:  # The watch first: what it sees then is the worst.
        os.kill(pid, signal.SIGCONT)
    lab.let_go()
    assert scheduler.wait(60) == 0
    assert lab.events("trial_hung") == []
    assert [end["end"] for end in lab.events("job_ended")] == ["completed", "completed"]
