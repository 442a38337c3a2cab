"""What can be asked of a profile: a scenario of MLPerf's, and how much is measured.

Source of the scenarios: V. J. Reddi et al., "MLPerf Inference Benchmark", ISCA 2020, section IV.
"""

import math
from collections.abc import Mapping, Sequence
from typing import Any, Literal

import msgspec

from toolkit.errors import InputError
from toolkit.profiling.statistics import MEDIAN, PERCENTILES, runs_for_interval

ScenarioName = Literal["single-stream", "multi-stream", "server", "offline"]


BUDGET_S = 10.0
BOUNDED = 99.0
"""The percentile that a latency bound is about."""

OFFLINE_BATCH = 16
SHARE_S = 1.0
"""What each of the other fresh processes is timed for."""


class SingleStream(
    msgspec.Struct, frozen=True, kw_only=True, tag="single-stream", tag_field="name"
):
    """One run after another, as an app with one user makes them."""


class MultiStream(msgspec.Struct, frozen=True, kw_only=True, tag="multi-stream", tag_field="name"):
    """Several samples at once, the next ones when all are done, as a device with cameras does.

    Attributes:
        streams: Samples of one query. They are one batch where the graph has a symbolic first axis,
            and else as many runs at once from as many threads.
    """

    streams: int = 8


class Server(msgspec.Struct, frozen=True, kw_only=True, tag="server", tag_field="name"):
    """Queries that arrive when they like: Poisson arrivals, first come, first served.

    Attributes:
        rate_per_s: Queries a second; None searches the highest rate that keeps the bound.
        latency_bound_ms: What p99 must stay under, from the scheduled arrival to the answer; None
            for no limit.
        sessions: Queries that are served at the same time, each by a session of its own.
    """

    rate_per_s: float | None = None
    latency_bound_ms: float | None = None
    sessions: int = 1


class Offline(msgspec.Struct, frozen=True, kw_only=True, tag="offline", tag_field="name"):
    """All samples are there from the start: throughput is what counts.

    Attributes:
        sessions: Sessions beside each other; 0 is what was tuned for this machine, or one a core
            that this process may use, of one thread each.
        tokens: Padded tokens of a batch of texts; of anything else, `batch` samples.
        batch: Samples of a batch that is not text; 0 is what was tuned, or `OFFLINE_BATCH`.
    """

    sessions: int = 0
    tokens: int = 256
    batch: int = 0


Scenario = SingleStream | MultiStream | Server | Offline


class Effort(msgspec.Struct, frozen=True, kw_only=True):
    """How much is measured.

    Attributes:
        runs: Timed runs; None makes as many as fit into the budget.
        warmup: Runs made and discarded before them, after the first run; None goes on until they
            are steady.
        warmup_limit_s: The longest that waiting for steady runs may take.
        budget_s: The longest that the timed runs may take; None for 10 s, or for as long as a
            number of runs that was asked for takes.
        sustained_s: Go on for this long; for a curve over time. 0 leaves it to the budget.
        percentiles: Those that are reported.
        must_carry: Whether each of these percentiles must get its interval.
    """

    runs: int | None = None
    warmup: int | None = None
    warmup_limit_s: float = 2.0
    budget_s: float | None = None
    sustained_s: float = 0.0
    percentiles: tuple[float, ...] = PERCENTILES
    must_carry: bool = False

    @property
    def limit_s(self) -> float:
        """The longest that the timed runs may take."""
        if self.sustained_s:
            return self.sustained_s
        if self.budget_s is not None:
            return self.budget_s
        return BUDGET_S if self.runs is None else math.inf

    @property
    def needed(self) -> int:
        """Independent runs that the highest percentile's interval takes."""
        return max(runs_for_interval(percentile) for percentile in self.percentiles)


