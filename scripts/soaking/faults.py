"""What is done to a search: signals to its processes, a full disk, files that are damaged or cannot be read."""

from __future__ import annotations

import contextlib
import random
import shutil
import signal
import subprocess
import time
from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass, field
from pathlib import Path

from stage import Stage, send

Strike = Callable[[Stage, int, random.Random], str]


@dataclass(frozen=True)
class Fault:
    """`strike(stage, the scheduler's pid, dice)` does it and says what it did; empty: there was nothing to do it to."""

    name: str
    strike: Strike
    #: It may cost a trial, or the run, as long as somebody says so; otherwise nothing may come of it.
    costs: bool = False
    prepare: Callable[[Stage], str | None] = lambda stage: None  #: before the first session; why it cannot be, if so
    #: What the sessions find in their environment: patience that suits the length of a round.
    environ: Mapping[str, str] = field(default_factory=dict)


# ---------------------------------------------------------------------- signals


def victims(whom: str, stage: Stage, scheduler: int, dice: random.Random) -> list[int]:
    if whom == "the scheduler":
        return [scheduler]
    if whom == "everything":
        found = stage.processes()
        dice.shuffle(found)
        return found
    if whom == "some processes":
        there = stage.processes()
        return dice.sample(there, min(len(there), dice.randint(2, 4)))
    # One that loads a script is waited for: that may take as long as it likes, and Ctrl-C ends it.
    if whom == "a launcher at work" and not stage.trials():
        return []
    found = stage.trials() if whom == "a trial" else stage.helpers(scheduler)
    return [dice.choice(found)] if found else []


def signals(number: signal.Signals, whom: str, times: int = 1) -> Strike:
    def strike(stage: Stage, scheduler: int, dice: random.Random) -> str:
        found = victims(whom, stage, scheduler, dice)
        for time_ in range(times):
            if time_:
                time.sleep(dice.uniform(0, 0.5))
            for pid in found:
                send(pid, number)
        return f"{number.name} to {found}" if found else ""

    return strike


def stops(whom: str) -> Strike:
    """Never to be continued: what waits for them has to give up."""

    def strike(stage: Stage, scheduler: int, dice: random.Random) -> str:
        found = victims(whom, stage, scheduler, dice)
        for pid in found:
            send(pid, signal.SIGSTOP)
        return f"{found} stopped for good" if found else ""

    return strike


def freezes(whom: str, longest: float) -> Strike:
    def strike(stage: Stage, scheduler: int, dice: random.Random) -> str:
        found = victims(whom, stage, scheduler, dice)
        seconds = dice.uniform(0.05, longest)
        for pid in found:
            send(pid, signal.SIGSTOP)
        time.sleep(seconds)
        for pid in found:
            send(pid, signal.SIGCONT)
        return f"{found} stopped for {seconds:.2f} s" if found else ""

    return strike


# ---------------------------------------------------------------------- disks


def small_disk(stage: Stage) -> str | None:
    """Puts the run on a disk of 16 MiB and 4,000 files."""
    stage.runs.mkdir()
    mounted = subprocess.run(
        ["mount", "-t", "tmpfs", "-o", "size=16m,nr_inodes=4000", "soak", str(stage.runs)],
        capture_output=True,
        text=True,
        check=False,
    )
    if mounted.returncode:
        return f"cannot mount a small disk ({' '.join(mounted.stderr.split())})"

    def close() -> None:
        subprocess.run(["umount", "-l", str(stage.runs)], check=False)

    stage.close = close
    return None


def fill(stage: Stage, scheduler: int, dice: random.Random) -> str:
    """Not a byte more fits on it, or not a file more."""
    filler, seconds = stage.runs / "filler", dice.uniform(0.1, 2.0)
    filler.mkdir()
    files = dice.random() < 0.3
    with contextlib.suppress(OSError):
        for number in range(4000 if files else 0):
            (filler / str(number)).touch()
    with contextlib.suppress(OSError), open(filler / "bytes", "wb", buffering=0) as file:
        for size in () if files else (1 << 20, 4096, 1):
            with contextlib.suppress(OSError):
                while file.write(bytes(size)) == size:
                    pass
    time.sleep(seconds)
    shutil.rmtree(filler)
    return f"the disk took no {'file' if files else 'byte'} for {seconds:.2f} s"


# ---------------------------------------------------------------------- others


def second(stage: Stage, scheduler: int, dice: random.Random) -> str:
    """The same command once more, while it runs: refused, or, when it has just ended, complete."""
    process = stage.start()
    try:
        code = process.wait(stage.patience)
    except subprocess.TimeoutExpired:
        stage.wrong.append(f"hangs: the second scheduler did not end in {stage.patience:.0f} s")
        process.kill()
        code = process.wait()
    return f"a second scheduler, which ended with {code}"


