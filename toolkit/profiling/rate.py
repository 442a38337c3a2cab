"""The highest rate of queries whose p99 stays under a bound."""

import math
from collections.abc import Callable
from dataclasses import dataclass

import msgspec
import numpy as np

from toolkit.errors import CheckFailedError, InputError
from toolkit.profiling.arrivals import Served, poisson, queued
from toolkit.profiling.early_stopping import runs_for_bound
from toolkit.profiling.scenarios import BOUNDED
from toolkit.tensors import Array

PERCENTILE = BOUNDED
PREDICTED_QUERIES = 100_000
QUERIES = 4000
"""Of one trial, where the budget allows it."""

DRAWS = 50
"""Other arrivals that a trial is compared with."""

HOPELESS = 3
"""A trial is given up when so many times the queries that p99 allows were over the bound."""

CLOSE = 1.03
"""The search ends when the lowest rate that failed is at most this far above one that passed."""

STEP = 1.2
TRIALS = 14
ATTEMPTS = 4
LIKELY_TRIALS = 5


class TooShortError(InputError):
    """The budget does not hold the trials that the search needs."""


class Trial(msgspec.Struct, frozen=True, kw_only=True):
    """One rate that was tried.

    Attributes:
        rate_per_s: Queries a second.
        queries: How many were answered before the verdict was clear.
        p99_ms: Their p99; a lower bound of it where the trial was given up.
        long_p99_ms: The same over a long time; see `long_p99_ms`. None where it was given up.
        passed: Whether that stayed under the bound.
    """

    rate_per_s: float
    queries: int
    p99_ms: float
    long_p99_ms: float | None
    passed: bool


@dataclass(frozen=True, kw_only=True)
class Search:
    """What is searched for, and with how much.

    Attributes:
        bound_ms: What p99 must stay under.
        sessions: Queries that are served at the same time.
        seed: Seed of the arrivals.
        budget_s: The longest that all trials together shall take.
        queries: Of one trial; fewer where the budget asks for it.
    """

    bound_ms: float
    sessions: int = 1
    seed: int = 0
    budget_s: float = 120.0
    queries: int = QUERIES


def predicted_rate(service_ns: Array, search: Search) -> float:
    """The rate that would keep the bound if runs took under load what they took one by one.

    Service times are drawn again from those measured, and the queue is computed.

    Args:
        service_ns: int64[runs], measured one after another.
        search: Bound, sessions and seed.

    Raises:
        CheckFailedError: p99 of the runs alone, without any queue, is not under the bound.
    """
    alone_ms = float(np.percentile(service_ns, PERCENTILE, method="inverted_cdf")) / 1e6
    if alone_ms >= search.bound_ms:
        raise CheckFailedError(
            f"no rate keeps p99 under {search.bound_ms:g} ms: one query after another, without any "
            f"queue, has a p99 of {alone_ms:.3g} ms",
            expected=f"a bound above {alone_ms:.3g} ms, or a faster variant",
            fix=f"--latency-bound {1.5 * alone_ms:.3g}ms",
        )
    arrivals = poisson(PREDICTED_QUERIES, seed=search.seed)
    service_s = _drawn(service_ns, PREDICTED_QUERIES, search.seed)
    high = search.sessions / float(service_s.mean())
    low = high / 1000
    while high / low > 1.005:
        middle = math.sqrt(low * high)
        if _p99_ms(queued(service_s, arrivals / middle, search.sessions) * 1e9) < search.bound_ms:
            low = middle
        else:
            high = middle
    return low


def long_p99_ms(served: Served, arrivals_s: Array, search: Search) -> float:
    """p99 of a trial, as it would have been over a long time.

    A few thousand arrivals hold a few crowds, and p99 is about crowds and who is in them: by that
    luck alone the rate that keeps a bound differs by a third. How much luck there was is known. The
    queue is computed from the trial's own run times, in their order, once with its arrivals and
    many times with others. The measured p99 is multiplied by the ratio of the two: a ratio
    estimator, which keeps all that a computed queue does not know, such as waking up.

    Args:
        served: The trial.
        arrivals_s: Its arrivals.
        search: Sessions and seed.
    """
    service_s = served.service_ns / 1e9
    rate = len(arrivals_s) / float(arrivals_s[-1])
    here = _p99_ms(queued(service_s, arrivals_s, search.sessions) * 1e9)
    elsewhere = [
        queued(service_s, poisson(len(service_s), seed=seed) / rate, search.sessions) * 1e9
        for seed in range(search.seed + 1, search.seed + 1 + DRAWS)
    ]
    return _p99_ms(served.latency_ns) * _p99_ms(np.concatenate(elsewhere)) / here


def _drawn(service_ns: Array, queries: int, seed: int) -> Array:
    return np.asarray(np.random.default_rng(seed).choice(service_ns, queries) / 1e9)


