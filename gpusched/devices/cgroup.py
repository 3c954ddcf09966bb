"""What the kernel's control groups grant this process: CPU time and memory, versions 1 and 2.

Reads `/proc/self/{cgroup,mountinfo}` and the files they lead to; nothing else. A limit anywhere
between the process's own group and the root of the mount counts, the tightest wins.
"""

from __future__ import annotations

import re
from collections.abc import Iterator
from pathlib import Path

_UNLIMITED_BYTES = 1 << 60  # version 1 writes "no limit" as a number near 2^63


def cpu_quota(proc: Path = Path("/proc/self")) -> float | None:
    """CPUs' worth of time per second that may be used; None where nothing limits it."""
    quotas = []
    for folder in _folders(proc, "cpu"):
        maximum = (_read(folder / "cpu.max") or "").split()  # version 2: "200000 100000" or "max 100000"
        if len(maximum) == 2:
            quota, period = _number(maximum[0]), _number(maximum[1])
        else:
            quota, period = _number(_read(folder / "cpu.cfs_quota_us")), _number(_read(folder / "cpu.cfs_period_us"))
        if quota is not None and period and quota > 0:
            quotas.append(quota / period)
    return min(quotas, default=None)


def memory_left(proc: Path = Path("/proc/self")) -> int | None:
    """Bytes that may still be taken before a limit is hit; None where nothing limits it.

    Page cache that the kernel would drop first (inactive files) does not count as used.
    """
    left = []
    for folder in _folders(proc, "memory"):
        limit = _number(_read(folder / "memory.max") or _read(folder / "memory.limit_in_bytes"))
        if limit is None or limit >= _UNLIMITED_BYTES:
            continue
        used = _number(_read(folder / "memory.current") or _read(folder / "memory.usage_in_bytes")) or 0
        cache = re.search(r"^(?:total_)?inactive_file (\d+)$", _read(folder / "memory.stat") or "", re.MULTILINE)
        left.append(max(0, limit - max(0, used - (int(cache[1]) if cache else 0))))
    return min(left, default=None)


def oom_kills(proc: Path = Path("/proc/self")) -> int | None:
    """How many processes of this group the kernel has killed for want of memory; None where it does not count.

    Version 2 counts in memory.events, with all groups below; version 1 in each group's own memory.oom_control, which
    a container may not see. Then, and outside any group, the whole machine's count stands in /proc/vmstat.
    """
    for folder in _folders(proc, "memory"):
        if (count := _oom_count(folder / "memory.events")) is not None:
            return count
    own = re.search(r"^\d+:[^:]*\bmemory\b[^:]*:(.*)$", _read(proc / "cgroup") or "", re.MULTILINE)
    first = next(_folders(proc, "memory"), None)
    shown = own is not None and first is not None and str(first).endswith(own[1].rstrip("/"))
    count = _oom_count(first / "memory.oom_control") if shown and first is not None else None
    return _oom_count(proc.parent / "vmstat") if count is None else count


def _oom_count(file: Path) -> int | None:
    count = re.search(r"^oom_kill (\d+)$", _read(file) or "", re.MULTILINE)
    return int(count[1]) if count is not None else None


def _folders(proc: Path, controller: str) -> Iterator[Path]:
    """The process's group under this controller, then its parents, for each version that is mounted."""
    groups: dict[str, str] = {}  # controller: path, as the mount's root sees it; "" is version 2
    for line in (_read(proc / "cgroup") or "").splitlines():
        _, names, path = line.split(":", 2)
        groups.update(dict.fromkeys(names.split(","), path))
    for line in (_read(proc / "mountinfo") or "").splitlines():
        before, _, after = line.partition(" - ")
        fields, kind = before.split(), after.split()
        if len(fields) < 5 or len(kind) < 3:
            continue
        if kind[0] == "cgroup2":
            group = groups.get("")
        else:
            group = groups.get(controller) if kind[0] == "cgroup" and controller in kind[2].split(",") else None
        if group is None:
            continue
        root, mount = _unescape(fields[3]), Path(_unescape(fields[4]))
        # Inside a container the path may be the host's, beyond what is mounted here: then the mount is the group.
        inside = group[len(root) :] if root != "/" and group.startswith(root) else group
        folder = mount / inside.strip("/")
        yield from _upwards(folder if ".." not in folder.parts and folder.is_dir() else mount, mount)


def _upwards(folder: Path, mount: Path) -> Iterator[Path]:
    while True:
        yield folder
        if folder == mount:
            return
        folder = folder.parent


def _unescape(path: str) -> str:
    """mountinfo writes space, tab, newline and backslash as three octal digits."""
    return re.sub(r"\\([0-7]{3})", lambda match: chr(int(match[1], 8)), path)


def _read(file: Path) -> str | None:
    try:
        return file.read_text(errors="replace").strip()
    except OSError:
        return None


def _number(text: str | None) -> int | None:
    try:
        return int(text or "")
    except ValueError:  # "max"
        return None