def share(scenario: Scenario, effort: Effort) -> Effort | None:
    """What the other fresh processes time, to tell how far processes are apart; None for nothing.

    A queue and passes over data would take as long again.
    """
    if not isinstance(scenario, (SingleStream, MultiStream)):
        return None
    return Effort(
        runs=effort.runs,
        warmup=effort.warmup,
        warmup_limit_s=min(SHARE_S, effort.warmup_limit_s),
        budget_s=min(SHARE_S, effort.limit_s),
        percentiles=(MEDIAN,),
    )


def scenario_of(document: Mapping[str, Any]) -> Scenario:
    """The scenario that a document describes, such as {"name": "multi-stream", "streams": 4}.

    Raises:
        InputError: It describes none.
    """
    try:
        converted: Scenario = msgspec.convert(document, Scenario)
    except msgspec.ValidationError as error:
        raise InputError(f"the scenario is none that is known: {error}") from error
    return converted


def reported(scenario: Scenario, percentiles: Sequence[float]) -> tuple[float, ...]:
    """The percentiles of a report: the median always, and what a bound is judged by."""
    has_bound = isinstance(scenario, Server) and scenario.latency_bound_ms is not None
    return tuple(sorted({MEDIAN, *map(float, percentiles), *([BOUNDED] if has_bound else [])}))


def check(scenario: Scenario, effort: Effort) -> None:
    """Refuse what measures nothing.

    Raises:
        InputError: A number is not positive, a percentile is none, or the runs that were asked for
            cannot carry a percentile that was asked for.
    """
    if effort.runs is not None and effort.runs < 1:
        raise InputError(
            f"{effort.runs} runs measure nothing", expected="one run or more", fix="--runs 400"
        )
    if effort.warmup is not None and effort.warmup < 0:
        raise InputError(f"{effort.warmup} warm-up runs cannot be made", expected="zero or more")
    for name, value in (("budget", effort.budget_s), ("warm-up limit", effort.warmup_limit_s)):
        if value is not None and not 0 < value < math.inf:
            raise InputError(f"a {name} of {value:g} s measures nothing", expected="more than 0 s")
    given = {
        "a number of runs": effort.runs is not None,
        "a budget": effort.budget_s is not None,
        "a search for a rate": isinstance(scenario, Server) and scenario.rate_per_s is None,
    }
    for other, is_given in given.items():
        if effort.sustained_s and is_given:
            raise InputError(
                f"a sustained time and {other} are both given", expected="one of the two"
            )
    for percentile in effort.percentiles:
        if not 0 < percentile < 100:
            raise InputError(
                f"there is no percentile {percentile:g}", expected="above 0 and below 100"
            )
    if effort.must_carry and effort.runs is not None and effort.runs < effort.needed:
        raise InputError(
            f"{effort.runs} runs cannot carry p{max(effort.percentiles):g}",
            expected=f"{effort.needed} runs or more",
            fix=f"--runs {effort.needed}, or leave --runs out",
        )
    _check_scenario(scenario)


def _check_scenario(scenario: Scenario) -> None:
    match scenario:
        case MultiStream(streams=streams) if streams < 1:
            raise InputError(f"{streams} streams measure nothing", expected="one or more")
        case Server(rate_per_s=None, latency_bound_ms=None):
            raise InputError(
                "the server scenario needs a rate, or a bound to search one for",
                expected="queries a second, or p99 in milliseconds",
                fix="--rate 100, or --find-rate --latency-bound 5ms",
            )
        case Server(rate_per_s=rate) if rate is not None and not 0 < rate < math.inf:
            raise InputError(
                f"a rate of {rate:g}/s asks nothing", expected="more than 0", fix="--rate 100"
            )
        case Server(latency_bound_ms=bound) if bound is not None and not 0 < bound < math.inf:
            raise InputError(f"no run keeps a bound of {bound:g} ms", expected="more than 0 ms")
        case Server(sessions=sessions) if sessions < 1:
            raise InputError(f"{sessions} sessions answer nothing", expected="one or more")
        case Offline() if scenario.sessions < 0 or scenario.tokens < 1 or scenario.batch < 0:
            raise InputError(
                "a number of sessions, tokens or samples is not positive", expected="one or more"
            )
        case _:
            pass
