"""What is said of the runs in words, and what the machine is seen to do."""

from pathlib import Path
from typing import Any

import numpy as np

from toolkit.profiling.child import Answer
from toolkit.profiling.conditions import Conditions, Watch
from toolkit.profiling.curve import curve
from toolkit.profiling.findings import findings
from toolkit.profiling.in_force import InForce
from toolkit.profiling.loop import WarmUp
from toolkit.profiling.scenarios import Effort
from toolkit.profiling.statistics import PERCENTILES, summarize


def said(times_ms: Any, **fields: Any) -> str:
    times = [round(ms * 1e6) for ms in times_ms]
    answer = Answer(
        provider="cpu",
        session=InForce(threads=1),
        placement={},
        creation_ms=1.0,
        first_run_ms=1.0,
        shapes={},
        inputs="random",
        samples_per_run=1,
        times_ns=times,
        **{"made": len(times), "conditions": Conditions(clock_mhz=(2000.0,) * 9), **fields},
    )
    return "; ".join(findings(summarize(times), answer, Effort()))


def noise(runs: int = 1000) -> Any:
    return np.random.default_rng(2).normal(10.0, 0.3, runs)


def test_steady_runs_have_nothing_to_be_said_of() -> None:
    assert said(noise()) == ""


def test_a_drift_is_measured_and_limits_what_the_intervals_say() -> None:
    text = said(noise() * np.linspace(1.0, 1.3, 1000))
    assert "latency rose by 20%" in text
    assert "of no other" in text


def test_a_clock_that_falls_while_runs_slow_down_is_called_throttling() -> None:
    falling = Conditions(clock_mhz=tuple(np.linspace(3000, 2200, 9)))
    assert "throttling is likely" in said(noise() * np.linspace(1.0, 1.3, 1000), conditions=falling)
    assert "did not become slower" in said(noise(), conditions=falling)
    assert "cannot be read" in said(noise(), conditions=Conditions())


def test_a_container_out_of_its_quota_was_throttled() -> None:
    waited = Conditions(clock_mhz=(1.0,) * 9, quota_waits_ms=120.0)
    assert "waited 120 ms" in said(noise(), conditions=waited)


def test_outliers_are_counted_with_the_time_that_they_took() -> None:
    times = noise()
    times[[100, 500, 900]] = 200.0
    text = said(times)
    assert "3 of 1000 runs" in text
    assert "20 times the median" in text


def test_a_warm_up_that_did_not_settle_is_said() -> None:
    warmup = WarmUp(runs=12, ms=2000.0, ended="time limit")
    assert "not steady yet" in said(noise(), warmup=warmup)


def test_frequency_quota_and_preemptions_are_read(tmp_path: Path) -> None:
    scaling = tmp_path / "cpu0" / "cpufreq" / "scaling_cur_freq"
    scaling.parent.mkdir(parents=True)
    stat = tmp_path / "cpu.stat"
    scaling.write_text("3000000\n")
    stat.write_text("usage_usec 1\nthrottled_usec 1000\n")
    watch = Watch(tmp_path, tmp_path / "none", stat)
    watch.look()
    scaling.write_text("1500000\n")
    stat.write_text("usage_usec 1\nthrottled_usec 4000\n")
    watch.look()
    seen = watch.seen()
    assert seen.clock_mhz == (3000.0, 1500.0)
    assert seen.quota_waits_ms == 3.0


def test_a_machine_without_scaling_is_read_from_cpuinfo(tmp_path: Path) -> None:
    cpuinfo = tmp_path / "cpuinfo"
    cpuinfo.write_text("cpu MHz : 2000.5\nflags: x\ncpu MHz : 2001.5\n")
    watch = Watch(tmp_path / "none", cpuinfo, tmp_path / "none")
    watch.look()
    assert watch.seen().clock_mhz == (2001.0,)
    assert watch.seen().quota_waits_ms is None


def test_the_curve_has_slices_of_equal_time_with_what_their_runs_support() -> None:
    times = [1_000_000] * 300 + [3_000_000] * 100
    started = np.concatenate([[0], np.cumsum(times)[:-1]]).tolist()
    slices = curve(started, times, percentiles=PERCENTILES)
    assert sum(part.runs for part in slices) == 400
    assert slices[0].percentiles_ms["p50"] == 1.0
    assert slices[-1].percentiles_ms["p50"] == 3.0
    assert "p99" not in slices[-1].percentiles_ms
    assert slices[-1].to_s == 0.6
    assert curve([0] * 19, [1] * 19, percentiles=PERCENTILES) == ()
