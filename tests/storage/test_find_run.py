"""Which run a command means that names none."""

from __future__ import annotations

from pathlib import Path

import pytest

from gpusched.errors import UsageError
from gpusched.storage.rundir import RunDir
from gpusched.storage.runs.known import find_run, remember


@pytest.fixture
def place(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    monkeypatch.setenv("XDG_STATE_HOME", str(tmp_path / "state"))
    folder = tmp_path / "work here"
    folder.mkdir()
    monkeypatch.chdir(folder)
    return folder


def run_in(folder: Path) -> RunDir:
    folder.mkdir(parents=True)
    for name in ("search.json", "journal.jsonl"):
        (folder / name).touch()
    return RunDir(folder)


def test_the_newest_below_this_folder_comes_first(place: Path, tmp_path: Path) -> None:
    """A search that was begun elsewhere since is not meant, neither to look at nor to act on."""
    here = run_in(place / "runs" / "mine")
    remember(run_in(tmp_path / "elsewhere" / "runs" / "other"))
    assert find_run(None).path == find_run(None, acting=True).path == here.path


def test_any_folder_below_counts(place: Path) -> None:
    """A run need not be in runs/: the one that was begun last is known by its path."""
    deep = run_in(place / "my_dir" / "deep" / "project")
    remember(deep)
    run_in(place / "runs" / "older")
    assert find_run(None, acting=True).path == deep.path


def test_a_search_elsewhere_can_be_looked_at_and_not_stopped(place: Path, tmp_path: Path) -> None:
    """A bare `stop` must not end the search of another folder; the error names it."""
    other = run_in(tmp_path / "elsewhere" / "runs" / "other")
    remember(other)
    assert find_run(None).path == other.path
    with pytest.raises(UsageError, match="no run below this folder: name the one that is meant"):
        find_run(None, acting=True)
    assert find_run(str(other.path), acting=True).path == other.path


def test_without_any_run(place: Path) -> None:
    """It says how to get one."""
    with pytest.raises(UsageError, match="no run found"):
        find_run(None)
