"""Timing and what a sample supports."""

import numpy as np
import pytest

from toolkit.profiling.early_stopping import runs_for_bound, slowest_counted
from toolkit.profiling.statistics import (
    interval_ranks,
    runs_for_interval,
    summarize,
)


def test_every_percentile_is_a_run_that_happened() -> None:
    times = np.random.default_rng(0).permutation(np.arange(1, 1001)) * 1_000_000
    report = summarize(times.tolist())
    assert report.percentiles_ms == {50: 500.0, 90: 900.0, 95: 950.0, 99: 990.0}
    assert (report.min_ms, report.max_ms, report.mean_ms) == (1.0, 1000.0, 500.5)


def test_a_percentile_without_an_interval_is_not_stated_but_for_the_median() -> None:
    assert sorted(summarize([1_000_000] * 5).percentiles_ms) == [50]
    assert sorted(summarize([1_000_000] * 80).percentiles_ms) == [50, 90, 95]
    in_two_bursts = np.repeat([1, 2, 1, 2], [400, 50, 400, 50]) * 1_000_000
    assert sorted(summarize(in_two_bursts.tolist()).percentiles_ms) == [50]


@pytest.mark.parametrize("percentile, needed", [(50, 6), (90, 36), (95, 72), (99, 368)])
def test_an_interval_needs_runs_on_both_sides(percentile: int, needed: int) -> None:
    # The sample's extremes must hold the percentile with 97.5 % on each side: p**n <= 0.025.
    assert runs_for_interval(percentile) == needed
    assert interval_ranks(needed, percentile) is not None
    assert interval_ranks(needed - 1, percentile) is None


def test_the_ranks_are_those_of_the_binomial_table() -> None:
    # Conover, table A3: 20 runs, median: P(X <= 5) = 0.0207, P(X <= 6) = 0.0577.
    assert interval_ranks(20, 50) == (6, 15)


def test_a_sample_too_small_for_an_interval_says_how_many_runs_it_needs() -> None:
    report = summarize([1_000_000] * 100)
    assert sorted(report.intervals_ms) == [50, 90, 95]
    assert report.runs_needed == {99: 368}


def test_a_percentile_that_was_asked_for_is_the_only_one() -> None:
    report = summarize([1_000_000] * 2000, percentiles=(99.9,))
    assert report.runs_needed == {99.9: 3688}  # 0.999**n <= 0.025
    assert summarize([1] * 3687, percentiles=(99.9,)).percentiles_ms == {}


@pytest.mark.parametrize("percentile, needed", [(90, 64), (99, 662)])
def test_mlperfs_bound_needs_as_many_runs_as_loadgen_says(percentile: int, needed: int) -> None:
    assert runs_for_bound(percentile) == needed
    times = [2_000_000, *[1_000_000] * (needed - 1)]
    assert summarize(times).upper_bounds_ms[percentile] == 2
    short = summarize(times[:-1])
    assert percentile not in short.upper_bounds_ms
    assert short.bound_needs[percentile] == needed


def test_mlperfs_bound_comes_down_with_more_runs() -> None:
    # P(Binomial(1000, 0.1) <= 78) = 0.0098, <= 79: 0.0133; scipy.stats.binom agrees.
    assert slowest_counted(1000, 90) == 78


def test_the_histogram_counts_every_run_and_keeps_the_tail_in_one_bar() -> None:
    times = [int(ms * 1e6) for ms in (*range(10, 109), 5000)]
    bars = summarize(times).histogram
    assert sum(count for _, _, count in bars) == 100
    assert bars[0][0] == 10.0
    assert bars[-1][1:] == (5000.0, 1)
    assert bars[-2][1] < 300.0


def test_equal_times_have_no_histogram() -> None:
    assert summarize([1_000_000] * 100).histogram == ()
