"""Two things timed in turn, so that a busy machine disturbs both alike."""

import time
from collections.abc import Callable
from dataclasses import dataclass

import numpy as np

from toolkit.profiling.paired import paired_calls
from toolkit.profiling.statistics import interval_ranks
from toolkit.tensors import Array


@dataclass(frozen=True, kw_only=True)
class Ratio:
    """A candidate beside a reference.

    Attributes:
        reference_ms: Median of the reference.
        candidate_ms: Median of the candidate.
        ratio: Median of candidate over reference, pair by pair.
        interval_95: Order statistics of the pairs that hold that median; see `interval_ranks`.
        pairs: How many.
    """

    reference_ms: float
    candidate_ms: float
    ratio: float
    interval_95: tuple[float, float]
    pairs: int

    @classmethod
    def of(cls, times: Array) -> "Ratio":
        """Of pairs that do not depend on each other.

        Args:
            times: float64[pairs, 2] in ms: the reference's and the candidate's; six pairs or more.
        """
        ratios = np.sort(times[:, 1] / times[:, 0])
        ranks = interval_ranks(len(times), 50)
        assert ranks is not None
        return cls(
            reference_ms=float(np.median(times[:, 0])),
            candidate_ms=float(np.median(times[:, 1])),
            ratio=float(np.median(ratios)),
            interval_95=(float(ratios[ranks[0] - 1]), float(ratios[ranks[1] - 1])),
            pairs=len(times),
        )


def paired(
    reference: Callable[[], object], candidate: Callable[[], object], *, pairs: int, warmup: int
) -> Ratio:
    """Call both by turns, the first one of a pair changing from pair to pair.

    Args:
        reference: What the candidate is divided by.
        candidate: What is judged.
        pairs: Timed calls of each; six or more.
        warmup: Calls of each that are not timed.
    """
    for _ in range(warmup):
        reference()
        candidate()
    times = np.empty((pairs, 2))
    for i in range(pairs):
        order = [(0, reference), (1, candidate)]
        for column, call in order if i % 2 else reversed(order):
            start = time.perf_counter_ns()
            call()
            times[i, column] = (time.perf_counter_ns() - start) / 1e6
    return Ratio.of(times)


def paired_anew(
    open_both: Callable[[], tuple[Callable[[], object], Callable[[], object]]],
    *,
    rounds: int,
    pairs: int,
    warmup: int,
) -> Ratio:
    """The same for calls that keep sessions open: opened anew each round, a round an observation.

    Where a session's memory lies is worth percents and stays as long as it lives.

    Args:
        open_both: Opens the reference and the candidate.
        rounds: How often; two or more.
        pairs: Timed calls of each in a round.
        warmup: Calls of each in a round that are not timed.
    """
    found = paired_calls(open_both, rounds=rounds, pairs=pairs, warmup=warmup)
    return Ratio(
        reference_ms=found.reference_ms,
        candidate_ms=found.candidate_ms,
        ratio=found.ratio,
        interval_95=found.ratio_95,
        pairs=rounds * pairs,
    )