def find_rate(
    service_ns: Array,
    search: Search,
    serve: Callable[[Array, Callable[[int], bool]], Served],
    trials: list[Trial] | None = None,
) -> tuple[float, list[Trial]]:
    """The highest rate that passed a trial, and all trials.

    The prediction from service times is where the search begins; what counts are trials. From there
    the rate rises until a trial fails or falls until one passes, and the gap is halved until it is
    3 %. All trials have the same arrivals, closer together or farther apart. A trial passes when
    its p99 over a long time is under the bound; it is given up when 3 % of its queries were over.

    Args:
        service_ns: int64[runs], measured one after another.
        search: Bound, sessions, seed and budget.
        serve: Answers queries that arrive at the times given, until the function given with them
            returns true for a latency.
        trials: Receives them, so that they survive a run that fails.

    Raises:
        CheckFailedError: No rate keeps the bound.
        InputError: The budget is too short for trials that tell, or a run failed.
    """
    rate = predicted_rate(service_ns, search)
    affordable = int(rate * search.budget_s / LIKELY_TRIALS)
    queries = min(search.queries, affordable)
    least = runs_for_bound(PERCENTILE)
    if queries < least:
        raise TooShortError(
            f"a budget of {search.budget_s:g} s is too short to tell p99 at about {rate:.3g} "
            "queries a second",
            expected=f"{least} queries in each of about {LIKELY_TRIALS} trials",
            fix=f"--budget {math.ceil(least * LIKELY_TRIALS / rate)}s",
        )
    arrivals = poisson(queries, seed=search.seed)
    trials = [] if trials is None else trials
    passed, failed = 0.0, math.inf
    while len(trials) < TRIALS:
        trial = _try(rate, arrivals, search, serve)
        trials.append(trial)
        if trial.passed:
            passed = max(passed, rate)
        else:
            failed = min(failed, rate)
        if passed >= failed or failed / max(passed, 1e-9) <= CLOSE:
            break
        if not passed:
            rate = failed / STEP
        elif math.isinf(failed):
            rate = passed * STEP
        else:
            rate = math.sqrt(passed * failed)
    if not passed:
        raise CheckFailedError(
            f"no rate down to {rate:.3g} queries a second keeps p99 under {search.bound_ms:g} ms",
            expected=f"about {trials[0].rate_per_s:.3g} by the runs one by one: "
            "something else takes the machine's time, or waking up costs more than the bound",
            fix="run it again where nothing else runs, or with a higher --latency-bound",
        )
    return passed, trials


def confirmed(
    rate: float,
    queries: int,
    search: Search,
    serve: Callable[[Array, Callable[[int], bool]], Served],
) -> tuple[float, Served, list[Trial]]:
    """A rate that was found, served once more with other arrivals, or the next lower that holds.

    The rate was chosen because its trial passed, by whatever luck. Each one that does not hold
    again is lowered by 3 %, three times at most.

    Args:
        rate: Queries a second.
        queries: Of each attempt.
        search: Bound, sessions and seed.
        serve: As for `find_rate`; never gives up.

    Returns:
        The rate, what was served at it, and the attempts; none passed where none held.
    """
    trials: list[Trial] = []
    while True:
        arrivals = poisson(queries, seed=search.seed + 1) / rate
        served = serve(arrivals, lambda _: False)
        if served.failure is not None:
            return rate, served, trials
        trials.append(_judged(rate, served, arrivals, search))
        if trials[-1].passed or len(trials) == ATTEMPTS:
            return rate, served, trials
        rate /= CLOSE


def _try(
    rate: float,
    arrivals: Array,
    search: Search,
    serve: Callable[[Array, Callable[[int], bool]], Served],
) -> Trial:
    bound_ns = search.bound_ms * 1e6
    allowed = HOPELESS * len(arrivals) * (1 - PERCENTILE / 100)
    over = 0

    def is_lost(latency_ns: int) -> bool:
        nonlocal over
        over += latency_ns >= bound_ns
        return over > allowed

    served = serve(arrivals / rate, is_lost)
    if served.failure is not None:
        raise served.failure
    return _judged(rate, served, arrivals / rate, search)


def _judged(rate: float, served: Served, arrivals: Array, search: Search) -> Trial:
    whole = len(served.latency_ns) == len(arrivals)
    long_ms = long_p99_ms(served, arrivals, search) if whole else None
    return Trial(
        rate_per_s=rate,
        queries=len(served.latency_ns),
        p99_ms=_p99_ms(served.latency_ns),
        long_p99_ms=long_ms,
        passed=long_ms is not None and long_ms < search.bound_ms,
    )


def _p99_ms(latency_ns: Array) -> float:
    return float(np.percentile(latency_ns, PERCENTILE, method="inverted_cdf")) / 1e6
