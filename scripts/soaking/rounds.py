"""One round: a search is disturbed, carried on until it is complete, and compared with the one left in peace."""

from __future__ import annotations

import random
import shutil
import subprocess
import threading
import time
from dataclasses import dataclass, field
from pathlib import Path

from faults import Fault
from searches import Result, Search, draw, result
from stage import Stage, describe

from gpusched.errors import GpuschedError
from gpusched.runtime.reader import Run
from gpusched.ui.verify import verify

#: Rounds of one search: the run in peace is made once for them.
SAME = 4
#: Sessions within which a search has to be complete, and how many of them are disturbed at most.
SESSIONS, DISTURBED = 12, 4
#: Seconds after a session within which its last processes have to leave.
GRACE = 10.0


@dataclass
class Told:
    """What came of a round."""

    index: int
    fault: str
    search: str = ""
    struck: list[str] = field(default_factory=list)
    sessions: int = 0
    came: str = "same"  #: same, refused, said, skipped
    wrong: list[str] = field(default_factory=list)
    folder: Path | None = None


class Calm:
    """Searches left in peace, each made once."""

    def __init__(self, folder: Path, seed: int, limit: float) -> None:
        self._folder, self._seed, self._limit = folder, seed, limit
        self._known: dict[int, tuple[Search, Result | str, float]] = {}
        self._locks: dict[int, threading.Lock] = {}
        self._lock = threading.Lock()

    def of(self, number: int, *, keras: bool) -> tuple[Search, Result | str, float]:
        """The search of this number, its result (or what is wrong with it), and the seconds it took."""
        with self._lock:
            lock = self._locks.setdefault(number, threading.Lock())
        with lock:
            if number not in self._known:
                self._known[number] = self._made(number, keras)
            return self._known[number]

    def _made(self, number: int, keras: bool) -> tuple[Search, Result | str, float]:
        search = draw(random.Random(f"{self._seed} search {number}"), keras=keras)
        stage = Stage(self._folder / f"calm-{number}", search)
        began = time.monotonic()
        try:
            code = stage.start().wait(self._limit)
            took = time.monotonic() - began
            wrong = [*stage.quiet(GRACE), *stage.tracebacks(in_logs=True), *verify(Run.open(stage.run.path)).complaints]
            if code or wrong:
                return search, f"in peace: exit {code}; {'; '.join([*wrong, *stage.last_session()[-2:]])}", took
            found = result(stage.run.path)
        except subprocess.TimeoutExpired:
            return search, "in peace: hangs", self._limit
        except GpuschedError as error:
            return search, f"in peace: {error}", self._limit
        finally:
            stage.end()
        shutil.rmtree(stage.folder, ignore_errors=True)
        return search, found, took


def play(
    index: int, seed: int, folder: Path, calm: Calm, faults: list[Fault], *, keras_every: int, limit: float
) -> Told:
    """The round of this number. Its folder stays where something is wrong."""
    number = index // SAME
    search, peace, seconds = calm.of(number, keras=keras_every > 0 and number % keras_every == keras_every - 1)
    dice = random.Random(f"{seed} fault {index}")
    # Each in turn, in an order of its own for each pass, so that none is left out by chance.
    turn, place = divmod(index, len(faults))
    fault = random.Random(f"{seed} turn {turn}").sample(faults, len(faults))[place]
    told = Told(index, fault.name, search.words)
    if isinstance(peace, str):
        told.wrong.append(peace)
        return told
    stage = Stage(folder / f"round-{index}", search, fault.environ)
    told.folder, stage.patience = stage.folder, limit
    try:
        why = fault.prepare(stage)
        if why is not None:
            told.came = f"skipped: {why}"
        else:
            with Readers(stage, random.Random(f"{seed} readers {index}"), told, seconds, limit):
                Round(stage, fault, dice, told, seconds, limit).play(peace)
    finally:
        stage.end()
    if not told.wrong:
        shutil.rmtree(stage.folder, ignore_errors=True)
    return told


#: What people look at a search with.
LOOKS = (["status"], ["status", "--json"], ["best"], ["logs", "-n", "1"], ["export", "--format", "csv"], ["verify"])


