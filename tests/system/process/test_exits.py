"""What a program has asked for at its end, in a process that leaves by os._exit."""

from __future__ import annotations

import subprocess
import sys

HEAD = """
import atexit, os, threading, time, weakref
from tempfile import TemporaryDirectory
from gpusched.system.process import exits

def late(names):
    print("late:", names, flush=True)
    os._exit(3)

class Thing: pass
"""


def said(code: str) -> tuple[int, list[str]]:
    done = subprocess.run([sys.executable, "-c", HEAD + code], capture_output=True, text=True, timeout=60)
    assert not done.stderr, done.stderr
    return done.returncode, done.stdout.splitlines()


def test_what_was_asked_for_since_is_run() -> None:
    """Handlers, finalizers and threads of its own; what the parent had asked for is the parent's."""
    code, lines = said("""
weakref.finalize(kept := Thing(), print, "the parent's finalizer", flush=True)
atexit.register(print, "the parent's handler", flush=True)
folder = TemporaryDirectory()
if os.fork() == 0:
    exits.forget()
    weakref.finalize(own := Thing(), print, "finalizer", flush=True)
    atexit.register(print, "handler", flush=True)
    threading.Thread(target=lambda: (time.sleep(0.05), print("thread", flush=True))).start()
    exits.run(60, late)
    print("folder is there:", os.path.exists(folder.name), flush=True)
    os._exit(0)
os.wait()
print("parent")
""")
    assert code == 0
    own, _, parents = "|".join(lines).partition("|parent|")
    assert own == "thread|handler|finalizer|folder is there: True"
    assert sorted(parents.split("|")) == ["the parent's finalizer", "the parent's handler"]


def test_it_takes_no_longer_than_it_may() -> None:
    """A thread that never ends is named; a handler that never ends is no thread."""
    forever = "threading.Thread(target=threading.Event().wait, name='forever').start()\nexits.run(0.05, late)"
    assert said(forever) == (3, ["late: ['forever']"])
    assert said("atexit.register(threading.Event().wait)\nexits.run(0.05, late)") == (3, ["late: []"])
