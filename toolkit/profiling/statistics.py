"""What a sample of times supports: percentiles, intervals, a histogram."""

import math
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field

import numpy as np

from toolkit.profiling.binomial import binomial_cdf
from toolkit.profiling.dependence import Drift, drift, inefficiency
from toolkit.profiling.early_stopping import runs_for_bound, slowest_counted
from toolkit.tensors import Array

Clock = Callable[[], int]

PERCENTILES = (50.0, 90.0, 95.0, 99.0)
"""Those that are reported when none is asked for."""

MEDIAN = 50.0
CONFIDENCE = 0.95
BARS = 12
LEAST_FOR_BARS = 20


@dataclass(frozen=True, kw_only=True)
class LatencyReport:
    """Times of the runs after the warm-up.

    Attributes:
        runs: Timed runs.
        mean_ms: Arithmetic mean.
        min_ms: The shortest.
        max_ms: The longest.
        percentiles_ms: By nearest rank, so that each is a run that happened: the median, and those
            that have an interval.
        intervals_ms: 95 % interval by percentile; only where the runs can carry one. When the runs
            drift, it is about the average of this period and says nothing of another.
        runs_needed: Runs that an interval would need, for every percentile that has none.
        independent_runs: By percentile, how many independent runs the sample is worth.
        upper_bounds_ms: By percentile, what it is below of with 99 % confidence, as MLPerf's early
            stopping states it, but of the independent runs; only where they can carry one.
        bound_needs: Runs that a bound would need, for every percentile that has none.
        drift: The trend; None when the runs are too few to tell.
        histogram: (from_ms, to_ms, runs) a bar, from the shortest to the longest run.
    """

    runs: int
    mean_ms: float
    min_ms: float
    max_ms: float
    percentiles_ms: Mapping[float, float]
    intervals_ms: Mapping[float, tuple[float, float]]
    runs_needed: Mapping[float, int]
    independent_runs: Mapping[float, int] = field(default_factory=dict)
    upper_bounds_ms: Mapping[float, float] = field(default_factory=dict)
    bound_needs: Mapping[float, int] = field(default_factory=dict)
    drift: Drift | None = None
    histogram: Sequence[tuple[float, float, int]] = ()


def summarize(
    times_ns: Sequence[int], *, percentiles: Sequence[float] = PERCENTILES
) -> LatencyReport:
    """What a sample of times supports.

    Args:
        times_ns: One run or more, in nanoseconds, in the order in which they were made.
        percentiles: Each above 0 and below 100.
    """
    in_order: Array = np.asarray(times_ns, dtype=np.float64) / 1e6
    ms: Array = np.sort(in_order)
    runs = len(ms)
    trend = drift(in_order)
    intervals: dict[float, tuple[float, float]] = {}
    independent: dict[float, int] = {}
    needed: dict[float, int] = {}
    bounds: dict[float, float] = {}
    bound_needs: dict[float, int] = {}
    for percentile in percentiles:
        worth = inefficiency(
            in_order, percentile, is_drifting=trend is not None and trend.is_significant
        )
        independent[percentile] = max(1, math.floor(runs / worth))
        ranks = dependent_ranks(runs, independent[percentile], percentile)
        if ranks is None:
            needed[percentile] = math.ceil(runs_for_interval(percentile) * worth)
        else:
            intervals[percentile] = (float(ms[ranks[0] - 1]), float(ms[ranks[1] - 1]))
        slowest = slowest_counted(independent[percentile], percentile)
        if slowest:  # spread over all runs, rounded outwards
            rank = math.floor((slowest - 1) * runs / independent[percentile])
            bounds[percentile] = float(ms[runs - 1 - rank])
        else:
            bound_needs[percentile] = math.ceil(runs_for_bound(percentile) * worth)
    return LatencyReport(
        runs=runs,
        mean_ms=float(ms.mean()),
        min_ms=float(ms[0]),
        max_ms=float(ms[-1]),
        percentiles_ms={
            q: float(np.percentile(ms, q, method="inverted_cdf"))
            for q in percentiles
            if q == MEDIAN or q in intervals
        },
        intervals_ms=intervals,
        runs_needed=needed,
        independent_runs=independent,
        upper_bounds_ms=bounds,
        bound_needs=bound_needs,
        drift=trend,
        histogram=_histogram(ms),
    )


def dependent_ranks(runs: int, independent: int, percentile: float) -> tuple[int, int] | None:
    """Ranks, from 1, of two of `runs` that are worth `independent` ones; see `interval_ranks`.

    The ranks of the smaller sample, spread over the larger one and rounded outwards.
    """
    ranks = interval_ranks(independent, percentile)
    if ranks is None:
        return None
    share = runs / independent
    return math.floor((ranks[0] - 1) * share) + 1, min(runs, math.ceil(ranks[1] * share))


def interval_ranks(
    runs: int, percentile: float, *, confidence: float = CONFIDENCE
) -> tuple[int, int] | None:
    """Ranks, from 1, of the two order statistics that hold a percentile.

    The number of runs at or below the true percentile is binomial(runs, percentile / 100), whatever
    the distribution of the times. Each tail outside of the ranks has at most half of what the
    confidence leaves. The runs must be independent; `dependent_ranks` is for those that are not.

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
    at_most = binomial_cdf(runs, percentile / 100)  # [runs + 1]
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


def _histogram(ordered: Array) -> tuple[tuple[float, float, int], ...]:
    """Bars of one width over the bulk, and every slower run in the last one.

    The bulk ends at the upper quartile plus three interquartile ranges: one run of a hundred times
    the median would leave all others in a single bar.

    Source: J. W. Tukey, "Exploratory Data Analysis", chapter 2: the outer fence.
    """
    if len(ordered) < LEAST_FOR_BARS:
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
