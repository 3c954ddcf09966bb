"""The space of a tuner that has not searched yet, found by a launcher: in the caller's process nothing happens."""

from __future__ import annotations

import asyncio
import os
import tempfile
import threading
from pathlib import Path
from typing import Any

from gpusched.hyperparameters import HyperParameters
from gpusched.launcher.client import LauncherClient
from gpusched.launcher.protocol import Load
from gpusched.launcher.transport import pack
from gpusched.storage.rundir import RunDir
from gpusched.system.origin import Origin


def discover(tuner: Any) -> HyperParameters:
    """The space of `tuner`. Works beside a running loop. Raises UsageError as a search would."""
    found: list[HyperParameters] = []
    failed: list[BaseException] = []

    def work() -> None:
        try:
            found.append(asyncio.run(_ask(tuner)))
        except BaseException as error:
            failed.append(error)

    thread = threading.Thread(target=work, name="gpusched")
    thread.start()
    thread.join()
    if failed:
        raise failed[0]
    return found[0]


async def _ask(tuner: Any) -> HyperParameters:
    fd = pack({"tuner": tuner, "args": (), "kwargs": {}}, {"the tuner": tuner})
    try:
        launcher = await LauncherClient.start(Load(pickled_fd=fd, origin=Origin.here()))
        try:
            await launcher.loaded()
            with tempfile.TemporaryDirectory(prefix="gpusched-space-") as folder:
                await launcher.begin(RunDir(Path(folder)))
                return HyperParameters.from_config((await launcher.discover()).space)
        finally:
            await launcher.close()
    finally:
        os.close(fd)
