"""Commands that look at a run."""

from __future__ import annotations

import json
import os
import re
import subprocess
import sys
from collections.abc import Callable
from typing import Any

import pytest

from gpusched.cli.options import near
from gpusched.storage.lock import RunLock
from gpusched.ui.trials.ranking import rule


def test_best_ranks_by_score_and_says_so(make_run: Callable[..., Any], gpusched: Callable[..., Any]) -> None:
    """However long a trial has trained; the rule stands above the trials."""
    made = make_run()
    while len(made.run.search.oracle.scores) < 12:
        made.step()
    rows = json.loads(gpusched("best", made.dir.path, "--json").out)["trials"]
    assert [row["trial"] for row in rows] == made.run.search.oracle.rank()[:10]
    assert [row["score"] for row in rows] == sorted((row["score"] for row in rows), reverse=True)
    said = gpusched("best", made.dir.path, "-n", "2").out
    assert said.startswith(
        f"{near(made.dir)}: the best 2 of 12 trials, highest val_accuracy first\n{rule(made.run.search.oracle)}\n"
    )
    assert f"1. trial {rows[0]['trial']}" in said


def test_people_get_four_digits_of_a_value_and_programs_all(
    make_run: Callable[..., Any], gpusched: Callable[..., Any]
) -> None:
    """`best` prints what one remembers, `best --json` what was drawn."""
    made = make_run().finish()
    rows = json.loads(gpusched("best", made.dir.path, "-n", 1, "--json").out)["trials"]
    rate = rows[0]["values"]["learning rate"]
    assert rate == made.run.search.trials[rows[0]["trial"]].values["learning rate"]
    assert f"learning rate  {rate:.4g}\n" in gpusched("best", made.dir.path, "-n", "1").out


def test_export_is_read_back_exactly(make_run: Callable[..., Any], gpusched: Callable[..., Any], tmp_path: Any) -> None:
    """pandas reads the numbers that were reported, a row for each epoch, and failed trials too."""
    pandas = pytest.importorskip("pandas")
    made = make_run(algorithm="random", max_epochs=3, max_trials=4, failing={2}).finish()
    path = tmp_path / "all epochs.csv"
    assert gpusched("export", made.dir.path, "-o", path) == (0, "", "")
    table = pandas.read_csv(path)
    launches = [launch for _, launch in made.run.launches]
    wanted = [made.score(launch, e) for launch in launches if launch.trial != 2 for e in (1, 2, 3)]
    assert table[table.trial != 2].val_accuracy.tolist() == wanted
    assert table[table.trial == 2][["state", "failure"]].values.tolist() == [["failed", "ValueError: units is odd"]]
    rows = json.loads(gpusched("export", made.dir.path, "--format", "json").out)
    assert list(rows[0]) == list(table.columns)
    assert [row["val_accuracy"] for row in rows if row["trial"] != 2] == wanted


def test_names_that_collide_are_kept_apart(make_run: Callable[..., Any], gpusched: Callable[..., Any]) -> None:
    """A hyperparameter called loss, or epoch, does not hide the metric or the column."""
    from gpusched.hyperparameters import HyperParameters

    hp = HyperParameters()
    hp.Int("units", 16, 32)
    hp.Fixed("loss", "mse")
    hp.Fixed("epoch", 7)
    made = make_run(algorithm="random", max_epochs=1, max_trials=1, space=hp).finish()
    row = json.loads(gpusched("export", made.dir.path, "--format", "json").out)[0]
    assert (row["epoch"], row["loss"], row["hp:epoch"], row["hp:loss"]) == (1, 1.0, 7, "mse")


@pytest.mark.parametrize("words", [(), ("--json",)])
def test_status_says_how_it_stands(make_run: Callable[..., Any], gpusched: Callable[..., Any], words: Any) -> None:
    """A run that ended, with its failures and their reasons."""
    made = make_run(failing={3}).finish()
    said = gpusched("status", made.dir.path, *words)
    assert said.code == 0
    if words:
        facts = json.loads(said.out)
        assert (facts["state"], facts["exit_code"], facts["trials"]) == (
            "complete", 0, {"done": 17, "started": 17, "failed": 1, "stopped": 0, "all": 17},
        )  # fmt: skip
        why = {"reason": "ValueError: units is odd", "where": ""}
        assert facts["failures"] == [{"trial": 3, "state": "failed", **why, "epochs": 0}]
    else:
        assert "state   complete" in said.out
        assert "failed: trial 3: ValueError: units is odd" in said.out


