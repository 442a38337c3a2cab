"""A candidate beside its parent at every size, by turns."""

import time
from collections.abc import Callable, Mapping, Sequence
from typing import Protocol

from toolkit.optimize.report import Timing
from toolkit.profiling.paired import PairedLatency
from toolkit.runtime import Session
from toolkit.tensors import Feeds

ROUND_S = 0.4
"""Seconds of one round, more or less, from which the number of pairs follows."""
MOST_PAIRS, LEAST_PAIRS = 25, 5


class Measure(Protocol):
    """Times two models beside each other; `paired_latency` is one."""

    def __call__(  # noqa: D102 - the class says it
        self,
        reference: Callable[[], Session],
        candidate: Callable[[], Session],
        feeds: Sequence[Feeds],
        *,
        rounds: int,
        pairs: int,
    ) -> PairedLatency: ...


def timed(
    measure: Measure,
    parent: Callable[[], Session],
    candidate: Callable[[], Session],
    points: Mapping[str, Feeds],
    *,
    rounds: int,
) -> tuple[Timing, ...]:
    """The candidate beside its parent at each size.

    Args:
        measure: What times.
        parent: Opens it.
        candidate: Opens it.
        points: Feeds by their size in words.
        rounds: How often both are opened, at each size.
    """
    session = parent()
    found = []
    for at, feeds in points.items():
        session.run(feeds)  # warm
        start = time.perf_counter()
        session.run(feeds)
        pairs = int(ROUND_S / 2 / max(time.perf_counter() - start, 1e-6))
        one = measure(
            parent,
            candidate,
            [feeds],
            rounds=rounds,
            pairs=min(max(pairs, LEAST_PAIRS), MOST_PAIRS),
        )
        found.append(
            Timing(
                at=at,
                latency_ms=one.candidate_ms,
                parent_latency_ms=one.reference_ms,
                ratio=one.ratio,
                ratio_95=one.ratio_95,
            )
        )
    return tuple(found)
