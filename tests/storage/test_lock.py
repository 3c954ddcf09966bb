"""One scheduler a run; processes told apart for good."""

from __future__ import annotations

import os
import subprocess
import sys
from pathlib import Path

import msgspec
import pytest

from gpusched.errors import UsageError
from gpusched.storage.identity import alive, identity_of, own_identity, pidfd
from gpusched.storage.lock import RunLock, holder


def test_the_second_scheduler_is_refused_with_the_firsts_pid(tmp_path: Path) -> None:
    """A lock names its holder, and is free again when let go."""
    lock = RunLock(tmp_path / "lock")
    assert holder(tmp_path / "lock") == os.getpid()
    with pytest.raises(UsageError, match=f"process {os.getpid()} works on this run already"):
        RunLock(tmp_path / "lock")
    lock.release()
    assert holder(tmp_path / "lock") is None
    RunLock(tmp_path / "lock").release()


def test_a_killed_holder_leaves_no_lock(tmp_path: Path) -> None:
    """kill -9 frees the run."""
    code = "import sys, pathlib; from gpusched.storage.lock import RunLock; l = RunLock(pathlib.Path(sys.argv[1])); "
    process = subprocess.Popen(
        [sys.executable, "-c", code + "print(flush=True); sys.stdin.read()", str(tmp_path / "lock")],
        stdin=subprocess.PIPE,
        stdout=subprocess.PIPE,
    )
    with process:
        assert process.stdout is not None
        process.stdout.readline()
        assert holder(tmp_path / "lock") == process.pid
        process.kill()
    assert holder(tmp_path / "lock") is None


def test_an_identity_outlives_its_pid() -> None:
    """A process that is gone, or another under its number, is not it."""
    own = own_identity()
    assert alive(own)
    assert not alive(msgspec.structs.replace(own, start_ticks=own.start_ticks - 1))
    assert not alive(msgspec.structs.replace(own, boot_id="another boot"))
    child = subprocess.Popen([sys.executable, "-c", "input()"], stdin=subprocess.PIPE)
    identity = identity_of(child.pid)
    assert identity is not None
    fd = pidfd(identity)
    assert fd is not None
    os.close(fd)
    child.communicate()
    assert not alive(identity)
    assert pidfd(identity) is None
    assert identity_of(child.pid) is None