def test_what_is_piped_is_not_cut(
    make_run: Callable[..., Any], gpusched: Callable[..., Any], monkeypatch: pytest.MonkeyPatch
) -> None:
    """`gpusched status | cat` has every word, however narrow the window is that it was typed in."""
    made = make_run()
    made.step()
    monkeypatch.setenv("COLUMNS", "40")
    lock = RunLock(made.dir.lock)
    try:
        said = gpusched("status", made.dir.path).out
    finally:
        lock.release()
    assert "…" not in said
    assert re.search(r"^device +trial +place +epoch +val_accuracy +left", said, re.MULTILINE)
    assert re.search(r"^cpu 1 .* 0/1 ", said, re.MULTILINE)


def test_an_abandoned_run_says_how_to_go_on(make_run: Callable[..., Any], gpusched: Callable[..., Any]) -> None:
    """Its scheduler was killed: status says so, with the command that continues it."""
    made = make_run("it's mine")
    made.step()
    assert json.loads(gpusched("status", made.dir.path, "--json").out)["state"] == "abandoned"
    assert "not running, its scheduler was killed: continue with `gpusched run" in gpusched("status", made.dir.path).out


def test_logs_of_several_trials_have_prefixes_and_of_one_have_none(
    make_run: Callable[..., Any], gpusched: Callable[..., Any]
) -> None:
    """As `docker compose logs` and `docker logs`."""
    made = make_run(algorithm="random", max_epochs=2, max_trials=3).finish()
    one = made.dir.trial(1).log.read_text()
    assert gpusched("logs", made.dir.path, "1").out == one
    several = gpusched("logs", made.dir.path, "-n", "1", "0", "1").out.splitlines()
    assert [line.split(" |")[0] for line in several] == ["trial 0", "trial 1"]
    as_json = [json.loads(line) for line in gpusched("logs", made.dir.path, "1", "--json").out.splitlines()]
    assert as_json == [{"trial": 1, "line": line} for line in one.splitlines()]


def test_failed_trials_are_chosen(make_run: Callable[..., Any], gpusched: Callable[..., Any]) -> None:
    """`--failed` shows those, and only those."""
    made = make_run(algorithm="random", max_epochs=1, max_trials=4, failing={2}).finish()
    made.dir.trial(2).log.write_text("Traceback\n")
    assert gpusched("logs", made.dir.path, "--failed").out == "trial 2 | Traceback\n"


def test_devices_are_told(gpusched: Callable[..., Any]) -> None:
    """Machine-readable: CPUs, GPUs, slots, notes."""
    facts = json.loads(gpusched("devices", "--json").out)
    assert {"cpu", "gpus", "slots", "notes"} <= facts.keys()


def test_a_trial_is_no_stranger(fake_nvml: Any) -> None:
    """A GPU on which a search of one's own computes is in use by it, and by nobody else."""
    code = "import os, signal; os.environ.clear(); signal.pause()"
    with subprocess.Popen([sys.executable, "-c", code], env={**os.environ, "GPUSCHED_MARK": "1234"}) as trial:
        fake_nvml.add(compute=[{"pid": trial.pid, "used": 5 << 30}])
        fake_nvml.add(compute=[{"pid": 4_000_000_001, "used": 5 << 30}])
        code = "import sys; from gpusched.cli.main import main; main(['devices'])"
        told = fake_nvml.python(code)
        trial.kill()
    first, _, second = told.partition("gpu 1")
    assert "a search of yours computes on it" in first
    assert "others compute" not in first
    assert "others compute on it" in second


def test_a_gpu_that_is_not_used_is_told_with_its_reason(fake_nvml: Any) -> None:
    """Every GPU with its memory and state, the hidden one too."""
    fake_nvml.add(2)
    code = "import sys; from gpusched.cli.main import main; main(['devices'])"
    out = fake_nvml.python(code, CUDA_VISIBLE_DEVICES="0")
    assert "free" in out
    assert "not used: hidden by CUDA_VISIBLE_DEVICES=0" in out


def test_verify_says_what_it_looked_at(make_run: Callable[..., Any], gpusched: Callable[..., Any]) -> None:
    """Exit code 0 for a sound run, 1 for another."""
    made = make_run(algorithm="random", max_epochs=1, max_trials=2).finish()
    sound = gpusched("verify", made.dir.path)
    made.dir.trial(0).record.unlink()
    assert (sound.code, sound.out, gpusched("verify", made.dir.path).code) == (
        0, f"{near(made.dir)}: 6 events, 4 decisions, 2 trials: all as they should be\n", 1,
    )  # fmt: skip