class Readers:
    """Beside one round in three: those who look at the search while it is disturbed."""

    def __init__(self, stage: Stage, dice: random.Random, told: Told, seconds: float, limit: float) -> None:
        self._stage, self._dice, self._told, self._seconds, self._limit = stage, dice, told, seconds, limit
        self._over = threading.Event()
        self._thread = threading.Thread(target=self._look, daemon=True)

    def __enter__(self) -> None:
        if self._dice.random() < 1 / 3:
            self._thread.start()

    def __exit__(self, *_: object) -> None:
        self._over.set()
        if self._thread.ident is not None:
            self._thread.join()

    def _look(self) -> None:
        while not self._over.wait(self._dice.uniform(0, 2 * self._seconds)):
            wrong = self._stage.look(self._dice.choice(LOOKS), self._limit)
            if wrong is not None:
                self._told.wrong.append(wrong)


class Round:
    """The sessions of a disturbed search."""

    def __init__(
        self, stage: Stage, fault: Fault, dice: random.Random, told: Told, seconds: float, limit: float
    ) -> None:
        self.stage, self.fault, self.dice, self.told = stage, fault, dice, told
        self._seconds, self._limit = seconds, limit
        self._strikes = dice.randint(1, DISTURBED)

    def play(self, peace: Result) -> None:
        told, stage = self.told, self.stage
        for session in range(SESSIONS):
            told.sessions = session + 1
            before = len(told.struck)
            code = self._session()
            if code is None:
                return
            undisturbed = len(told.struck) == before
            if code >= 0 and (left := stage.quiet(GRACE)):
                told.wrong += [f"left after exit {code}: {each}" for each in left]
            if code == 0:
                break
            if undisturbed:
                if self.fault.costs and self._in_a_line(code):
                    told.came = "refused"
                else:
                    told.wrong.append(f"not carried on: exit {code}; {' / '.join(stage.last_session()[-3:])}")
                break
        else:
            told.wrong.append(f"not complete after {SESSIONS} sessions")
        told.wrong += stage.wrong
        told.wrong += stage.tracebacks(in_logs=not self.fault.costs)
        if not told.wrong and told.came != "refused":
            self._compare(peace)

    def _session(self) -> int | None:
        """Its exit code; None where it had to be ended."""
        process = self.stage.start()
        pause = self.dice.uniform(0, 0.6 * self._seconds)
        until = time.monotonic() + self._limit
        while len(self.told.struck) < self._strikes and time.monotonic() < until:
            try:
                return process.wait(pause)
            except subprocess.TimeoutExpired:
                said = self.fault.strike(self.stage, process.pid, self.dice)
            pause = 0.02  # There was nothing to do it to: perhaps there is soon.
            if said:
                self.told.struck.append(f"session {self.told.sessions}: {said}")
                pause = self.dice.uniform(0, 0.6 * self._seconds)
                if self.dice.random() < 0.5:
                    break
        try:
            return process.wait(self._limit)
        except subprocess.TimeoutExpired:
            there = "; ".join(map(describe, self.stage.processes()))
            last = " / ".join(self.stage.last_session()[-3:])
            self.told.wrong.append(f"hangs: no end after {self._limit:.0f} s ({there}); last said: {last}")
            self.told.wrong.append(f"asked to end twice, it {self._ends_when_asked(process)}")
            return None
        finally:
            if process.poll() is None:
                self.stage.end()
                process.wait()

    @staticmethod
    def _ends_when_asked(process: subprocess.Popen[bytes]) -> str:
        for _ in range(2):
            process.terminate()
            time.sleep(0.5)
        try:
            return f"ended with {process.wait(30)}"
        except subprocess.TimeoutExpired:
            return "did not end in 30 s either"

    def _in_a_line(self, code: int) -> bool:
        last = self.stage.last_session()
        return (
            code in (1, 2)
            and bool(last)
            and any("gpusched: " in line or str(self.stage.run.path) in line for line in last)
        )

    def _compare(self, peace: Result) -> None:
        told = self.told
        try:
            differences = peace.differences(result(self.stage.run.path))
            complaints = verify(Run.open(self.stage.run.path)).complaints
            lost = self._lost()
        except GpuschedError as error:
            if self.fault.costs:
                told.came = "said"
            else:
                told.wrong.append(f"cannot be read: {error}")
            return
        if not differences and not complaints:
            return
        said = self.stage.said()
        named = any(path.name in said or str(path.parent) in said for path in self.stage.touched)
        if self.fault.costs and (complaints or lost or named):
            told.came = "said"
            return
        told.wrong += [*differences[:5], *(f"verify: {line}" for line in complaints[:5])]

    def _lost(self) -> bool:
        """Whether a trial failed for a reason that is not the loop's own, and that is written down."""
        trials = Run.open(self.stage.run.path).search.trials.values()
        return any(trial.failure is not None and "meant to fail" not in trial.failure.message for trial in trials)
