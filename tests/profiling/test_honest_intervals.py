"""95 % intervals hold the truth as often as they say, for runs of known distributions.

Where the runs drift, the truth is the percentile of the average of the measured period: of the
duration of a run that is picked at random from it. Where they depend on each other without drift it
is the percentile of the one distribution that all of them have.
"""

from collections.abc import Callable

import numpy as np
import numpy.typing as npt
import pytest

from tests.profiling.simulated_clock import SimulatedMachine
from toolkit.profiling.dependence import autocorrelation_time, drift
from toolkit.profiling.loop import Recording, record
from toolkit.profiling.scenarios import Effort
from toolkit.profiling.statistics import LatencyReport, summarize

Times = npt.NDArray[np.float64]
Draw = Callable[[np.random.Generator, int], Times]

SIMULATED = 200
RUNS = 640
HELD = 0.93
ASKED = (50.0, 90.0, 99.0)


def noise(rng: np.random.Generator, runs: int) -> Times:
    return np.exp(rng.normal(0.0, 0.3, runs))


def log_normal(rng: np.random.Generator, runs: int) -> Times:
    return noise(rng, runs)


def bimodal(rng: np.random.Generator, runs: int) -> Times:
    return noise(rng, runs) + 2.0 * (rng.random(runs) < 0.2)


def rising(rng: np.random.Generator, runs: int) -> Times:
    return noise(rng, runs) * np.linspace(1.0, 1.3, runs)


def stepping(rng: np.random.Generator, runs: int) -> Times:
    return noise(rng, runs) * np.where(np.arange(runs) < 0.4 * runs, 1.0, 1.3)


def correlated(rng: np.random.Generator, runs: int) -> Times:
    """An autoregressive process of log-durations: each remembers 0.8 of the one before."""
    steps = rng.normal(0.0, 0.3 * np.sqrt(1 - 0.8**2), runs)
    steps[0] = rng.normal(0.0, 0.3)
    for i in range(1, runs):
        steps[i] += 0.8 * steps[i - 1]
    return np.exp(steps)


def bursting(rng: np.random.Generator, runs: int, share: float) -> Times:
    """Something else takes the machine for 20 runs on average, which last twice as long."""
    times, start, is_slow = np.exp(rng.normal(0.0, 0.05, runs)), 0, bool(rng.random() < share)
    while start < runs:
        length = int(rng.geometric(1 / 20 if is_slow else share / (1 - share) / 20))
        times[start : start + length] *= 2.0 if is_slow else 1.0
        start, is_slow = start + length, not is_slow
    return times


def measured(share: float, seed: int) -> LatencyReport:
    """What `record` makes of them in its own time: 10 s of runs that take 1 ms without a burst."""
    times = iter((bursting(np.random.default_rng(seed), 12_000, share) / 1e3).tolist())
    machine, recording = SimulatedMachine(lambda _: next(times)), Recording()
    record(machine.run, [{}], Effort(), recording, clock_ns=machine.clock_ns)
    return summarize(recording.times_ns, percentiles=ASKED)


@pytest.mark.parametrize("share, held, bounded", [(0.04, HELD, 0.98), (0.015, 0.92, 0.95)])
def test_bursts_are_in_the_intervals_that_are_stated(
    share: float, held: float, bounded: float
) -> None:
    """Of 18 bursts, and of seven, where a sample that saw two cannot know of the others."""
    reports = [measured(share, seed) for seed in range(100)]
    every = np.concatenate([bursting(np.random.default_rng(7), 1_000_000, share)] * 2)
    for percentile in (50.0, 90.0):
        expected = float(np.percentile(every, percentile))
        stated = [r.intervals_ms[percentile] for r in reports if percentile in r.intervals_ms]
        assert len(stated) >= 90, percentile
        assert np.mean([low <= expected <= high for low, high in stated]) >= held, percentile
        bounds = [r.upper_bounds_ms[percentile] for r in reports if percentile in r.upper_bounds_ms]
        assert np.mean([expected <= bound for bound in bounds]) >= bounded, percentile
    # Few bursts carry no p99.
    assert np.mean([99.0 in report.intervals_ms for report in reports]) < (
        0.3 if share < 0.02 else 1
    )


def simulated(draw: Draw, seed: int, runs: int = RUNS) -> list[LatencyReport]:
    rng = np.random.default_rng(seed)
    return [
        summarize((draw(rng, runs) * 1e6).tolist(), percentiles=ASKED) for _ in range(SIMULATED)
    ]


def truth(draw: Draw, percentile: float) -> float:
    """From many runs of the same length: a drift is part of what is drawn."""
    rng = np.random.default_rng(99)
    every = np.concatenate([draw(rng, RUNS) for _ in range(1500)])
    return float(np.percentile(every, percentile))


@pytest.mark.parametrize("draw", [log_normal, bimodal, rising, stepping])
def test_intervals_hold_the_truth_as_often_as_they_say(draw: Draw) -> None:
    reports = simulated(draw, seed=5)
    for percentile in ASKED:
        expected = truth(draw, percentile)
        intervals = [report.intervals_ms.get(percentile) for report in reports]
        printed = [interval for interval in intervals if interval is not None]
        held = [low <= expected <= high for low, high in printed]
        assert len(printed) >= 0.5 * SIMULATED, percentile
        assert sum(held) / len(held) >= HELD, percentile


def test_runs_that_depend_on_each_other_are_worth_fewer() -> None:
    reports = simulated(correlated, seed=6)
    for percentile in (50.0, 90.0):
        expected = truth(correlated, percentile)
        intervals = [report.intervals_ms.get(percentile) for report in reports]
        held = [i[0] <= expected <= i[1] for i in intervals if i is not None]
        assert len(held) >= 0.5 * SIMULATED, percentile
        assert sum(held) / len(held) >= HELD, percentile
    assert np.median([report.independent_runs[50.0] for report in reports]) < RUNS / 4
    # Nine of them are worth one: too few for a p99, and no interval is shown.
    assert all(99.0 not in report.intervals_ms for report in reports)
    assert all(report.runs_needed[99.0] > 368 for report in reports)


def test_steady_runs_are_seldom_said_to_drift() -> None:
    accused = [r.drift is not None and r.drift.is_significant for r in simulated(bimodal, seed=7)]
    assert sum(accused) <= 0.03 * SIMULATED


def test_a_rise_within_the_noise_is_mostly_found_and_measured() -> None:
    rng = np.random.default_rng(8)
    found = [drift(rising(rng, RUNS)) for _ in range(SIMULATED)]
    assert sum(one is not None and one.is_significant for one in found) >= 0.8 * SIMULATED
    # The median of the last third over the first's: 1.25 / 1.05.
    changes = [one.change for one in found if one is not None]
    assert np.mean(changes) == pytest.approx(1.25 / 1.05 - 1, abs=0.02)


def test_few_runs_tell_of_no_drift() -> None:
    assert drift(np.arange(49.0)) is None


@pytest.mark.parametrize("memory", [0.0, 0.5, 0.9])
def test_the_autocorrelation_time_is_that_of_the_process(memory: float) -> None:
    rng = np.random.default_rng(3)
    series = rng.standard_normal(40_000)
    for i in range(1, len(series)):
        series[i] += memory * series[i - 1]
    exact = (1 + memory) / (1 - memory)
    assert autocorrelation_time(series) == pytest.approx(exact, rel=0.15)
