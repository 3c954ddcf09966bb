"""Questions that `top` asks before it acts."""

from __future__ import annotations

from typing import ClassVar

from textual.app import ComposeResult
from textual.binding import BindingType
from textual.containers import Vertical
from textual.screen import ModalScreen
from textual.widgets import Label


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
