"""What a search says last."""

from __future__ import annotations

import io
from collections.abc import Callable
from typing import Any

import pytest

from gpusched.core.events import SessionClosed
from gpusched.runtime.reader import Run
from gpusched.ui.watch.live import LiveView, follow
from gpusched.ui.watch.plain import PlainView, Teller, follow_lines
from gpusched.ui.watch.terminal import Output
from gpusched.ui.watch.tuner import TrialTeller

ONWARD = "`gpusched best` shows the best trials, `gpusched report` makes a page of it all"


@pytest.mark.parametrize("kind", [PlainView, LiveView])
@pytest.mark.parametrize("teller", [Teller, TrialTeller])
def test_the_last_line_points_onward(
    make_run: Callable[..., Any], monkeypatch: pytest.MonkeyPatch, kind: Any, teller: Any
) -> None:
    """To the results of a search that is complete, to the way to continue one that is not."""
    made = make_run("it's", algorithm="random", max_epochs=1, max_trials=2)
    monkeypatch.chdir(made.dir.path.parent)
    stream = io.StringIO()
    view = kind(Output(stream), teller())
    view.started(made.dir)
    for code in (0, 130):
        view.event(SessionClosed(at=1.0, reason="as it is", code=code), [], made.run.search)
        last = stream.getvalue().splitlines()[-1]
        own = "Run the script again to continue the search." if teller is TrialTeller else "run the same command again"
        page = "`gpusched report 'it'\"'\"'s'` makes a page of the results."
        assert last.startswith(own) if code else last == (page if teller is TrialTeller else ONWARD)


@pytest.mark.parametrize("live", [False, True])
@pytest.mark.parametrize("code", [0, 130])
def test_so_does_the_last_line_of_attach(
    make_run: Callable[..., Any], monkeypatch: pytest.MonkeyPatch, live: bool, code: int
) -> None:
    """Who looks on did not start the search: the command that continues it is written out."""
    made = make_run(algorithm="random", max_epochs=1, max_trials=2)
    monkeypatch.chdir(made.dir.path.parent.parent)
    stopped = SessionClosed(at=1.0, reason="stopped", code=130)
    end = made.finish if code == 0 else lambda: made.handle(stopped)
    stream = io.StringIO()
    options: dict[str, Any] = {"sleep": lambda _: end(), **({"hint": ""} if live else {})}
    opened = Run.open(made.dir.path)
    assert (follow if live else follow_lines)(opened, Output(stream), alive=lambda: True, **options) == code
    *_, summary, last = stream.getvalue().splitlines()
    assert "2 trials, " in summary
    assert last == (ONWARD if code == 0 else "continue with `gpusched run digits.py --run runs/digits`")
