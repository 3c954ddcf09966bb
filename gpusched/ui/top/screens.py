"""What `top` shows above its page: a question before it acts, and what its keys do."""

from __future__ import annotations

from collections.abc import Mapping
from typing import ClassVar

from textual.app import ComposeResult
from textual.binding import BindingType
from textual.containers import Vertical, VerticalScroll
from textual.events import Key
from textual.screen import ModalScreen
from textual.widgets import Label

#: Keys, and what they do.
KEYS = (
    ("↑ ↓ Home End", "choose a trial; the cursor stays on it when rows move"),
    ("← →", "more columns, where they do not fit"),
    ("s", "sort by trial, score, epochs, state or time, the best first"),
    ("< >", "sort by the next column, left or right"),
    ("S", "reverse the order"),
    ("/", "show some trials only: failed, 12, adam, lr<0.01 score>0.9"),
    ("Esc", "show all trials again"),
    ("c l v", "curve, log or values of the chosen trial"),
    ("Tab", "to the log or the values, to scroll there, and back"),
    ("x", "stop the chosen trial, and keep its score or not"),
    ("r", "retry the chosen trial: a running, failed or stopped one"),
    ("p", "pause the search, or resume it"),
    ("+ -", "one more or one fewer trial at once on each GPU"),
    ("?", "this help"),
    ("q", "quit; the search goes on"),
)


class Ask(ModalScreen[str]):
    """One question; the answer is a key of `answers`, or n where there is none."""

    CSS = """
    Ask { align: center middle; }
    Ask > Vertical { width: auto; max-width: 90%; height: auto; padding: 0 2; }
    Ask > Vertical { border: round $accent; background: $surface; }
    Ask Label { width: auto; }
    """

    def __init__(self, question: str, answers: Mapping[str, str]) -> None:
        super().__init__()
        self._question, self._answers = question, {**answers, "n": "no"}

    def compose(self) -> ComposeResult:
        with Vertical():
            yield Label(self._question, markup=False)
            for key, means in self._answers.items():
                yield Label(f"{key}  {means}", markup=False)

    def on_key(self, event: Key) -> None:
        if event.key == "escape" or event.key in self._answers:
            event.stop()
            self.dismiss("n" if event.key == "escape" else event.key)


class Help(ModalScreen[None]):
    """Every key; any of the usual ones closes it."""

    CSS = """
    Help { align: center middle; }
    Help > VerticalScroll { width: 78; max-width: 100%; height: auto; max-height: 100%; padding: 0 1; }
    Help > VerticalScroll { border: round $accent; background: $surface; }
    Help Label { width: 100%; }
    """
    BINDINGS: ClassVar[list[BindingType]] = [
        ("escape", "dismiss", "Close"),
        ("question_mark", "dismiss", "Close"),
        ("enter", "dismiss", "Close"),
        ("q", "dismiss", "Close"),
    ]

    def __init__(self, rule: str) -> None:
        """`rule` says how trials are ranked."""
        super().__init__()
        self._rule = rule

    def compose(self) -> ComposeResult:
        width = max(len(keys) for keys, _ in KEYS)
        with VerticalScroll() as box:
            box.border_title = "keys of gpusched top"
            box.border_subtitle = "Esc closes"
            for keys, does in KEYS:
                yield Label(f"{keys:<{width}}  {does}", markup=False)
            yield Label(self._rule, markup=False)
