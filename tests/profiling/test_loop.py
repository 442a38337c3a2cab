"""Warm-up, and how many runs are made."""

import numpy as np
import pytest

from tests.profiling.simulated_clock import Draw, SimulatedMachine
from toolkit.errors import InputError
from toolkit.profiling.loop import KEPT, Recording, check_budget, record, warm_up
from toolkit.profiling.scenarios import Effort
from toolkit.tensors import Feeds

FEEDS: list[Feeds] = [{}]


def steady(rng: np.random.Generator) -> float:
    return 0.01 * float(np.exp(rng.normal(0.0, 0.05)))


def made(draw: Draw, effort: Effort) -> tuple[Recording, SimulatedMachine]:
    machine, recording = SimulatedMachine(draw), Recording()
    record(machine.run, FEEDS, effort, recording, clock_ns=machine.clock_ns)
    return recording, machine


def test_a_fixed_warm_up_is_as_long_as_asked() -> None:
    machine = SimulatedMachine(steady)
    warmup = warm_up(machine.run, FEEDS, Effort(warmup=7), clock_ns=machine.clock_ns)
    assert (machine.made, warmup.runs, warmup.ended) == (7, 7, "as asked")


def test_a_warm_up_ends_when_runs_no_longer_become_faster() -> None:
    machine = SimulatedMachine(lambda rng: steady(rng) * (1 + 4 * 0.9**machine.made))
    warmup = warm_up(machine.run, FEEDS, Effort(), clock_ns=machine.clock_ns)
    assert warmup.ended == "steady"
    assert 4 * 0.9**warmup.runs < 0.1  # at the end a run takes at most a tenth longer
    assert warmup.ms == pytest.approx(machine.now_ns / 1e6)


def test_a_warm_up_that_never_settles_is_ended_by_its_limit() -> None:
    machine = SimulatedMachine(lambda rng: 0.01 * 0.99**machine.made)
    effort = Effort(warmup_limit_s=0.5)
    warmup = warm_up(machine.run, FEEDS, effort, clock_ns=machine.clock_ns)
    assert warmup.ended == "time limit"
    assert 0.5 <= machine.now_ns / 1e9 < 0.52


def test_equal_runs_are_steady() -> None:
    machine = SimulatedMachine(lambda _: 0.01)
    assert warm_up(machine.run, FEEDS, Effort(), clock_ns=machine.clock_ns).ended == "steady"
    assert machine.made == 15  # three windows of five


def test_as_many_runs_as_were_asked_for_however_long() -> None:
    recording, machine = made(lambda _: 60.0, Effort(runs=7))
    assert (recording.made, machine.made, len(recording.times_ns)) == (7, 7, 7)


def test_a_budget_ends_a_number_of_runs() -> None:
    recording, machine = made(lambda _: 1.0, Effort(runs=100, budget_s=10))
    assert recording.made < 100
    assert 10 <= machine.now_ns / 1e9 <= 11


@pytest.mark.parametrize("run_s", [0.001, 1.0])
def test_runs_last_as_long_as_the_budget_whatever_they_show(run_s: float) -> None:
    _, machine = made(lambda _: run_s, Effort())
    assert 10 <= machine.now_ns / 1e9 <= 10.3 + run_s


def test_a_run_longer_than_the_budget_is_made_once() -> None:
    recording, machine = made(lambda _: 60.0, Effort(budget_s=10))
    assert (recording.made, machine.made) == (1, 1)


def test_sustained_runs_take_their_time() -> None:
    recording, machine = made(steady, Effort(sustained_s=60))
    assert 60 <= machine.now_ns / 1e9 < 60.5
    assert recording.made == pytest.approx(6000, rel=0.02)


def test_runs_without_end_are_thinned_evenly() -> None:
    recording = Recording()
    for first in range(0, 3 * KEPT, 1000):
        numbers = list(range(first, first + 1000))
        recording.add(numbers, numbers)
    assert recording.made == 3 * KEPT
    assert recording.stride == 4
    assert recording.times_ns == list(range(0, 3 * KEPT, 4))


def test_the_runs_before_a_failure_are_kept() -> None:
    machine, recording = SimulatedMachine(steady, fails_on=10), Recording()
    with pytest.raises(InputError, match="failed while running"):
        record(machine.run, FEEDS, Effort(runs=100), recording, clock_ns=machine.clock_ns)
    assert (recording.made, len(recording.times_ns)) == (9, 9)


def test_the_machine_is_looked_at_between_runs_only() -> None:
    machine, looks = SimulatedMachine(steady), list[int]()
    record(
        machine.run,
        FEEDS,
        Effort(runs=200),
        Recording(),
        looking=lambda: looks.append(machine.made),
        clock_ns=machine.clock_ns,
    )
    assert looks[0] == 0
    assert looks[-1] == 200
    assert len(looks) < 15


def test_a_budget_that_cannot_carry_the_percentile_is_refused_with_one_that_can() -> None:
    effort = Effort(budget_s=10, percentiles=(99.0,), must_carry=True)
    check_budget(effort, 10e6)
    with pytest.raises(InputError, match="p99") as caught:
        check_budget(effort, 100e6)
    assert "368 runs" in caught.value.expected
    assert caught.value.fix.startswith("--budget 56s")
    with pytest.raises(InputError) as caught:
        check_budget(Effort(percentiles=(99.0,), budget_s=1e-3, must_carry=True), 1e4)
    assert caught.value.fix.startswith("--budget 1s")  # never "0s"
