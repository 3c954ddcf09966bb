"""What `top` shows above its page: a question before it acts, and what its keys do."""

from __future__ import annotations

from typing import ClassVar

from textual.app import ComposeResult
from textual.binding import BindingType
from textual.containers import Vertical, VerticalScroll
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
    ("x", "stop the chosen trial, if it is running or waiting"),
    ("r", "retry the chosen trial, if it is running, failed or stopped"),
    ("p", "pause the search, or resume it"),
    ("+ -", "one more or one fewer trial at once on each GPU"),
    ("?", "this help"),
    ("q", "quit; the search goes on"),
)


class Ask(ModalScreen[bool]):
    """One question, answered with y or n."""

    CSS = """
    Ask { align: center middle; }
    Ask > Vertical { width: auto; max-width: 80%; height: auto; padding: 1 2; }
    Ask > Vertical { border: round $accent; background: $surface; }
    Ask Label { width: auto; }
    """
    BINDINGS: ClassVar[list[BindingType]] = [
        ("y", "answer(True)", "Yes"),
        ("n", "answer(False)", "No"),
        ("escape", "answer(False)", "No"),
    ]

    def __init__(self, question: str) -> None:
        super().__init__()
        self._question = question

    def compose(self) -> ComposeResult:
        with Vertical():
            yield Label(self._question, markup=False)
            yield Label("y yes   n no", markup=False)

    def action_answer(self, answer: bool) -> None:
        self.dismiss(answer)


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

    def compose(self) -> ComposeResult:
        width = max(len(keys) for keys, _ in KEYS)
        with VerticalScroll() as box:
            box.border_title = "keys of gpusched top"
            box.border_subtitle = "Esc closes"
            for keys, does in KEYS:
                yield Label(f"{keys:<{width}}  {does}", markup=False)
