"""Whose Ray clusters are on this machine: one's own alone are joined.

Stand-ins have the name and the arguments of Ray's nodes.
"""

from __future__ import annotations

import os
import socket
import subprocess
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest

from gpusched.engines.ray import found
from gpusched.engines.ray.agent import Agent
from gpusched.engines.ray.cluster import Cluster
from gpusched.errors import UsageError


@pytest.fixture
def node() -> Iterator[Callable[..., str]]:
    """A process that looks like a node of the cluster at an address, of this user or another."""
    started: list[subprocess.Popen[bytes]] = []

    def make(address: str, user: int | None = None) -> str:
        # A shell that has the words of its command line for itself, and waits.
        words = ["/ray/raylet", "-c", "read word; exit", "--store=/tmp/ray", f"--gcs-address={address}"]
        started.append(subprocess.Popen(words, executable="/bin/sh", stdin=subprocess.PIPE, user=user))
        return address

    yield make
    for each in started:
        each.communicate()


def test_the_newest_of_ones_own_is_found(node: Callable[..., str]) -> None:
    """Whatever else runs here."""
    node("127.0.0.1:11")
    assert found.own() is not None
    assert found.owner("127.0.0.1:11") is None
    assert found.owner("127.0.0.1:13") is None


@pytest.mark.skipif(os.getuid() != 0, reason="another user can be played by root alone")
async def test_another_users_cluster_is_not_joined(node: Callable[..., str], monkeypatch: pytest.MonkeyPatch) -> None:
    """By name it is refused, in a line; of itself it is not even found. Root may join all."""
    theirs = node("10.99.0.1:4711", user=65534)
    assert found.owner(theirs) is None
    monkeypatch.setattr(os, "getuid", lambda: 65533)
    assert found.own() is None
    assert found.owner(theirs) == "nobody"
    assert found.owner("127.0.0.1:4711") == "nobody"
    assert found.owner("10.99.0.2:4711") is None
    with socket.create_server(("127.0.0.1", 0)) as listening:
        address = node(f"127.0.0.1:{listening.getsockname()[1]}", user=65534)
        with pytest.raises(UsageError, match=f"{address}: no Ray cluster can be joined there .it is nobody's"):
            await Cluster(address).join()
    with pytest.raises(UsageError, match="no node of a cluster of yours is on this machine"):
        await Cluster("auto").join()


def test_a_folder_that_somebody_else_made_is_not_used(tmp_path: Path) -> None:
    """An agent's trials would write into it, wherever it leads; one that the user has made is closed to others."""
    (tmp_path / "elsewhere" / "run").mkdir(parents=True)
    (tmp_path / "gpusched-1000").symlink_to(tmp_path / "elsewhere")
    with pytest.raises(UsageError, match="is another user's"):
        Agent(str(tmp_path / "gpusched-1000" / "run"))._clear()
    assert (tmp_path / "elsewhere" / "run").exists()
    (tmp_path / "gpusched-1001").mkdir(mode=0o755)
    Agent(str(tmp_path / "gpusched-1001" / "run"))._clear()
    assert (tmp_path / "gpusched-1001").stat().st_mode & 0o777 == 0o700
