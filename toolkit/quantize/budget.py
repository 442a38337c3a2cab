"""When a search ends."""

import math
import time
from collections.abc import Callable
from dataclasses import dataclass

Clock = Callable[[], float]


class OutOfTimeError(Exception):
    """The budget ended while a candidate was made or measured."""


@dataclass(frozen=True, kw_only=True)
class Budget:
    """When the search ends.

    Attributes:
        end: By the clock; infinity where there is no budget.
        clock: Monotonic seconds.
    """

    end: float = math.inf
    clock: Clock = time.monotonic

    def check(self, needed_s: float = 0.0) -> None:
        """Raise OutOfTimeError where the end is reached, or what comes next would pass it."""
        if self.clock() + needed_s >= self.end:
            raise OutOfTimeError
