"""What people answer to a script's input(), for forks of it that go on with the script where nobody answers."""

from __future__ import annotations

import builtins
from collections.abc import Callable, Sequence

_given: list[str] = []
_ask: Callable[..., str] | None = None


def record() -> None:
    """From now on, what input() returns in this process is kept."""
    global _ask
    if _ask is not None:
        return
    ask = _ask = builtins.input

    def asking(prompt: object = "", /) -> str:
        answer = ask(prompt)
        _given.append(answer)
        return answer

    builtins.input = asking


def given() -> list[str]:
    """What input() has returned since the first record()."""
    return list(_given)


def repeat(answers: Sequence[str]) -> None:
    """From now on, input() returns these, after those that this process had been given when it was forked."""
    rest = iter(answers[len(_given) :])

    def asking(prompt: object = "", /) -> str:
        print(prompt, end="", flush=True)
        for answer in rest:
            print(answer)
            return answer
        raise EOFError("nobody answers input() in a trial")

    builtins.input = asking
