"""Event files that TensorBoard reads."""

from __future__ import annotations

import math
import struct
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from gpusched.ui.export.tensorboard import write
from gpusched.ui.export.tfevents import crc32c, scalar


def test_checksums_are_those_of_the_standard() -> None:
    """RFC 3720, appendix B.4."""
    assert (crc32c(b"123456789"), crc32c(bytes(32)), crc32c(b"\xff" * 32)) == (0xE3069283, 0x8A9136AA, 0x62A8AB43)


def test_numbers_beyond_32_bits_are_infinite() -> None:
    """A loss that explodes does not keep the others from being exported."""
    assert scalar("loss", 1e300)[-4:] == struct.pack("<f", math.inf)
    assert scalar("loss", -1e300)[-4:] == struct.pack("<f", -math.inf)


@pytest.mark.slow  # importing TensorBoard takes most of it
@pytest.mark.filterwarnings("ignore")
def test_tensorboard_reads_scalars_and_hparams(make_run: Callable[..., Any], tmp_path: Path) -> None:
    """Each epoch's metrics, each trial's values and its state, and the best objective so far."""
    pytest.importorskip("tensorboard")
    from tensorboard.backend.event_processing.event_accumulator import EventAccumulator
    from tensorboard.plugins.hparams import plugin_data_pb2

    made = make_run(algorithm="random", max_epochs=3, max_trials=3, failing={1}).finish()
    assert write(made.run, tmp_path / "board") == 3
    write(made.run, tmp_path / "board")
    launches = [launch for _, launch in made.run.launches]
    for launch in launches:
        events = EventAccumulator(str(tmp_path / "board" / f"trial-{launch.trial:04d}")).Reload()
        data = {
            tag: plugin_data_pb2.HParamsPluginData.FromString(content)
            for tag, content in events.PluginTagToContent("hparams").items()
        }
        start = data["_hparams_/session_start_info"].session_start_info
        assert {name: value.number_value for name, value in start.hparams.items()} == launch.values
        status = data["_hparams_/session_end_info"].session_end_info.status
        if launch.trial == 1:
            assert (status, events.Tags()["scalars"]) == (2, [])
            continue
        assert status == 1
        for tag in ("val_accuracy", "objective"):
            points = [(event.step, event.value) for event in events.Scalars(tag)]
            assert [step for step, _ in points] == [1, 2, 3]
            assert all(math.isclose(v, made.score(launch, e), rel_tol=1e-6) for e, v in points)
    root = EventAccumulator(str(tmp_path / "board")).Reload().PluginTagToContent("hparams")["_hparams_/experiment"]
    told = plugin_data_pb2.HParamsPluginData.FromString(root).experiment
    assert [info.name for info in told.hparam_infos] == ["units", "learning rate"]
    assert [info.name.tag for info in told.metric_infos] == ["objective"]
