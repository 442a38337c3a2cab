"""Timing calls, and what a sample of times supports: percentiles, intervals, a histogram."""

import math
import time
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass

import numpy as np

from toolkit.errors import InputError
from toolkit.tensors import Array

Clock = Callable[[], int]

RUNS_NEEDED = {50: 1, 90: 10, 95: 20, 99: 100}
"""Runs that a percentile needs: below, it only repeats the maximum."""

CONFIDENCE = 0.95
BARS = 12


@dataclass(frozen=True, kw_only=True)
class LatencyReport:
    """Times of the runs after the warm-up.

    Attributes:
        runs: Timed runs.
        mean_ms: Arithmetic mean.
        min_ms: The shortest.
        max_ms: The longest.
        percentiles_ms: By nearest rank, so that each is a run that happened; only those that the
            number of runs supports (`RUNS_NEEDED`).
        intervals_ms: 95 % interval by percentile; only where the runs can carry one.
        runs_needed: Runs that an interval would need, for every percentile that has none.
        histogram: (from_ms, to_ms, runs) a bar, from the shortest to the longest run.
    """

    runs: int
    mean_ms: float
    min_ms: float
    max_ms: float
    percentiles_ms: Mapping[int, float]
    intervals_ms: Mapping[int, tuple[float, float]]
    runs_needed: Mapping[int, int]
    histogram: Sequence[tuple[float, float, int]] = ()


def time_calls(
    call: Callable[[], object],
    times_ns: list[int],
    *,
    warmup: int,
    runs: int,
    clock_ns: Clock = time.perf_counter_ns,
) -> None:
    """Append the duration of each run to `times_ns`, so that they survive a call that fails.

    Args:
        call: What is timed.
        times_ns: Receives one duration a timed run, in nanoseconds.
        warmup: Calls before them, made and discarded.
        runs: Timed calls.
        clock_ns: A monotonic clock in nanoseconds.
    """
    for _ in range(warmup):
        call()
    for _ in range(runs):
        start = clock_ns()
        call()
        times_ns.append(clock_ns() - start)


def measure_latency(
    call: Callable[[], object], *, warmup: int, runs: int, clock_ns: Clock = time.perf_counter_ns
) -> LatencyReport:
    """Latency of a call, one after another.

    Args:
        call: What is timed.
        warmup: Calls before the timed ones, made and discarded.
        runs: Timed calls.
        clock_ns: A monotonic clock in nanoseconds.

    Raises:
        InputError: `runs` is not positive, or `warmup` is negative.
    """
    check_counts(warmup=warmup, runs=runs)
    times_ns: list[int] = []
    time_calls(call, times_ns, warmup=warmup, runs=runs, clock_ns=clock_ns)
    return summarize(times_ns)


def check_counts(*, warmup: int, runs: int) -> None:
    """Refuse numbers of runs that measure nothing.

    Raises:
        InputError: `runs` is not positive, or `warmup` is negative.
    """
    if runs < 1:
        raise InputError(
            f"{runs} runs measure nothing", expected="one run or more", fix="--runs 400"
        )
    if warmup < 0:
        raise InputError(f"{warmup} warm-up runs cannot be made", expected="zero or more")


def summarize(times_ns: Sequence[int]) -> LatencyReport:
    """What a sample of times supports.

    Args:
        times_ns: One run or more, in nanoseconds.
    """
    ms: Array = np.sort(np.asarray(times_ns, dtype=np.float64) / 1e6)
    runs = len(ms)
    supported = [q for q, needed in RUNS_NEEDED.items() if runs >= needed]
    intervals: dict[int, tuple[float, float]] = {}
    runs_needed: dict[int, int] = {}
    for percentile in RUNS_NEEDED:
        ranks = interval_ranks(runs, percentile)
        if ranks is None:
            runs_needed[percentile] = runs_for_interval(percentile)
        else:
            intervals[percentile] = (float(ms[ranks[0] - 1]), float(ms[ranks[1] - 1]))
    return LatencyReport(
        runs=runs,
        mean_ms=float(ms.mean()),
        min_ms=float(ms[0]),
        max_ms=float(ms[-1]),
        percentiles_ms={q: float(np.percentile(ms, q, method="inverted_cdf")) for q in supported},
        intervals_ms=intervals,
        runs_needed=runs_needed,
        histogram=_histogram(ms),
    )


def interval_ranks(
    runs: int, percentile: float, *, confidence: float = CONFIDENCE
) -> tuple[int, int] | None:
    """Ranks, from 1, of the two order statistics that hold a percentile.

    The number of runs at or below the true percentile is binomial(runs, percentile / 100), whatever
    the distribution of the times. Each tail outside of the ranks has at most half of what the
    confidence leaves. The runs are taken to be independent: drift makes the interval too narrow.

    Args:
        runs: Size of the sample.
        percentile: Above 0 and below 100.
        confidence: Above 0 and below 1.

    Returns:
        None when the sample is too small for two such ranks.

    Source: H. A. David, H. N. Nagaraja, "Order Statistics", third edition, section 7.1; W. J.
        Conover, "Practical Nonparametric Statistics", section 3.2.
    """
    tail = (1 - confidence) / 2
    at_most = _binomial_cdf(runs, percentile / 100)  # [runs + 1]
    # X(low) > percentile exactly when fewer than `low` runs lie at or below it.
    low = int(np.searchsorted(at_most, tail, side="right"))
    # X(high) < percentile only when `high` runs or more lie at or below it.
    high = int(np.searchsorted(at_most, 1 - tail, side="left")) + 1
    return (low, high) if low >= 1 and high <= runs else None


def runs_for_interval(percentile: float, *, confidence: float = CONFIDENCE) -> int:
    """The smallest sample that carries an interval of a percentile; see `interval_ranks`."""
    share = percentile / 100
    runs = math.ceil(math.log((1 - confidence) / 2) / math.log(max(share, 1 - share)))
    while interval_ranks(runs, percentile, confidence=confidence) is None:
        runs += 1
    return runs


def _binomial_cdf(n: int, p: float) -> Array:
    """float64[n + 1]: probability of at most k successes in n trials, for each k."""
    k = np.arange(1, n + 1)
    steps = np.log((n - k + 1) / k) + math.log(p / (1 - p))
    log_mass = np.concatenate([[0.0], np.cumsum(steps)]) + n * math.log1p(-p)
    return np.asarray(np.cumsum(np.exp(log_mass)))


def _histogram(ordered: Array) -> tuple[tuple[float, float, int], ...]:
    """Bars of one width over the bulk, and every slower run in the last one.

    The bulk ends at the upper quartile plus three interquartile ranges: one run of a hundred times
    the median would leave all others in a single bar.

    Source: J. W. Tukey, "Exploratory Data Analysis", chapter 2: the outer fence.
    """
    if len(ordered) < RUNS_NEEDED[95]:
        return ()
    low, high = float(ordered[0]), float(ordered[-1])
    quarter, upper = np.percentile(ordered, [25, 75], method="inverted_cdf")
    top = min(float(upper + 3 * (upper - quarter)), high)
    if top <= low:
        return ()
    edges = [*np.linspace(low, top, BARS + 1).tolist()]
    if high > top:
        edges.append(high)
    counts = np.histogram(ordered, edges)[0].tolist()
    return tuple(zip(edges, edges[1:], counts, strict=False))
