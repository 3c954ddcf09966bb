"""The slots of several machines as one pool: each is laid over its own machine, and all are numbered on.

A slot keeps its number as long as its node is there; one that joins gets the numbers that follow.
"""

from __future__ import annotations

from collections.abc import Collection, Iterable

from msgspec.structs import replace

from gpusched.devices import Gpu
from gpusched.engines.ray.cluster import Cluster, Node
from gpusched.errors import UsageError
from gpusched.runtime.machine.layout import Laid, Layout
from gpusched.runtime.machine.sharing import Sharing
from gpusched.trial.settings import Settings


class Pool(Layout):
    """Stands where a machine's Layout stands. The GPUs of other machines are not watched from here."""

    def __init__(self, cluster: Cluster, settings: Settings) -> None:
        self._cluster, self._settings = cluster, settings
        self._layouts: dict[str, Layout] = {}
        self._numbers: dict[tuple[str, int], int] = {}
        self.places: dict[int, str] = {}  #: the node of each slot
        self.sharing = Sharing(1 if isinstance(settings.per_gpu, str) else settings.per_gpu)
        self.gpus: tuple[Gpu, ...] = ()
        self.busy: dict[str, str] = {}
        self.fresh: set[str] = set()
        self.lost: dict[str, str] = {}

    def judge(self, found: Iterable[Gpu], own_pids: Collection[int], *, first: bool = False) -> bool:
        return False

    def choose(self, wanted: str | list[str]) -> None:
        raise UsageError("gpus: the GPUs of a search on Ray are all its nodes'; stop it, and give --gpus to the next")

    @property
    def on_gpus(self) -> bool:
        return any(layout.gpus for layout in self._layouts.values())

    @property
    def grouped(self) -> bool:
        return False

    def caps(self) -> dict[str, int]:
        return {}

    def lay(self, own_pids: Collection[int] = ()) -> Laid:
        """The slots of all nodes. Raises UsageError where what is asked for can be had on none of them."""
        slots, waiting, notes = [], [], []
        several = len(self._cluster.nodes) > 1
        wrong: list[UsageError] = []
        for node in list(self._cluster.nodes.values()):
            try:
                laid = self._on(node)
            except UsageError as error:  # Other nodes may have what this one has not.
                wrong.append(error)
                notes.append(f"{node.name}: {error}")
                continue
            for slot in laid.slots:
                number = self._numbers.setdefault((node.id, slot.index), len(self._numbers))
                self.places[number] = node.id
                label = f"{node.name} {slot.label}" if several else slot.label
                env = {**slot.env, "GPUSCHED_SLOT": str(number)}
                slots.append(replace(slot, index=number, label=label, env=env, node=node.name))
            waiting += [f"{node.name}: {line}" for line in laid.waiting]
            notes += [f"{node.name}: {line}" for line in laid.notes]
        if wrong and not self._layouts:
            raise wrong[0]
        return Laid(tuple(slots), waiting, notes)

    def _on(self, node: Node) -> Laid:
        layout = self._layouts.get(node.id)
        if layout is None:
            layout = Layout(node.machine, self._settings, self.sharing)
            layout.judge(node.machine.gpus, node.own, first=True)
            self._layouts[node.id] = layout
        layout.judge(node.machine.gpus, node.own)
        return layout.lay(node.own)
