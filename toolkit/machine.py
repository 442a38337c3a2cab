"""The machine that a number was measured on. Neither its name nor a path of it is recorded."""

import os
import platform
import subprocess
import sys
from collections.abc import Sequence
from dataclasses import dataclass
from importlib import metadata
from pathlib import Path

FEATURES = (
    *("avx2", "avx512f", "avx512_vnni", "avx_vnni", "avx512_bf16", "amx_int8"),
    *("asimd", "asimddp", "i8mm", "sve"),
)
"""CPU features that ONNX Runtime's kernels choose by."""

ORT_DISTRIBUTIONS = (
    "onnxruntime",
    "onnxruntime-gpu",
    "onnxruntime-openvino",
    "onnxruntime-directml",
    "onnxruntime-qnn",
)


@dataclass(frozen=True, kw_only=True)
class Machine:
    """Where something ran.

    Attributes:
        cpu: The processor's model.
        cpu_features: Those of `FEATURES` that it says it has.
        cores: Logical cores that this process may use.
        cpu_quota: Cores' worth of time that the container gets; None without a limit.
        governor: Linux's frequency governor; empty where it cannot be read.
        memory_mb: Memory in 10^6 bytes; None where it cannot be read.
        os: System, release and architecture.
        python: Python's version.
        versions: Version by ONNX Runtime distribution.
    """

    cpu: str
    cpu_features: Sequence[str]
    cores: int
    cpu_quota: float | None
    governor: str
    memory_mb: float | None
    os: str
    python: str
    versions: dict[str, str]

    def as_line(self) -> str:
        """The part that a reader compares first, on one line."""
        quota = "" if self.cpu_quota is None else f" (quota {self.cpu_quota:g})"
        installed = ", ".join(f"{name} {version}" for name, version in self.versions.items())
        return (
            f"{self.cpu}, {self.cores} cores{quota}, {self.os}, Python {self.python}, {installed}"
        )


def this_machine() -> Machine:
    """The machine and the versions that this process runs on."""
    cpuinfo = _text(Path("/proc/cpuinfo"))
    return Machine(
        cpu=cpu_model(cpuinfo),
        cpu_features=_features(cpuinfo),
        cores=usable_cores(),
        cpu_quota=cpu_quota(),
        governor=_text(Path("/sys/devices/system/cpu/cpu0/cpufreq/scaling_governor")).strip(),
        memory_mb=_memory_mb(),
        os=f"{platform.system()} {platform.release()} {platform.machine()}",
        python=platform.python_version(),
        versions=ort_versions(),
    )


def ort_versions() -> dict[str, str]:
    """Version of every ONNX Runtime distribution that is installed."""
    found: dict[str, str] = {}
    for name in ORT_DISTRIBUTIONS:
        try:
            found[name] = metadata.version(name)
        except metadata.PackageNotFoundError:
            continue
    return found


def cpu_model(cpuinfo: str) -> str:
    """The processor's model, from /proc/cpuinfo or from what the system offers instead."""
    for line in cpuinfo.splitlines():
        key, _, value = line.partition(":")
        if key.strip().lower() in {"model name", "hardware", "cpu model"} and value.strip():
            return value.strip()
    if sys.platform == "darwin":
        command = ["/usr/sbin/sysctl", "-n", "machdep.cpu.brand_string"]
        told = subprocess.run(command, capture_output=True, text=True, check=False)
        if told.stdout.strip():
            return told.stdout.strip()
    return platform.processor() or platform.machine()


def usable_cores() -> int:
    """Logical cores that this process may be scheduled on."""
    if hasattr(os, "sched_getaffinity"):  # Linux
        return len(os.sched_getaffinity(0))
    return os.cpu_count() or 1


def cpu_quota(root: Path = Path("/sys/fs/cgroup"), self_cgroup: str | None = None) -> float | None:
    """Cores' worth of CPU time that the control group allows; None without a limit.

    Args:
        root: Where control groups are mounted.
        self_cgroup: Content of /proc/self/cgroup.

    Source: Linux Documentation/admin-guide/cgroup-v2.rst, "cpu.max"; scheduler/sched-bwc.rst for
        version 1.
    """
    if self_cgroup is None:
        self_cgroup = _text(Path("/proc/self/cgroup"))
    limits: list[float] = []
    for line in self_cgroup.splitlines():
        parts = line.split(":", 2)
        if len(parts) != 3 or (parts[1] and "cpu" not in parts[1].split(",")):
            continue
        own = parts[2].strip("/")
        base = root if not parts[1] else _first_folder(root, parts[1])
        # A limit on any group above counts; in a container the own path may not be visible.
        for folder in (base / own, *(base / own).parents):
            if not folder.is_relative_to(base):
                break
            limit = _limit_v1(folder) if parts[1] else _limit_v2(folder)
            if limit is not None:
                limits.append(limit)
    return min(limits, default=None)


def _first_folder(root: Path, controllers: str) -> Path:
    named = [root / controllers, root / "cpu", root / "cpu,cpuacct"]
    return next((folder for folder in named if folder.is_dir()), named[0])


def _limit_v2(folder: Path) -> float | None:
    parts = _text(folder / "cpu.max").split()
    if len(parts) != 2 or parts[0] == "max":
        return None
    return int(parts[0]) / int(parts[1])


def _limit_v1(folder: Path) -> float | None:
    quota, period = (_text(folder / f"cpu.cfs_{name}_us").strip() for name in ("quota", "period"))
    if not quota or not period or int(quota) <= 0:
        return None
    return int(quota) / int(period)


def _features(cpuinfo: str) -> tuple[str, ...]:
    for line in cpuinfo.splitlines():
        key, _, value = line.partition(":")
        if key.strip() in {"flags", "Features"}:
            listed = set(value.split())
            return tuple(feature for feature in FEATURES if feature in listed)
    return ()


def _memory_mb() -> float | None:
    try:
        return os.sysconf("SC_PAGE_SIZE") * os.sysconf("SC_PHYS_PAGES") / 1e6
    except (AttributeError, ValueError, OSError):  # Windows has no sysconf
        return None


def _text(file: Path) -> str:
    try:
        return file.read_text(errors="replace")
    except OSError:
        return ""
