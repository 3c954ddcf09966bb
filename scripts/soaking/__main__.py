"""Random searches under random faults, until the time is over; see docs/soak.md."""

from __future__ import annotations

import argparse
import contextlib
import os
import platform
import shlex
import shutil
import signal
import sys
import tempfile
import threading
import time
from collections import Counter
from concurrent.futures import FIRST_COMPLETED, Future, ThreadPoolExecutor, wait
from pathlib import Path

from faults import FAULTS, Fault
from rounds import Calm, Told, play

#: Every so many searches, one trains with Keras.
KERAS_EVERY = 12


def arguments() -> argparse.Namespace:
    parser = argparse.ArgumentParser(prog="scripts/soak", description=__doc__)
    parser.add_argument("--hours", type=float, help="how long to go on (default: 0.1)")
    parser.add_argument("--rounds", type=int, help="how many rounds, however long they take")
    parser.add_argument("--seed", type=int, default=0, help="of all that is drawn (default: 0)")
    parser.add_argument("--round", type=int, dest="only", help="this round alone, once more")
    parser.add_argument(
        "--fault", action="append", default=[], help="only faults with this in their names; may be repeated"
    )
    parser.add_argument("--at-once", type=int, default=os.cpu_count() or 1, help="rounds at once (default: one a core)")
    parser.add_argument("--limit", type=float, default=180.0, help="seconds after which a session hangs (default: 180)")
    parser.add_argument("--no-keras", action="store_true", help="loops only")
    return parser.parse_args()


def main() -> int:
    asked = arguments()
    chosen = [fault for fault in FAULTS if not asked.fault or any(part in fault.name for part in asked.fault)]
    if not chosen:
        sys.exit(f"scripts/soak: no fault is called that; there are: {', '.join(fault.name for fault in FAULTS)}")
    folder = Path(tempfile.mkdtemp(prefix="soak-"))
    signal.signal(signal.SIGTERM, signal.default_int_handler)  # As Ctrl-C: the rounds under way come to their ends.
    until = None if asked.rounds or asked.only is not None else time.monotonic() + 3600 * (asked.hours or 0.1)
    machine = f"{platform.node()}, {os.cpu_count()} cores, Python {platform.python_version()}"
    print(f"{machine}; seed {asked.seed}; folder {folder}", flush=True)
    told = soak(asked, chosen, folder, until)
    wrong = [each for each in told if each.wrong]
    show(told, chosen)
    if not wrong:
        shutil.rmtree(folder, ignore_errors=True)
    return 1 if wrong or not told else 0


def soak(asked: argparse.Namespace, chosen: list[Fault], folder: Path, until: float | None) -> list[Told]:
    """Rounds one after the other, several at once, until the time or their number is used up, or Ctrl-C."""
    calm = Calm(folder, asked.seed, asked.limit)
    keras_every = 0 if asked.no_keras else KERAS_EVERY
    indices = iter([asked.only] if asked.only is not None else range(asked.rounds or sys.maxsize))
    told: list[Told] = []
    again = shlex.join(
        [f"--seed={asked.seed}", *(f"--fault={part}" for part in asked.fault), *["--no-keras"] * asked.no_keras]
    )
    began, lock = time.monotonic(), threading.Lock()

    def one(index: int) -> None:
        done = play(index, asked.seed, folder, calm, chosen, keras_every=keras_every, limit=asked.limit)
        with lock:
            told.append(done)
            print(f"{time.monotonic() - began:7.0f} s  {line_of(done)}", flush=True)
            if done.wrong:
                details = [*done.wrong, done.search, *done.struck, f"kept in {done.folder}"]
                details.append(f"once more: scripts/soak {again} --round {index}")
                print("".join(f"          {detail}\n" for detail in details), end="", flush=True)

    with ThreadPoolExecutor(asked.at_once) as pool, contextlib.suppress(KeyboardInterrupt):
        out: set[Future[None]] = set()
        more = True
        while more or out:
            while more and len(out) < asked.at_once:
                index = None if until is not None and time.monotonic() > until else next(indices, None)
                more = index is not None
                if index is not None:
                    out.add(pool.submit(one, index))
            if out:
                done, out = wait(out, return_when=FIRST_COMPLETED)
                for each in done:
                    each.result()
    return told


def line_of(done: Told) -> str:
    state = "WRONG" if done.wrong else done.came
    counts = f"{len(done.struck)} strikes, {done.sessions} sessions"
    return f"round {done.index:<5} {done.fault:34} {state}  ({counts})"


def show(told: list[Told], chosen: list[Fault]) -> None:
    """A row for each fault: how often, and what came of it."""
    print(f"\n{'fault':34}{'rounds':>8}{'strikes':>9}{'sessions':>10}{'same':>7}{'said':>7}{'refused':>9}{'WRONG':>7}")
    for fault in chosen:
        mine = [each for each in told if each.fault == fault.name]
        came = Counter("WRONG" if each.wrong else each.came.split(":")[0] for each in mine)
        strikes, sessions = sum(len(each.struck) for each in mine), sum(each.sessions for each in mine)
        counts = f"{came['same']:>7}{came['said']:>7}{came['refused']:>9}{came['WRONG']:>7}"
        print(f"{fault.name:34}{len(mine):>8}{strikes:>9}{sessions:>10}{counts}")
        for reason in sorted({each.came for each in mine if each.came.startswith("skipped")}):
            print(f"  {reason}")
    wrong = sum(bool(each.wrong) for each in told)
    print(f"\n{len(told)} rounds, {sum(len(each.struck) for each in told)} strikes: {wrong or 'nothing'} wrong")


if __name__ == "__main__":
    sys.exit(main())
