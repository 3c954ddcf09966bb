"""One scheduler a run; processes told apart for good."""

from __future__ import annotations

import errno
import fcntl
import json
import os
import shutil
import subprocess
import sys
import threading
from collections.abc import Callable
from pathlib import Path
from typing import Any

import msgspec
import pytest

from gpusched.errors import UsageError
from gpusched.storage import identity as identity_module
from gpusched.storage.identity import alive, identity_of, own_identity, pidfd
from gpusched.storage.lock import RunLock, away, holder


def test_the_second_scheduler_is_refused_with_the_firsts_pid(tmp_path: Path) -> None:
    """A lock names its holder, and is free again when let go."""
    lock = RunLock(tmp_path / "lock")
    assert holder(tmp_path / "lock") == os.getpid()
    with pytest.raises(UsageError, match=f"process {os.getpid()} runs this search already"):
        RunLock(tmp_path / "lock")
    lock.release()
    assert holder(tmp_path / "lock") is None
    RunLock(tmp_path / "lock").release()


def test_a_file_system_without_locks_is_named(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """As FUSE may be, and Lustre: where it lies, and what to do."""

    def refuse(fd: int, operation: int) -> None:
        raise OSError(errno.ENOSYS, os.strerror(errno.ENOSYS))

    monkeypatch.setattr(fcntl, "flock", refuse)
    with pytest.raises(UsageError, match=r"lock: its file system keeps no locks .*choose a directory on another"):
        RunLock(tmp_path / "lock")


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


def test_who_looks_does_not_shut_a_scheduler_out(tmp_path: Path) -> None:
    """A run is taken and let go while others look at it without a pause: no start is refused."""
    code = "import sys, pathlib; from gpusched.storage.lock import holder\nprint(flush=True)\n"
    code += "while True: holder(pathlib.Path(sys.argv[1]))"
    RunLock(tmp_path / "lock").release()
    lookers = [
        subprocess.Popen([sys.executable, "-c", code, str(tmp_path / "lock")], stdout=subprocess.PIPE) for _ in range(2)
    ]
    try:
        for each in lookers:
            assert each.stdout is not None
            each.stdout.readline()
        for _ in range(300):
            RunLock(tmp_path / "lock").release()
    finally:
        for each in lookers:
            each.kill()
            each.communicate()


def test_a_lock_held_for_a_moment_is_waited_for(tmp_path: Path) -> None:
    """A process that is no scheduler may have the lock; it refuses nobody unless it keeps it."""
    path = tmp_path / "lock"
    RunLock(path).release()
    fd = os.open(path, os.O_RDONLY)
    fcntl.flock(fd, fcntl.LOCK_SH)
    letting_go = threading.Timer(0.1, os.close, [fd])
    letting_go.start()
    RunLock(path).release()
    letting_go.join()


def test_a_lock_that_is_kept_is_named(tmp_path: Path) -> None:
    """What holds it is not called a scheduler where none is recorded."""
    path = tmp_path / "lock"
    fd = os.open(path, os.O_RDWR | os.O_CREAT)
    try:
        fcntl.flock(fd, fcntl.LOCK_EX)
        with pytest.raises(UsageError, match="is no scheduler of this run; `fuser"):
            RunLock(path)
    finally:
        os.close(fd)


def test_a_scheduler_of_an_earlier_version_is_seen(tmp_path: Path) -> None:
    """It wrote its pid into the lock, and nothing beside it."""
    path = tmp_path / "lock"
    path.write_text(f"{os.getpid()}\n")
    assert holder(path) is None
    fd = os.open(path, os.O_RDWR)
    try:
        fcntl.flock(fd, fcntl.LOCK_EX)
        assert holder(path) == os.getpid()
        with pytest.raises(UsageError, match=f"process {os.getpid()} runs this search already"):
            RunLock(path)
    finally:
        os.close(fd)
    RunLock(path).release()
    assert path.read_bytes() == b""


def test_a_lock_that_cannot_be_written_is_one_line(tmp_path: Path) -> None:
    """As on a full disk: the record of who has the lock does not fit."""
    code = "import resource, signal, sys; from pathlib import Path; from gpusched.storage.lock import RunLock; "
    code += "signal.signal(signal.SIGXFSZ, signal.SIG_IGN); resource.setrlimit(resource.RLIMIT_FSIZE, (0, 0)); "
    code += "from gpusched.errors import UsageError\ntry: RunLock(Path(sys.argv[1]))\nexcept UsageError as e: print(e)"
    done = subprocess.run([sys.executable, "-c", code, str(tmp_path / "lock")], capture_output=True, text=True)
    assert (done.returncode, done.stderr) == (0, "")
    assert done.stdout == f"{tmp_path}: cannot be written (File too large); make room, or choose another directory\n"
    assert list(tmp_path.iterdir()) == []


@pytest.mark.skipif(os.getuid() != 0, reason="another user can be played by root alone")
def test_another_user_sees_and_cannot_hold(tmp_path: Path) -> None:
    """In a run directory that is open to all: others know who works on it, and cannot shut the owner out."""
    path = _open_to_all(tmp_path) / "lock"
    lock = RunLock(path)
    assert _as_nobody(lambda: holder(path)) == os.getpid()
    lock.release()
    assert _as_nobody(lambda: holder(path)) is None
    assert _as_nobody(lambda: os.open(path, os.O_RDONLY)) == "Permission denied"
    RunLock(path).release()


def test_a_copy_of_a_run_at_work_is_nobodys(tmp_path: Path) -> None:
    """The process that the record names works on the original."""
    (tmp_path / "run").mkdir()
    lock = RunLock(tmp_path / "run" / "lock")
    shutil.copytree(tmp_path / "run", tmp_path / "copy")
    assert holder(tmp_path / "run" / "lock") == os.getpid()
    assert holder(tmp_path / "copy" / "lock") is None
    RunLock(tmp_path / "copy" / "lock").release()
    (tmp_path / "run").rename(tmp_path / "moved")
    assert holder(tmp_path / "moved" / "lock") == os.getpid()
    lock.release()


def test_a_scheduler_on_another_host_is_not_worked_beside(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Nobody here can know whether it lives: one has to say that it does not. On its own host the kernel knows."""
    path = tmp_path / "lock"
    with monkeypatch.context() as there:
        there.setattr(identity_module, "host", lambda: "node7/0")
        lock = RunLock(path)
        assert holder(path) == os.getpid()
    os.close(lock._fd)  # Killed: what it recorded stays.
    assert holder(path) is None
    with pytest.raises(UsageError, match=rf"process {os.getpid()} on node7 runs this search, or .* give --take-over"):
        RunLock(path)
    where = away(path)
    assert where is not None
    assert where.host == "node7/0"
    RunLock(path, take_over=True).release()
    assert away(path) is None
    RunLock(path).release()


def _open_to_all(folder: Path) -> Path:
    """The folder, with all above it open as far as the temporary folder is ours."""
    for each in (folder, *folder.parents):
        if each.stat().st_uid == os.getuid() and len(each.parts) > 2:
            each.chmod(each.stat().st_mode | 0o055)
    return folder


def _as_nobody(work: Callable[[], object]) -> Any:
    """What `work` returns, or why the system refuses it, in a fork that belongs to nobody."""
    read, write = os.pipe()
    pid = os.fork()
    if pid == 0:
        try:
            os.setgroups([])
            os.setresgid(65534, 65534, 65534)
            os.setresuid(65534, 65534, 65534)
            try:
                found: object = work()
            except OSError as error:
                found = error.strerror
            os.write(write, json.dumps(found).encode())
        finally:
            os._exit(0)
    os.close(write)
    with open(read, "rb") as pipe:
        content = pipe.read()
    os.waitpid(pid, 0)
    return json.loads(content)
