"""A Ray cluster and the agents on its nodes. The one place that calls Ray."""

from __future__ import annotations

import asyncio
import contextlib
import hashlib
import logging
import os
import shlex
import sys
import tempfile
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import msgspec

from gpusched.devices import Inventory
from gpusched.engines.ray.agent import Agent
from gpusched.engines.ray.found import own, owner
from gpusched.errors import UsageError
from gpusched.launcher.protocol import Load
from gpusched.storage.identity import boot_id

log = logging.getLogger(__name__)

_NAMESPACE = "gpusched"
_ANSWER_SECONDS = 10.0
#: Beginnings of names of variables that are the user's to set for trials.
_PASSED_ON = ("KERAS_", "TF_", "XLA_", "JAX_", "TORCH_", "PYTORCH_", "NCCL_", "OMP_", "MKL_", "GPUSCHED_", "PYTHONPATH")
#: For a process of Ray's on a node to begin, where that is slow or busy.
_START_SECONDS = 120.0
#: Set where an agent starts: it pins trials itself, and each has its share of the cores.
_ENVIRONMENT = {"RAY_EXPERIMENTAL_NOSET_CUDA_VISIBLE_DEVICES": "1"}


@dataclass(slots=True)
class Node:
    """A machine of the cluster with its agent."""

    id: str
    name: str  #: for people: the host's, with a number where several nodes are on it
    machine: Inventory
    agent: Any  #: the actor's handle
    here: bool  #: pids of its processes mean something on this machine
    found: bool  #: an earlier session had started its agent
    scratch: str  #: the folder there in which trials work
    shared: bool  #: it sees the run directory: what a trial needs moves through that
    own: frozenset[int] = frozenset()  #: processes on its GPUs that are our trials
    heard: int = 0  #: the number of the last event
    have: dict[int, Any] = field(default_factory=dict)  #: by trial, agent.Have


