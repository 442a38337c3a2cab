"""The machine that a number was measured on. Neither its name nor a path of it is recorded."""

import os
import platform
import subprocess
import sys
from collections.abc import Sequence
from dataclasses import dataclass
from importlib import metadata
from pathlib import Path

from toolkit.limits import (
    PROCESSORS,
    affinity,
    cpu_quota,
    default_threads,
    memory_limit_bytes,
    physical_cores,
    usable_cores,
)

FEATURES = (
    *("sse4_1", "avx", "f16c", "fma", "avx2", "avx_vnni", "avx_vnni_int8"),
    *("avx512f", "avx512bw", "avx512_vnni", "avx512_bf16", "avx512_fp16"),
    *("amx_tile", "amx_int8", "amx_bf16", "amx_fp16"),
    *("asimd", "asimdhp", "asimddp", "i8mm", "bf16", "sve", "sve2", "sme"),
)
"""CPU features that ONNX Runtime's kernels choose by, by their names in /proc/cpuinfo."""

ORT_DISTRIBUTIONS = (
    "onnxruntime",
    "onnxruntime-gpu",
    "onnxruntime-openvino",
    "onnxruntime-directml",
    "onnxruntime-qnn",
)


PROVIDER_DISTRIBUTIONS = (
    *("onnxruntime-ep-openvino", "onnxruntime-ep-webgpu", "openvino"),
    *("nvidia-cudnn-cu12", "nvidia-cudnn-cu13", "tensorrt"),
)
"""What execution providers come in, or compute with."""


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
        versions: Version by distribution of ONNX Runtime, and of what its providers come in.
        physical_cores: Physical cores behind the usable logical ones; None where unknown.
        affinity: Numbers of the logical cores that this process may be scheduled on; empty where
            the system does not tell.
        default_threads: Intra-op threads of a session that names no number; None where ONNX Runtime
            chooses them.
        memory_limit_mb: Memory that the container gets, in 10^6 bytes; None without a limit.
        frequency_mhz: Clock of the first core when it was read; None where it cannot be.
        max_frequency_mhz: The highest clock that its governor allows; None where it cannot be read.
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
    physical_cores: int | None = None
    affinity: Sequence[int] = ()
    default_threads: int | None = None
    memory_limit_mb: float | None = None
    frequency_mhz: float | None = None
    max_frequency_mhz: float | None = None

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
    own = affinity()
    frequencies = PROCESSORS / f"cpu{own[0] if own else 0}" / "cpufreq"
    limit = memory_limit_bytes()
    return Machine(
        cpu=cpu_model(cpuinfo),
        cpu_features=cpu_features(cpuinfo),
        cores=usable_cores(),
        cpu_quota=cpu_quota(),
        governor=_text(frequencies / "scaling_governor").strip(),
        memory_mb=_memory_mb(),
        os=f"{platform.system()} {platform.release()} {platform.machine()}",
        python=platform.python_version(),
        versions=installed_versions((*ORT_DISTRIBUTIONS, *PROVIDER_DISTRIBUTIONS)),
        physical_cores=physical_cores(own),
        affinity=own,
        default_threads=default_threads() if own else None,
        memory_limit_mb=None if limit is None else limit / 1e6,
        frequency_mhz=frequency_mhz(frequencies / "scaling_cur_freq", cpuinfo),
        max_frequency_mhz=frequency_mhz(frequencies / "scaling_max_freq"),
    )


def installed_versions(distributions: Sequence[str] = ORT_DISTRIBUTIONS) -> dict[str, str]:
    """Version of every distribution that is installed, those of ONNX Runtime by default."""
    found: dict[str, str] = {}
    for name in distributions:
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


def frequency_mhz(file: Path, cpuinfo: str = "") -> float | None:
    """A clock in MHz, from a file in kHz or else from /proc/cpuinfo; None where neither tells.

    Source: Linux Documentation/admin-guide/pm/cpufreq.rst, "scaling_cur_freq".
    """
    khz = _text(file).strip()
    if khz.isdecimal():
        return int(khz) / 1e3
    for line in cpuinfo.splitlines():
        key, _, value = line.partition(":")
        if key.strip() == "cpu MHz":
            return float(value)
    return None


def cpu_features(cpuinfo: str) -> tuple[str, ...]:
    """Those of `FEATURES` that /proc/cpuinfo lists; empty where it lists none."""
    for line in cpuinfo.splitlines():
        key, _, value = line.partition(":")
        if key.strip() in {"flags", "Features"}:
            listed = set(value.split())
            return tuple(feature for feature in FEATURES if feature in listed)
    return ()


INTEGER_PRODUCTS = (
    *("amx_int8", "avx512_vnni", "avx_vnni_int8", "avx_vnni", "avx512bw", "avx2"),
    *("i8mm", "asimddp", "asimd"),
)
"""Features that ONNX Runtime's integer products are chosen by, the one that it prefers first."""


def instruction_set(features: Sequence[str]) -> str:
    """What integer products run on, of a processor's features; empty where none is known."""
    return next((one for one in INTEGER_PRODUCTS if one in features), "")


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
