"""Two things timed in turn, so that a busy machine disturbs both alike."""

import time
from collections.abc import Callable
from dataclasses import dataclass

import numpy as np

from toolkit.profiling.sequential import ratio_intervals
from toolkit.profiling.statistics import interval_ranks


@dataclass(frozen=True, kw_only=True)
class Ratio:
    """A candidate beside a reference.

    Attributes:
        reference_ms: Median of the reference.
        candidate_ms: Median of the candidate.
        ratio: Median of candidate over reference, pair by pair.
        interval_95: Order statistics of the pairs that hold that median; see `interval_ranks`.
        pairs: How many.
    """

    reference_ms: float
    candidate_ms: float
    ratio: float
    interval_95: tuple[float, float]
    pairs: int


def paired(
    reference: Callable[[], object], candidate: Callable[[], object], *, pairs: int, warmup: int
) -> Ratio:
    """Call both by turns, the first one of a pair changing from pair to pair.

    Args:
        reference: What the candidate is divided by.
        candidate: What is judged.
        pairs: Timed calls of each; six or more.
        warmup: Calls of each that are not timed.
    """
    for _ in range(warmup):
        reference()
        candidate()
    times = np.empty((pairs, 2))
    for i in range(pairs):
        order = [(0, reference), (1, candidate)]
        for column, call in order if i % 2 else reversed(order):
            start = time.perf_counter_ns()
            call()
            times[i, column] = (time.perf_counter_ns() - start) / 1e6
    ratios = np.sort(times[:, 1] / times[:, 0])
    ranks = interval_ranks(pairs, 50)
    assert ranks is not None
    return Ratio(
        reference_ms=float(np.median(times[:, 0])),
        candidate_ms=float(np.median(times[:, 1])),
        ratio=float(np.median(ratios)),
        interval_95=(float(ratios[ranks[0] - 1]), float(ratios[ranks[1] - 1])),
        pairs=pairs,
    )


def paired_anew(
    open_both: Callable[[], tuple[Callable[[], object], Callable[[], object]]],
    *,
    rounds: int,
    pairs: int,
    warmup: int,
) -> Ratio:
    """The same for calls that keep sessions open: opened anew each round, a round an observation.

    Where a session's memory lies is worth percents and stays as long as it lives.

    Args:
        open_both: Opens the reference and the candidate.
        rounds: How often; two or more.
        pairs: Timed calls of each in a round.
        warmup: Calls of each in a round that are not timed.
    """
    measured = []
    for _ in range(rounds):
        reference, candidate = open_both()
        times = np.empty((pairs, 2))
        for i in range(-warmup, pairs):
            order = [(0, candidate), (1, reference)]
            for column, call in order if i % 2 else reversed(order):
                start = time.perf_counter_ns()
                call()
                if i >= 0:
                    times[i, column] = time.perf_counter_ns() - start
        measured.append(times)
    [found] = ratio_intervals(measured, error=0.05)
    medians = np.median(np.concatenate(measured), axis=0) / 1e6
    return Ratio(
        reference_ms=float(medians[1]),
        candidate_ms=float(medians[0]),
        ratio=found.ratio,
        interval_95=(found.low, found.high),
        pairs=rounds * pairs,
    )
