"""Peak memory of this process, with what each system offers."""

import sys
from pathlib import Path

STATUS = Path("/proc/self/status")


def peak_rss_mb(status: Path = STATUS) -> float | None:
    """Peak resident memory since the process began, in 10^6 bytes; None where nothing tells.

    Linux: VmHWM, since `ru_maxrss` there starts at the parent's peak. macOS: `ru_maxrss`, which is
    in bytes there. Windows: PeakWorkingSetSize.

    Source: man 5 proc, "VmHWM"; man 2 getrusage of Linux and of macOS.
    """
    if status.is_file():
        for line in status.read_text().splitlines():
            if line.startswith("VmHWM:"):
                return int(line.split()[1]) * 1024 / 1e6  # the file says kB and means KiB
        return None
    if sys.platform == "darwin":
        import resource

        return resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / 1e6
    if sys.platform == "win32":
        return _windows_peak_mb()
    return None


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
