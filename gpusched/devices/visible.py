"""Which GPUs count: the environment's CUDA_VISIBLE_DEVICES, then the user's `gpus=`.

Pure. The two speak differently. CUDA_VISIBLE_DEVICES is CUDA's language (CUDA C++ Programming
Guide, "CUDA Environment Variables"): a list that ends, silently, at its first entry that names
nothing. `gpus=` is ours: numbers are those of nvidia-smi, and what names nothing is an error.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence

from msgspec.structs import replace

from gpusched.devices.gpu import Gpu
from gpusched.errors import UsageError

VARIABLE = "CUDA_VISIBLE_DEVICES"


def restrict(gpus: Sequence[Gpu], environ: Mapping[str, str]) -> tuple[tuple[Gpu, ...], tuple[str, ...]]:
    """Mark as refused what the environment hides; return all GPUs, and lines for the user.

    Numbers are read in PCI bus order. CUDA itself counts so only under CUDA_DEVICE_ORDER=PCI_BUS_ID,
    and by speed otherwise; where the GPUs differ a line says so.
    """
    value = environ.get(VARIABLE)
    if value is None or not gpus:
        return tuple(gpus), ()
    seen, wrong = _enumerate(value, gpus)
    why = f"hidden by {VARIABLE}={value}"
    in_use = seen | {gpu.mig_parent for gpu in gpus if gpu.uuid in seen}
    marked = tuple(gpu if gpu.uuid in in_use else replace(gpu, refused=gpu.refused or why, hidden=True) for gpu in gpus)
    notes = []
    if wrong is not None:
        notes.append(f"{VARIABLE}={value}: no GPU is called {wrong!r}; as in CUDA, it and what follows it is ignored")
    numbered = any(entry.strip().isdecimal() for entry in value.split(","))
    alike = len({gpu.name for gpu in gpus if gpu.mig_parent is None and gpu.uuid}) < 2
    if numbered and not alike and environ.get("CUDA_DEVICE_ORDER") != "PCI_BUS_ID":
        notes.append(f"{VARIABLE}={value}: read in PCI bus order, as nvidia-smi counts; UUIDs leave no doubt")
    return marked, tuple(notes)


def _enumerate(value: str, gpus: Sequence[Gpu]) -> tuple[set[str], str | None]:
    """The UUIDs that CUDA would see, and the entry that names nothing, if it looks like a slip."""
    seen: set[str] = set()
    for entry in (part.strip() for part in value.split(",")):
        uuid = _cuda_entry(entry, gpus)
        if uuid is None:
            # "", "-1" and "NoDevFiles" (set by schedulers for jobs without GPUs) mean what they do.
            return seen, None if entry in ("", "-1", "NoDevFiles") else entry
        seen.add(uuid)
    return seen, None


def _cuda_entry(entry: str, gpus: Sequence[Gpu]) -> str | None:
    boards = [gpu for gpu in gpus if gpu.mig_parent is None]
    if all(gpu.pci_bus_id for gpu in boards):  # an ill one may not tell; NVML lists by bus anyway
        boards.sort(key=lambda gpu: gpu.pci_bus_id or "")
    if entry.isdecimal():
        number = int(entry)
        return _first_of(boards[number], gpus) if number < len(boards) else None
    if entry.startswith("GPU-") and len(entry) > 4:
        found = [gpu for gpu in boards if gpu.uuid.startswith(entry)]
        return _first_of(found[0], gpus) if len(found) == 1 else None
    if entry.startswith("MIG-") and len(entry) > 4:
        slices = [gpu for gpu in gpus if gpu.mig_parent is not None]
        exact = [gpu for gpu in slices if _old_name(gpu) == entry]
        found = exact or [gpu for gpu in slices if gpu.uuid.startswith(entry)]
        return found[0].uuid if len(found) == 1 else None
    return None


def _first_of(board: Gpu, gpus: Sequence[Gpu]) -> str:
    """CUDA enumerates one slice of a GPU in MIG mode: the first."""
    return next((gpu.uuid for gpu in gpus if gpu.mig_parent == board.uuid), board.uuid)


def _old_name(gpu: Gpu) -> str | None:
    """`MIG-GPU-<uuid>/<gpu instance>/<compute instance>`, the form of drivers before 470."""
    return None if gpu.mig_instance is None else "MIG-{}/{}/{}".format(gpu.mig_parent, *gpu.mig_instance)


def select(gpus: Sequence[Gpu], wanted: str | int | Iterable[str | int] | None, why_none: str = "") -> tuple[Gpu, ...]:
    """The GPUs that `gpus=` asks for, in the machine's order; empty means: train on the CPU.

    `wanted` is "all" (or None), "none", an index, "0:1" for a slice, the beginning of a UUID, several
    with commas, or a list of these. A GPU in MIG mode stands for all its slices. Raises UsageError for
    a GPU that does not exist, is ambiguous, or cannot be used, and for "all" where every GPU is ill.
    """
    entries = ["all"] if wanted is None else _entries(wanted)
    if entries == ["all"]:
        sound = tuple(gpu for gpu in gpus if gpu.refused is None)
        broken = [gpu for gpu in gpus if not gpu.hidden]
        if broken and not sound:  # never silently train on the CPU of a machine whose GPUs are ill
            reasons = "; ".join(f"GPU {gpu.label}: {gpu.refused}" for gpu in broken)
            raise UsageError(f'no GPU can be used ({reasons}); gpus="none" trains on the CPU')
        return sound
    if entries == ["none"]:
        return ()
    chosen: set[str] = set()
    for entry in entries:
        found = _named(entry, gpus, why_none)
        slices = [gpu for gpu in gpus if gpu.mig_parent is not None and gpu.mig_parent == found.uuid]
        usable = [gpu for gpu in slices or [found] if gpu.refused is None]
        if not usable:
            raise UsageError(f"gpus={entry!r}: GPU {found.label} cannot be used: {(slices or [found])[0].refused}")
        chosen.update(gpu.uuid for gpu in usable)
    return tuple(gpu for gpu in gpus if gpu.uuid in chosen)


def _entries(wanted: str | int | Iterable[str | int]) -> list[str]:
    items: Iterable[str | int]
    if isinstance(wanted, str):
        items = wanted.split(",")
    elif isinstance(wanted, int):
        items = [wanted]
    else:
        items = list(wanted)
    if any(isinstance(item, bool) or not isinstance(item, str | int) for item in items):
        raise UsageError(f'gpus={wanted!r}: give "all", "none", indices or UUIDs, such as "0,2" or [0, 2]')
    entries = [str(item).strip() for item in items]
    entries = [entry for entry in entries if entry]
    if not entries:
        raise UsageError(f'gpus={wanted!r} names no GPU: give "all", indices or UUIDs, or "none" to train on the CPU')
    if len(entries) > 1 and not {"all", "none"}.isdisjoint(entries):
        raise UsageError(f'gpus={wanted!r}: "all" and "none" stand alone')
    return entries


def _named(entry: str, gpus: Sequence[Gpu], why_none: str) -> Gpu:
    if entry.startswith(("GPU-", "MIG-")):
        found = [gpu for gpu in gpus if gpu.uuid.startswith(entry) or _old_name(gpu) == entry]
        if len(found) > 1:
            # A whole UUID is never ambiguous, even where it begins another.
            found = [gpu for gpu in found if gpu.uuid == entry] or found
    else:
        found = [gpu for gpu in gpus if gpu.label == entry]
    if len(found) == 1:
        return found[0]
    if not gpus:
        reason = f" ({why_none})" if why_none else ""
        raise UsageError(f'gpus={entry!r}: this machine shows no GPU{reason}; leave it out or give "none" for the CPU')
    there = ", ".join(f"{gpu.label} ({gpu.uuid or gpu.refused})" for gpu in gpus)
    if found:
        raise UsageError(f"gpus={entry!r} is the beginning of {len(found)} GPUs; there are {there}")
    raise UsageError(f"gpus={entry!r}: there is no such GPU; there are {there}")
