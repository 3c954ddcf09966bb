"""What NVIDIA's driver says about its GPUs. The only module that imports pynvml.

Knows NVML's calls, error codes and oddities, and turns them into the records of `gpu`: what a
device does not support is None, a GPU that is lost or in an error state is listed with its reason,
and the others go on. Decides nothing. Owns no CUDA context: NVML opens none.
"""

from __future__ import annotations

import ctypes
from collections.abc import Callable, Container, Iterable, Iterator
from pathlib import Path
from types import TracebackType
from typing import Any

from msgspec.structs import replace

from gpusched.devices.gpu import Fault, Gpu, Process, Sample
from gpusched.devices.xids import xid
from gpusched.errors import GpuschedError

_SYSFS_PCI = Path("/sys/bus/pci/devices")
_MASK_WORDS = 32  # of 64 CPUs each: more than Linux is built for on x86


class NvmlMissing(GpuschedError):
    """There is no usable driver; the text says why, in words for the user."""


class _Broken(Exception):
    """This one GPU cannot be used; the text says why, and `lost` that it will not come back by itself."""

    def __init__(self, text: str, *, lost: bool) -> None:
        super().__init__(text)
        self.lost = lost


def _explain(code: int) -> str:
    import pynvml

    return {
        pynvml.NVML_ERROR_LIBRARY_NOT_FOUND: "no NVIDIA driver: libnvidia-ml.so.1 is not installed",
        pynvml.NVML_ERROR_DRIVER_NOT_LOADED: "the NVIDIA driver is installed but not loaded (is there a GPU?)",
        pynvml.NVML_ERROR_LIB_RM_VERSION_MISMATCH: "the NVIDIA driver's library and kernel module have different "
        "versions (an update without a reboot?): reboot, or reload the module",
        pynvml.NVML_ERROR_NO_PERMISSION: "no permission to talk to the NVIDIA driver: check the rights of /dev/nvidia*",
        pynvml.NVML_ERROR_GPU_IS_LOST: "the GPU is lost (fallen off the bus): reset it or reboot",
        pynvml.NVML_ERROR_RESET_REQUIRED: "the GPU wants a reset (nvidia-smi --gpu-reset)",
    }.get(code, "")


