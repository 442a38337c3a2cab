"""Two models beside each other: sessions that are opened anew, a round an observation."""

from types import SimpleNamespace
from typing import Any

import numpy as np

from toolkit.profiling.paired import PairedLatency, paired_latency


class Machine:
    """Every session that is opened is faster or slower than another of the same file."""

    def __init__(self, seed: int, ratio: float = 1.0) -> None:
        self.now_ns, self.opened, self.ratio = 0, 0, ratio
        self._rng = np.random.default_rng(seed)

    def open(self, speed: float) -> Any:
        self.opened += 1
        mean_ns = 1e6 * speed * float(np.exp(self._rng.normal(0.0, 0.02)))

        def run(_: object) -> None:
            self.now_ns += round(mean_ns * float(np.exp(self._rng.normal(0.0, 0.01))))

        return SimpleNamespace(run=run)

    def measured(self) -> PairedLatency:
        return paired_latency(
            lambda: self.open(1.0),
            lambda: self.open(self.ratio),
            [{}],
            clock_ns=lambda: self.now_ns,
        )


def test_two_sessions_of_one_file_are_told_apart_as_often_as_chance_allows() -> None:
    told = 0
    for seed in range(200):
        low, high = Machine(seed).measured().ratio_95
        told += not low <= 1.0 <= high
    assert told <= 200 * 0.08


def test_a_model_that_is_faster_is_found() -> None:
    machine = Machine(1, ratio=0.9)
    found = machine.measured()
    assert found.is_faster
    assert 0.87 < found.ratio < 0.93
    assert machine.opened == 16
    assert 0.85 < found.candidate_ms / found.reference_ms < 0.95
