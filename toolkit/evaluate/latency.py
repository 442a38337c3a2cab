"""Latency of two models beside each other, so that a busy machine disturbs both alike."""

import time
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from math import comb

import numpy as np

from toolkit.runtime import Session
from toolkit.tensors import Array, Feeds

Clock = Callable[[], int]


@dataclass(frozen=True, kw_only=True)
class PairedLatency:
    """Two models timed in turn on the same feeds.

    Attributes:
        reference_ms: Median latency of the reference.
        candidate_ms: Median latency of the candidate.
        ratio: Median of candidate over reference, pair by pair.
        ratio_95: Interval of that median, by order statistics.
    """

    reference_ms: float
    candidate_ms: float
    ratio: float
    ratio_95: tuple[float, float]

    @property
    def is_faster(self) -> bool:
        """Whether the candidate is faster with 95 % confidence."""
        return self.ratio_95[1] < 1.0


def paired_latency(
    reference: Session,
    candidate: Session,
    feeds: Sequence[Feeds],
    *,
    pairs: int = 200,
    warmup: int = 10,
    clock_ns: Clock = time.perf_counter_ns,
) -> PairedLatency:
    """Time two sessions in alternating order.

    Args:
        reference: Opened without spinning: spinning threads of one session slow the other.
        candidate: Opened the same way.
        feeds: Run one after another, over and over.
        pairs: Timed runs of each.
        warmup: Runs of each that are not timed.
        clock_ns: A monotonic clock in nanoseconds.
    """
    for i in range(warmup):
        reference.run(feeds[i % len(feeds)])
        candidate.run(feeds[i % len(feeds)])
    times = np.empty((pairs, 2))
    for i in range(pairs):
        order = ((0, reference), (1, candidate))
        for column, session in order if i % 2 else reversed(order):
            start = clock_ns()
            session.run(feeds[i % len(feeds)])
            times[i, column] = (clock_ns() - start) / 1e6
    ratios = np.sort(times[:, 1] / times[:, 0])
    return PairedLatency(
        reference_ms=float(np.median(times[:, 0])),
        candidate_ms=float(np.median(times[:, 1])),
        ratio=float(np.median(ratios)),
        ratio_95=_median_interval(ratios),
    )


def _median_interval(ordered: Array) -> tuple[float, float]:
    """Order statistics that hold the median with at least 95 % confidence.

    Source: the number of samples below the median is binomial(n, 1/2); W. J. Conover, "Practical
    nonparametric statistics", section 3.2.
    """
    n = len(ordered)
    below, tail = 0, 0.0
    while below < n // 2:
        tail += comb(n, below) / 2**n
        if tail > 0.025:
            break
        below += 1
    low = max(below - 1, 0)
    return float(ordered[low]), float(ordered[n - 1 - low])
