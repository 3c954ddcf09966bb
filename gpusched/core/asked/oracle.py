"""What is asked of a user's own oracle and told to it, one thing at a time, and how its answers are taken in."""

from __future__ import annotations

from collections.abc import Iterable

from gpusched.core.commands import AnyCommand, Consult, Report
from gpusched.core.events import Advised, Heard
from gpusched.oracles import Oracle


class Asking:
    """The questions that are out in this session. An oracle of gpusched's own has none."""

    def __init__(self, oracle: Oracle) -> None:
        self._oracle = oracle
        self._consulting = False
        self._reported: set[int] = set()

    def reset(self) -> None:
        """A session begins: whatever was not answered is asked again."""
        self._consulting = False
        self._reported.clear()

    def take(self, event: Advised | Heard) -> None:
        if isinstance(event, Advised):
            self._consulting = False
            self._oracle.advise(event.status, event.values, event.name, event.state)
        elif event.trial in self._oracle.untold:
            self._reported.discard(event.trial)
            self._oracle.heard(event.trial, event.score, event.step, event.state)

    def commands(self, *, running: Iterable[int]) -> list[AnyCommand]:
        """What is to be told now, in order, and then asked."""
        untold = [trial for trial in self._oracle.untold if trial not in self._reported]
        self._reported.update(untold)
        commands: list[AnyCommand] = [Report(trial=trial) for trial in untold]
        question = self._oracle.question
        if question is not None and not self._consulting:
            self._consulting = True
            commands.append(Consult(trial=question, patient=not list(running)))
        return commands
