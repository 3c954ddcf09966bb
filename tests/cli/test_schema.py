"""What is printed for programs has the documented shape."""

from __future__ import annotations

import json
from collections.abc import Callable
from pathlib import Path
from typing import Any

import jsonschema
import pytest

SCRIPT = """
import gpusched as gs

def train(hp, trial):
    x = hp.Float("x", 0, 1)
    for epoch in range(trial.start_epoch, trial.stop_epoch):
        trial.report(loss=x)

tuner = gs.Hyperband(train=train, objective="loss", max_epochs=9, seed=1)
"""


def valid(gpusched: Callable[..., Any], command: str, printed: Any) -> None:
    schema = json.loads(gpusched("schema", command).out)
    jsonschema.Draft202012Validator.check_schema(schema)
    jsonschema.validate(printed, schema, cls=jsonschema.Draft202012Validator)


@pytest.mark.parametrize("ended", [True, False])
@pytest.mark.parametrize("command", ["status", "best", "verify"])
def test_facts_of_a_run(make_run: Callable[..., Any], gpusched: Callable[..., Any], command: str, ended: bool) -> None:
    """Of a search that has ended, with a lost trial, and of one that was left alone."""
    made = make_run(failing={3})
    made.step()
    made.step()
    if ended:
        made.finish()
    valid(gpusched, command, json.loads(gpusched(command, made.dir.path, "--json").out))


def test_lines_and_rows(make_run: Callable[..., Any], gpusched: Callable[..., Any]) -> None:
    """A line of logs is an object; an export is a list of rows."""
    made = make_run(failing={3}).finish()
    for line in gpusched("logs", made.dir.path, "0", "--json").out.splitlines():
        valid(gpusched, "logs", json.loads(line))
    valid(gpusched, "export", json.loads(gpusched("export", made.dir.path, "--format", "json").out))


def test_the_machine(gpusched: Callable[..., Any], fake_nvml: Any) -> None:
    """Devices, without a GPU and with two of which one is hidden."""
    valid(gpusched, "devices", json.loads(gpusched("devices", "--json").out))
    fake_nvml.add(2)
    code = "from gpusched.cli.main import main; main(['devices', '--json'])"
    valid(gpusched, "devices", json.loads(fake_nvml.python(code, CUDA_VISIBLE_DEVICES="0")))


def test_the_plan(gpusched: Callable[..., Any], tmp_path: Path) -> None:
    """With a calibration and without one."""
    script = tmp_path / "script.py"
    script.write_text(SCRIPT)
    for options in ([], ["--calibrate"]):
        told = json.loads(gpusched("plan", script, "--json", *options).out)
        valid(gpusched, "plan", told)
        assert told["plan"]["brackets"][0]["rungs"][0] == {"trials": 9, "start_epoch": 0, "stop_epoch": 1}


def test_a_field_that_nobody_documented(make_run: Callable[..., Any], gpusched: Callable[..., Any]) -> None:
    """The schema is closed: it would be seen."""
    told = json.loads(gpusched("status", make_run().dir.path, "--json").out)
    with pytest.raises(jsonschema.ValidationError, match="surprise"):
        valid(gpusched, "status", {**told, "surprise": 1})
