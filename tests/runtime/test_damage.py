"""Files that a disk has damaged while nothing ran: the search comes to the same, or says why it cannot go on."""

from __future__ import annotations

import json
import signal
from pathlib import Path
from typing import Any

#: What is reported depends on what the checkpoint says.
TRAIN = """
import json, os, time

#: What trains until it is asked to stop, where there is a file named "hold".
def wait(trial):
    while os.path.exists("hold") and not trial._stop.asked:
        time.sleep(0.005)

def train(hp, trial):
    lr = hp.Float("lr", 1e-4, 1e-1, sampling="log")
    weight = json.loads(trial.load_checkpoint() or "[1.0]")[0]
    for epoch in range(trial.start_epoch, trial.stop_epoch):
        if epoch == 2:
            wait(trial)
        weight = weight * (0.9 - lr) + 0.01
        trial.report(val_loss=weight)
        trial.save_checkpoint(json.dumps([weight]).encode())
"""


def turn_a_digit(path: Path, content: bytes) -> None:
    """As a disk does it: the size stays."""
    at = max(at for at, byte in enumerate(content) if 48 <= byte <= 57)
    path.write_bytes(content[: at - 2] + bytes([content[at - 2] ^ 1]) + content[at - 1 :])


OPTIONS = ("--algorithm", "random", "--objective", "val_loss", "--max-trials", "4", "--max-epochs", "5", "--seed", "7")


def stopped(lab: Any, until: Any) -> list[Path]:
    """Stops a search while trials have checkpoints and go on; returns these trials' folders."""
    lab.hold()
    process = lab.start(*OPTIONS, "--cpu-slots", "2")
    folders = lab.run.trials
    until("two checkpoints", lambda: len(list(folders.glob("*/checkpoint/state.json"))) >= 2)
    process.send_signal(signal.SIGINT)
    assert process.wait(timeout=60) == 130
    lab.let_go()
    found = [lab.run.trial(trial.id) for trial in lab.search.trials.values() if trial.state == "pending"]
    return [folder.path for folder in found if (folder.checkpoint / "state.json").exists()]


def test_a_damaged_checkpoint_changes_no_result(make_lab: Any, until: Any) -> None:
    """The trial is trained from its beginning, a line says so, and the ranking is that of the calm run."""
    calm, lab = make_lab("calm"), make_lab("damaged")
    for each in (calm, lab):
        each.write(TRAIN)
    assert calm.finish(*OPTIONS, "--cpu-slots", "2")[0] == 0
    folders = stopped(lab, until)
    assert len(folders) == 2
    for folder in folders:
        (file,) = (folder / "checkpoint").glob("*.bin")
        turn_a_digit(file, file.read_bytes())
    code, said = lab.finish(*OPTIONS, "--cpu-slots", "2")
    assert code == 0
    assert f"checkpoint/{file.name}: damaged, its content is not what was written; training starts anew" in said
    assert lab.ranking() == calm.ranking()


def test_a_changed_score_in_the_journal_is_refused(lab: Any) -> None:
    """One digit of one score: no command ranks by it, and the line is named."""
    lab.write(TRAIN)
    assert lab.finish()[0] == 0
    lines = lab.run.journal.read_bytes().splitlines(keepends=True)
    number = next(number for number, line in enumerate(lines) if json.loads(line)["type"] == "job_ended")
    lines[number] = lines[number].replace(b'"scores":{"val_loss":[0.', b'"scores":{"val_loss":[0.0')
    lab.run.journal.write_bytes(b"".join(lines))
    code, said = lab.finish()
    assert code == 2
    assert f"journal.jsonl: line {number + 1} is not readable (it was changed" in said
    assert "Traceback" not in said
