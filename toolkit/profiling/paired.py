"""Latency of two models beside each other, so that a busy machine disturbs both alike."""

import itertools
import time
from collections.abc import Callable, Sequence
from dataclasses import dataclass

import numpy as np

from toolkit.profiling.sequential import ratio_intervals
from toolkit.profiling.statistics import Clock
from toolkit.runtime import Session
from toolkit.tensors import Feeds

Call = Callable[[], object]
ERROR = 0.05


@dataclass(frozen=True, kw_only=True)
class PairedLatency:
    """Two models timed in turn on the same feeds.

    Attributes:
        reference_ms: Median latency of the reference.
        candidate_ms: Median latency of the candidate.
        ratio: Candidate over reference: the mean over the rounds of the median pair, on logarithms.
        ratio_95: Student's interval of that mean.
    """

    reference_ms: float
    candidate_ms: float
    ratio: float
    ratio_95: tuple[float, float]

    @property
    def is_faster(self) -> bool:
        """Whether the candidate is faster with 95 % confidence."""
        return self.ratio_95[1] < 1.0


def paired_latency(
    reference: Callable[[], Session],
    candidate: Callable[[], Session],
    feeds: Sequence[Feeds],
    *,
    rounds: int = 8,
    pairs: int = 25,
    warmup: int = 5,
    clock_ns: Clock = time.perf_counter_ns,
) -> PairedLatency:
    """Time two models in sessions that are opened anew each round; see `paired_calls`.

    Args:
        reference: Opens it, without spinning: spinning threads of one session slow the other.
        candidate: Opens it the same way.
        feeds: Run one after another, over and over.
        rounds: How often both are opened, twice at least.
        pairs: Timed runs of each in a round.
        warmup: Runs of each that are not timed, in a round.
        clock_ns: A monotonic clock in nanoseconds.
    """
    numbers = itertools.count()

    def open_both() -> tuple[Call, Call]:
        if next(numbers) % 2:
            second, first = candidate(), reference()
        else:
            first, second = reference(), candidate()
        return over(first), over(second)

    def over(session: Session) -> Call:
        taken = itertools.cycle(feeds)
        return lambda: session.run(next(taken))

    return paired_calls(open_both, rounds=rounds, pairs=pairs, warmup=warmup, clock_ns=clock_ns)


def paired_calls(
    open_both: Callable[[], tuple[Call, Call]],
    *,
    rounds: int,
    pairs: int,
    warmup: int,
    clock_ns: Clock = time.perf_counter_ns,
) -> PairedLatency:
    """Time two calls in alternating order, whose sessions are opened anew each round.

    Where a session's memory lies is worth percents and stays as long as it lives: the pairs of one
    round agree with each other and may all be wrong, so that a round is one observation.

    Args:
        open_both: Opens the reference and the candidate.
        rounds: How often, twice at least.
        pairs: Timed calls of each in a round.
        warmup: Calls of each that are not timed, in a round.
        clock_ns: A monotonic clock in nanoseconds.
    """
    measured = []
    for _ in range(rounds):
        reference, candidate = open_both()
        times = np.empty((pairs, 2))
        for i in range(-warmup, pairs):
            order = [(0, candidate), (1, reference)]
            for column, call in order if i % 2 else reversed(order):
                start = clock_ns()
                call()
                if i >= 0:
                    times[i, column] = clock_ns() - start
        measured.append(times)
    [found] = ratio_intervals(measured, error=ERROR)
    medians = np.median(np.concatenate(measured), axis=0) / 1e6
    return PairedLatency(
        reference_ms=float(medians[1]),
        candidate_ms=float(medians[0]),
        ratio=found.ratio,
        ratio_95=(found.low, found.high),
    )