class Nvml:
    """An open conversation with the driver.

    Use it as a context manager. Entering raises NvmlMissing, whose text is the reason for the user.
    Numbers of GPUs are stable while it is open, so a GPU that is lost later keeps its UUID here.
    """

    def __init__(self) -> None:
        self._uuids: dict[int, str] = {}  #: by NVML index, as far as ever learnt
        self._handles: dict[str, Any] = {}  #: by UUID, slices included
        self._events: Any = None

    def __enter__(self) -> Nvml:
        try:
            import pynvml
        except ImportError:
            raise NvmlMissing("the package nvidia-ml-py is not installed, so no GPU can be found") from None
        try:
            pynvml.nvmlInit()
        except pynvml.NVMLError as error:
            why = _explain(error.value) or f"the NVIDIA driver does not answer: {error} (NVML error {error.value})"
            raise NvmlMissing(why) from None
        return self

    def __exit__(self, kind: type[BaseException] | None, error: BaseException | None, at: TracebackType | None) -> None:
        import pynvml

        if self._events is not None:
            _try(pynvml.nvmlEventSetFree, self._events)
            self._events = None
        _try(pynvml.nvmlShutdown)

    def versions(self) -> tuple[str | None, str | None]:
        """The driver's version, and the newest CUDA it serves."""
        import pynvml

        cuda = _try(pynvml.nvmlSystemGetCudaDriverVersion)
        return _try(pynvml.nvmlSystemGetDriverVersion), f"{cuda // 1000}.{cuda % 1000 // 10}" if cuda else None

    def gpus(self) -> tuple[Gpu, ...]:
        """Every GPU by number, each followed by its MIG slices."""
        import pynvml

        try:
            count = pynvml.nvmlDeviceGetCount()
        except pynvml.NVMLError as error:
            raise NvmlMissing(f"the NVIDIA driver does not list its GPUs: {error}") from None
        return tuple(gpu for index in range(count) for gpu in self._board(index))

    def _board(self, index: int) -> Iterator[Gpu]:
        import pynvml

        try:
            handle = _must(pynvml.nvmlDeviceGetHandleByIndex, index)
            uuid = _must(pynvml.nvmlDeviceGetUUID, handle)
            self._uuids[index] = uuid
            self._handles[uuid] = handle
            board = _describe(handle, uuid, index)
            slices = list(self._slices(handle, board))
        except _Broken as broken:
            yield Gpu(index=index, uuid=self._uuids.get(index, ""), refused=str(broken))
            return
        if _mig_on(handle):
            why = (
                f"MIG mode is on: its slices ({len(slices)}) are used" if slices else "MIG mode is on, without a slice"
            )
            board = replace(board, refused=board.refused or why)
        yield board
        yield from slices

    def _slices(self, board_handle: Any, board: Gpu) -> Iterator[Gpu]:
        import pynvml

        if not _mig_on(board_handle):
            return
        for number in range(_figure(pynvml.nvmlDeviceGetMaxMigDeviceCount, board_handle) or 0):
            handle = _figure(pynvml.nvmlDeviceGetMigDeviceHandleByIndex, board_handle, number)
            if handle is None:  # an empty place: numbers have holes where slices were destroyed
                continue
            uuid = _must(pynvml.nvmlDeviceGetUUID, handle)
            self._handles[uuid] = handle
            gpu_instance = _figure(pynvml.nvmlDeviceGetGpuInstanceId, handle)
            compute_instance = _figure(pynvml.nvmlDeviceGetComputeInstanceId, handle)
            known = gpu_instance is not None and compute_instance is not None
            yield replace(
                _describe(handle, uuid, board.index),
                mig_parent=board.uuid,
                mig_index=number,
                mig_instance=(gpu_instance, compute_instance) if known else None,
                pci_bus_id=board.pci_bus_id,
                numa_node=board.numa_node,
                cores=board.cores,
                temperature_celsius=board.temperature_celsius,
                exclusive=board.exclusive,
                refused=board.refused,
            )

    def sample(self, uuids: Iterable[str] | None = None) -> dict[str, Sample]:
        """Memory, load and processes of these GPUs (of all seen by `gpus`), by UUID.

        A GPU that does not answer has `refused` set; one that will not answer again `lost` too.
        """
        import pynvml

        samples = {}
        for uuid in list(self._handles) if uuids is None else uuids:
            try:
                handle = self._handles.get(uuid) or _must(pynvml.nvmlDeviceGetHandleByUUID, uuid)
                self._handles[uuid] = handle
                samples[uuid] = _sample(handle, uuid)
            except _Broken as broken:
                samples[uuid] = Sample(uuid=uuid, refused=str(broken), lost=broken.lost)
        return samples

    def watch_faults(self, uuids: Iterable[str]) -> None:
        """Ask the driver to keep XIDs and ECC errors of these GPUs for `faults`, from now on."""
        import pynvml

        if self._events is None:
            self._events = _try(pynvml.nvmlEventSetCreate)
        kinds = pynvml.nvmlEventTypeXidCriticalError | pynvml.nvmlEventTypeDoubleBitEccError
        for uuid in uuids:
            handle = self._handles.get(uuid) or _try(pynvml.nvmlDeviceGetHandleByUUID, uuid)
            if self._events is not None and handle is not None:
                self._handles[uuid] = handle
                # Slices and older GPUs have no events; their faults show in `sample` and in dead trials.
                _try(pynvml.nvmlDeviceRegisterEvents, handle, kinds, self._events)

    def faults(self, timeout_seconds: float = 0.0) -> list[Fault]:
        """What has been reported since the last call; waits at most this long for the first."""
        import pynvml

        found: list[Fault] = []
        while self._events is not None:
            wait = 0 if found else int(timeout_seconds * 1000)
            event = _try(pynvml.nvmlEventSetWait, self._events, wait)
            if event is None:  # a time-out is an error to NVML
                break
            found.append(self._fault(event))
        return found

    def _fault(self, event: Any) -> Fault:
        import pynvml

        uuid = _try(pynvml.nvmlDeviceGetUUID, event.device)
        if uuid is None:  # lost: it cannot tell its name, but its handle is the one registered
            address = _address(event.device)
            uuid = next((known for known, handle in self._handles.items() if _address(handle) == address), "")
        if event.eventType == pynvml.nvmlEventTypeXidCriticalError:
            code = int(event.eventData)
            return Fault(uuid=uuid, kind="xid", code=code, fatal=xid(code).fatal, text=xid(code).name)
        return Fault(uuid=uuid, kind="ecc", code=0, fatal=True, text="an uncorrectable memory error (ECC)")


