"""`gpusched list` and `gpusched delete`."""

from __future__ import annotations

import io
import json
import os
from collections.abc import Callable
from pathlib import Path
from typing import Any

import jsonschema
import pytest

from gpusched.core.events import SessionClosed
from gpusched.storage import identity
from gpusched.storage.lock import RunLock
from gpusched.storage.rundir import RunDir
from gpusched.storage.runs.known import below, of_this_user, remember
from gpusched.ui.listing import listed, table
from gpusched.ui.watch.terminal import console


@pytest.fixture
def folder(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    monkeypatch.setenv("XDG_STATE_HOME", str(tmp_path / ".state"))
    monkeypatch.chdir(tmp_path)
    return tmp_path


def test_runs_are_listed(folder: Path, make_run: Callable[..., Any], gpusched: Callable[..., Any]) -> None:
    """State, trials, best, age and size of each; for programs, as the schema says, with all digits."""
    done = make_run("done", algorithm="random", max_epochs=2, max_trials=3).finish()
    make_run("killed").step()
    stopped = make_run("it's stopped")
    stopped.handle(SessionClosed(at=5.0, reason="stopped", code=130))
    alive = make_run("alive")
    make_run("damaged").dir.search.write_text("{")
    lock = RunLock(alive.dir.lock)
    try:
        said, told = gpusched("list"), json.loads(gpusched("list", "--json").out)
    finally:
        lock.release()
    jsonschema.validate(told, json.loads(gpusched("schema", "list").out))
    states = {row["run"]: row["state"] for row in told}
    assert {Path(run).name: state for run, state in states.items()} == {
        "done": "complete", "killed": "abandoned", "it's stopped": "stopped", "alive": "running", "damaged": "damaged",
    }  # fmt: skip
    (row,) = [row for row in told if row["run"] == str(done.dir.path)]
    oracle = done.run.search.oracle
    assert row["best"] == -oracle.trials[oracle.rank()[0]].score
    assert (row["trials"], row["objective"], row["began"]) == (3, "val_accuracy", 1_700_000_000.0)
    assert row["bytes"] == sum(path.stat().st_size for path in done.dir.path.rglob("*") if path.is_file())
    lines = said.out.splitlines()
    assert lines[0].split() == ["run", "state", "trials", "best", "age", "size"]
    assert [line.split("  ")[0] for line in lines[1:6]] == [str(Path(row["run"]).relative_to(folder)) for row in told]
    assert "runs/killed        killed " in said.out
    assert "describes no search" in lines[-1] or "search.json" in lines[-1]


def test_in_a_narrow_window_no_word_is_cut(folder: Path, make_run: Callable[..., Any]) -> None:
    """The objective's name gives way to the names of runs, which are typed again."""
    make_run("digits-20261201-183800").finish()
    rows = listed(below(folder))
    for width, named in ((80, False), (120, True)):
        paper = console(width=width, file=io.StringIO())
        paper.print(table(rows, width))
        (line,) = paper.file.getvalue().splitlines()[1:]
        assert line.startswith("runs/digits-20261201-183800  complete      17  ")
        assert ("val_accuracy" in line, "…" in line) == (named, False)


def test_only_runs_below_here_but_for_all(
    folder: Path, make_run: Callable[..., Any], gpusched: Callable[..., Any], monkeypatch: pytest.MonkeyPatch
) -> None:
    """Those of other folders that this user has begun are there with --all; those that are gone are not."""
    made = make_run("elsewhere")
    remember(made.dir)
    remember(RunDir(folder / "gone"))
    other = folder / "other project"
    other.mkdir()
    monkeypatch.chdir(other)
    assert gpusched("list").out == "no run below this folder; `gpusched list --all` shows yours in other folders\n"
    assert [row["run"] for row in json.loads(gpusched("list", "--all", "--json").out)] == [str(made.dir.path)]
    assert [run.path for run in of_this_user()] == [made.dir.path]


def test_where_runs_are_looked_for(folder: Path) -> None:
    """At any depth that projects have, in no hidden folder and through no link."""
    for name in ("runs/a", "project/out/b", ".hidden/c", "x/site-packages/d", "1/2/3/4/5/6/7/e", "runs/a/trials/f"):
        (folder / name).mkdir(parents=True)
        for file in ("search.json", "journal.jsonl"):
            (folder / name / file).touch()
    (folder / "link").symlink_to(folder / "project")
    assert {str(run.path.relative_to(folder)) for run in below(folder)} == {"runs/a", "project/out/b"}


def test_a_run_is_deleted(folder: Path, make_run: Callable[..., Any], gpusched: Callable[..., Any]) -> None:
    """Nobody can be asked here: --yes is asked for. Then it is gone, and what is not gpusched's stays, named."""
    made, other = make_run("done", max_epochs=1).finish(), make_run("other").finish()
    ended = gpusched("delete", "done")
    assert (ended.code, "give --yes where nobody can be asked" in ended.err) == (2, True)
    assert gpusched("delete", "--yes", "done").out.startswith("deleted runs/done (complete, ")
    assert not made.dir.path.exists()
    (other.dir.path / "notes.txt").write_text("mine")
    (other.dir.path / "report.html").touch()
    said = gpusched("delete", "-y", other.dir.path).out
    assert said.endswith("runs/other stays, with what gpusched has not made: notes.txt\n")
    assert [path.name for path in other.dir.path.iterdir()] == ["notes.txt"]
    assert gpusched("list").out.startswith("no run below this folder")


def test_a_run_of_another_host_is_not_deleted_here(
    folder: Path, make_run: Callable[..., Any], gpusched: Callable[..., Any], monkeypatch: pytest.MonkeyPatch
) -> None:
    """Whether its scheduler lives cannot be seen from here; where it was killed, its trials may still train."""
    made = make_run("far")
    with monkeypatch.context() as there:
        there.setattr(identity, "host", lambda: "node7/0")
        lock = RunLock(made.dir.lock)
    os.close(lock._fd)
    ended = gpusched("delete", "--yes", "far")
    assert (ended.code, f"was last run by process {os.getpid()} on node7; delete it there" in ended.err) == (2, True)
    assert made.dir.exists()


def test_what_cannot_be_deleted(folder: Path, make_run: Callable[..., Any], gpusched: Callable[..., Any]) -> None:
    """A search that runs, a run that is not there, and, without a name, whichever would be the newest."""
    made, other = make_run("alive"), make_run("done").finish()
    lock = RunLock(made.dir.lock)
    try:
        ended = gpusched("delete", "--yes", "done", "alive")
    finally:
        lock.release()
    assert (ended.code, "runs this search; stop it first: `gpusched stop runs/alive`" in ended.err) == (2, True)
    assert made.dir.exists()
    assert other.dir.exists()
    ended = gpusched("delete", "--yes", "dnoe")
    assert (ended.code, "no search.json in it); did you mean runs/done?" in ended.err) == (2, True)
    assert "`gpusched list` shows those below this folder" in gpusched("delete", "--yes", "quite another").err
    assert gpusched("delete", "--yes").code == 2
    outside = folder / "precious"
    outside.mkdir()
    (outside / "file").touch()
    (other.dir.path / "launcher").symlink_to(outside)
    (other.dir.trials / "0000" / "files").symlink_to(outside)
    gpusched("delete", "--yes", "done")
    assert [path.name for path in outside.iterdir()] == ["file"]
    assert not other.dir.path.exists()
