"""How many independent runs a run of neighbors is worth, and whether they drift.

Runs follow each other on one machine: a busy neighbor, a clock that changes or a queue that drains
makes runs resemble the ones before them. An interval that takes them for independent is too narrow.
"""

import math
from dataclasses import dataclass

import numpy as np

from toolkit.tensors import Array

SHORTEST = 6
"""The smallest sample that carries any interval: too short to tell of dependence."""

BATCHES = 20
"""Batches whose medians are tested for a trend; each holds five runs or more."""

BLOCKS = 100
"""Of five runs or more, to see in how many of them the slow runs are."""

LIMIT = 1.96
"""Of a normal distribution: what was seen rarely may be this far below what there is."""

SIGNIFICANT = 0.01
"""Below this p-value a trend is taken for real: one steady run in a hundred is accused wrongly."""


@dataclass(frozen=True, kw_only=True)
class Drift:
    """How the runs changed from the first to the last.

    Attributes:
        change: Median of the last third of the runs over that of the first, less 1.
        p_value: Of the Mann-Kendall test: how likely steady runs show such a trend.
    """

    change: float
    p_value: float

    @property
    def is_significant(self) -> bool:
        """Whether chance is no good explanation."""
        return self.p_value < SIGNIFICANT


def drift(values: Array) -> Drift | None:
    """The trend of a series of durations; None when it is too short for the test.

    The test is Mann and Kendall's, on medians of batches: neighbors within a batch may depend on
    each other, which the test does not allow for single runs.

    Args:
        values: float64[runs], in the order in which they were measured.

    Source: M. G. Kendall, "Rank Correlation Methods", fourth edition, section 4.5 for the normal
        approximation with its correction for continuity, which holds from ten values on.
    """
    count = min(BATCHES, len(values) // 5)
    if count < 10:
        return None
    medians = np.array([np.median(batch) for batch in np.array_split(values, count)])
    above = np.sign(medians[None, :] - medians[:, None])[np.triu_indices(count, 1)].sum()
    spread = math.sqrt(count * (count - 1) * (2 * count + 5) / 18)
    score = max(abs(float(above)) - 1, 0.0) / spread
    third = len(values) // 3
    first, last = np.median(values[:third]), np.median(values[-third:])
    return Drift(
        change=float(last / first - 1) if first > 0 else 0.0,
        p_value=math.erfc(score / math.sqrt(2)),
    )


def inefficiency(values: Array, percentile: float, *, is_drifting: bool) -> float:
    """Runs that are worth one independent run, for a percentile; 1 or more.

    The share of runs at or below a value is a mean of zeros and ones. Dependence multiplies the
    variance of that mean by the integrated autocorrelation time of these zeros and ones. The time
    is taken at the percentile, at the median and halfway up to the maximum (slow runs that come in
    bursts show there first) and from the ranks; the largest counts.

    A few bursts tell little of how many there are: what the time exceeds 1 by is multiplied by the
    upper limit of a Poisson count over that count, which is in how many blocks the variance lies.

    When the runs drift, the interval is about the average of this period: a curve of second degree
    is what the period was, and dependence is what is left around it.

    Args:
        values: float64[runs], in the order in which they were measured.
        percentile: Above 0 and below 100.
        is_drifting: Whether a trend was found; see `drift`.

    Source: P. Heidelberger, P. A. W. Lewis, "Quantile Estimation in Dependent Sequences",
        Operations Research 32(1), 1984: the variance of a quantile under dependence. W. Hoeffding,
        "On the Distribution of the Number of Successes in Independent Trials", 1956: shares that
        differ from run to run make the variance smaller, never larger. N. E. Breslow, N. E. Day,
        "Statistical Methods in Cancer Research" II, 1987, section 2.3: Byar's limit of a count.
    """
    if len(values) < SHORTEST:
        return 1.0
    levels = np.percentile(values, [50, percentile, (percentile + 100) / 2], method="inverted_cdf")
    series = [
        _ranks(values),
        *((values <= level).astype(np.float64) for level in set(levels.tolist())),
    ]
    return max(_cautious_time(one, is_drifting=is_drifting) for one in series)


def _cautious_time(series: Array, *, is_drifting: bool) -> float:
    time = autocorrelation_time(series, without_trend=is_drifting)
    seen = _blocks_seen(series)
    limit = (seen + 1) * (1 - 1 / (9 * (seen + 1)) + LIMIT / (3 * math.sqrt(seen + 1))) ** 3
    return 1 + (time - 1) * limit / seen


def _blocks_seen(series: Array) -> float:
    """How many blocks share the variance of the blocks' means: 1 when a single one has it all."""
    size = max(5, len(series) // BLOCKS)
    means = series[: len(series) // size * size].reshape(-1, size).mean(axis=1)
    squares = (means - means.mean()) ** 2
    fourth = float((squares**2).sum())
    return float(squares.sum()) ** 2 / fourth if fourth > 0 else float(len(means))


def _ranks(values: Array) -> Array:
    """float64[runs]: equal values share the middle of their ranks."""
    ordered = np.sort(values)
    first, end = (np.searchsorted(ordered, values, side=side) for side in ("left", "right"))
    return np.asarray((first + end) / 2)


def autocorrelation_time(series: Array, *, without_trend: bool = False) -> float:
    """Integrated autocorrelation time of a series: 1 for independent values, and never less.

    Sums of neighboring autocovariances are added as long as they are positive, each cut to the one
    before it.

    Args:
        series: float64[runs], in order.
        without_trend: Take a curve of second degree out first.

    Source: C. J. Geyer, "Practical Markov Chain Monte Carlo", Statistical Science 7(4), 1992,
        section 3.3: the initial monotone sequence estimator.
    """
    variance = float(series.var())
    if variance <= 0:  # all values are equal
        return 1.0
    covariance = _autocovariance(_without_trend(series) if without_trend else series)
    pairs = covariance[: len(covariance) // 2 * 2].reshape(-1, 2).sum(axis=1)
    falling = np.minimum.accumulate(pairs)
    end = int(np.argmax(falling <= 0)) if (falling <= 0).any() else len(falling)
    return max(1.0, float(2 * falling[:end].sum() - covariance[0]) / variance)


def _without_trend(series: Array) -> Array:
    powers = np.vander(np.linspace(-1, 1, len(series)), 3)
    fitted = powers @ np.linalg.lstsq(powers, series, rcond=None)[0]
    return np.asarray(series - fitted)


def _autocovariance(series: Array) -> Array:
    """float64[runs]: by lag, each over the number of runs, so that no spectrum is negative."""
    runs = len(series)
    size = 1 << math.ceil(math.log2(2 * runs))
    spectrum = np.fft.rfft(series - series.mean(), size)
    return np.asarray(np.fft.irfft(spectrum * spectrum.conj(), size)[:runs] / runs)
