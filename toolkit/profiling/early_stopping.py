"""MLPerf's early stopping: an upper bound of a percentile that the sample can carry."""

import numpy as np

from toolkit.profiling.binomial import binomial_cdf

CONFIDENCE = 0.99
"""MLPerf's: one bound in a hundred is too low."""


def slowest_counted(runs: int, percentile: float) -> int:
    """Which of the slowest runs, from 1, is the bound; 0 when the sample carries none.

    With `t` runs at or above a value among `n`, the percentile `p` is at most that value with
    confidence 0.99 when P(Binomial(n, 1 - p) <= t) <= 0.01. The bound is the `t`-th slowest run for
    the largest such `t`: the more runs, the closer it comes to the percentile, from above. The runs
    must be independent: of neighbors that resemble each other give what they are worth.

    Args:
        runs: Independent runs.
        percentile: Above 0 and below 100.

    Source: MLPerf Inference rules, appendix "Early Stopping Criterion"; loadgen/early_stopping.cc
        and results.cc of mlcommons/inference, with confidence 0.99 and tolerance 0.
    """
    at_most = binomial_cdf(runs, 1 - percentile / 100)  # [runs + 1]
    return max(0, int(np.searchsorted(at_most, 1 - CONFIDENCE, side="right")) - 1)


def runs_for_bound(percentile: float) -> int:
    """The smallest sample that carries a bound: 662 runs for p99, 64 for p90."""
    low, high = 0, 1
    while slowest_counted(high, percentile) < 1:
        low, high = high, high * 2
    while high - low > 1:
        middle = (low + high) // 2
        if slowest_counted(middle, percentile) < 1:
            low = middle
        else:
            high = middle
    return high