def _address(handle: Any) -> int | None:
    return ctypes.cast(handle, ctypes.c_void_p).value


def _must(call: Callable[..., Any], *arguments: Any, lacking: Container[int] = ()) -> Any:
    """A call without which the GPU is of no use; None only where it fails with a code in `lacking`."""
    import pynvml

    try:
        return call(*arguments)
    except pynvml.NVMLLibraryMismatchError:  # a driver older than this function
        code, why = pynvml.NVML_ERROR_FUNCTION_NOT_FOUND, "the driver is too old for this call"
    except pynvml.NVMLError as error:
        code, why = error.value, str(error)
    if code in lacking:
        return None
    lost = code in (pynvml.NVML_ERROR_GPU_IS_LOST, pynvml.NVML_ERROR_RESET_REQUIRED)
    raise _Broken(_explain(code) or f"the GPU is in an error state ({call.__name__}: {why})", lost=lost)


def _ask(call: Callable[..., Any], *arguments: Any) -> Any:
    """What every sound GPU tells unless it lacks the feature: memory of its own, say."""
    import pynvml

    lacking = (
        pynvml.NVML_ERROR_NOT_SUPPORTED,
        pynvml.NVML_ERROR_FUNCTION_NOT_FOUND,
        pynvml.NVML_ERROR_NO_PERMISSION,
    )
    return _must(call, *arguments, lacking=lacking)


def _figure(call: Callable[..., Any], *arguments: Any) -> Any:
    """A figure that is nice to have: a GPU is refused for it only if it is lost or wants a reset."""
    import pynvml

    return _must(
        call,
        *arguments,
        lacking=_AllBut((pynvml.NVML_ERROR_GPU_IS_LOST, pynvml.NVML_ERROR_RESET_REQUIRED)),
    )


def _try(call: Callable[..., Any], *arguments: Any) -> Any:
    """None whatever goes wrong: for calls about the driver, or about GPUs known to be lost."""
    return _must(call, *arguments, lacking=_AllBut(()))


class _AllBut:
    def __init__(self, codes: tuple[int, ...]) -> None:
        self._codes = codes

    def __contains__(self, code: object) -> bool:
        return code not in self._codes


def _mig_on(handle: Any) -> bool:
    import pynvml

    mode = _figure(pynvml.nvmlDeviceGetMigMode, handle)
    return bool(mode and mode[0])


def _describe(handle: Any, uuid: str, index: int) -> Gpu:
    import pynvml

    memory = _ask(pynvml.nvmlDeviceGetMemoryInfo, handle)
    processes = _processes(handle)
    load = _figure(pynvml.nvmlDeviceGetUtilizationRates, handle)
    milliwatts = _figure(pynvml.nvmlDeviceGetPowerUsage, handle)
    pci = _figure(pynvml.nvmlDeviceGetPciInfo, handle)
    bus = _text(pci.busId) if pci else None
    mode = _figure(pynvml.nvmlDeviceGetComputeMode, handle)
    return Gpu(
        index=index,
        uuid=uuid,
        name=_figure(pynvml.nvmlDeviceGetName, handle) or "GPU",
        total_bytes=memory and memory.total,
        free_bytes=memory and memory.free,
        used_bytes=memory and memory.used,
        processes=processes,
        utilisation=load and load.gpu / 100,
        temperature_celsius=_figure(pynvml.nvmlDeviceGetTemperature, handle, pynvml.NVML_TEMPERATURE_GPU),
        power_watts=None if milliwatts is None else milliwatts / 1000,
        pci_bus_id=bus,
        numa_node=_numa_node(handle, bus),
        cores=_bits(_figure(pynvml.nvmlDeviceGetCpuAffinity, handle, _MASK_WORDS)),
        exclusive=mode in (pynvml.NVML_COMPUTEMODE_EXCLUSIVE_PROCESS, pynvml.NVML_COMPUTEMODE_EXCLUSIVE_THREAD),
        ecc_errors=_ecc(handle),
        refused="its compute mode is Prohibited (nvidia-smi --compute-mode=0 allows programs)"
        if mode == pynvml.NVML_COMPUTEMODE_PROHIBITED
        else None,
    )


