"""What a reader must know of the runs, in words."""

from collections.abc import Iterator

import numpy as np

from toolkit.profiling.child import Answer
from toolkit.profiling.scenarios import Effort
from toolkit.profiling.statistics import LatencyReport
from toolkit.tensors import Array

NOTABLE_CHANGE = 0.02
NOTABLE_WORTH = 0.5


def findings(latency: LatencyReport, measured: Answer, effort: Effort) -> tuple[str, ...]:
    """Warm-up, drift, dependence, outliers and throttling, each where there is something to say.

    Args:
        latency: What the runs support.
        measured: The runs, in order, and what the machine did meanwhile.
        effort: What was asked for.
    """
    ms: Array = np.asarray(measured.times_ns) / 1e6
    return (
        *measured.remarks,
        *_warmup(measured, effort),
        *_kept(measured),
        *_drift(latency, measured),
        *_dependence(latency),
        *_outliers(ms),
        *_throttling(latency, measured),
    )


def _warmup(measured: Answer, effort: Effort) -> Iterator[str]:
    warmup = measured.warmup
    if warmup is not None and warmup.ended == "time limit":
        yield (
            f"the warm-up was ended by its limit of {effort.warmup_limit_s:g} s, after "
            f"{warmup.runs} runs that were not steady yet"
        )


def _kept(measured: Answer) -> Iterator[str]:
    if measured.made > len(measured.times_ns):
        yield f"of {measured.made} runs {len(measured.times_ns)} are kept, evenly spread over time"


def _drift(latency: LatencyReport, measured: Answer) -> Iterator[str]:
    drift = latency.drift
    if drift is None:
        yield "too few runs to tell whether they drift"
    elif drift.is_significant and abs(drift.change) >= NOTABLE_CHANGE:
        word = "rose" if drift.change > 0 else "fell"
        yield (
            f"latency {word} by {abs(drift.change):.0%} from the first to the last third of runs "
            f"(Mann-Kendall, p = {drift.p_value:.1g}): the intervals are about the average of this "
            "period and of no other"
        )
    if measured.busy_share is not None and measured.busy_share >= 1:
        yield "the queue grew without end: latency depends on how long is measured"


def _dependence(latency: LatencyReport) -> Iterator[str]:
    worth = latency.independent_runs.get(50.0)
    if worth is not None and worth < NOTABLE_WORTH * latency.runs:
        yield (
            f"runs resemble their neighbors: {latency.runs} are worth {worth} independent ones, "
            "which the intervals allow for"
        )


def _outliers(ms: Array) -> Iterator[str]:
    """Source: J. W. Tukey, "Exploratory Data Analysis", chapter 2: the outer fence."""
    if len(ms) < 20:
        return
    quarter, middle, upper = np.percentile(ms, [25, 50, 75], method="inverted_cdf")
    fence = upper + 3 * (upper - quarter)
    beyond = ms[ms > fence]
    if len(beyond):
        yield (
            f"{len(beyond)} of {len(ms)} runs ({len(beyond) / len(ms):.1%}) were slower than "
            f"{fence:.3g} ms, the slowest {beyond.max() / middle:.3g} times the median; together "
            f"they took {beyond.sum() / ms.sum():.1%} of the time"
        )


def _throttling(latency: LatencyReport, measured: Answer) -> Iterator[str]:
    conditions = measured.conditions
    waits = conditions.quota_waits_ms
    if waits:
        yield f"the container waited {waits:.0f} ms for its CPU quota: the runs were throttled"
    clock = conditions.clock_mhz
    if conditions.clock_fell:
        slower = latency.drift is not None and latency.drift.change > NOTABLE_CHANGE
        told = "throttling is likely" if slower else "though the runs did not become slower"
        yield f"the clock fell from {clock[0]:.0f} to {clock[-1]:.0f} MHz: {told}"
    if not clock:
        yield "the clock frequency cannot be read here: throttling would show as drift alone"
    if conditions.preempted and conditions.preempted > len(measured.times_ns):
        yield (
            f"the system took the processor away {conditions.preempted} times: other processes "
            "wanted it"
        )
