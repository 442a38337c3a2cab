"""Whether a measurement is what was asked for."""

import math

from toolkit.profiling.child import Answer
from toolkit.profiling.report import (
    ProfileReport,
    RateMissedError,
    RunFailedError,
    TooFewRunsError,
)
from toolkit.profiling.scenarios import Effort, Scenario, Server
from toolkit.runtime.fresh import revive


def check_result(
    report: ProfileReport, measured: Answer, scenario: Scenario, effort: Effort
) -> None:
    """Say what went otherwise than was asked for.

    Raises:
        RunFailedError: A run failed.
        TooFewRunsError: A percentile that must be carried is not.
        RateMissedError: The queue grew without end, or p99 was over the bound.
    """
    if measured.failure:
        error = revive(measured.failure)
        of = "" if effort.runs is None else f" of {effort.runs}"
        when, expected, fix = f"after {measured.made}{of} timed runs", error.expected, error.fix
        if measured.first_run_ms is None:
            when = "in the first run"
            if measured.inputs == "random" and not fix:
                expected = "inputs that the model takes: these were drawn at random"
                fix = " ".join(f"--input {name}=FILE.npy" for name in measured.shapes)
        elif measured.warmup is not None and measured.warmup.ended == "failed":
            when = f"after {measured.warmup.runs} runs of the warm-up"
        raise RunFailedError(f"{error.problem}, {when}", report=report, expected=expected, fix=fix)
    latency = report.latency
    if latency is None:
        return
    if isinstance(scenario, Server):
        _check_rate(report, scenario)
    missing = {q: n for q, n in latency.runs_needed.items() if q in effort.percentiles}
    if effort.must_carry and missing and report.scenario != "offline":
        percentile, needed = max(missing.items(), key=lambda item: item[1])
        seconds = needed * latency.mean_ms / 1e3
        raise TooFewRunsError(
            f"the {latency.runs} runs of {effort.limit_s:g} s cannot carry p{percentile:g}",
            report=report,
            expected=f"about {needed} runs, {seconds:.3g} s or more: these runs depend on each "
            f"other and are worth {latency.independent_runs[percentile]}",
            fix=f"--budget {math.ceil(1.5 * seconds)}s, or a lower --percentile",
        )


def _check_rate(report: ProfileReport, server: Server) -> None:
    latency, rate, busy = report.latency, report.rate_per_s, report.busy_share
    assert latency is not None
    if rate is None:
        return
    if server.rate_per_s is None:
        _check_found(report, server)
        return
    if busy is not None and busy >= 1:
        raise RateMissedError(
            f"{rate:g} queries a second cannot be sustained: answering them takes "
            f"{busy:.2f} times the time there is, and the queue grows without end",
            report=report,
            expected=f"less than about {rate / busy:.3g} queries a second",
            fix="--find-rate --latency-bound MILLISECONDSms",
        )
    bound, p99 = server.latency_bound_ms, latency.percentiles_ms.get(99)
    if bound is not None and p99 is not None and p99 >= bound:
        raise RateMissedError(
            f"p99 is {p99:.3g} ms at {rate:g} queries a second",
            report=report,
            expected=f"under {bound:g} ms",
            fix=f"--find-rate --latency-bound {bound:g}ms",
        )


def _check_found(report: ProfileReport, server: Server) -> None:
    """A rate that was found is served once more: the machine may have changed its mind."""
    latency, busy, bound = report.latency, report.busy_share, server.latency_bound_ms
    assert latency is not None
    assert bound is not None
    low, _ = latency.intervals_ms.get(99, (0.0, 0.0))
    if low >= bound or (busy is not None and busy >= 1):
        raise RateMissedError(
            f"{report.rate_per_s:.4g} queries a second kept the bound in a trial and not "
            "afterwards: the machine was slower then",
            report=report,
            expected=f"p99 under {bound:g} ms in both",
            fix="run it again where nothing else runs",
        )
