"""A search in the output of a cell, and its results."""

from __future__ import annotations

import asyncio
import contextlib
import io
import sys
from collections.abc import AsyncIterator, Callable
from typing import Any

import pytest

from gpusched.hyperparameters import HyperParameters
from gpusched.tuners.results import Results
from gpusched.ui.notebook import view
from gpusched.ui.notebook.results import Rows
from gpusched.ui.notebook.view import NotebookView


class Cell:
    """The output of a cell: what was shown, each in the place of the one before or not."""

    def __init__(self) -> None:
        self.shown: list[tuple[bool, dict[str, str]]] = []

    def __call__(self, bundle: dict[str, str], *, update: bool) -> None:
        self.shown.append((update, bundle))

    @property
    def html(self) -> str:
        return self.shown[-1][1]["text/html"]

    @property
    def text(self) -> str:
        return self.shown[-1][1]["text/plain"]


@pytest.fixture
def cell(monkeypatch: pytest.MonkeyPatch) -> Cell:
    monkeypatch.setattr(view, "DRAW_SECONDS", 0.01)
    return Cell()


def told(made: Any, shown: NotebookView) -> None:
    """The view hears from now on what happens."""
    handle = made.handle

    def handled(event: Any) -> Any:
        decided = handle(event)
        shown.event(event, decided, made.run.search)
        return decided

    made.handle = handled


async def until(condition: Callable[[], bool]) -> None:
    async with asyncio.timeout(60):
        while not condition():  # noqa: ASYNC110  # a drawing has no event to wait for
            await asyncio.sleep(0.01)


async def test_a_search_is_one_panel(make_run: Callable[..., Any], cell: Cell) -> None:
    """Shown once, then drawn again in its place: trials in training, failures, and at the end the best trials."""
    made = make_run(algorithm="random", max_epochs=2, max_trials=6, failing={1})
    shown = NotebookView(cell)
    told(made, shown)
    shown.message("no NVIDIA driver")
    shown.started(made.dir)
    assert "no NVIDIA driver" in cell.html
    shown.event(made.run.events[0], [], made.run.search)
    drawing = asyncio.create_task(shown.show(made.run))
    made.step()
    made.step()
    for launch in made.out:
        made.train(launch, 1)
    await until(lambda: "2 of 6 trials done" in cell.html and "1/2" in cell.html)
    assert "random · maximise val_accuracy · 6 trials, 12 epochs · 2 slots" in cell.html
    assert "trial 1: failed: ValueError: units is odd" in cell.html
    assert cell.text.startswith("digits: running, 2 of 6 trials done; best val_accuracy 0.")
    made.finish()
    drawing.cancel()
    assert "search ended: complete" in cell.html
    assert cell.html.count("<tr>") == 1 + 5
    assert [update for update, _ in cell.shown] == [False] + [True] * (len(cell.shown) - 1)


@contextlib.asynccontextmanager
async def training(made: Any, shown: NotebookView) -> AsyncIterator[None]:
    """A trial of 20 epochs reports them all, and prints a line each."""
    shown.started(made.dir)
    shown.event(made.run.events[0], [launch for _, launch in made.run.launches], made.run.search)
    drawing = asyncio.create_task(shown.show(made.run))
    made.train(made.out[0])
    yield
    drawing.cancel()


async def test_the_panel_has_the_newest_lines(make_run: Callable[..., Any], cell: Cell) -> None:
    """Where the training is the user's own, ten lines of what the trials print."""
    made = make_run(algorithm="random", max_epochs=20, max_trials=2)
    async with training(made, NotebookView(cell, logs=True)):
        await until(lambda: "[trial 0] epoch 20:" in cell.html)
        assert cell.html.count("[trial 0] epoch ") == 10


async def test_verbose_2_prints_every_line(
    make_run: Callable[..., Any], cell: Cell, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Below the panel, each with its trial."""
    out = io.StringIO()
    monkeypatch.setattr(sys, "stdout", out)
    made = make_run(algorithm="random", max_epochs=20, max_trials=2)
    async with training(made, NotebookView(cell, printing=True)):
        await until(lambda: out.getvalue().count("[trial 0] epoch ") == 20)
        assert "<pre" not in cell.html


async def test_names_and_values_are_text(make_run: Callable[..., Any], cell: Cell) -> None:
    """Whatever a script calls things, the notebook runs none of it."""
    hp = HyperParameters()
    hp.Int("units", 16, 64, step=16)
    hp.Choice("<script>alert(1)</script>", ["<b>&"])
    made = make_run(algorithm="random", max_epochs=1, max_trials=2, space=hp)
    shown = NotebookView(cell)
    told(made, shown)
    shown.started(made.dir)
    made.finish()
    results = Results.open(str(made.dir.path))
    pages = [cell.html, results.html(3), results.rows()._repr_html_(), results.trials(1)[0]._repr_html_()]
    assert all("&lt;b&gt;&amp;" in page and "&lt;script&gt;" in page for page in pages)
    assert not any("<script" in page or "<b>" in page for page in pages)


def test_a_cell_that_is_gone_does_not_end_the_search(make_run: Callable[..., Any]) -> None:
    """A browser or kernel that takes nothing more is no error of the search."""

    def gone(bundle: dict[str, str], *, update: bool) -> None:
        raise OSError("the socket is closed")

    made = make_run(algorithm="random", max_epochs=1, max_trials=2)
    shown = NotebookView(gone)
    told(made, shown)
    shown.started(made.dir)
    made.finish()


def test_long_results_show_their_ends() -> None:
    """Of a thousand rows the first and the last five, and how many there are; short ones whole."""
    rows = Rows({"trial": n, "val_loss": n / 3, "state": "completed", "failure": None} for n in range(1000))
    assert rows._repr_html_().count("<tr>") == 1 + 5 + 1 + 5
    assert "1000 rows" in rows._repr_html_()
    assert "0.3333" in rows._repr_html_()
    assert Rows(rows[:11])._repr_html_().count("<tr>") == 1 + 11
    assert Rows()._repr_html_().count("<tr>") == 1
