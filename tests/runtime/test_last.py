"""The last resort of a session that does not end."""

from __future__ import annotations

import signal
import sys
import threading
from collections.abc import Callable
from typing import Any

import pytest

from gpusched.runtime.ending import last
from gpusched.runtime.ending.last import LastResort


@pytest.mark.parametrize(("interrupts", "grace"), [(3, 600.0), (2, 0.1)])
def test_nothing_is_waited_for_any_more(monkeypatch: pytest.MonkeyPatch, interrupts: int, grace: float) -> None:
    """After a third interrupt, or some time after the second."""
    monkeypatch.setattr(last, "GRACE_SECONDS", grace)
    given_up = threading.Event()
    resort = LastResort(given_up.set, lambda: ())
    resort.begin()
    for _ in range(interrupts):
        resort.heard()
    assert given_up.wait(30)
    resort.over()
    resort.over()


def test_a_session_that_ends_is_let_be(monkeypatch: pytest.MonkeyPatch) -> None:
    """One interrupt gives nothing up, however long it takes, and neither do two where the session ends in time."""
    monkeypatch.setattr(last, "GRACE_SECONDS", 600.0)
    given_up = threading.Event()
    for interrupts in (0, 1, 2):
        resort = LastResort(given_up.set, lambda: ())
        resort.begin()
        for _ in range(interrupts):
            resort.heard()
        resort.over()
    assert not given_up.is_set()


def test_a_hook_that_never_returns_is_left(lab: Any, until: Callable[..., Any]) -> None:
    """A fourth Ctrl-C ends a script whose own hook holds the loop up: 130, and no process is left."""
    lab.write("""
import gpusched as gs, time

class Tuner(gs.RandomSearch):
    def on_trial_end(self, trial):
        open("stuck", "w").close()
        time.sleep(10**6)

def train(hp, trial):
    hp.Float("x", 0, 1)
    trial.report(val_loss=1.0)

Tuner(train=train, objective="val_loss", max_epochs=1, max_trials=9, cpu_slots=2).search()
""")
    script = lab.start(command=[sys.executable, str(lab.script)])
    until("the hook", (lab.folder / "stuck").exists)

    def interrupted() -> bool:
        script.send_signal(signal.SIGINT)  # Signals that come together may be one.
        return script.poll() is not None

    until("its end", interrupted)
    assert script.returncode == 130
    until("an empty machine", lambda: lab.processes() == [])
    assert "Traceback" not in lab.said
