"""Arrivals, queues, and the highest rate that keeps a bound, on a simulated machine."""

import itertools
import time
from collections.abc import Callable

import numpy as np
import pytest

from tests.profiling.simulated_clock import Draw, SimulatedMachine
from toolkit.errors import CheckFailedError, InputError
from toolkit.profiling.arrivals import Served, poisson, queued, serve, wait_until
from toolkit.profiling.measuring import Measuring
from toolkit.profiling.queries import Queries
from toolkit.profiling.rate import Search, confirmed, find_rate
from toolkit.profiling.scenarios import Effort, Server
from toolkit.profiling.statistics import summarize


def constant(_: np.random.Generator) -> float:
    return 0.002


def log_normal(rng: np.random.Generator) -> float:
    return 0.002 * float(np.exp(rng.normal(0.0, 0.3)))


def rare_slow(rng: np.random.Generator) -> float:
    return 0.0015 + 0.003 * float(rng.random() < 0.1)


def highest_rate(draw: Draw, bound_s: float) -> float:
    """By a long sweep: 300,000 computed queries at each rate."""
    rng = np.random.default_rng(1)
    service = np.array([draw(rng) for _ in range(300_000)])
    arrivals = poisson(len(service), seed=9)
    rates = np.geomspace(20, 0.98 / service.mean(), 120)
    kept = [r for r in rates if np.percentile(queued(service, arrivals / r), 99) < bound_s]
    return float(max(kept))


def searched(draw: Draw, bound_ms: float, *, seed: int) -> float:
    machine = SimulatedMachine(draw, seed=seed)
    alone = []
    for _ in range(400):
        start = machine.now_ns
        machine.run({})
        alone.append(machine.now_ns - start)
    rate, trials = find_rate(
        np.array(alone),
        Search(bound_ms=bound_ms, seed=seed),
        lambda arrivals, give_up: serve(
            [machine.run],
            [{}],
            arrivals,
            give_up=give_up,
            clock_ns=machine.clock_ns,
            wait=machine.wait,
        ),
    )
    assert rate == max(trial.rate_per_s for trial in trials if trial.passed)
    return rate


@pytest.mark.parametrize("draw", [constant, log_normal, rare_slow])
@pytest.mark.parametrize("bound_ms", [10.0, 20.0])
def test_the_rate_is_that_of_a_long_sweep(draw: Draw, bound_ms: float) -> None:
    exact = highest_rate(draw, bound_ms / 1e3)
    for seed in range(3):
        assert searched(draw, bound_ms, seed=seed) == pytest.approx(exact, rel=0.1)


def test_a_bound_below_the_runs_themselves_is_kept_by_no_rate() -> None:
    with pytest.raises(CheckFailedError, match="without any queue") as caught:
        searched(constant, 1.0, seed=0)
    assert "2" in caught.value.expected


def test_a_budget_too_short_for_trials_says_which_one_would_do() -> None:
    search = Search(bound_ms=10, budget_s=1)
    with pytest.raises(InputError, match="budget of 1 s") as caught:
        find_rate(np.full(100, 2_000_000), search, lambda *_: pytest.fail("no trial"))
    assert caught.value.fix.startswith("--budget ")


def test_latency_counts_from_the_scheduled_arrival() -> None:
    machine = SimulatedMachine(lambda _: 1.0)
    served = serve(
        [machine.run],
        [{}],
        np.array([0.5, 0.6, 4.0]),
        clock_ns=machine.clock_ns,
        wait=machine.wait,
    )
    # The second waits 0.9 s for the first; the third finds nobody.
    assert (served.latency_ns / 1e9).tolist() == [1.0, 1.9, 1.0]
    assert (served.service_ns / 1e9).tolist() == [1.0, 1.0, 1.0]
    assert served.busy_share(1) == pytest.approx(3 / 4)


@pytest.mark.parametrize("sessions", [1, 2, 3])
def test_the_computed_queue_is_first_come_first_served(sessions: int) -> None:
    rng = np.random.default_rng(4)
    service, arrivals = rng.random(300), rng.exponential(0.4, 300).cumsum()
    free, expected = [0.0] * sessions, []
    for arrival, duration in zip(arrivals, service, strict=True):
        free.sort()
        free[0] = max(arrival, free[0]) + duration
        expected.append(free[0] - arrival)
    assert np.allclose(queued(service, arrivals, sessions), expected)


def test_arrivals_follow_the_seed_and_the_rate() -> None:
    assert np.array_equal(poisson(100, seed=1), poisson(100, seed=1))
    assert not np.array_equal(poisson(100, seed=1), poisson(100, seed=2))
    gaps = np.diff(poisson(100_000, seed=3))
    assert gaps.mean() == pytest.approx(1.0, rel=0.02)
    assert gaps.std() == pytest.approx(1.0, rel=0.02)  # as an exponential's


def test_the_queue_of_a_queueing_theory_book() -> None:
    # M/M/1 with load 0.5: the time in the system is exponential with mean s / (1 - load).
    rng = np.random.default_rng(5)
    latency = queued(rng.exponential(1.0, 400_000), poisson(400_000, seed=6) / 0.5)
    assert latency.mean() == pytest.approx(2.0, rel=0.03)
    assert np.percentile(latency, 99) == pytest.approx(2.0 * np.log(100), rel=0.05)


def measured(scenario: Server, effort: Effort, draw: Draw, fails_on: int = 0) -> Measuring:
    machine = SimulatedMachine(draw, fails_on=fails_on)
    return Measuring(
        runs=[machine.run],
        queries=Queries(feeds=[{}], kind="random", samples=1),
        task=None,
        effort=effort,
        clock_ns=machine.clock_ns,
        wait=machine.wait,
    )


