"""What this process may use of the machine: processors, the container's quota, memory."""

import os
from collections.abc import Iterable, Iterator
from pathlib import Path

CGROUPS = Path("/sys/fs/cgroup")
PROCESSORS = Path("/sys/devices/system/cpu")
_UNLIMITED_V1 = 1 << 60
"""Version 1 writes "no limit" as the largest multiple of a page in a signed 64-bit number."""


def default_threads() -> int:
    """Threads of a session when nobody names a number: one a physical core, within the limits.

    Counted are the cores that the affinity leaves to this process; a container's quota rounds down,
    since a thread more than the quota would be throttled, but never below one.

    Source: ONNX Runtime, docs/performance/tune-performance/threading: "if set to 0, default number
        of threads is the number of physical cores"; it looks at neither affinity nor quota (1.31).
    """
    return threads_within(cores=physical_cores(affinity()) or usable_cores(), quota=cpu_quota())


def threads_within(*, cores: int, quota: float | None) -> int:
    """Threads for a number of cores and a quota in cores; at least one."""
    return max(cores if quota is None else min(cores, int(quota)), 1)


def is_limited() -> bool:
    """Whether affinity or a quota leaves this process less than the whole machine."""
    return usable_cores() < (os.cpu_count() or 1) or cpu_quota() is not None


def affinity() -> tuple[int, ...]:
    """Numbers of the logical cores that this process may be scheduled on; empty where unknown."""
    if hasattr(os, "sched_getaffinity"):  # Linux
        return tuple(sorted(os.sched_getaffinity(0)))
    return ()


def usable_cores() -> int:
    """Logical cores that this process may be scheduled on."""
    return len(affinity()) or os.cpu_count() or 1


def physical_cores(logical: Iterable[int], root: Path = PROCESSORS) -> int | None:
    """Physical cores behind logical ones; None where the system does not tell.

    Args:
        logical: Numbers of logical cores.
        root: Where the system describes its processors.

    Source: Linux Documentation/admin-guide/cputopology.rst, "thread_siblings_list".
    """
    siblings = {
        _text(root / f"cpu{number}" / "topology" / "thread_siblings_list").strip()
        for number in logical
    }
    return None if "" in siblings else len(siblings) or None


def cpu_quota(root: Path = CGROUPS, self_cgroup: str | None = None) -> float | None:
    """Cores' worth of CPU time that the control group allows; None without a limit.

    Args:
        root: Where control groups are mounted.
        self_cgroup: Content of /proc/self/cgroup.

    Source: Linux Documentation/admin-guide/cgroup-v2.rst, "cpu.max"; scheduler/sched-bwc.rst for
        version 1.
    """
    limits = [
        _quota_v1(folder) if is_v1 else _quota_v2(folder)
        for folder, is_v1 in _groups("cpu", root, self_cgroup)
    ]
    return min((limit for limit in limits if limit is not None), default=None)


def memory_limit_bytes(root: Path = CGROUPS, self_cgroup: str | None = None) -> int | None:
    """Memory that the control group allows, in bytes; None without a limit.

    Args:
        root: Where control groups are mounted.
        self_cgroup: Content of /proc/self/cgroup.

    Source: Linux Documentation/admin-guide/cgroup-v2.rst, "memory.max"; cgroup-v1/memory.rst,
        "memory.limit_in_bytes".
    """
    limits = [
        _text(folder / ("memory.limit_in_bytes" if is_v1 else "memory.max")).strip()
        for folder, is_v1 in _groups("memory", root, self_cgroup)
    ]
    sizes = [int(limit) for limit in limits if limit.isdecimal()]
    return min((size for size in sizes if size < _UNLIMITED_V1), default=None)


def _groups(controller: str, root: Path, self_cgroup: str | None) -> Iterator[tuple[Path, bool]]:
    """Folders of the own group and those above it, and whether they are of version 1.

    A limit on any group above counts; in a container the own path may not be visible.
    """
    if self_cgroup is None:
        self_cgroup = _text(Path("/proc/self/cgroup"))
    for line in self_cgroup.splitlines():
        parts = line.split(":", 2)
        if len(parts) != 3 or (parts[1] and controller not in parts[1].split(",")):
            continue
        is_v1 = bool(parts[1])
        base = _first_folder(root, parts[1], controller) if is_v1 else root
        own = base / parts[2].strip("/")
        for folder in (own, *own.parents):
            if not folder.is_relative_to(base):
                break
            yield folder, is_v1


def _first_folder(root: Path, controllers: str, controller: str) -> Path:
    named = [root / controllers, root / controller, root / "cpu,cpuacct"]
    return next((folder for folder in named if folder.is_dir()), named[0])


def _quota_v2(folder: Path) -> float | None:
    parts = _text(folder / "cpu.max").split()
    if len(parts) != 2 or parts[0] == "max":
        return None
    return int(parts[0]) / int(parts[1])


def _quota_v1(folder: Path) -> float | None:
    quota, period = (_text(folder / f"cpu.cfs_{name}_us").strip() for name in ("quota", "period"))
    if not quota or not period or int(quota) <= 0:
        return None
    return int(quota) / int(period)


def _text(file: Path) -> str:
    try:
        return file.read_text(errors="replace")
    except OSError:
        return ""
