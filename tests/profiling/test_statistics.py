"""Timing and what a sample supports."""

import itertools

import pytest

from toolkit.errors import InputError
from toolkit.profiling import measure_latency
from toolkit.profiling.early_stopping import runs_for_bound, slowest_counted
from toolkit.profiling.statistics import (
    RUNS_NEEDED,
    interval_ranks,
    runs_for_interval,
    summarize,
)


def test_warm_up_runs_are_not_counted() -> None:
    calls: list[int] = []
    ticks = itertools.count(step=2_000_000)  # every timed call lasts 2 ms
    report = measure_latency(
        lambda: calls.append(1), warmup=3, runs=5, clock_ns=lambda: next(ticks)
    )
    assert (len(calls), report.runs, report.mean_ms) == (8, 5, 2.0)
    assert report.percentiles_ms == {50: 2.0}  # five runs cannot support a p90


@pytest.mark.parametrize("runs", [0, -1])
def test_no_runs_are_refused_before_anything_is_called(runs: int) -> None:
    calls: list[int] = []
    with pytest.raises(InputError, match=f"{runs} runs"):
        measure_latency(lambda: calls.append(1), warmup=3, runs=runs)
    assert not calls


def test_a_negative_warm_up_is_refused() -> None:
    with pytest.raises(InputError, match="-1"):
        measure_latency(lambda: None, warmup=-1, runs=1)


def test_every_percentile_is_a_run_that_happened() -> None:
    times = [int(ms * 1e6) for ms in range(1, 101)]
    report = summarize(times)
    assert report.percentiles_ms == {50: 50.0, 90: 90.0, 95: 95.0, 99: 99.0}
    assert (report.min_ms, report.max_ms, report.mean_ms) == (1.0, 100.0, 50.5)


@pytest.mark.parametrize("percentile, needed", RUNS_NEEDED.items())
def test_a_percentile_appears_with_the_runs_that_it_needs(percentile: int, needed: int) -> None:
    assert percentile in summarize([1_000_000] * needed).percentiles_ms
    if needed > 1:
        assert percentile not in summarize([1_000_000] * (needed - 1)).percentiles_ms


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
    assert sorted(report.percentiles_ms) == [99.9]
    assert report.runs_needed == {99.9: 3688}  # 0.999**n <= 0.025
    assert summarize([1] * 999, percentiles=(99.9,)).percentiles_ms == {}


@pytest.mark.parametrize("percentile, needed", [(90, 64), (99, 662)])
def test_mlperfs_bound_needs_as_many_runs_as_loadgen_says(percentile: int, needed: int) -> None:
    assert runs_for_bound(percentile) == needed
    times = [int(ms * 1e6) for ms in range(1, needed + 1)]
    assert summarize(times).upper_bounds_ms[percentile] == needed
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
