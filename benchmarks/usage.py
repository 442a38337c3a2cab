"""What a whole process took."""

import os
import subprocess
import tempfile
import time
from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np


@dataclass(frozen=True, kw_only=True)
class Usage:
    """One process.

    Attributes:
        wall_s: From its start to its end.
        cpu_s: Of all its threads, in the system too.
        peak_mib: Its largest resident memory, or that of the largest process that it started.
    """

    wall_s: float
    cpu_s: float
    peak_mib: float


def whole(command: Sequence[str]) -> Usage:
    """Run a command and wait for it.

    Raises:
        SystemExit: It failed.
    """
    with tempfile.TemporaryFile() as said:
        start = time.perf_counter()
        process = subprocess.Popen(command, stdout=said, stderr=said)
        _, status, usage = os.wait4(process.pid, 0)
        wall = time.perf_counter() - start
        process.returncode = os.waitstatus_to_exitcode(status)
        if process.returncode:
            said.seek(0)
            raise SystemExit(f"{command} failed: {said.read().decode()[-2000:]}")
    return Usage(
        wall_s=wall, cpu_s=usage.ru_utime + usage.ru_stime, peak_mib=usage.ru_maxrss / 1024
    )


def row(name: str, found: Sequence[Usage]) -> str:
    """A line of a table: medians, and the least and the most in brackets."""
    cells = [
        f"{np.median(v):.{digits}f} ({min(v):.{digits}f} to {max(v):.{digits}f})"
        for digits, v in (
            (2, [usage.wall_s for usage in found]),
            (2, [usage.cpu_s for usage in found]),
            (0, [usage.peak_mib for usage in found]),
        )
    ]
    return f"| {name} | {' | '.join(cells)} |"


def ratio(ours: Sequence[float], theirs: Sequence[float]) -> str:
    """The median over the rounds of ours over theirs, with the least and the most."""
    ratios = np.array(ours) / np.array(theirs)
    return f"{np.median(ratios):.3f} ({ratios.min():.3f} to {ratios.max():.3f})"
