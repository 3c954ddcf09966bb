"""Streams that vanish, and blocks that are redrawn in place."""

from __future__ import annotations

import io
import os
import pty
from collections.abc import Callable, Iterator
from typing import Any

import pytest
from rich.text import Text

from gpusched.storage.lock import RunLock
from gpusched.ui.watch.terminal import Output, Painter


def test_a_reader_that_left_is_noticed_once_and_then_forgotten() -> None:
    """Writing to a closed pipe does nothing, and raises nothing at exit either."""
    reading, writing = os.pipe()
    os.close(reading)
    with open(writing, "w") as stream:
        output = Output(stream)
        output.line("nobody reads this")
        assert output.lost
        output.line("nor this")


def test_a_terminal_that_hung_up_is_no_error() -> None:
    """EIO, as a closed window gives it."""
    master, slave = pty.openpty()
    with open(slave, "w") as stream:
        output = Output(stream)
        assert output.is_terminal
        os.close(master)
        output.line("x")
        assert output.lost


def test_a_stream_that_cannot_say_a_character_says_another() -> None:
    """A bar in ASCII is a question mark, not an exception."""
    raw = io.BytesIO()
    stream = io.TextIOWrapper(raw, "ascii")
    Output(stream).line("━ 5 %")
    assert raw.getvalue() == b"? 5 %\n"


class Log:
    """What scripts put in the place of sys.stdout, to keep a copy of what they print."""

    def __init__(self) -> None:
        self.text = ""

    def write(self, text: str) -> None:
        self.text += text


def test_a_stream_that_can_only_be_written_to_is_written_to() -> None:
    """A logger in the place of sys.stdout has no isatty(), fileno() or flush(); a windowless Python has no stream."""
    log: Any = Log()
    output = Output(log)
    output.line("5 %")
    assert (log.text, output.is_terminal, output.lost) == ("5 %\n", False, False)
    assert output.size[0] > 0
    nothing: Any = None
    Output(nothing).line("5 %")


class Terminal(Output):
    """A terminal of a given size that remembers what was written to it."""

    def __init__(self, columns: int, lines: int) -> None:
        super().__init__(io.StringIO())
        self.columns, self.rows = columns, lines

    @property
    def size(self) -> tuple[int, int]:
        return self.columns, self.rows

    def taken(self) -> str:
        assert isinstance(self.stream, io.StringIO)
        text = self.stream.getvalue()
        self.stream.seek(0)
        self.stream.truncate()
        return text.replace("\x1b[?2026h", "").replace("\x1b[?2026l", "")


def test_what_has_not_changed_is_not_written_again() -> None:
    """A second look at the same facts writes nothing; one changed line costs that line."""
    terminal = Terminal(20, 10)
    painter = Painter(terminal)
    painter.draw(Text("one\ntwo"))
    assert terminal.taken() == "\rone\x1b[K\ntwo\x1b[K\n\x1b[J"
    painter.draw(Text("one\ntwo"))
    assert terminal.taken() == ""
    painter.draw(Text("one\n2"))
    assert terminal.taken() == "\x1b[2A\r\n2\x1b[K\n\x1b[J"


def test_lines_are_cut_to_the_window() -> None:
    """Nothing wraps, and nothing is drawn that could not be reached again."""
    terminal = Terminal(10, 3)
    Painter(terminal).draw(Text("a very long line\nb\nc\nd"))
    assert terminal.taken() == "\ra very l…\x1b[K\nb\x1b[K\n\x1b[J"


def test_a_narrower_window_is_reckoned_with() -> None:
    """Lines that the terminal wrapped are stepped over, too."""
    terminal = Terminal(20, 10)
    painter = Painter(terminal)
    painter.draw(Text("0123456789abcdef\nx"))
    terminal.taken()
    terminal.columns = 10
    painter.draw(Text("y"))
    assert terminal.taken() == "\x1b[3A\ry\x1b[K\n\x1b[J"


def test_notices_stay_above_the_block() -> None:
    """The block moves down, whole."""
    terminal = Terminal(20, 10)
    painter = Painter(terminal)
    painter.draw(Text("block"))
    terminal.taken()
    painter.above("notice")
    assert terminal.taken() == "\x1b[1A\r\x1b[Jnotice\nblock\x1b[K\n"


# ------------------------------------------------------------------ on a real screen


@pytest.fixture
def watched(make_run: Callable[..., Any], window: Callable[..., Any]) -> Iterator[tuple[Any, Any]]:
    """A run at work, and a window in which it is attached to."""
    made = make_run()
    lock = RunLock(made.dir.lock)
    yield made, window("attach", made.dir.path)
    lock.release()


def test_a_resized_window_shows_the_block_once(watched: tuple[Any, Any]) -> None:
    """Narrower and wider again: no leftovers, nothing doubled, the first line still there."""
    made, tmux = watched
    tmux.until(lambda screen: any(line.startswith("cpu 1") for line in screen))
    for columns, lines in ((50, 20), (120, 30), (34, 12), (100, 24)):
        tmux.resize(columns, lines)
        made.step()
        done = sum(trial.state == "completed" for trial in made.run.search.trials.values())
        screen = tmux.until(
            lambda screen, n=done: [line.split()[1] for line in screen if line.startswith("trials ")] == [str(n)]  # type: ignore[misc]
        )
        assert sum(line.startswith("cpu ") for line in screen) == 2
        assert sum(line.startswith("digits ") for line in screen) == 1
        assert all(len(line) < columns for line in screen)


def test_the_end_leaves_a_summary_and_a_clean_screen(watched: tuple[Any, Any]) -> None:
    """The block goes, what came of the search stays."""
    made, tmux = watched
    tmux.until(lambda screen: any(line.startswith("cpu 1") for line in screen))
    tmux._call("set-option", "remain-on-exit", "on")
    made.finish()
    screen = tmux.until(lambda screen: any("best: trial" in line for line in screen))
    assert not any(line.startswith(("cpu ", "device ")) for line in screen)
