"""A Ray cluster of several nodes on this machine, in a process of its own."""

from __future__ import annotations

import json
import os
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

_CLUSTER = """
import json, sys
from ray.cluster_utils import Cluster
quiet = {"include_dashboard": False}
cluster = Cluster(initialize_head=True, head_node_args={"num_cpus": 1, **quiet})
nodes = [cluster.head_node]
def say(**told):
    print("@" + json.dumps(told), flush=True)
say(address=cluster.address)
for line in sys.stdin:
    order = line.split()
    if order[0] == "add":
        nodes.append(cluster.add_node(num_cpus=1))
    elif order[0] == "remove":
        cluster.remove_node(nodes.pop(int(order[1])), allow_graceful=False)
    elif order[0] == "end":
        break
    say(nodes=[node.node_id for node in nodes])
cluster.shutdown()
"""


class RayCluster:
    """Orders go to its process: `add`, `remove`."""

    def __init__(self, folder: Path) -> None:
        environ = {**os.environ, "RAY_ENABLE_UV_RUN_RUNTIME_ENV": "0", "RAY_USAGE_STATS_ENABLED": "0"}
        self._log = open(folder / "cluster.txt", "w")  # noqa: SIM115
        self._process = subprocess.Popen(
            [sys.executable, "-c", _CLUSTER],
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            stderr=self._log,
            text=True,
            env=environ,
        )
        self.address: str = self._answer()["address"]

    def _answer(self) -> dict[str, Any]:
        assert self._process.stdout is not None
        for line in self._process.stdout:
            if line.startswith("@"):
                told: dict[str, Any] = json.loads(line[1:])
                return told
        raise AssertionError("the cluster's process has ended; see cluster.txt")

    def _ask(self, order: str) -> list[str]:
        assert self._process.stdin is not None
        self._process.stdin.write(order + "\n")
        self._process.stdin.flush()
        nodes: list[str] = self._answer()["nodes"]
        return nodes

    def add(self) -> list[str]:
        return self._ask("add")

    def remove(self, number: int) -> list[str]:
        """Kills a node, all its processes at once."""
        return self._ask(f"remove {number}")

    def close(self) -> None:
        assert self._process.stdin is not None
        self._process.stdin.write("end\n")
        self._process.stdin.close()
        self._process.wait(60)
        assert self._process.stdout is not None
        self._process.stdout.close()
        self._log.close()


@pytest.fixture
def cluster(tmp_path: Path) -> Iterator[RayCluster]:
    """One node; `add()` gives it more."""
    pytest.importorskip("ray")
    made = RayCluster(tmp_path)
    try:
        yield made
    finally:
        made.close()
