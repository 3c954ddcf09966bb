"""Lines as one would have seen them."""

from __future__ import annotations

import re

import pytest
from hypothesis import given
from hypothesis import strategies as st

from gpusched.ui.logs.screen import LONGEST, Lines


def seen(content: bytes, *, colors: bool = False) -> list[str]:
    lines = Lines(colors)
    return [*lines.feed(content), *lines.end()]


@pytest.mark.parametrize(
    ("printed", "line"),
    [
        (b"plain\n", "plain"),
        (b"1/10\r2/10\r10/10\n", "10/10"),
        (b"a long line\rshort\n", "short line"[:5] + "g line"),
        (b"progress 50%\x1b[2K\rdone\n", "done"),
        (b"12/34\b\b\b\b\b56/78\n", "56/78"),
        (b"dos ends\r\n", "dos ends"),
        (b"\x1b[31mred\x1b[0m\n", "red"),
        (b"\x1b]0;your title\x07after\n", "after"),
        (b"\x1b[2J\x1b[1;1Hhome\n", "home"),
        (b"\x1b[6n\x1bc\x1b[?1049hquiet\n", "quiet"),
        (b"abcdef\x1b[3DXY\n", "abcXYf"),
        (b"abcdef\r\x1b[3C\x1b[K!\n", "abc!"),
        ("grün \u202eevil\n".encode(), "grün evil"),
        (b"broken \xff byte\n", "broken \ufffd byte"),
        (b"tab\tstays\n", "tab\tstays"),
        (b"no end", "no end"),
    ],
)
def test_a_line_is_what_one_would_have_seen(printed: bytes, line: str) -> None:
    """Carriage returns, backspaces and erasures have done their work; what steers a terminal is gone."""
    assert seen(printed) == [line]


def test_colours_stay_where_they_are_asked_for_and_end_with_their_line() -> None:
    """A trial that forgets to reset its colour does not paint the next one's lines."""
    assert seen(b"\x1b[32mok\n", colors=True) == ["\x1b[32mok\x1b[0m"]


@given(st.lists(st.binary(max_size=30), max_size=8), st.booleans())
def test_nothing_can_steer_the_terminal(pieces: list[bytes], colors: bool) -> None:
    """Whatever bytes a trial prints, only text, tabs and colours come out."""
    lines = Lines(colors)
    out = [line for piece in pieces for line in lines.feed(piece)] + lines.end()
    for line in out:
        rest = re.sub("\x1b\\[[0-9;:]*m", "", line) if colors else line
        assert not re.search("[\x00-\x08\x0a-\x1f\x7f-\x9f\u202a-\u202e]", rest)


@given(st.text(alphabet="ab\r\b\n\x1b[31mKé", max_size=60), st.integers(1, 7))
def test_it_does_not_matter_in_which_pieces_it_comes(text: str, size: int) -> None:
    """Reads may cut anywhere, characters of several bytes and escapes included."""
    content = text.encode()
    lines = Lines()
    pieces = [content[i : i + size] for i in range(0, len(content), size)]
    assert [line for piece in pieces for line in lines.feed(piece)] + lines.end() == seen(content)


def test_a_progress_bar_without_end_takes_no_memory() -> None:
    """A line that is rewritten a million times is kept as it looks, not as it came about."""
    lines = Lines()
    for step in range(20_000):
        assert lines.feed(b"\r%06d/20000 \xe2\x94\x81\xe2\x94\x81" % step) == []
    assert len(lines._rest) <= LONGEST + 100
    assert lines.feed(b"\n") == ["019999/20000 ━━"]


def test_a_line_that_never_ends_is_passed_on_in_pieces() -> None:
    """Nothing is held back for ever."""
    lines = Lines()
    out = lines.feed(b"x" * (3 * LONGEST))
    assert "".join([*out, *lines.end()]) == "x" * (3 * LONGEST)
