"""Full screen, driven by its keys."""

from __future__ import annotations

import asyncio
import json
import socket
import threading
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import pytest

from gpusched.runtime.reader import Run
from gpusched.storage.lock import RunLock

textual = pytest.importorskip("textual")
from textual.widgets import DataTable, RichLog, Static  # noqa: E402

from gpusched.ui.top.app import Top  # noqa: E402


def top(made: Any) -> Top:
    return Top(Run.open(made.dir.path), look_seconds=0.2)


def column(app: Top, number: int) -> list[str]:
    table = app.query_one("#trials", DataTable)
    return [str(table.get_row_at(n)[number]) for n in range(table.row_count)]


async def until(condition: Callable[[], bool]) -> None:
    async with asyncio.timeout(10):
        while not condition():  # noqa: ASYNC110  # the screen has no event to wait for
            await asyncio.sleep(0.01)


@contextmanager
def scheduler(made: Any) -> Iterator[list[dict[str, Any]]]:
    """The lock and the socket of a running search; yields the orders that arrive."""
    orders: list[dict[str, Any]] = []
    lock = RunLock(made.dir.lock)
    path = made.dir.control
    server = socket.socket(socket.AF_UNIX)
    server.bind(f"/proc/self/fd/{_folder(path)}/{path.name}")
    server.listen()

    def serve() -> None:
        while True:
            try:
                connection, _ = server.accept()
            except OSError:
                return
            with connection, connection.makefile("rwb") as file:
                orders.append(json.loads(file.readline()))
                file.write(b'{"ok": true, "message": "as you wish"}\n')

    thread = threading.Thread(target=serve)
    thread.start()
    try:
        yield orders
    finally:
        server.shutdown(socket.SHUT_RDWR)
        server.close()
        thread.join()
        lock.release()


def _folder(path: Path) -> int:
    import os

    return os.open(path.parent, os.O_PATH)


async def test_trials_are_sorted_by_a_key(make_run: Callable[..., Any]) -> None:
    """`s` steps through the orders; by score, the best trial stands first and the failed last."""
    made = make_run(algorithm="random", max_epochs=2, max_trials=6, failing={2}).finish()
    app = top(made)
    async with app.run_test(size=(120, 40)) as pilot:
        assert column(app, 0) == ["0", "1", "2", "3", "4", "5"]
        await pilot.press("s")
        await until(lambda: column(app, 0)[-1] == "2")
        assert [int(trial) for trial in column(app, 0)[:-1]] == made.run.search.oracle.rank()


async def test_the_cursor_stays_on_its_trial_when_the_order_changes(make_run: Callable[..., Any]) -> None:
    """Sorting moves rows, not what one looks at."""
    app = top(make_run(algorithm="random", max_epochs=2, max_trials=6).finish())
    async with app.run_test(size=(120, 40)) as pilot:
        await pilot.press("down", "down")
        await until(lambda: app.selected == 2)
        await pilot.press("s")
        await until(lambda: app.sorted_by == "score" and column(app, 0) != ["0", "1", "2", "3", "4", "5"])
        await pilot.pause()
        assert app.selected == 2


async def test_a_trials_log_and_values_are_shown(make_run: Callable[..., Any]) -> None:
    """What the selected trial printed, what it was given, and why it failed."""
    made = make_run(algorithm="random", max_epochs=2, max_trials=3, failing={1}).finish()
    app = top(made)
    async with app.run_test(size=(120, 40)) as pilot:
        await pilot.press("l")
        await until(lambda: len(app.query_one("#log", RichLog).lines) == 2)
        await pilot.press("v", "down")
        await until(lambda: "ValueError: units is odd" in str(app.query_one("#values", Static).render()))


async def test_it_follows_a_search_it_did_not_start(make_run: Callable[..., Any]) -> None:
    """Trials that start while one looks appear by themselves."""
    made = make_run(algorithm="random", max_epochs=2, max_trials=6)
    app = top(made)
    async with app.run_test(size=(120, 40)):
        assert column(app, 1) == ["running", "running"]
        made.finish()
        await until(lambda: column(app, 1) == ["completed"] * 6)


async def test_a_trial_is_stopped_or_retried_only_after_a_question(make_run: Callable[..., Any]) -> None:
    """`x` and `r` ask; n does nothing, y sends the order for the trial under the cursor."""
    made = make_run(algorithm="random", max_epochs=2, max_trials=6)
    app = top(made)
    with scheduler(made) as orders:
        async with app.run_test(size=(120, 40)) as pilot:
            await pilot.press("down")
            await until(lambda: app.selected == 1)
            await pilot.press("x", "n")
            await pilot.press("x", "y")
            await until(lambda: bool(orders))
            await pilot.press("r", "y")
            await until(lambda: len(orders) == 2)
            await pilot.press("p")
            await until(lambda: len(orders) == 3)
    assert orders == [{"do": "stop_trials", "trials": [1]}, {"do": "retry", "trials": [1]}, {"do": "pause"}]


async def test_a_finished_search_can_only_be_looked_at(make_run: Callable[..., Any]) -> None:
    """Keys that act say why they do not."""
    app = top(make_run(algorithm="random", max_epochs=2, max_trials=3).finish())
    async with app.run_test(size=(120, 40), notifications=True) as pilot:
        await pilot.press("p")
        await until(lambda: bool(app._notifications))
        assert ["the search is not running" in note.message for note in app._notifications] == [True]
