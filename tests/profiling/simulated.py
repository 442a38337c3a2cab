"""Contenders that take no time: what a noisy machine would measure, on a clock of its own."""

from dataclasses import dataclass

import numpy as np

from toolkit.tensors import Array


@dataclass(kw_only=True)
class NoisyMachine:
    """Rounds of two contenders as `judge` takes them.

    Attributes:
        ratio: True latency of the first over that of the second.
        seed: Of everything drawn.
        process: Standard deviation of what differs between two processes of one program.
        turn: Standard deviation of what differs between two turns.
        memory: Share of a turn's disturbance that is still there in the next turn (AR(1)).
        drift: Change of the machine's speed from the first to the last round.
        bursts: Share of the turns that something else on the machine disturbs.
        cycles: Pairs a round.
        round_s: Seconds a round.
        now_s: The clock.
    """

    ratio: float = 1.0
    seed: int = 0
    process: float = 0.015
    turn: float = 0.05
    memory: float = 0.0
    drift: float = 0.0
    bursts: float = 0.0
    cycles: int = 30
    round_s: float = 5.0
    now_s: float = 0.0

    def __post_init__(self) -> None:
        self._random = np.random.default_rng(self.seed)

    def __call__(self) -> Array:
        random = self._random
        logs = random.normal(0.0, self.process, (1, 2)) + np.zeros((self.cycles, 2))
        disturbance = 0.0
        scale = self.turn * np.sqrt(1 - self.memory**2)
        # Both contenders are disturbed one after another, in random order.
        for cycle in range(self.cycles):
            for contender in random.permutation(2):
                disturbance = self.memory * disturbance + random.normal(0.0, scale)
                logs[cycle, contender] += disturbance
        logs[random.random(logs.shape) < self.bursts] += 1.0
        logs[:, 0] += np.log(self.ratio)
        logs += self.drift * self.now_s / 60
        self.now_s += self.round_s
        return np.asarray(1e6 * np.exp(logs))

    def clock_s(self) -> float:
        return self.now_s
