"""Whether a measurement is what was asked for."""

import math

from toolkit.errors import CheckFailedError, StoppedError
from toolkit.profiling.child import Answer
from toolkit.profiling.report import (
    ProfileReport,
    RateMissedError,
    RunFailedError,
    RunsStoppedError,
    TooFewRunsError,
)
from toolkit.profiling.scenarios import BOUNDED, Effort, Scenario, Server
from toolkit.runtime.fresh import revive


def check_result(
    report: ProfileReport, measured: Answer, scenario: Scenario, effort: Effort
) -> None:
    """Say what went otherwise than was asked for.

    Raises:
        RunFailedError: A run failed.
        RunsStoppedError: The user ended them.
        TooFewRunsError: A percentile that must be carried is not.
        RateMissedError: The queue grew without end, or p99 was over the bound.
    """
    if measured.failure:
        error = revive(measured.failure)
        if isinstance(error, StoppedError):
            raise RunsStoppedError(
                f"interrupted after {measured.made} timed runs: what they tell is shown, nothing "
                "was changed",
                report=report,
            )
        if isinstance(error, CheckFailedError):
            raise RateMissedError(
                error.problem, report=report, expected=error.expected, fix=error.fix
            )
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
    missing = {q: n for q, n in latency.runs_needed.items() if q in effort.percentiles}
    if isinstance(scenario, Server):
        _check_rate(report, scenario)
        # A rate that was found is judged by what its runs come to over a long time.
        if scenario.rate_per_s and scenario.latency_bound_ms and BOUNDED in missing:
            raise _too_few(report, effort, BOUNDED, "so whether the bound is kept is not known")
    if effort.must_carry and missing and report.scenario != "offline":
        raise _too_few(report, effort, max(missing, key=lambda q: missing[q]))


def _too_few(
    report: ProfileReport, effort: Effort, percentile: float, so: str = ""
) -> TooFewRunsError:
    latency = report.latency
    assert latency is not None
    needed = latency.runs_needed[percentile]
    pace = latency.mean_ms / 1e3 if report.rate_per_s is None else 1 / report.rate_per_s
    seconds = math.ceil(max(1.5 * needed * pace, 1.0))
    option = f"--budget {seconds}s"
    if effort.runs is not None:
        option = f"--runs {math.ceil(1.5 * needed)}"
    elif effort.sustained_s:
        option = f"--sustained {seconds}s"
    return TooFewRunsError(
        f"{latency.runs} runs cannot carry p{percentile:g}" + (f", {so}" if so else ""),
        report=report,
        expected=f"{needed} runs or more, {needed * pace:.3g} s: these runs depend on each other "
        f"and are worth {latency.independent_runs[percentile]}",
        fix=f"{option}, or a lower --percentile" if not so else option,
    )


def _check_rate(report: ProfileReport, server: Server) -> None:
    latency, rate, busy = report.latency, report.rate_per_s, report.busy_share
    assert latency is not None
    if rate is None:
        return
    bound = server.latency_bound_ms
    if server.rate_per_s is None:
        if not (report.trials and report.trials[-1].passed) or (busy is not None and busy >= 1):
            raise RateMissedError(
                f"{rate:.4g} queries a second kept the bound in a trial and not afterwards: the "
                "machine was slower then",
                report=report,
                expected=f"p99 under {bound:g} ms in both",
                fix="run it again where nothing else runs",
            )
        return
    if busy is not None and busy >= 1:
        raise RateMissedError(
            f"{rate:g} queries a second cannot be sustained: answering them takes "
            f"{busy:.2f} times the time there is, and the queue grows without end",
            report=report,
            expected=f"less than about {rate / busy:.3g} queries a second",
            fix="--find-rate --latency-bound MILLISECONDSms",
        )
    # Where a lower percentile is over the bound for certain, so is p99.
    over = [
        q for q, (low, _) in latency.intervals_ms.items() if bound and q <= BOUNDED and low >= bound
    ]
    if over:
        raise RateMissedError(
            f"p{max(over):g} is {latency.percentiles_ms[max(over)]:.3g} ms at {rate:g} queries a "
            "second",
            report=report,
            expected=f"p99 under {bound:g} ms",
            fix=f"--find-rate --latency-bound {bound:g}ms",
        )
