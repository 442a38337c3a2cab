"""Energy of the processor's packages, and what a GPU says of itself, where they can be read."""

import os
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from pathlib import Path
from threading import Event, Thread
from types import TracebackType
from typing import Any

import msgspec

POWERCAP = Path("/sys/class/powercap")
SAMPLE_SECONDS = 0.05


@dataclass(frozen=True, kw_only=True)
class Package:
    """Energy counter of one processor package.

    Attributes:
        file: Counts microjoules, and starts again at zero after `wraps_uj`.
        wraps_uj: The counter's largest value.
    """

    file: Path
    wraps_uj: int


def packages(root: Path = POWERCAP) -> tuple[tuple[Package, ...], str]:
    """Energy counters of all packages, and why there are none.

    Cores and memory have counters inside of their package's, and "psys" is around it: each would
    count twice.

    Args:
        root: Where the system describes its power zones.

    Source: Linux Documentation/power/powercap/powercap.rst, "energy_uj", "max_energy_range_uj".
    """
    if not root.is_dir():
        return (), "the system offers no energy counter (no /sys/class/powercap)"
    found: list[Package] = []
    for zone in sorted(root.iterdir()):
        counter = zone / "energy_uj"
        if not counter.exists() or not _is_package(zone):
            continue
        try:
            counter.read_text()
            wraps_uj = int((zone / "max_energy_range_uj").read_text())
        except OSError as error:
            return (), f"the energy counter cannot be read: {error.strerror}; it is root's alone"
        found.append(Package(file=counter, wraps_uj=wraps_uj))
    return tuple(found), "" if found else "the system has no energy counter of a package"


def _is_package(zone: Path) -> bool:
    """Whether a power zone is a processor package, by the name that the driver gives it."""
    try:
        return (zone / "name").read_text().startswith("package")
    except OSError:
        return False


def read_uj(counters: Sequence[Package]) -> tuple[int, ...]:
    """Microjoules of each counter."""
    return tuple(int(package.file.read_text()) for package in counters)


def spent_joules(counters: Sequence[Package], before: Sequence[int], after: Sequence[int]) -> float:
    """Energy between two readings, if no counter went round twice."""
    pairs = zip(counters, before, after, strict=True)
    return sum((end - start) % package.wraps_uj for package, start, end in pairs) / 1e6


class Gpu(msgspec.Struct, frozen=True, kw_only=True):
    """What NVIDIA's management library says of one GPU while the model ran.

    Attributes:
        name: The GPU's model.
        process_mb: Memory of this process on it, in 10^6 bytes; None where it does not tell.
        used_mb: Memory of all processes on it; None where it does not tell.
        utilization: Mean share of the time that any kernel ran on it, 0 to 1.
        joules: Energy that it spent; None where it does not count it.
    """

    name: str
    process_mb: float | None
    used_mb: float | None
    utilization: float | None
    joules: float | None


class GpuWatch:
    """Watches every GPU while its block runs; see `found` and `why_not` afterwards.

    Attributes:
        found: One entry a GPU.
        why_not: Why there is none.
    """

    def __init__(self, load: Callable[[], Any] | None = None) -> None:
        self.found: tuple[Gpu, ...] = ()
        self.why_not = ""
        self._nvml: Any = None
        self._busy: list[list[int]] = []
        self._stop = Event()
        try:
            self._nvml = (load or _load_nvml)()
            self._nvml.nvmlInit()
        except ImportError:
            self._nvml = None
            self.why_not = "nvidia-ml-py is not installed: pip install onnx-edge-toolkit[gpu]"
        except Exception as error:  # noqa: BLE001 - NVML's own type is only known once it loads
            self._nvml = None
            self.why_not = f"NVIDIA's management library does not start: {error}"

    def __enter__(self) -> "GpuWatch":
        if self._nvml is not None:
            count = self._nvml.nvmlDeviceGetCount()
            self._devices = [self._nvml.nvmlDeviceGetHandleByIndex(i) for i in range(count)]
            self._busy = [[] for _ in self._devices]
            self._before = [self._millijoules(device) for device in self._devices]
            self._thread = Thread(target=self._sample, daemon=True)
            self._thread.start()
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        trace: TracebackType | None,
    ) -> None:
        if self._nvml is None:
            return
        self._stop.set()
        self._thread.join()
        self.found = tuple(
            self._gpu(device, busy, before)
            for device, busy, before in zip(self._devices, self._busy, self._before, strict=True)
        )
        self.why_not = "" if self.found else "there is no NVIDIA GPU"
        self._nvml.nvmlShutdown()

    def _sample(self) -> None:
        while True:
            for device, busy in zip(self._devices, self._busy, strict=True):
                rates = self._told("nvmlDeviceGetUtilizationRates", device)
                if rates is not None:
                    busy.append(int(rates.gpu))
            if self._stop.wait(SAMPLE_SECONDS):
                return

    def _gpu(self, device: Any, busy: Sequence[int], before: int | None) -> Gpu:
        after = self._millijoules(device)
        own = [
            process.usedGpuMemory
            for process in self._told("nvmlDeviceGetComputeRunningProcesses", device) or ()
            if process.pid == os.getpid() and process.usedGpuMemory is not None
        ]
        name = self._told("nvmlDeviceGetName", device) or "a GPU that does not say its name"
        memory = self._told("nvmlDeviceGetMemoryInfo", device)
        return Gpu(
            name=name.decode() if isinstance(name, bytes) else str(name),
            process_mb=sum(own) / 1e6 if own else None,
            used_mb=None if memory is None else memory.used / 1e6,
            utilization=sum(busy) / len(busy) / 100 if busy else None,
            joules=None if before is None or after is None else (after - before) / 1e3,
        )

    def _millijoules(self, device: Any) -> int | None:
        told = self._told("nvmlDeviceGetTotalEnergyConsumption", device)
        return None if told is None else int(told)  # none before Volta

    def _told(self, query: str, device: Any) -> Any:
        """What a query answers; None where this GPU, or its driver, does not."""
        try:
            return getattr(self._nvml, query)(device)
        except self._nvml.NVMLError:
            return None


def _load_nvml() -> Any:
    import pynvml

    return pynvml