# ---------------------------------------------------------------------- files


def files(stage: Stage) -> Iterator[Path]:
    """Those of the run that somebody may want to read."""
    for path in sorted(stage.run.path.rglob("*")):
        if path.is_file() and not path.is_symlink() and "launcher" not in path.parts and path.suffix != ".html":
            yield path


def shadow(stage: Stage, scheduler: int, dice: random.Random) -> str:
    """For a moment a folder stands where a trial's file was, so that reading and writing it fail."""
    names = ("outcome.json", "metrics.jsonl", "process.json", "trial.json", "log.times")
    there = [path for path in files(stage) if path.name in names]
    if not there:
        return ""
    path, seconds = dice.choice(there), dice.uniform(0.05, 1.0)
    aside = path.with_name(f"soak-{path.name}")
    try:
        path.rename(aside)
        path.mkdir()
    except OSError:
        with contextlib.suppress(OSError):
            aside.rename(path)
        return ""
    stage.touched.add(path)
    time.sleep(seconds)
    with contextlib.suppress(OSError):
        path.rmdir()
        aside.rename(path)
    return f"a folder in the place of {path.relative_to(stage.run.path)} for {seconds:.2f} s"


def damage(stage: Stage, scheduler: int, dice: random.Random) -> str:
    """Everything is killed, and a file is not what it was when the next session begins."""
    signals(signal.SIGKILL, "everything")(stage, scheduler, dice)
    stage.quiet(10)
    there = list(files(stage))
    if not there:
        return "everything was killed, and there was no file yet"
    # Of each name as often: there are many more files of trials than others.
    name = dice.choice(sorted({path.name for path in there}))
    path = dice.choice([path for path in there if path.name == name])
    content = path.read_bytes()
    how, changed = dice.choice(list(damaged(content, dice)))
    stage.touched.add(path)
    # The file may be one that only this user may read: it stays so.
    with open(path, "r+b") as file:
        file.truncate(0)
        file.write(changed)
    return f"{path.relative_to(stage.run.path)}: {how}"


def damaged(content: bytes, dice: random.Random) -> Iterator[tuple[str, bytes]]:
    where = dice.randrange(len(content)) if content else 0
    if content:
        flipped = bytearray(content)
        flipped[where] ^= 1 << dice.randrange(8)
        yield f"bit flipped in byte {where}", bytes(flipped)
        yield f"cut after {where} bytes", content[:where]
        yield f"zeros from byte {where}", content[:where] + bytes(len(content) - where)
    yield "emptied", b""
    yield "garbage at its end", content + dice.randbytes(dice.randint(1, 40))
    yield "garbage in its place", dice.randbytes(dice.randint(1, 200))
    lines = content.splitlines(keepends=True)
    if len(lines) > 1:
        at = dice.randrange(len(lines))
        yield f"line {at + 1} twice", b"".join([*lines[: at + 1], *lines[at:]])
        yield f"without line {at + 1}", b"".join([*lines[:at], *lines[at + 1 :]])


KILL, TERM, INT, HUP = signal.SIGKILL, signal.SIGTERM, signal.SIGINT, signal.SIGHUP
IMPATIENT = {"GPUSCHED_SILENT_SECONDS": "4", "GPUSCHED_LOOK_SECONDS": "0.5"}
FAULTS = [
    *(
        Fault(f"kill -9 {whom}", signals(KILL, whom))
        for whom in ("the scheduler", "a launcher", "a trial", "everything")
    ),
    Fault("kill -9 some processes", signals(KILL, "some processes")),
    *(Fault(f"SIGTERM to {whom}", signals(TERM, whom)) for whom in ("the scheduler", "a launcher", "a trial")),
    Fault("SIGTERM to everything", signals(TERM, "everything")),
    Fault("Ctrl-C", signals(INT, "the scheduler")),
    Fault("Ctrl-C twice", signals(INT, "the scheduler", 2)),
    Fault("SIGTERM twice", signals(TERM, "the scheduler", 2)),
    Fault("the terminal is lost", signals(HUP, "the scheduler")),
    *(Fault(f"{whom} stopped for a while", freezes(whom, 3.0)) for whom in ("the scheduler", "a launcher", "a trial")),
    *(Fault(f"{whom} stopped for good", stops(whom), environ=IMPATIENT) for whom in ("a launcher at work", "a trial")),
    Fault("everything frozen for a while", freezes("everything", 3.0)),
    Fault("a second scheduler", second),
    Fault("a full disk", fill, costs=True, prepare=small_disk),
    Fault("a file cannot be read", shadow, costs=True),
    Fault("a damaged file", damage, costs=True),
]
assert len({fault.name for fault in FAULTS}) == len(FAULTS)
