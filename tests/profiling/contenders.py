"""Contenders for tests; the processes of a comparison import them by name."""

import os
import time
from collections.abc import Callable
from dataclasses import dataclass, field
from typing import Any

import numpy as np

from toolkit.errors import InputError


@dataclass(kw_only=True)
class Made:
    run: Callable[[], object]
    facts: dict[str, Any] = field(default_factory=lambda: {"pid": os.getpid()})

    def save(self, file: str) -> None:
        np.savez(file, y=np.zeros(1))


def counting(*, to: int) -> Made:
    """Adds numbers up: twice as many take about twice as long."""
    return Made(run=lambda: sum(range(to)), facts={"to": to, "pid": os.getpid()})


def failing(*, on: int, sleep_s: float = 0.0) -> Made:
    """Works until one run."""
    calls = iter(range(1, 10**9))

    def run() -> None:
        time.sleep(sleep_s)
        if next(calls) == on:
            raise InputError("it broke", expected="luck", fix="try again")

    return Made(run=run)


def crashing() -> Made:
    """Ends its process in the second run."""
    calls = iter([None])
    return Made(run=lambda: next(calls, 1) and os.abort())


def noisy() -> Made:
    """Prints on stdout, as libraries do."""
    return Made(run=lambda: os.write(1, b"banner\n"))
