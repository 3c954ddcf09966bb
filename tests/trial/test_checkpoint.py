"""States on disk: the newest whole one, whatever happened while the next was written."""

from __future__ import annotations

import json
import os
from pathlib import Path

import pytest

from gpusched.storage.metrics import append, read_metrics, truncate_after
from gpusched.trial.checkpoint import States, drop


def put(states: States, epoch: int, content: str, execution: int = 0) -> None:
    states.put(epoch, {".bin": lambda path: path.write_text(content) and None}, {"content": content}, execution)


def read(folder: Path, execution: int = 0) -> tuple[int, str] | None:
    states = States(folder)
    file = states.file(".bin", execution)
    return None if file is None else (states.epoch(execution), file.read_text())


def test_a_new_state_takes_the_place_of_the_old_one(place: Path) -> None:
    """Executions have states of their own, and no file is left that no state counts."""
    states = States(place / "checkpoint")
    assert (states.epoch(), states.meta(), states.file(".bin")) == (0, None, None)
    put(states, 1, "a")
    put(states, 1, "b")
    put(states, 2, "c", execution=1)
    put(states, 3, "d")
    assert (read(states.folder), read(states.folder, 1)) == ((3, "d"), (2, "c"))
    assert sorted(path.name for path in states.folder.iterdir()) == ["0-0003.bin", "1-0002.bin", "state.json"]
    states.drop(0)
    assert (read(states.folder), read(states.folder, 1)) == (None, (2, "c"))


def test_a_state_cut_short_is_never_seen(place: Path) -> None:
    """Whatever breaks off while a state is written, the one before it stands."""
    states = States(place / "checkpoint")
    put(states, 1, "old")

    def breaks(path: Path) -> None:
        path.write_text("ne")
        raise OSError("disk full")

    for epoch in (1, 2):
        with pytest.raises(OSError, match="disk full"):
            states.put(epoch, {".bin": breaks})
        assert read(states.folder) == (1, "old")
    put(States(states.folder), 2, "new")
    assert sorted(path.name for path in states.folder.iterdir()) == ["0-0002.bin", "state.json"]


@pytest.mark.parametrize("damage", ["not json", "{}", '{"executions": {"0": {}}}'])
def test_what_cannot_be_read_counts_as_nothing_and_is_told(place: Path, damage: str) -> None:
    """A damaged state.json does not keep a trial from training."""
    (place / "state.json").write_text(damage)
    states = States(place)
    assert states.epoch() == 0
    assert states.damage is not None
    assert str(place) in states.damage


def test_files_that_are_gone_or_short_do_not_count(place: Path) -> None:
    """A state whose files are not as they were written is none."""
    states = States(place)
    put(states, 1, "content")
    (place / "0-0001.bin").write_text("cont")
    assert States(place).damage is not None
    (place / "0-0001.bin").unlink()
    assert read(place) is None


def test_metrics_of_epochs_to_be_trained_again_are_dropped(place: Path) -> None:
    """Only later epochs go, of one execution where it is named, and torn lines with them."""
    path = place / "metrics.jsonl"
    assert read_metrics(path) == []
    truncate_after(path, 0)
    assert not path.exists()
    lines = [{"epoch": e, "execution": k, "loss": None if e == 2 else 0.5} for k in (0, 1) for e in (1, 2, 3)]
    for line in lines:
        append(path, line)
    with open(path, "ab") as file:
        file.write(b'{"epoch": 4, "lo')
    assert read_metrics(path) == lines
    truncate_after(path, 1, execution=1)
    assert read_metrics(path) == lines[:4]
    truncate_after(path, 2)
    assert read_metrics(path) == [*lines[:2], lines[3]]
    assert all(json.loads(line) for line in path.read_text().splitlines())


def test_numbers_without_a_form_in_json_are_null(place: Path) -> None:
    """NaN and infinity are written as null."""
    append(place / "m", {"epoch": 1, "loss": float("nan"), "acc": float("inf")})
    assert read_metrics(place / "m") == [{"epoch": 1, "loss": None, "acc": None}]


def test_a_flipped_bit_in_a_state_counts_as_no_state(place: Path) -> None:
    """Its size is right, and training from it would give other scores: the file is named."""
    states = States(place)
    put(states, 1, "content")
    put(states, 1, "sound", execution=1)
    (place / "0-0001.bin").write_text("conteot")
    found = States(place)
    assert (found.epoch(0), found.epoch(1)) == (0, 1)
    assert found.damage == f"{place / '0-0001.bin'}: damaged, its content is not what was written"


def test_a_state_of_an_older_version_counts(place: Path) -> None:
    """It has sizes and no digests."""
    put(States(place), 1, "content")
    table = json.loads((place / "state.json").read_text())
    del table["executions"]["0"]["digests"], table["crc32"]
    (place / "state.json").write_text(json.dumps(table))
    assert read(place) == (1, "content")


def test_only_files_of_states_are_deleted(tmp_path: Path) -> None:
    """What else somebody keeps in the folder stays, when a state is replaced and when all are dropped."""
    folder = tmp_path / "checkpoint"
    (folder / "sub").mkdir(parents=True)
    mine = ["thesis.tex", ".hidden", "3", "0-1.bin", "sub"]
    for name in mine[:-1]:
        (folder / name).write_text("stays")
    (folder / ".new-0-0001.bin").write_text("unfinished")
    states = States(folder)
    put(states, 1, "a")
    put(states, 2, "b")
    assert sorted(os.listdir(folder)) == sorted([*mine, "0-0002.bin", "state.json"])
    drop(folder)
    assert sorted(os.listdir(folder)) == sorted(mine)
    for name in mine[:-1]:
        (folder / name).unlink()
    (folder / "sub").rmdir()
    put(States(folder), 1, "a")
    drop(folder)
    assert not folder.exists()
    drop(folder)


def test_a_link_in_place_of_the_folder_is_refused(tmp_path: Path) -> None:
    """Nothing is put into the folder it leads to, and nothing deleted there."""
    outside, folder = tmp_path / "outside", tmp_path / "checkpoint"
    put(States(outside), 1, "theirs")
    (outside / "0-0007.bin").write_text("stays")
    there = sorted(os.listdir(outside))
    folder.symlink_to(outside)
    with pytest.raises(OSError, match="it is a link"):
        put(States(folder), 2, "ours")
    drop(folder)
    assert sorted(os.listdir(outside)) == there


def test_a_link_in_place_of_a_file_is_replaced(tmp_path: Path) -> None:
    """Also where it has the name under which a file is written before it is whole."""
    outside, folder = tmp_path / "precious", tmp_path / "checkpoint"
    outside.write_text("stays")
    folder.mkdir()
    for name in (".new-0-0001.bin", "0-0001.bin", "state.json", ".new-state.json", f".state.json.{os.getpid()}"):
        (folder / name).symlink_to(outside)
    put(States(folder), 1, "a")
    assert read(folder) == (1, "a")
    assert outside.read_text() == "stays"
