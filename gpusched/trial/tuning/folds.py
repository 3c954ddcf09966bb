"""Parts of one trial that are trained at once, each in a fork, on slots that no other trial has.

A trial of a search whose trials do so reserves its own slot; the slots that nobody has reserved are free for a part
of any of them. The scheduler does not wait for these: a trial that it launches there shares its cores with a part of
another for a moment.
"""

from __future__ import annotations

import contextlib
import os
import signal
import sys
import traceback
from collections.abc import Callable, Mapping, Sequence
from multiprocessing import get_context
from multiprocessing.connection import Connection, wait
from pathlib import Path
from socket import socket
from typing import Any, NoReturn

from gpusched.system.process.reserved import reserve

Part = Callable[[], Any]
#: How long a process that has answered, or was killed, may take to end.
_END_SECONDS = 10.0


class Slots:
    """The slots of the run's machine, as one trial sees them.

    Args:
        run: the run directory.
        own: the trial's slot.
        others: the cores of the other slots by index; empty where there are none.
    """

    def __init__(self, run: Path, own: int, others: Mapping[int, Sequence[int]]) -> None:
        self._run, self._own, self.others = run, own, others
        self._held: socket | None = None

    def __enter__(self) -> Slots:
        self._hold()
        return self

    def __exit__(self, *_: object) -> None:
        if self._held is not None:
            self._held.close()

    def _hold(self) -> None:
        # It may be another trial's part that is still at work here: asked again when the next part begins.
        self._held = self._held or reserve(self._name(self._own))

    def _name(self, slot: int) -> str:
        return f"{self._run.resolve()} slot {slot}"

    def take(self) -> tuple[socket, Sequence[int]] | None:
        """A slot that nobody has reserved, and its cores; None: there is none."""
        self._hold()
        for slot, cores in self.others.items():
            taken = reserve(self._name(slot))
            if taken is not None:
                return taken, cores
        return None


def at_once(parts: Sequence[Part], slots: Slots) -> list[Any]:
    """Their results in order: one part after the other on the trial's own slot, others where a slot is free.

    Each is run in a fork. Raises what a part raised; a part that was killed ends this process likewise.
    """
    running: dict[Connection, _Fork] = {}
    try:
        return _run(list(enumerate(parts)), running, slots)
    except _Ended as ended:
        code = ended.code
    finally:
        for fork in running.values():
            fork.end()
    return _end_as(code)


def _run(left: list[tuple[int, Part]], running: dict[Connection, _Fork], slots: Slots) -> list[Any]:
    results: dict[int, Any] = {}
    while left or running:
        while left and (place := _place(running, slots)) is not None:
            fork = _Fork(*left.pop(0), *place)
            running[fork.answer] = fork
        for answer in wait(list(running)):
            assert isinstance(answer, Connection)
            fork = running.pop(answer)
            results[fork.index] = fork.result()
    return [results[index] for index in sorted(results)]


def _place(running: Mapping[Connection, _Fork], slots: Slots) -> tuple[socket | None, Sequence[int]] | None:
    if all(fork.is_elsewhere for fork in running.values()):
        return None, ()  # The trial's own slot, whose cores it has.
    return slots.take()


class _Ended(Exception):
    """A part's process has ended without an answer."""

    def __init__(self, code: int) -> None:
        super().__init__(code)
        self.code = code


class _Fork:
    """A part in its process."""

    def __init__(self, index: int, part: Part, place: socket | None, cores: Sequence[int]) -> None:
        self.index = index
        self.is_elsewhere = place is not None
        self.answer, theirs = get_context("fork").Pipe(duplex=False)
        sys.stdout.flush()
        sys.stderr.flush()
        self._process = get_context("fork").Process(target=_work, args=(part, cores, theirs))
        self._process.start()
        theirs.close()
        if place is not None:
            place.close()  # The fork holds it now.

    def result(self) -> Any:
        try:
            done, value = self.answer.recv()
        except EOFError:
            done, value = False, None
        self.answer.close()
        self._process.join(_END_SECONDS)  # It may keep a thread that does not end.
        self._process.kill()
        self._process.join(_END_SECONDS)
        if value is None and not done:
            raise _Ended(self._process.exitcode or 1)
        if not done:
            raise value
        return value

    def end(self) -> None:
        self._process.kill()
        self._process.join(_END_SECONDS)
        self.answer.close()


def _work(part: Part, cores: Sequence[int], answer: Connection) -> None:
    if cores:
        with contextlib.suppress(OSError):  # Cores may have been taken from us since they were counted.
            os.sched_setaffinity(0, cores)
    try:
        result = (True, part())
    except Exception as error:
        error.add_note(f"It was raised in a process of its own:\n{traceback.format_exc()}")
        result = (False, error)
    try:
        answer.send(result)
    except Exception as error:  # What cannot be pickled raises whatever it likes.
        what = "the model" if result[0] else f"{type(result[1]).__name__}: {result[1]}"
        answer.send((False, RuntimeError(f"{what} cannot be pickled: {error}")))


def _end_as(code: int) -> NoReturn:
    """Ends this process as the part ended, so that the trial is told apart by it."""
    if code < 0:
        with contextlib.suppress(OSError):  # SIGKILL's cannot be set.
            signal.signal(-code, signal.SIG_DFL)
        os.kill(os.getpid(), -code)
    os._exit(code if code > 0 else 1)