def test_a_server_is_busy_as_long_as_its_queries_take() -> None:
    server = Server(rate_per_s=250.0)
    found, failure = measured(server, Effort(runs=4000), constant).measure(server)
    assert failure is None
    assert len(found["times_ns"]) == 4000
    assert found["busy_share"] == pytest.approx(0.5, rel=0.05)


def test_a_server_that_fails_keeps_what_it_answered() -> None:
    server = Server(rate_per_s=10.0)
    measuring = measured(server, Effort(runs=50, warmup=2), constant, fails_on=10)
    found, failure = measuring.measure(server)
    assert failure is not None
    assert found["made"] == 7  # the tenth run is the eighth query


def test_a_search_that_fails_keeps_its_trials() -> None:
    server = Server(latency_bound_ms=20.0)
    measuring = measured(server, Effort(warmup=2), constant, fails_on=6000)
    found, failure = measuring.measure(server)
    assert isinstance(failure, InputError)
    assert [trial.queries for trial in found["trials"]] == [4000]
    assert found["made"] == 4000


def test_a_rate_is_searched_where_a_bound_alone_is_given() -> None:
    server = Server(latency_bound_ms=20.0)
    found, _ = measured(server, Effort(), constant).measure(server)
    assert found["rate_per_s"] == pytest.approx(highest_rate(constant, 0.02), rel=0.1)
    assert found["trials"]
    last = found["trials"][-1]
    assert last.rate_per_s == found["rate_per_s"]  # served once more, with other arrivals
    assert last.passed
    assert last.long_p99_ms < 20


def test_a_found_rate_that_does_not_hold_again_is_lowered_or_not_confirmed() -> None:
    search = Search(bound_ms=20.0)
    exact = highest_rate(constant, 0.02)

    def serving(draw: Draw) -> Callable[..., Served]:
        machine = SimulatedMachine(draw)
        return lambda arrivals, give_up: serve(
            [machine.run],
            [{}],
            arrivals,
            give_up=give_up,
            clock_ns=machine.clock_ns,
            wait=machine.wait,
        )

    rate, _, trials = confirmed(1.05 * exact, 4000, search, serving(constant))
    assert [trial.passed for trial in trials] == [False] * (len(trials) - 1) + [True]
    assert rate == pytest.approx(exact, rel=0.1)
    _, _, trials = confirmed(exact, 4000, search, serving(lambda _: 0.003))
    assert not trials[-1].passed


def test_p99_over_the_bound_at_a_found_rate_is_said() -> None:
    """Where these arrivals were unlucky: over a long time the bound is kept."""
    said = []
    for seed in range(12):
        server = Server(latency_bound_ms=20.0)
        measuring = measured(server, Effort(), log_normal)
        measuring.seed = seed
        found, _ = measuring.measure(server)
        p99_ms = np.percentile(found["times_ns"], 99, method="inverted_cdf") / 1e6
        assert bool(found["remarks"]) == (found["trials"][-1].passed and p99_ms >= 20)
        said += found["remarks"]
    assert said


def test_a_bound_within_the_interval_is_neither_kept_nor_missed() -> None:
    server = Server(rate_per_s=150.0)
    found, _ = measured(server, Effort(runs=12000), log_normal).measure(server)
    low, high = summarize(found["times_ns"]).intervals_ms[99]
    for bound_ms, is_untold in ((low - 0.1, False), ((low + high) / 2, True), (high + 0.1, False)):
        beside = Server(rate_per_s=150.0, latency_bound_ms=bound_ms)
        found, _ = measured(beside, Effort(runs=12000), log_normal).measure(beside)
        assert any("cannot tell" in remark for remark in found["remarks"]) == is_untold


def test_throughput_is_what_was_served_not_what_was_offered() -> None:
    server = Server(rate_per_s=2000.0)
    found, _ = measured(server, Effort(runs=4000), constant).measure(server)
    assert found["served_per_s"] == pytest.approx(500, rel=0.01)


def test_a_queue_that_is_cut_is_said_to_be() -> None:
    server = Server(rate_per_s=5000.0)
    found, _ = measured(server, Effort(budget_s=1.0), constant).measure(server)
    assert found["made"] == pytest.approx(1000, rel=0.01)  # 2 s of 2 ms
    assert "1000 of 5000" in found["remarks"][0].replace("1001", "1000")


def test_the_warm_up_is_that_of_all_sessions() -> None:
    server = Server(rate_per_s=100.0, sessions=2)
    measuring = measured(server, Effort(runs=50, warmup=3), constant)
    measuring.runs = [*measuring.runs] * 2
    found, _ = measuring.measure(server)
    assert (found["warmup"].runs, found["warmup"].ended) == (6, "as asked")


def test_a_session_that_gives_up_ends_the_others_too() -> None:
    """While one gave up, another used to look up an arrival that was gone."""
    for _ in range(20):
        served = serve(
            [lambda _: None] * 4,
            [{}],
            np.zeros(400),
            give_up=lambda _: True,
            wait=lambda _: time.sleep(0),
        )
        assert 1 <= len(served.latency_ns) <= 4


def test_a_session_that_waits_leaves_the_interpreter_to_the_others(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    slept: list[float] = []
    ticks = itertools.count(step=1000)
    monkeypatch.setattr("toolkit.profiling.arrivals.time.sleep", slept.append)
    monkeypatch.setattr("toolkit.profiling.arrivals.time.perf_counter_ns", lambda: next(ticks))
    wait_until(10_000)
    assert slept
    assert set(slept) == {0}
