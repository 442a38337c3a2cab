"""Memory of this process, with what each system offers."""

import sys
from pathlib import Path

import msgspec

STATUS = Path("/proc/self/status")
ROLLUP = Path("/proc/self/smaps_rollup")


class Memory(msgspec.Struct, frozen=True, kw_only=True):
    """Memory that a process holds, in 10^6 bytes; each None where the system does not tell.

    Attributes:
        rss_mb: Resident: all of its pages in memory.
        pss_mb: Proportional: a page that n processes share counts as 1/n.
        uss_mb: Unique: pages that no other process has, which its end would free.
        file_mb: Resident pages of files, such as libraries and a mapped model.
    """

    rss_mb: float | None
    pss_mb: float | None
    uss_mb: float | None
    file_mb: float | None


def memory(rollup: Path = ROLLUP, status: Path = STATUS) -> Memory:
    """What this process holds now.

    Args:
        rollup: Linux's summary of the process's pages.
        status: Linux's summary of the process, where the first may not be read.

    Source: Linux Documentation/filesystems/proc.rst, "smaps_rollup" and "RssFile".
    """
    pages, summary = _kib(rollup), _kib(status)
    unique = [pages.get("Private_Clean"), pages.get("Private_Dirty")]
    known = [value for value in unique if value is not None]
    return Memory(
        rss_mb=_mb(pages.get("Rss", summary.get("VmRSS"))),
        pss_mb=_mb(pages.get("Pss")),
        uss_mb=_mb(sum(known)) if len(known) == len(unique) else None,
        file_mb=_mb(summary.get("RssFile")),
    )


def peak_rss_mb(status: Path = STATUS) -> float | None:
    """Peak resident memory since the process began, in 10^6 bytes; None where nothing tells.

    Linux: VmHWM, since `ru_maxrss` there starts at the parent's peak. macOS: `ru_maxrss`, which is
    in bytes there. Windows: PeakWorkingSetSize.

    Source: man 5 proc, "VmHWM"; man 2 getrusage of Linux and of macOS.
    """
    if status.is_file():
        return _mb(_kib(status).get("VmHWM"))
    if sys.platform == "darwin":
        import resource

        return resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / 1e6
    if sys.platform == "win32":
        return _windows_peak_mb()
    return None


def _kib(file: Path) -> dict[str, int]:
    """Sizes by name, from lines such as `VmHWM:  50000 kB`, where kB means KiB."""
    try:
        lines = file.read_text(errors="replace").splitlines()
    except OSError:
        return {}
    parts = [line.split() for line in lines]
    return {p[0].rstrip(":"): int(p[1]) for p in parts if len(p) == 3 and p[2] == "kB"}


def _mb(kib: int | None) -> float | None:
    return None if kib is None else kib * 1024 / 1e6


if sys.platform == "win32":

    def _windows_peak_mb() -> float | None:
        """Source: PROCESS_MEMORY_COUNTERS of psapi.h: two DWORDs, then sizes, the peak first."""
        import ctypes
        from ctypes import wintypes

        class Counters(ctypes.Structure):
            _fields_ = (
                ("cb", wintypes.DWORD),
                ("page_faults", wintypes.DWORD),
                ("peak_working_set", ctypes.c_size_t),
                ("others", ctypes.c_size_t * 7),
            )

        counters = Counters(cb=ctypes.sizeof(Counters))
        kernel = ctypes.WinDLL("kernel32")
        kernel.GetCurrentProcess.restype = wintypes.HANDLE
        query = kernel.K32GetProcessMemoryInfo
        query.argtypes = (wintypes.HANDLE, ctypes.POINTER(Counters), wintypes.DWORD)
        if not query(kernel.GetCurrentProcess(), ctypes.byref(counters), counters.cb):
            return None
        return float(counters.peak_working_set) / 1e6
