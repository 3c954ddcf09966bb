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

from gpusched.hyperparameters import HyperParameters
from gpusched.runtime.reader import Run
from gpusched.storage.lock import RunLock

textual = pytest.importorskip("textual")
from textual.binding import Binding  # noqa: E402
from textual.containers import VerticalScroll  # noqa: E402
from textual.widgets import DataTable, RichLog, Static  # noqa: E402

from gpusched.ui import facts  # noqa: E402
from gpusched.ui.top.app import Top  # noqa: E402

#: The smallest terminal that is common.
SMALL = (80, 24)
#: What stands on the keys that textual has names for.
DISPLAYED = {
    "question_mark": "?",
    "slash": "/",
    "less_than_sign": "<",
    "greater_than_sign": ">",
    "plus": "+",
    "minus": "-",
    "escape": "Esc",
    "esc": "Esc",
}


def screen(app: Top) -> list[str]:
    """What is seen, line by line."""
    return [line.text.rstrip() for line in app.screen._compositor.render_strips()]


def titles(table: DataTable[Any]) -> list[str]:
    return [str(column.label) for column in table.ordered_columns]


def conditional() -> HyperParameters:
    """A space with a hyperparameter that not all trials have."""
    hp = HyperParameters()
    hp.Int("units", 16, 256, step=16)
    hp.Choice("optimizer", ["adam", "sgd"])
    with hp.conditional_scope("optimizer", ["sgd"]):
        hp.Float("momentum", 0.0, 0.9)
    return hp


def top(made: Any) -> Top:
    return Top(Run.open(made.dir.path), look_seconds=0.2)


def column(app: Top, number: int) -> list[str]:
    table = app.query_one("#trials", DataTable)
    return [str(table.get_row_at(n)[number]) for n in range(table.row_count)]


async def until(condition: Callable[[], bool]) -> None:
    async with asyncio.timeout(60):
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


async def test_sorting_shows_the_best_first(make_run: Callable[..., Any]) -> None:
    """Wherever the cursor was, `s` shows the first rows, and the cursor is in the first; so does `S`."""
    made = make_run(algorithm="random", max_epochs=2, max_trials=40).finish()
    ranked = list(map(str, made.run.search.oracle.rank()))
    app = top(made)
    async with app.run_test(size=SMALL) as pilot:
        table = app.query_one("#trials", DataTable)
        await pilot.press("end")
        await until(lambda: app.selected == 39 and table.scroll_offset.y > 0)
        for key, first in (("s", ranked), ("S", ranked[::-1])):
            await pilot.press(key)
            await until(lambda: column(app, 0) == first)  # noqa: B023
            await until(lambda: (str(app.selected), table.cursor_row, table.scroll_offset.y) == (first[0], 0, 0))  # noqa: B023


async def test_the_cursor_stays_on_the_trial_one_has_chosen(make_run: Callable[..., Any]) -> None:
    """Rows that move by themselves take it along; where nobody has moved it, it stays in the first row."""
    made = make_run(algorithm="random", max_epochs=2, max_trials=12)
    for _ in range(4):
        made.step()
    app = top(made)
    async with app.run_test(size=(120, 40)) as pilot:
        table = app.query_one("#trials", DataTable)
        await pilot.press("s")
        await until(lambda: app.sorted_by == "score" and table.cursor_row == 0)
        made.step()
        await until(lambda: column(app, 1).count("completed") == 5)
        await until(lambda: (str(app.selected), table.cursor_row) == (column(app, 0)[0], 0))
        await pilot.press("down")
        await until(lambda: table.cursor_row == 1)
        chosen = app.selected
        made.finish()
        await until(lambda: column(app, 1) == ["completed"] * 12)
        await until(lambda: table.cursor_row == column(app, 0).index(str(chosen)))
        assert app.selected == chosen


async def test_the_cursor_returns_to_the_trial_that_a_filter_has_hidden(make_run: Callable[..., Any]) -> None:
    """Once the filter is gone; until then it is in the first row, and a filter without a trial changes nothing."""
    app = top(make_run(algorithm="random", max_epochs=2, max_trials=40, failing={2}).finish())
    async with app.run_test(size=SMALL) as pilot:
        table = app.query_one("#trials", DataTable)
        await pilot.press("end", *["up"] * 9)
        await until(lambda: app.selected == 30)
        for typed, shown in (("fail", 2), ("nothing", None)):
            for key in ("enter", None):
                await pilot.press("slash", *typed, *([key] if key else []))
                await until(lambda: app.selected == shown)  # noqa: B023
                await pilot.press("escape")
                await until(lambda: app.selected == 30 and table.cursor_row == 30)
        await until(lambda: any(line.split()[:2] == ["30", "completed"] for line in screen(app)))


