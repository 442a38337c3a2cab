"""The server scenario: queries arrive by themselves, and those that come too fast must wait."""

import heapq
import itertools
import threading
import time
from collections.abc import Callable, Sequence
from dataclasses import dataclass

import numpy as np

from toolkit.errors import InputError, ToolkitError
from toolkit.profiling.loop import Run
from toolkit.profiling.statistics import Clock
from toolkit.tensors import Array, Feeds

Wait = Callable[[int], object]
"""Returns when the clock shows the nanosecond given, or later."""

SPIN_NS = 300_000
"""The last stretch before an arrival is spent looking at the clock: sleeping may last longer."""


@dataclass(frozen=True, kw_only=True)
class Served:
    """Queries that were answered, in the order of their arrival.

    Attributes:
        arrived_ns: int64[queries], when each was scheduled, from the first moment.
        latency_ns: int64[queries], from the scheduled arrival to the end of its run.
        service_ns: int64[queries], how long its run took.
        failure: What ended them; None when all were answered.
    """

    arrived_ns: Array
    latency_ns: Array
    service_ns: Array
    failure: ToolkitError | None = None

    def busy_share(self, sessions: int) -> float:
        """Share of the time that the sessions need for what arrives; at 1 the queue grows forever.

        The rate of arrivals times the mean time of service, over the sessions.
        """
        span = float(self.arrived_ns[-1]) if len(self.arrived_ns) else 0.0
        return float(self.service_ns.sum()) / (span * sessions) if span else float("inf")

    @property
    def rate_per_s(self) -> float:
        """Queries that were answered a second, from the first arrival to the last answer."""
        span = (self.arrived_ns + self.latency_ns).max() - self.arrived_ns[0]
        return 1e9 * len(self.latency_ns) / float(span)


def poisson(queries: int, *, seed: int) -> Array:
    """float64[queries]: arrival times at one query a second.

    Divided by a rate they are arrivals at that rate: the same queries come closer together, so that
    two rates differ in nothing else.

    Args:
        queries: How many.
        seed: Seed of numpy's default generator.
    """
    return np.asarray(np.random.default_rng(seed).exponential(1.0, queries).cumsum())


def wait_until(target_ns: int) -> None:
    """Sleep, then look at the clock, until `time.perf_counter_ns` shows a time.

    Each look gives the interpreter away: a thread that spins would keep it from the other sessions.
    """
    while (left := target_ns - time.perf_counter_ns()) > 0:
        time.sleep((left - SPIN_NS) / 1e9 if left > 2 * SPIN_NS else 0)


def serve(
    runs: Sequence[Run],
    queries: Sequence[Feeds],
    arrivals_s: Array,
    *,
    give_up: Callable[[int], bool] = lambda _latency_ns: False,
    clock_ns: Clock = time.perf_counter_ns,
    wait: Wait = wait_until,
) -> Served:
    """Answer queries as they arrive, first come, first served.

    Whoever is free takes the next query and waits for its arrival, so that nothing runs beside the
    sessions. A query that finds all of them busy has waited from its scheduled arrival on.

    Args:
        runs: One session's run for each query that may be served at the same time.
        queries: Feeds, taken in turn.
        arrivals_s: float64[queries], when each arrives, rising.
        give_up: Called with each latency; true ends the queue there.
        clock_ns: A monotonic clock in nanoseconds.
        wait: Returns when the clock shows a time.
    """
    schedule = (arrivals_s * 1e9).astype(np.int64).tolist()
    answered: list[tuple[int, int, int]] = []
    failures: list[InputError] = []
    given_up = threading.Event()
    ticket = itertools.count()
    began = clock_ns()

    def work(run: Run) -> None:
        while not (failures or given_up.is_set()) and (number := next(ticket)) < len(schedule):
            due = began + schedule[number]
            wait(due)
            start = clock_ns()
            try:
                run(queries[number % len(queries)])
            except InputError as error:
                failures.append(error)
                return
            end = clock_ns()
            answered.append((number, end - due, end - start))
            if give_up(end - due):
                given_up.set()

    if len(runs) == 1:
        work(runs[0])
    else:
        threads = [threading.Thread(target=work, args=(run,)) for run in runs]
        for thread in threads:
            thread.start()
        for thread in threads:
            thread.join()
    answered.sort()
    table = np.array(answered, np.int64).reshape(-1, 3)
    return Served(
        arrived_ns=(arrivals_s[table[:, 0]] * 1e9).astype(np.int64),
        latency_ns=table[:, 1],
        service_ns=table[:, 2],
        failure=failures[0] if failures else None,
    )


def queued(service_s: Array, arrivals_s: Array, sessions: int = 1) -> Array:
    """float64[queries]: latency of queries whose service times are known, without running any.

    Args:
        service_s: float64[queries].
        arrivals_s: float64[queries], rising.
        sessions: Queries that are served at the same time.

    Source: D. V. Lindley, "The theory of queues with a single server", 1952, solved for all queries
        at once; for several servers J. Kiefer, J. Wolfowitz, "On the theory of queues with many
        servers", 1955.
    """
    if sessions == 1:
        done = service_s.cumsum()
        idle = np.maximum.accumulate(arrivals_s - done + service_s)
        return np.asarray(done + idle - arrivals_s)
    free = [0.0] * sessions
    latency = np.empty(len(service_s))
    for i, (arrival, service) in enumerate(
        zip(arrivals_s.tolist(), service_s.tolist(), strict=True)
    ):
        start = max(arrival, free[0])
        latency[i] = start + service - arrival
        heapq.heapreplace(free, start + service)
    return latency
