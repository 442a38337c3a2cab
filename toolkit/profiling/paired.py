"""Latency of two models beside each other, so that a busy machine disturbs both alike."""

import time
from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np

from toolkit.profiling.statistics import Clock, interval_ranks
from toolkit.runtime import Session
from toolkit.tensors import Feeds


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
        pairs: Timed runs of each, at least 6: fewer carry no interval.
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
    low, high = interval_ranks(pairs, 50) or (1, pairs)
    return PairedLatency(
        reference_ms=float(np.median(times[:, 0])),
        candidate_ms=float(np.median(times[:, 1])),
        ratio=float(np.median(ratios)),
        ratio_95=(float(ratios[low - 1]), float(ratios[high - 1])),
    )