def _sample(handle: Any, uuid: str) -> Sample:
    import pynvml

    memory = _ask(pynvml.nvmlDeviceGetMemoryInfo, handle)
    load = _figure(pynvml.nvmlDeviceGetUtilizationRates, handle)
    running = _ask(pynvml.nvmlDeviceGetComputeRunningProcesses, handle) or ()
    graphics = _figure(pynvml.nvmlDeviceGetGraphicsRunningProcesses, handle) or ()
    return Sample(
        uuid=uuid,
        total_bytes=memory and memory.total,
        free_bytes=memory and memory.free,
        used_bytes=memory and memory.used,
        utilisation=load and load.gpu / 100,
        processes={process.pid: process.usedGpuMemory for process in running},
        drawing=frozenset(process.pid for process in graphics),
        ecc_errors=_ecc(handle),
    )


def _ecc(handle: Any) -> int | None:
    import pynvml

    kind, since = pynvml.NVML_MEMORY_ERROR_TYPE_UNCORRECTED, pynvml.NVML_VOLATILE_ECC
    count: int | None = _figure(pynvml.nvmlDeviceGetTotalEccErrors, handle, kind, since)
    return count


def _processes(handle: Any) -> tuple[Process, ...]:
    import pynvml

    compute = _ask(pynvml.nvmlDeviceGetComputeRunningProcesses, handle) or ()
    graphics = _figure(pynvml.nvmlDeviceGetGraphicsRunningProcesses, handle) or ()
    # A program of a desktop is in both lists (C+G in nvidia-smi): its drawing says what it is.
    kinds = {process.pid: (process, "compute") for process in compute}
    kinds.update({process.pid: (process, "graphics") for process in graphics})
    return tuple(_process(process, kind) for _, (process, kind) in sorted(kinds.items()))


def _process(process: Any, kind: Any) -> Process:
    import psutil

    name = user = None
    try:
        owner = psutil.Process(process.pid)
        name, user = owner.name(), owner.username()
    except (psutil.Error, KeyError, ValueError):
        pass  # ended meanwhile, or a number from outside this container
    return Process(pid=process.pid, kind=kind, used_bytes=process.usedGpuMemory, name=name, user=user)


def _numa_node(handle: Any, bus: str | None) -> int | None:
    # Not nvmlDeviceGetNumaNodeId: on Grace that is the node of the GPU's own memory, not of the cores near it.
    import pynvml

    nodes = _bits(_figure(pynvml.nvmlDeviceGetMemoryAffinity, handle, _MASK_WORDS, pynvml.NVML_AFFINITY_SCOPE_NODE))
    if len(nodes) == 1:
        return nodes[0]
    try:
        # NVML writes the PCI domain with eight digits, sysfs with four.
        node = int((_SYSFS_PCI / (bus or "").lower()[-12:] / "numa_node").read_text())
    except (OSError, ValueError):
        return None
    return node if node >= 0 else None


def _bits(words: Iterable[int] | None) -> tuple[int, ...]:
    return tuple(64 * i + bit for i, word in enumerate(words or ()) for bit in range(64) if word >> bit & 1)


def _text(value: bytes | str) -> str:
    return value.decode(errors="replace") if isinstance(value, bytes) else value
