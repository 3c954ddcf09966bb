"""Links in a run directory are not followed, whoever put them there."""

from __future__ import annotations

import os
import stat
from pathlib import Path

import pytest

from gpusched.errors import UsageError
from gpusched.runtime.startup.place import prepare
from gpusched.storage.files import make_folder, near, open_own
from gpusched.storage.journal import Journal, JournalReader
from gpusched.storage.lock import RECORD, RunLock, away, holder
from gpusched.storage.logtimes import note
from gpusched.storage.metrics import append, read_metrics
from gpusched.storage.reading import Unreadable, read_content
from gpusched.storage.rundir import RunDir, write_whole

_APPEND = os.O_WRONLY | os.O_CREAT | os.O_APPEND


def test_a_link_in_place_of_a_file_is_refused(tmp_path: Path) -> None:
    """What it names stays as it is, and the error says so."""
    precious = tmp_path / "precious"
    precious.write_text("stays")
    for name in ("log.txt", "metrics.jsonl", "lock", "journal.jsonl", "log.times"):
        (tmp_path / name).symlink_to(precious)
    with pytest.raises(OSError, match=f"it is a link to {precious}: a run directory has none, remove it"):
        open_own(tmp_path / "log.txt", _APPEND)
    with pytest.raises(OSError, match="it is a link"):
        append(tmp_path / "metrics.jsonl", {"epoch": 1})
    with pytest.raises(UsageError, match=r"cannot be written .it is a link"):
        RunLock(tmp_path / "lock")
    with pytest.raises(UsageError, match=r"cannot be written .it is a link"):
        Journal(tmp_path / "journal.jsonl")
    note(tmp_path / "log.txt")
    assert precious.read_text() == "stays"


def test_a_file_that_stands_elsewhere_too_is_not_written(tmp_path: Path) -> None:
    """By hard links, as some backups have them: the other one would change with it. It can still be read."""
    precious = tmp_path / "precious"
    precious.write_text("stays")
    os.link(precious, tmp_path / "log.txt")
    with pytest.raises(OSError, match="linked from elsewhere too"):
        open_own(tmp_path / "log.txt", os.O_WRONLY | os.O_TRUNC)
    assert precious.read_text() == "stays"
    os.close(open_own(tmp_path / "log.txt", os.O_RDONLY))


def test_a_pipe_in_place_of_a_file_is_not_waited_for(tmp_path: Path) -> None:
    """Nobody may ever be at its other end."""
    os.mkfifo(tmp_path / "log.txt")
    with pytest.raises(OSError, match="No such device or address"):
        open_own(tmp_path / "log.txt", _APPEND)
    with pytest.raises(OSError, match="no plain file"):
        open_own(tmp_path / "log.txt", os.O_RDONLY)


def test_a_pipe_is_not_read(tmp_path: Path) -> None:
    """Whatever it stands in place of: who looks at the run is told, and waits for nobody."""
    run = RunDir(tmp_path)
    run.make_trial(0)
    for path in (run.search, run.journal, run.lock, run.path / RECORD, run.trial(0).metrics, run.trial(0).outcome):
        os.mkfifo(path)
    with pytest.raises(UsageError, match="it is no plain file"):
        run.read_search()
    with pytest.raises(UsageError, match="it is no plain file"):
        JournalReader(run.journal).read()
    with pytest.raises(OSError, match="it is no plain file"):
        read_metrics(run.trial(0).metrics)
    assert isinstance(read_content(run.trial(0).outcome), Unreadable)
    assert (holder(run.lock), away(run.lock)) == (None, None)


def test_what_is_put_in_place_replaces_a_link(tmp_path: Path) -> None:
    """Also where the file that is renamed into place is guessed beforehand."""
    precious = tmp_path / "precious"
    precious.write_text("stays")
    for name in ("report.html", f".report.html.{os.getpid()}"):
        (tmp_path / name).symlink_to(precious)
    write_whole(tmp_path / "report.html", b"new")
    assert (tmp_path / "report.html").read_bytes() == b"new"
    assert not (tmp_path / "report.html").is_symlink()
    assert precious.read_text() == "stays"


def test_a_link_in_place_of_a_folder_is_refused(tmp_path: Path) -> None:
    """At any depth below the run directory; that itself may be reached by links."""
    outside, run = tmp_path / "outside", RunDir(tmp_path / "runs" / "x")
    outside.mkdir()
    make_folder(run.path)
    run.trials.symlink_to(outside)
    with pytest.raises(OSError, match="it is a link"):
        run.make_trial(3)
    run.trials.unlink()
    run.trials.mkdir()
    run.trial(3).path.symlink_to(outside)
    with pytest.raises(OSError, match="it is a link"):
        run.make_trial(3)
    (tmp_path / "by link").symlink_to(run.path)
    assert RunDir(tmp_path / "by link").make_trial(4).path.is_dir()
    assert run.trial(4).path.is_dir()
    assert list(outside.iterdir()) == []


def test_a_run_directory_is_its_owners_alone(tmp_path: Path) -> None:
    """Unless that owner has opened it; then it stays open. A restart says where it keeps the older run."""
    run = RunDir(tmp_path / "runs" / "x")
    prepare(run, restart=False)
    assert stat.S_IMODE(run.path.stat().st_mode) == 0o700
    run.path.chmod(0o755)
    run.search.write_text("{}")
    prepare(run, restart=False)
    assert stat.S_IMODE(run.path.stat().st_mode) == 0o755
    said = prepare(run, restart=True)
    assert not run.exists()
    (older,) = [path for path in run.path.parent.iterdir() if path != run.path]
    assert said == [f"the older run is kept in {near(older)}"]
    assert stat.S_IMODE(run.path.stat().st_mode) == 0o755