@pytest.mark.parametrize("chosen", [False, True])
async def test_a_trial_that_was_looked_for_keeps_the_cursor(make_run: Callable[..., Any], chosen: bool) -> None:
    """Found by its number, it is still the chosen one among all trials, whichever was chosen before."""
    app = top(make_run(algorithm="random", max_epochs=2, max_trials=40).finish())
    async with app.run_test(size=SMALL) as pilot:
        table = app.query_one("#trials", DataTable)
        await until(lambda: app.selected == 0)
        if chosen:
            await pilot.press("down", "down")
            await until(lambda: app.selected == 2)
        await pilot.press("slash", *"30", "enter")
        await until(lambda: column(app, 0) == ["30"] and app.selected == 30)
        await pilot.press("escape")
        await until(lambda: table.row_count == 40)
        await until(lambda: (app.selected, table.cursor_row) == (30, 30))
        await until(lambda: any(line.split()[:2] == ["30", "completed"] for line in screen(app)))


@pytest.mark.parametrize("slots", [1, 2, 8])
async def test_all_has_its_place_on_a_small_terminal(make_run: Callable[..., Any], slots: int) -> None:
    """At 80×24: the name, the best, a slot, trials, the whole chart and the keys, with nothing scrolled away."""
    made = make_run(algorithm="random", max_epochs=2, max_trials=40, slots=slots)
    for _ in range(20):
        made.step()
    lock = RunLock(made.dir.lock)
    app = top(made)
    async with app.run_test(size=SMALL) as pilot:
        await pilot.press("end")
        await until(lambda: app.selected == 19 + slots and any("━ trial" in line for line in screen(app)))
        lines = screen(app)
    lock.release()
    assert lines[0].split()[:2] == ["digits", "running"]
    assert [line.split()[0] for line in lines[1:3]] == ["trials", "best"]
    assert any(line.split()[:2] == ["cpu", "0"] for line in lines)
    assert any("more slot" in line for line in lines) == (slots > 3)
    table = next(n for n, line in enumerate(lines) if line.split()[:1] == ["trial"])
    assert len([line for line in lines[table + 1 : table + 4] if line.split()[0].isdecimal()]) == 3
    assert lines[-1].split()[:4] == ["?", "Help", "q", "Quit"]
    assert "p Pause/resume" in lines[-1]


async def test_a_hyperparameter_is_a_column(make_run: Callable[..., Any]) -> None:
    """In the order of the space, sorted by with < and >; trials that do not have one come last."""
    made = make_run(algorithm="random", max_epochs=2, max_trials=6, space=conditional()).finish()
    trials = made.run.search.trials
    momentum = {n: trial.values["momentum"] for n, trial in trials.items() if "momentum" in trial.values}
    assert 0 < len(momentum) < 6
    app = top(made)
    async with app.run_test(size=(120, 40)) as pilot:
        table = app.query_one("#trials", DataTable)
        assert titles(table) == ["trial ▲", "state", "epochs", "val_accuracy", "time", "units", "optimizer", "momentum"]
        assert column(app, 6) == [trials[n].values["optimizer"] for n in range(6)]
        for key in ("<", "S"):
            await pilot.press("less_than_sign" if key == "<" else key)
            for order in [sorted(momentum, key=lambda n: momentum[n], reverse=key == "S")]:
                await until(lambda: list(map(int, column(app, 0)))[: len(order)] == order)  # noqa: B023
            assert all(cell == "" for cell in column(app, 7)[len(momentum) :])


