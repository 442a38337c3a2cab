"""A machine whose clock moves only when something runs or waits on it."""

from collections.abc import Callable

import numpy as np

from toolkit.errors import InputError
from toolkit.tensors import Feeds

Draw = Callable[[np.random.Generator], float]


class SimulatedMachine:
    """Runs that last what is drawn for them.

    Attributes:
        now_ns: What the clock shows.
        made: Runs so far.
    """

    def __init__(self, draw: Draw, *, seed: int = 0, fails_on: int = 0) -> None:
        self.now_ns = 0
        self.made = 0
        self._draw = draw
        self._rng = np.random.default_rng(seed)
        self._fails_on = fails_on

    def clock_ns(self) -> int:
        return self.now_ns

    def wait(self, target_ns: int) -> None:
        self.now_ns = max(self.now_ns, target_ns)

    def run(self, feeds: Feeds) -> dict[str, object]:
        self.made += 1
        if self.made == self._fails_on:
            raise InputError("ONNX Runtime failed while running it")
        self.now_ns += round(self._draw(self._rng) * 1e9)
        return {}
