"""Runs one after another: until they are steady, then timed for as long as was decided before.

Ending as soon as the sample looks good enough would choose the samples that happened to see few
slow runs: with bursts in 1.5 % of the runs, intervals of p99 held the truth in 45 % of cases.
"""

import math
import time
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field
from typing import Literal

import msgspec
import numpy as np

from toolkit.errors import InputError
from toolkit.profiling.scenarios import Effort
from toolkit.profiling.statistics import Clock
from toolkit.tensors import Feeds

Run = Callable[[Feeds], object]
Ending = Literal["steady", "time limit", "as asked", "one pass", "failed"]

CHUNK_NS = 250_000_000
"""Between chunks of about this length the machine is looked at; never during one."""

KEPT = 400_000
"""Most durations kept of one measurement: beyond, every second one is dropped, again and again."""

WINDOW_RUNS = 5
WINDOW_NS = 50_000_000
WINDOWS = 3
STEADY = 1.03


class WarmUp(msgspec.Struct, frozen=True, kw_only=True):
    """What came before the timed runs.

    Attributes:
        runs: Runs made and discarded.
        ms: How long they took.
        ended: "steady" when the medians of the last windows agree, "time limit" when they never
            did, "as asked" for a fixed number, "one pass" over the data of the offline scenario,
            "failed" when a run failed.
    """

    runs: int
    ms: float
    ended: Ending


@dataclass(kw_only=True)
class Recording:
    """Timed runs in order; what is in it survives a run that fails.

    Attributes:
        started_ns: When each kept run began, by the clock.
        times_ns: How long each kept run took.
        made: Runs that were timed.
        stride: Every how many-th of them is kept.
    """

    started_ns: list[int] = field(default_factory=list)
    times_ns: list[int] = field(default_factory=list)
    made: int = 0
    stride: int = 1

    def add(self, started_ns: Sequence[int], times_ns: Sequence[int]) -> None:
        """Add a chunk, thinning everything evenly when it becomes too much."""
        self.started_ns += started_ns[-self.made % self.stride :: self.stride]
        self.times_ns += times_ns[-self.made % self.stride :: self.stride]
        self.made += len(times_ns)
        while len(self.times_ns) > KEPT:
            self.started_ns = self.started_ns[::2]
            self.times_ns = self.times_ns[::2]
            self.stride *= 2


def warm_up(
    run: Run, queries: Sequence[Feeds], effort: Effort, *, clock_ns: Clock = time.perf_counter_ns
) -> WarmUp:
    """Run until three windows in a row agree, a number was made, or the time is over.

    A window is five runs and 50 ms at least. Windows agree when their medians lie within 3 % of
    each other and the last one is not the fastest of them: caches, clocks and ONNX Runtime's memory
    plans settle within runs, and what comes down slowly is not settled.

    Args:
        run: What is run.
        queries: Its feeds, taken in turn.
        effort: A fixed number of runs, or the longest time to wait for steady ones.
        clock_ns: A monotonic clock in nanoseconds.

    Raises:
        InputError: A run failed.
    """
    began = clock_ns()
    if effort.warmup is not None:
        for i in range(effort.warmup):
            run(queries[i % len(queries)])
        return WarmUp(runs=effort.warmup, ms=(clock_ns() - began) / 1e6, ended="as asked")
    limit = began + int(effort.warmup_limit_s * 1e9)
    made, spent, now = 0, 0, began
    medians: list[float] = []
    window: list[int] = []
    while now < limit:
        start = clock_ns()
        run(queries[made % len(queries)])
        now = clock_ns()
        made += 1
        window.append(now - start)
        spent += now - start
        if len(window) >= WINDOW_RUNS and spent >= WINDOW_NS:
            medians.append(float(np.median(window)))
            window.clear()
            spent = 0
            if _is_steady(medians[-WINDOWS:]):
                return WarmUp(runs=made, ms=(now - began) / 1e6, ended="steady")
    return WarmUp(runs=made, ms=(now - began) / 1e6, ended="time limit")


def _is_steady(medians: Sequence[float]) -> bool:
    return (
        len(medians) == WINDOWS
        and max(medians) <= STEADY * min(medians)
        and medians[-1] >= min(medians[:-1])
    )


def record(
    run: Run,
    queries: Sequence[Feeds],
    effort: Effort,
    recording: Recording,
    *,
    looking: Callable[[], object] = lambda: None,
    clock_ns: Clock = time.perf_counter_ns,
) -> None:
    """Time runs one after another: as many as were asked for, or as long as the budget lasts.

    Args:
        run: What is timed.
        queries: Its feeds, taken in turn.
        effort: A number of runs, a time, a budget.
        recording: Receives the runs, so that they survive one that fails.
        looking: Called before, between and after chunks, outside of the timed runs.
        clock_ns: A monotonic clock in nanoseconds.

    Raises:
        InputError: A run failed.
    """
    began = clock_ns()
    looking()
    chunk = 1
    while True:
        left = None if effort.runs is None else effort.runs - recording.made
        before = clock_ns()
        _timed(run, queries, recording, chunk if left is None else min(chunk, left), clock_ns)
        now = clock_ns()
        looking()
        if recording.made == effort.runs or now - began >= effort.limit_s * 1e9:
            return
        # A chunk of the right length, from what this one took; growing slowly from a first guess.
        pace = max((now - before) / chunk, 1.0)
        chunk = max(1, min(int(CHUNK_NS / pace), chunk * 4))


def _timed(
    run: Run, queries: Sequence[Feeds], recording: Recording, runs: int, clock_ns: Clock
) -> None:
    started: list[int] = []
    ended: list[int] = []
    first, count = recording.made, len(queries)
    try:
        for i in range(first, first + runs):
            feeds = queries[i % count]
            start = clock_ns()
            run(feeds)
            end = clock_ns()
            started.append(start)
            ended.append(end)
    finally:
        times = [end - start for start, end in zip(started, ended, strict=True)]
        recording.add(started, times)


def check_budget(effort: Effort, run_ns: float) -> None:
    """Refuse a budget that cannot carry a percentile that was asked for.

    Args:
        effort: Budget and percentiles.
        run_ns: What one run took during the warm-up.

    Raises:
        InputError: The runs that the highest percentile needs take longer than the budget.
    """
    needed_s = effort.needed * run_ns / 1e9
    if effort.must_carry and needed_s > effort.limit_s:
        raise InputError(
            f"a budget of {effort.limit_s:g} s is too short for p{max(effort.percentiles):g}: "
            f"a run takes {run_ns / 1e6:.3g} ms",
            expected=f"{effort.needed} runs or more, which take {needed_s:.3g} s, and half as many "
            "again where they depend on each other",
            fix=f"--budget {math.ceil(1.5 * needed_s)}s, or a lower --percentile",
        )