async def test_the_filter_shows_some_trials(make_run: Callable[..., Any]) -> None:
    """What is typed counts at once; Enter keeps it, Esc shows all; keys that act are letters meanwhile."""
    app = top(make_run(algorithm="random", max_epochs=2, max_trials=6, failing={2}).finish())
    async with app.run_test(size=SMALL, notifications=True) as pilot:
        await pilot.press("slash", *"fail")
        await until(lambda: column(app, 0) == ["2"] and app.selected == 2)
        await pilot.press("enter")
        await until(lambda: any("fail: 1 of 6 trials; Esc shows all" in line for line in screen(app)))
        await pilot.press("s")
        await until(lambda: app.sorted_by == "score")
        assert column(app, 0) == ["2"]
        await pilot.press("slash", *" x")
        await until(lambda: column(app, 0) == [])
        await pilot.press("escape")
        await until(lambda: len(column(app, 0)) == 6 and app.selected == int(column(app, 0)[0]))
        assert not app._notifications


async def test_help_names_every_key(make_run: Callable[..., Any]) -> None:
    """`?` shows them all on a small terminal, with the rule by which trials are ranked, and closes again."""
    app = top(make_run(algorithm="random", max_epochs=2, max_trials=3).finish())
    async with app.run_test(size=SMALL) as pilot:
        await pilot.press("question_mark")
        await until(lambda: any("keys of gpusched top" in line for line in screen(app)))
        lines = screen(app)
        named = {key for line in lines if "│" in line for key in line.split("│")[1].partition("  ")[0].split()}
        names = {app.get_key_display(binding) for binding in Top.BINDINGS if isinstance(binding, Binding)}
        names |= {DISPLAYED.get(binding[0], binding[0]) for binding in Top.BINDINGS if isinstance(binding, tuple)}
        assert {DISPLAYED.get(name, name) for name in names} <= named
        assert any("Trials are ranked by score: " in line for line in lines)
        await pilot.press("escape")
        await until(lambda: not any("keys of gpusched top" in line for line in screen(app)))


async def test_keys_act_on_what_is_alive_only(make_run: Callable[..., Any]) -> None:
    """A trial that has completed is neither stopped nor retried, CPU slots have no cap: said without a question."""
    made = make_run(algorithm="random", max_epochs=2, max_trials=6)
    made.step()
    app = top(made)
    with scheduler(made) as orders:
        async with app.run_test(size=SMALL, notifications=True) as pilot:
            assert column(app, 1)[0] == "completed"
            await pilot.press("x", "y", "r", "y", "plus")
            await until(lambda: len(app._notifications) == 3)
            assert [note.message for note in app._notifications] == [
                "trial 0: it is completed; only running and waiting trials can be stopped",
                "trial 0: it is completed; only running, failed and stopped trials are tried again",
                "the cap counts trials on a GPU, and this search runs on CPU slots",
            ]
    assert orders == []


async def test_a_trials_log_and_values_are_shown(make_run: Callable[..., Any]) -> None:
    """What the selected trial printed, what it was given, and why it failed."""
    made = make_run(algorithm="random", max_epochs=2, max_trials=3, failing={1}).finish()
    app = top(made)
    async with app.run_test(size=(120, 40)) as pilot:
        await pilot.press("l")
        await until(lambda: len(app.query_one("#log", RichLog).lines) == 2)
        await pilot.press("v", "down")
        await until(lambda: "ValueError: units is odd" in str(app.query_one("#values", Static).render()))


async def test_why_a_trial_failed_is_seen_at_once(make_run: Callable[..., Any]) -> None:
    """In the place of the curve that it has not; all of it stands below its values, and Tab goes there to scroll."""
    hp = HyperParameters()
    for name in ("units", *"abcdefghijkl"):
        hp.Int(name, 16, 64, step=16)
    app = top(make_run(algorithm="random", max_epochs=2, max_trials=3, failing={0}, space=hp).finish())
    async with app.run_test(size=SMALL) as pilot:
        await until(lambda: any(line == " trial 0, failed: ValueError: units is odd" for line in screen(app)))
        await pilot.press("v")
        await until(lambda: any(line.startswith(" units") for line in screen(app)))
        pane = app.query_one("#values").parent
        assert isinstance(pane, VerticalScroll)
        await pilot.press("tab", "end")
        await until(lambda: pane.has_focus and any(line.startswith(" Traceback") for line in screen(app)))
        await pilot.press("tab")
        await until(lambda: app.query_one("#trials").has_focus)