class Cluster:
    """The nodes that are there, each with an agent for this run."""

    def __init__(self, address: str | None, *, share: bool = True) -> None:
        """share: False: what trials need goes through Ray even where nodes see the run directory."""
        self._address, self._share = address, share
        self._run = ""
        self._ray: Any = None
        self._prefix = ""
        self._token = ""
        self._source = Load()
        self._blob: bytes | None = None
        self.nodes: dict[str, Node] = {}
        self.refused: dict[str, str] = {}  #: nodes that cannot take part, and why

    async def join(self) -> None:
        """Connects, to a cluster of this machine's own where none is named or found.

        Raises UsageError where there is no Ray, or no cluster at that address.
        """
        try:
            import ray
        except ModuleNotFoundError:
            raise UsageError("engine: 'ray' needs the package ray: pip install ray") from None
        self._ray = ray
        os.environ.setdefault("RAY_ACCEL_ENV_VAR_OVERRIDE_ON_ZERO", "0")
        options = {"namespace": _NAMESPACE, "log_to_driver": False, "logging_level": logging.ERROR}
        address = self._address or os.environ.get("RAY_ADDRESS")
        if address in (None, "auto"):
            found = await asyncio.to_thread(own)
            if found is None and address is not None:
                raise _nobody(address, "no node of a cluster of yours is on this machine")
            # One whose head is gone has nodes that nobody can join.
            address = found if found is not None and await _listens(found) is None else "local"
        else:
            await _answers(address)
            if (other := await asyncio.to_thread(owner, address)) is not None:
                raise _nobody(address, f"it is {other}'s, who alone can join it; without --address one is started")
        if address == "local":
            options["include_dashboard"] = False
        try:
            await asyncio.to_thread(ray.init, address=address, **options)
        except Exception as error:  # Ray raises what it likes, Exception itself included.
            why = " ".join(str(error).split())[:300]
            if address == "local":
                raise UsageError(f"engine: Ray could not be started on this machine ({why})") from None
            raise _nobody(address, why) from None

    async def begin(self, run: Path, token: str, source: Load) -> None:
        """Puts an agent on every node, or finds those of a session that was killed.

        Raises UsageError where no node can take part.
        """
        self._prefix = "gpusched-" + hashlib.sha256(os.fsencode(run)).hexdigest()[:12]
        self._token, self._run = token, str(run) if self._share else ""
        if source.pickled_fd is not None:
            whole = Path(f"/proc/self/fd/{source.pickled_fd}")
            self._blob = await asyncio.to_thread(whole.read_bytes)  # One pread() gives 2 GiB at most.
            source = msgspec.structs.replace(source, pickled_fd=None)
        self._source = source
        await self.look()
        if not self.nodes:
            reasons = "; ".join(dict.fromkeys(self.refused.values()))
            raise UsageError(f"engine: no node of the Ray cluster can take part ({reasons or 'it has none'})")

    async def look(self) -> list[Node]:
        """Takes in nodes that have joined; returns them."""
        alive = {node["NodeID"]: node for node in await asyncio.to_thread(self._ray.nodes) if node["Alive"]}
        fresh = [found for id, found in sorted(alive.items()) if id not in self.nodes and id not in self.refused]
        begun = await asyncio.gather(*(self._agent(found) for found in fresh))
        joined = [node for node in begun if node is not None]
        for node in joined:
            names = [each.name for each in self.nodes.values()]
            if node.name in names:
                node.name = next(name for n in range(2, len(names) + 3) if (name := f"{node.name}-{n}") not in names)
            self.nodes[node.id] = node
        return joined

    async def _agent(self, found: dict[str, Any]) -> Node | None:
        id = found["NodeID"]
        name, host = f"{self._prefix}-{id}", found.get("NodeManagerHostname") or id[:12]
        source = msgspec.json.encode(self._source)
        for again in (False, True):
            handle, known = await asyncio.to_thread(self._start, id, name)
            try:
                await asyncio.wait_for(handle.attempts.remote(), _START_SECONDS)
                told = await handle.begin.remote(
                    self._token, source, self._blob, self._run, _of_the_user(), os.getcwd()
                )
            except TimeoutError:
                self.refused[id] = f"{host}: its agent did not start within {_START_SECONDS:g} s; Ray's logs say why"
                await asyncio.to_thread(self._kill, handle)
                return None
            except self._ray.exceptions.RayTaskError as error:
                self.refused[id] = f"{host}: {' '.join(str(error.cause).split())}"
                await asyncio.to_thread(self._kill, handle)
                return None
            except self._ray.exceptions.RayError as error:
                log.info("node %s: %s", id, error)
                self.refused[id] = f"{host}: it died while its agent began ({type(error).__name__})"
                return None
            if told["token"] == self._token or again:
                break
            # It is of another search in this folder, or of another script.
            await asyncio.to_thread(self._kill, handle)
        machine = msgspec.json.decode(told["inventory"], type=Inventory)
        return Node(
            id, told["host"], machine, handle, told["boot"] == boot_id(), known, told["scratch"], told["shared"]
        )

    def _start(self, id: str, name: str) -> tuple[Any, bool]:
        """The handle of a node's agent, and whether it was there already."""
        ray = self._ray
        with contextlib.suppress(ValueError):
            return ray.get_actor(name, namespace=_NAMESPACE), True
        strategy = ray.util.scheduling_strategies.NodeAffinitySchedulingStrategy(node_id=id, soft=False)
        scratch = Path(tempfile.gettempdir()) / f"gpusched-{os.getuid()}" / f"{self._prefix}-{id[:12]}"
        actor = ray.remote(Agent).options(
            name=name,
            namespace=_NAMESPACE,
            lifetime="detached",
            num_cpus=0,
            max_restarts=0,
            max_task_retries=0,
            max_concurrency=64,
            scheduling_strategy=strategy,
            runtime_env=_environment(),
        )
        return actor.remote(str(scratch)), False

    def _kill(self, handle: Any) -> None:
        with contextlib.suppress(self._ray.exceptions.RayError):
            self._ray.kill(handle)

    async def refresh(self) -> None:
        """Looks at all nodes' devices anew: who else computes there."""
        for node in list(self.nodes.values()):
            try:
                machine, own = await node.agent.machine.remote()
            except self._ray.exceptions.RayError:
                continue  # Whoever listens to it hears of its death, and says what follows.
            node.machine, node.own = msgspec.json.decode(machine, type=Inventory), frozenset(own)

    def gone(self, error: BaseException) -> bool:
        """Whether this says that a node or its agent has died."""
        return isinstance(error, self._ray.exceptions.RayError) and not isinstance(
            error, self._ray.exceptions.RayTaskError
        )

    def drop(self, node: Node) -> None:
        """It has died, or is given up: its agent ends with what it runs. Should it come back, it is another."""
        self.nodes.pop(node.id, None)
        self._kill(node.agent)

    async def close(self) -> None:
        """Ends the agents, and the connection."""
        if self._ray is None:
            return
        for node in self.nodes.values():
            with contextlib.suppress(Exception):  # An agent that dies while it ends has ended.
                await asyncio.wait_for(node.agent.close.remote(), 60)
            await asyncio.to_thread(self._kill, node.agent)
        self.nodes.clear()
        await asyncio.to_thread(self._ray.shutdown)


async def _answers(address: str) -> None:
    """Raises UsageError where nobody listens: Ray itself would try for minutes."""
    if (why := await _listens(address)) is not None:
        raise _nobody(address, why)


async def _listens(address: str) -> str | None:
    """Why nobody can be reached at this address; None where somebody can, or where it is none of a host."""
    host, _, port = address.removeprefix("ray://").rpartition(":")
    if not port.isdecimal():  # "local", and what else Ray may know.
        return None
    try:
        _, writer = await asyncio.wait_for(asyncio.open_connection(host.strip("[]"), int(port)), _ANSWER_SECONDS)
        writer.close()
    except (TimeoutError, OSError) as error:
        return str(error) or f"no answer within {_ANSWER_SECONDS:g} s"
    return None


def _nobody(address: str, why: str) -> UsageError:
    return UsageError(f"--address {address}: no Ray cluster can be joined there ({why})")


def _of_the_user() -> dict[str, str]:
    """What the user's shell tells frameworks: a cluster that runs already knows nothing of it."""
    return {name: value for name, value in os.environ.items() if name.startswith(_PASSED_ON)}


def _environment() -> dict[str, Any]:
    """Ray hands the path of Python to a shell as it is: one with a space in it has to be quoted for it."""
    found: dict[str, Any] = {"env_vars": _ENVIRONMENT}
    quoted = shlex.quote(sys.executable)
    return found if quoted == sys.executable else {**found, "py_executable": quoted}
