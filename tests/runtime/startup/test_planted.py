"""A run directory that was handled by others: links in it lead nowhere, and files of a loop's own stay."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import Any

#: A loop that keeps files of its own, where those of the store would be if they had one folder.
KEEPS = """
def train(hp, trial):
    lr = hp.Float("lr", 0.1, 0.9)
    for name in ("checkpoint", "best"):
        folder = trial.folder / name
        folder.mkdir(exist_ok=True)
        (folder / "mine.txt").write_text("stays")
        (folder / "0-0001.bin").write_text("stays")
    for epoch in range(trial.start_epoch, trial.stop_epoch):
        trial.report(val_loss=lr / (epoch + 1))
        trial.save_checkpoint(b"state")
"""


def test_a_loops_own_files_stay(lab: Any) -> None:
    """trial.folder is the loop's alone, whatever it calls its files; the search's own checkpoints go all the same."""
    lab.write(KEEPS)
    assert lab.finish("--objective", "val_loss", "--max-epochs", "3", "--cpu-slots", "2", "--seed", "7")[0] == 0
    trials = [lab.run.trial(trial) for trial in lab.run.trial_ids()]
    assert trials
    for trial in trials:
        kept = sorted(str(path.relative_to(trial.files)) for path in trial.files.rglob("*") if path.is_file())
        assert kept == [f"{folder}/{name}" for folder in ("best", "checkpoint") for name in ("0-0001.bin", "mine.txt")]
        assert not trial.checkpoint.exists()


def test_links_lead_to_no_file_elsewhere(lab: Any, until: Callable[..., Any]) -> None:
    """Planted in a run that is carried on: each is refused or replaced, named, and what it leads to stays as it is."""
    outside = lab.folder / "precious"
    outside.mkdir()
    for name in ("0-0001.bin", "state.json.bak", "thesis.tex"):
        (outside / name).write_text("stays")
    lab.hold()
    scheduler = lab.start()
    until("two trials in training", lambda: len(lab.ledger) == 2)
    until("both in the journal", lambda: len(lab.events("job_started")) == 2)
    lab.kill(lab.processes())
    scheduler.wait()
    lab.let_go()

    def plant(path: Path, target: Path) -> None:
        path.unlink(missing_ok=True)
        path.symlink_to(target)

    plant(lab.run.lock, outside / "thesis.tex")
    assert lab.finish()[0] == 2
    assert f"it is a link to {outside / 'thesis.tex'}: a run directory has none, remove it" in lab.said
    lab.run.lock.unlink()
    plant(lab.run.trial(0).checkpoint, outside)
    plant(lab.run.trial(1).metrics, outside / "thesis.tex")
    assert lab.finish()[0] == 0
    assert "Traceback" not in lab.said
    assert "trial 0: failed: OSError: [Errno 40] it is a link" in lab.said
    assert {path.name: path.read_text() for path in outside.iterdir()} == dict.fromkeys(
        ("0-0001.bin", "state.json.bak", "thesis.tex"), "stays"
    )
    assert lab.processes() == []