async def test_a_running_trials_time_goes_on(make_run: Callable[..., Any], monkeypatch: pytest.MonkeyPatch) -> None:
    """Though nothing has happened that the journal has; what has ended keeps its time."""
    made = make_run(algorithm="random", max_epochs=2, max_trials=3)
    made.step()
    wall = made.run.opened.wall
    monkeypatch.setattr(facts.time, "time", lambda: wall)
    lock = RunLock(made.dir.lock)
    app = top(made)
    async with app.run_test(size=(120, 40)):
        for seconds in (8, 75):
            wall = made.run.opened.wall + seconds
            told = {8: ["2 s", "8 s", "6 s"], 75: ["2 s", "1 min 15 s", "1 min 13 s"]}[seconds]
            await until(lambda: column(app, 4) == told)  # noqa: B023
    lock.release()


async def test_it_follows_a_search_it_did_not_start(make_run: Callable[..., Any]) -> None:
    """Trials that start while one looks appear by themselves."""
    made = make_run(algorithm="random", max_epochs=2, max_trials=6)
    app = top(made)
    async with app.run_test(size=(120, 40)):
        assert column(app, 1) == ["running", "running"]
        made.finish()
        await until(lambda: column(app, 1) == ["completed"] * 6)


async def test_a_trial_is_stopped_or_retried_only_after_a_question(make_run: Callable[..., Any]) -> None:
    """`x` and `r` ask; n does nothing, y sends the order for the trial under the cursor, k keeps its score."""
    made = make_run(algorithm="random", max_epochs=2, max_trials=6)
    app = top(made)
    with scheduler(made) as orders:
        async with app.run_test(size=(120, 40)) as pilot:
            await pilot.press("down")
            await until(lambda: app.selected == 1)
            await pilot.press("x", "n", "x", "escape", "r", "n")
            for number, keys in enumerate((["x", "y"], ["x", "k"], ["r", "y"], ["p"]), 1):
                await pilot.press(*keys)
                await until(lambda: len(orders) == number)  # noqa: B023
    assert orders == [
        {"do": "stop_trials", "trials": [1], "keep": False},
        {"do": "stop_trials", "trials": [1], "keep": True},
        {"do": "retry", "trials": [1]},
        {"do": "pause"},
    ]


async def test_a_finished_search_can_only_be_looked_at(
    make_run: Callable[..., Any], monkeypatch: pytest.MonkeyPatch
) -> None:
    """The footer has no keys that act, and the head says what does; who presses one is told why it does nothing."""
    made = make_run(algorithm="random", max_epochs=2, max_trials=3, failing={0}).finish()
    monkeypatch.chdir(made.dir.path.parent)
    app = top(made)
    async with app.run_test(size=(120, 40), notifications=True) as pilot:
        await pilot.press("p", "x", "r", "plus")
        await until(lambda: len(app._notifications) == 4)
        assert any("`gpusched retry 0` continues it" in note.message for note in app._notifications)
        assert all(note.message.startswith("the search is not running") for note in app._notifications)
        actions = {binding.action for _, binding, _, _ in app.screen.active_bindings.values()}
        assert actions.isdisjoint({"stop_trial", "retry", "pause", "cap(1)", "cap(-1)"})
        await until(lambda: "Sort" in screen(app)[-1])
        lines = screen(app)
        assert lines[3] == " ended; `gpusched retry digits` trains 1 failed trial again"
        assert not any(key in lines[-1] for key in ("Stop trial", "Retry", "Pause"))


async def test_the_footer_follows_the_search(make_run: Callable[..., Any]) -> None:
    """While it runs, keys that can do nothing for the chosen trial are dimmed; once it has ended they are gone."""
    made = make_run(algorithm="random", max_epochs=2, max_trials=3)
    made.step()
    lock = RunLock(made.dir.lock)
    app = top(made)

    def enabled() -> dict[str, bool]:
        return {binding.action: enabled for _, binding, enabled, _ in app.screen.active_bindings.values()}

    async with app.run_test(size=(120, 40)):
        await until(lambda: (enabled().get("stop_trial"), enabled().get("pause")) == (False, True))
        await until(lambda: "Stop trial" in screen(app)[-1])
        made.finish()
        lock.release()
        await until(lambda: "pause" not in enabled() and "Stop trial" not in screen(app)[-1])
        await until(lambda: screen(app)[3] == " ended; its trials can be looked at, and no key changes them")
