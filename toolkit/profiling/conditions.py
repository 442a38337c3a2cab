"""What the machine did during the runs: clock frequency, throttling, other processes."""

import sys
from pathlib import Path

import msgspec

FREQUENCIES = Path("/sys/devices/system/cpu")
CPUINFO = Path("/proc/cpuinfo")
CGROUPS = Path("/sys/fs/cgroup")
SELF_CGROUP = Path("/proc/self/cgroup")
LOOKS = 20
"""Looks at the clock that are kept, evenly spread, or somewhat more."""

SLOWED = 0.95
"""A clock that lost more than this is said to have been throttled, if the runs became slower."""


class Conditions(msgspec.Struct, frozen=True, kw_only=True):
    """What was seen between the chunks of timed runs.

    Attributes:
        clock_mhz: Mean clock frequency of the cores, at some looks; empty where it cannot be read.
        quota_waits_ms: How long the control group waited for its quota; None where unknown.
        preempted: How often the system took the processor away; None where unknown.
    """

    clock_mhz: tuple[float, ...] = ()
    quota_waits_ms: float | None = None
    preempted: int | None = None

    @property
    def clock_fell(self) -> bool:
        """Whether the clock at the end was clearly below that at the beginning."""
        third = len(self.clock_mhz) // 3
        if not third:
            return False
        first, last = self.clock_mhz[:third], self.clock_mhz[-third:]
        return sum(last) < SLOWED * sum(first)


class Watch:
    """Looks at the machine whenever it is told to.

    Args:
        frequencies: Where Linux lists its processors.
        cpuinfo: Where it describes them, for machines without frequency scaling.
        cpu_stat: Where the control group counts its waits; that of this process's own when not
            given.
    """

    def __init__(
        self,
        frequencies: Path = FREQUENCIES,
        cpuinfo: Path = CPUINFO,
        cpu_stat: Path | None = None,
    ) -> None:
        self._scaling = sorted(frequencies.glob("cpu[0-9]*/cpufreq/scaling_cur_freq"))
        self._cpuinfo = cpuinfo
        self._cpu_stat = cpu_stat or own_cpu_stat()
        self._clock_mhz: list[float] = []
        self._waits_us: list[int] = []
        self._preempted: list[int] = []

    def look(self) -> None:
        """Take one look."""
        clock = self._clock()
        if clock is not None:
            self._clock_mhz.append(clock)
        waits = _waits_us(self._cpu_stat)
        if waits is not None:
            self._waits_us.append(waits)
        taken = _preempted()
        if taken is not None:
            self._preempted.append(taken)

    def seen(self) -> Conditions:
        """What all looks saw."""
        waits, preempted = self._waits_us, self._preempted
        return Conditions(
            clock_mhz=tuple(self._clock_mhz[:: max(1, len(self._clock_mhz) // LOOKS)]),
            quota_waits_ms=(waits[-1] - waits[0]) / 1e3 if waits else None,
            preempted=preempted[-1] - preempted[0] if preempted else None,
        )

    def _clock(self) -> float | None:
        values = [int(text) / 1e3 for text in map(_text, self._scaling) if text.strip().isdigit()]
        if not values:
            values = [
                float(line.partition(":")[2])
                for line in _text(self._cpuinfo).splitlines()
                if line.startswith("cpu MHz")
            ]
        return sum(values) / len(values) if values else None


def own_cpu_stat(root: Path = CGROUPS, self_cgroup: Path = SELF_CGROUP) -> Path:
    """`cpu.stat` of the nearest group that counts: the root's has no quota to wait for.

    Inside of a container the group's path may be that of the host, and its folder the root.
    """
    for line in _text(self_cgroup).splitlines():
        if line.startswith("0::"):
            group = root / line.removeprefix("0::").strip("/")
            for folder in (group, *group.parents):
                if (folder / "cpu.stat").is_file():
                    return folder / "cpu.stat"
    return root / "cpu.stat"


def _waits_us(file: Path) -> int | None:
    """Source: Linux Documentation/admin-guide/cgroup-v2.rst, "cpu.stat"."""
    for line in _text(file).splitlines():
        name, _, value = line.partition(" ")
        if name == "throttled_usec":
            return int(value)
    return None


def _preempted() -> int | None:
    """Involuntary context switches of this process so far; see man 2 getrusage."""
    if sys.platform == "win32":
        return None
    import resource

    return resource.getrusage(resource.RUSAGE_SELF).ru_nivcsw


def _text(file: Path) -> str:
    try:
        return file.read_text(errors="replace")
    except OSError:
        return ""
