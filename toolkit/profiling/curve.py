"""Latency over time."""

from collections.abc import Mapping, Sequence

import msgspec
import numpy as np

from toolkit.profiling.statistics import MEDIAN

SLICES = 30
LEAST = 10
"""Runs on average in a slice, below which there are fewer slices."""


class TimeSlice(msgspec.Struct, frozen=True, kw_only=True):
    """The runs that began in one stretch of time.

    Attributes:
        from_s: Where it begins, after the first timed run began.
        to_s: Where it ends.
        runs: Runs that began in it.
        percentiles_ms: By name, such as "p50"; only those that its runs support.
        max_ms: The slowest.
    """

    from_s: float
    to_s: float
    runs: int
    percentiles_ms: Mapping[str, float]
    max_ms: float


def curve(
    started_ns: Sequence[int], times_ns: Sequence[int], *, percentiles: Sequence[float]
) -> tuple[TimeSlice, ...]:
    """Slices of equal time; none for fewer than 20 runs.

    Args:
        started_ns: When each run began, rising.
        times_ns: How long it took.
        percentiles: Those that a slice shows where its runs support them.
    """
    count = min(SLICES, len(times_ns) // LEAST)
    if count < 2:
        return ()
    began = (np.asarray(started_ns) - started_ns[0]) / 1e9
    ms = np.asarray(times_ns) / 1e6
    end = float(began[-1] + ms[-1] / 1e3)
    edges = np.linspace(0.0, end, count + 1)
    cuts = np.searchsorted(began, edges[1:-1])
    slices = []
    for first, last, part in zip(edges, edges[1:], np.split(ms, cuts), strict=False):
        if not len(part):
            continue
        supported = [q for q in percentiles if (100 - q) * len(part) >= 100 or q == MEDIAN]
        slices.append(
            TimeSlice(
                from_s=float(first),
                to_s=float(last),
                runs=len(part),
                percentiles_ms={
                    f"p{q:g}": float(np.percentile(part, q, method="inverted_cdf"))
                    for q in supported
                },
                max_ms=float(part.max()),
            )
        )
    return tuple(slices)
