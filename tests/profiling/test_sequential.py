"""How often a comparison is wrong, and how often it finds what is there."""

import numpy as np
import pytest

from tests.profiling.simulated import NoisyMachine
from toolkit.profiling.sequential import (
    ERROR,
    LEAST_ROUNDS,
    Judged,
    RatioInterval,
    judge,
    log_interval,
    overrun,
    t_cdf,
    t_quantile,
)

MACHINES = {
    "quiet": {"process": 0.003, "turn": 0.01},
    "processes that differ": {"process": 0.02, "turn": 0.02},
    "noise that lasts": {"turn": 0.08, "memory": 0.95},
    "drift and bursts": {"drift": 0.2, "bursts": 0.15, "memory": 0.5},
    "few long rounds": {"round_s": 14.0, "memory": 0.9},
}


def compared(machine: NoisyMachine, *, budget_s: float = 60.0) -> Judged:
    return judge(machine, budget_s=budget_s, clock_s=machine.clock_s)


@pytest.mark.parametrize("name", MACHINES)
def test_equal_contenders_are_told_apart_in_fewer_than_5_percent(name: str) -> None:
    told = 0
    for seed in range(400):
        found = compared(NoisyMachine(seed=seed, **MACHINES[name]))  # type: ignore[arg-type]
        told += found.intervals[0].word != "cannot tell"
    assert told <= 400 * 0.05


@pytest.mark.parametrize("ratio, word", [(1.05, "slower"), (1 / 1.05, "faster")])
def test_a_difference_of_5_percent_is_found_within_a_minute(ratio: float, word: str) -> None:
    words = []
    for seed in range(200):
        machine = NoisyMachine(ratio=ratio, seed=seed, memory=0.5)
        found = compared(machine)
        words.append(found.intervals[0].word)
        assert found.seconds <= 60
    assert words.count(word) >= 200 * 0.95  # type: ignore[arg-type]
    assert set(words) <= {word, "cannot tell"}


def test_the_interval_holds_the_truth_however_early_the_measuring_ended() -> None:
    held = [
        not compared(NoisyMachine(ratio=1.03, seed=seed, memory=0.5)).intervals[0].excludes(1.03)
        for seed in range(400)
    ]
    assert sum(held) >= 400 * 0.95


def test_pairs_from_one_pair_of_processes_would_have_been_believed() -> None:
    """Why a round is one observation: the pairs inside it agree with each other."""
    wrong = 0
    for seed in range(100):
        times = NoisyMachine(seed=seed, cycles=200, process=0.02)()
        logs = np.log(times[:, 0] / times[:, 1])
        wrong += log_interval([*logs.tolist()], error=0.05).excludes(1.0)
    assert wrong > 50


def test_a_large_difference_ends_the_measuring_early() -> None:
    found = compared(NoisyMachine(ratio=2.0, seed=1))
    assert found.is_decided
    assert found.seconds < 20
    assert len(found.rounds) >= LEAST_ROUNDS


def test_equal_contenders_on_a_quiet_machine_end_early_too() -> None:
    found = compared(NoisyMachine(seed=3, process=0.001, turn=0.002))
    assert found.is_decided
    assert found.intervals[0].word == "cannot tell"
    assert found.seconds < 60


def test_a_budget_that_is_too_short_still_measures_enough_rounds() -> None:
    found = compared(NoisyMachine(seed=1), budget_s=1.0)
    assert len(found.rounds) == LEAST_ROUNDS
    [note] = overrun(found.seconds, 1.0, len(found.rounds))
    assert "15 s, over the budget of 1 s" in note
    assert overrun(61.0, 60.0, 12) == []


def test_a_factor_of_interest_replaces_the_question_of_faster_or_slower() -> None:
    machine = NoisyMachine(ratio=1.02, seed=2, process=0.004, turn=0.01)
    found = judge(machine, budget_s=60, factors=(1.05,), clock_s=machine.clock_s)
    assert found.is_decided
    assert found.intervals[0].high < 1.05


def test_the_error_is_spent_once(monkeypatch: pytest.MonkeyPatch) -> None:
    spent: list[float] = []

    def noted(rounds: object, *, error: float) -> list[RatioInterval]:
        spent.append(error)
        return [RatioInterval(ratio=1.0, low=0.0, high=9.0)]

    monkeypatch.setattr("toolkit.profiling.sequential.ratio_intervals", noted)
    compared(NoisyMachine())
    assert len(spent) == 4
    assert sum(spent) == pytest.approx(ERROR)
    assert spent == sorted(spent)


@pytest.mark.parametrize(
    "probability, degrees, expected",
    [
        (0.975, 1, 12.7062),
        (0.975, 2, 4.3027),
        (0.975, 3, 3.1824),
        (0.995, 11, 3.1058),
        (0.9995, 2, 31.5991),
    ],
)
def test_quantiles_of_student_are_those_of_the_tables(
    probability: float, degrees: int, expected: float
) -> None:
    quantile = t_quantile(probability, degrees)
    assert quantile == pytest.approx(expected, rel=1e-4)
    assert t_cdf(quantile, degrees) == pytest.approx(probability)
