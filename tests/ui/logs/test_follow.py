"""Reading logs from their tails, and following them to their end."""

from __future__ import annotations

import asyncio
import io
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from gpusched.core.events import SessionClosed
from gpusched.core.trial import TrialState
from gpusched.ui.logs.follow import Choice, Printer, follow
from gpusched.ui.logs.tail import BLOCK, LogFile
from gpusched.ui.watch.terminal import Output


async def read(log: LogFile) -> list[str]:
    return [line async for lines in log.news() for line in lines]


@pytest.mark.parametrize("count", [0, 1, 2, 5, 100])
@pytest.mark.parametrize("ending", ["\n", ""])
async def test_a_log_is_opened_at_its_tail(tmp_path: Path, count: int, ending: str) -> None:
    """The last n lines, with or without a final newline, and nothing of what stands before."""
    lines = [f"line {i}" for i in range(5)]
    path = tmp_path / "log.txt"
    path.write_text("\n".join(lines) + ending)
    log = LogFile(path)
    await log.seek_to_last(count)
    assert [*await read(log), *log.end()] == (lines[-count:] if count else [])


async def test_a_tail_longer_than_a_block_is_found(tmp_path: Path) -> None:
    """Lines are counted across the blocks in which the end of a file is read."""
    path = tmp_path / "log.txt"
    lines = [f"{i:07d} " + "x" * 90 for i in range(3 * BLOCK // 98)]
    path.write_text("\n".join(lines) + "\n")
    log = LogFile(path)
    await log.seek_to_last(len(lines) - 10)
    assert await read(log) == lines[10:]


async def test_a_log_that_is_cut_begins_anew(tmp_path: Path) -> None:
    """A file shorter than what was read of it is another log."""
    path = tmp_path / "log.txt"
    path.write_text("old and long\n")
    log = LogFile(path)
    await read(log)
    path.write_text("new\n")
    assert await read(log) == ["new"]


class Search:
    """A made run and what `logs -f` prints of it."""

    def __init__(self, made: Any, choice: Choice) -> None:
        self.made, self.choice = made, choice
        self.stream = io.StringIO()
        self.over = False

    async def follow(self) -> list[str]:
        from gpusched.runtime.reader import Run

        run = Run.open(self.made.dir.path)
        printer = Printer(Output(self.stream), prefix=True, colors=False, digits=1)
        await follow(
            run,
            self.choice,
            printer,
            last=None,
            interval_seconds=0.001,
            over=lambda run: self.over and not run.update(),
        )
        return self.stream.getvalue().splitlines()

    async def until(self, text: str) -> None:
        async with asyncio.timeout(10):
            while text not in self.stream.getvalue():  # noqa: ASYNC110  # the stream has no event to wait for
                await asyncio.sleep(0.001)


async def test_it_ends_when_the_trials_end(make_run: Callable[..., Any]) -> None:
    """Trials named by number are followed until each of them is decided upon, and not longer."""
    made = make_run(algorithm="random", max_epochs=2, max_trials=4)
    search = Search(made, Choice(trials=(0, 1)))
    following = asyncio.create_task(search.follow())
    made.step()
    await search.until("trial 0 | epoch 2")
    made.step()
    out = await asyncio.wait_for(following, 10)
    assert out == [f"trial {t} | epoch {e}: val_accuracy {made.score(made.run.launches[t][1], e):.4f}"
                   for t in (0, 1) for e in (1, 2)]  # fmt: skip


async def test_it_follows_through_a_promotion(make_run: Callable[..., Any]) -> None:
    """A trial that waits for the decision on its rung is not over."""
    made = make_run(slots=9)
    best = max(made.out, key=lambda launch: launch.values["units"]).trial
    search = Search(made, Choice(trials=(best,)))
    following = asyncio.create_task(search.follow())
    made.finish()
    out = await asyncio.wait_for(following, 10)
    assert [line.split(":")[0] for line in out] == [f"trial {best} | epoch {e}" for e in range(1, 10)]


async def test_all_takes_in_trials_that_start_later_and_ends_with_the_search(make_run: Callable[..., Any]) -> None:
    """`--all` shows every line of every trial, each once, the last one's last line included."""
    made = make_run(algorithm="random", max_epochs=2, max_trials=5)
    search = Search(made, Choice(joining=True))
    following = asyncio.create_task(search.follow())
    made.step()
    await search.until("trial 0")
    made.finish()
    with open(made.dir.trial(4).log, "a") as log:  # noqa: ASYNC230  # a trial's process writes it, not this loop
        log.write("last words without an end")
    search.over = True
    out = await asyncio.wait_for(following, 10)
    assert sorted(out) == sorted(
        [f"trial {t} | {line}" for t in range(5) for line in made.dir.trial(t).log.read_text().splitlines()]
    )


async def test_lines_of_many_writers_are_never_mixed(make_run: Callable[..., Any]) -> None:
    """A line that is half written waits for its end, whoever else writes meanwhile."""
    made = make_run(algorithm="random", max_epochs=1, max_trials=2)
    search = Search(made, Choice(joining=True))
    following = asyncio.create_task(search.follow())
    first, second = (open(made.dir.trial(t).log, "a", buffering=1) for t in (0, 1))  # noqa: SIM115, ASYNC230
    with first, second:
        first.write("half ")
        first.flush()
        second.write("whole\n")
        await search.until("whole")
        first.write("and half\n")
        await search.until("half and half")
    made.handle(SessionClosed(at=9.0, reason="stopped", code=130))
    search.over = True
    assert await asyncio.wait_for(following, 10) == ["trial 1 | whole", "trial 0 | half and half"]


def test_trials_are_chosen_by_state(make_run: Callable[..., Any]) -> None:
    """`--failed` and `--running` mean the trials that are so now."""
    made = make_run(algorithm="random", max_epochs=1, max_trials=4, failing={0})
    made.step()
    assert Choice(states=frozenset({TrialState.FAILED})).pick(made.run) == [0]
    assert Choice(states=frozenset({TrialState.RUNNING})).pick(made.run) == [1, 2]
