"""How a profile reads on a terminal."""

import math
from collections.abc import Iterator, Mapping, Sequence
from typing import TYPE_CHECKING, Any

from toolkit.cli import output

if TYPE_CHECKING:
    from toolkit.profiling import LatencyReport, ProfileReport

BAR_WIDTH = 32


def show(
    report: "ProfileReport", *, as_json: bool, more: Mapping[str, object] | None = None
) -> None:
    if as_json:
        output.show_json({**report.as_json(), **(more or {})})
        return
    output.show_table(
        _title(report),
        ["", "ms", "95 % interval"],
        _rows(report),
    )
    if report.latency is not None and report.scenario != "offline":
        _show_histogram(report.latency)
    if report.settings.sustained_s:
        _show_curve(report)
    if report.trials:
        _show_trials(report)
    peak = "unknown" if report.peak_rss_mb is None else f"{report.peak_rss_mb:.0f} MB"
    rate = report.throughput_per_s
    for name, text in (
        ("intervals", _whose(report)),
        ("throughput", "" if rate is None else _throughput(report, rate)),
        ("", _pass(report)),
        ("server", _server(report)),
        ("warm-up", _warmup(report)),
        *(("note", finding) for finding in report.findings),
        ("peak memory", f"{peak} of the measuring process"),
        ("inputs", f"{_shapes(report)} ({_inputs(report)}, seed {report.settings.seed})"),
        *_where(report),
    ):
        if text:
            output.show_text(f"{name:>12}  {text}")


def _whose(report: "ProfileReport") -> str:
    from toolkit.profiling.report import INTERVAL_IS_OF

    if report.latency is None or report.scenario == "offline":
        return ""
    told = f"of {INTERVAL_IS_OF}"
    if not report.process_medians_ms:
        return told
    ms = _Milliseconds(report.latency)
    return f"{told}; p50 by process: {', '.join(map(ms, report.process_medians_ms))} ms"


def _shapes(report: "ProfileReport") -> str:
    shapes = report.environment.shapes
    return ", ".join(f"{name} {list(shape)}" for name, shape in shapes.items())


def _where(report: "ProfileReport") -> Iterator[tuple[str, str]]:
    """What stands below every profile, and once below those of a sweep."""
    from toolkit.runtime.placement import placement_text

    where = report.environment
    yield "provider", placement_text(report.provider, report.placement, report.elsewhere)
    yield "session", report.session.as_line()
    yield "machine", where.machine.as_line()
    package = f", package {where.package_sha256[:16]}" if where.package_sha256 else ""
    yield "model", f"sha256 {where.sha256[:16]}{package}, {where.date}"


def show_replay(parts: Mapping[str, Any]) -> None:
    """Print what is otherwise than in the result that was repeated."""
    for note in parts.get("replay", {}).get("notes", ()):
        output.show_text(f"{'replay':>12}  {note}")


def _rows(report: "ProfileReport") -> list[list[str]]:
    creation, first, latency = report.session_creation, report.first_run, report.latency
    rows = [["session creation", f"{creation.median_ms:.2f}", _values(creation.values_ms)]]
    if first is not None:
        rows.append(["first run", f"{first.median_ms:.3f}", _values(first.values_ms)])
    if latency is None or report.scenario == "offline":
        return rows
    ms = _Milliseconds(latency)
    for percentile, value in latency.percentiles_ms.items():
        interval = latency.intervals_ms.get(percentile)
        rows.append(
            [
                f"p{percentile:g}",
                ms(value),
                f"{ms(interval[0])} to {ms(interval[1])}"
                if interval
                else _needs(latency, percentile),
            ]
        )
    rows += [
        [f"p{percentile:g}", "", _needs(latency, percentile)]
        for percentile in latency.runs_needed
        if percentile not in latency.percentiles_ms
    ]
    for percentile in (90.0, 99.0):
        bound = latency.upper_bounds_ms.get(percentile)
        if bound is not None:
            worth = f"of {latency.independent_runs[percentile]} independent runs"
            told = f"(99 %, MLPerf early stopping, {worth})"
            rows.append([f"p{percentile:g} at most", ms(bound), told])
    spread = f"{ms(latency.min_ms)} to {ms(latency.max_ms)} in {latency.runs} runs"
    rows.append(["mean", ms(latency.mean_ms), f"(range {spread})"])
    return rows


def _needs(latency: "LatencyReport", percentile: float) -> str:
    needed = latency.runs_needed[percentile]
    return f"its interval needs {needed} runs, {max(needed - latency.runs, 1)} more"


def _title(report: "ProfileReport") -> str:
    where = report.environment
    variant = f" {where.variant}" if where.variant else ""
    how = dict(report.settings.scenario)
    told = "".join(
        f", {key.removesuffix('_per_s').removesuffix('_ms').replace('_', ' ')} {value:g}"
        for key, value in how.items()
        if isinstance(value, (int, float)) and value
    )
    return (
        f"{where.model}{variant}, {report.scenario}{told if report.scenario != 'offline' else ''}"
    )


def _throughput(report: "ProfileReport", rate: float) -> str:
    interval = report.throughput_interval
    told = f", 95 % interval {interval[0]:,.1f} to {interval[1]:,.1f}" if interval else ""
    return f"{rate:,.1f} samples/s{told}"


def _inputs(report: "ProfileReport") -> str:
    if report.environment.inputs != "data":
        return report.environment.inputs
    return f"the first of {report.settings.data}; others are as long as they are"


def _pass(report: "ProfileReport") -> str:
    passes, latency = report.passes, report.latency
    if passes is None or latency is None:
        return ""
    told = [
        f"{_counted(latency.runs, 'pass', 'es')} over {_counted(passes.samples, 'sample')}",
        _counted(passes.batches, "batch", "es"),
        _counted(passes.sessions, "session") + f" of {_counted(passes.threads, 'thread')}",
    ]
    if passes.tokens and passes.padded_tokens:
        told.append(f"{passes.padded_tokens / passes.tokens - 1:.1%} padding")
    told.append(f"{' and '.join(passes.includes)} included" if passes.includes else "tensors alone")
    return "; ".join(told)


def _counted(count: int, noun: str, plural: str = "s") -> str:
    return f"{count} {noun}{'' if count == 1 else plural}"


def _server(report: "ProfileReport") -> str:
    if report.rate_per_s is None:
        return ""
    found = ""
    if report.trials:
        holds = report.trials[-1].passed and (report.busy_share or 0) < 1
        found = " (the highest found)" if holds else " (found, and did not hold again)"
    busy = "" if report.busy_share is None else f", busy {report.busy_share:.0%} of the time"
    return f"{report.rate_per_s:.4g} queries/s{found}{busy}; latency from the scheduled arrival"


def _warmup(report: "ProfileReport") -> str:
    warmup = report.warmup
    if warmup is None:
        return ""
    is_offline = report.scenario == "offline"
    counted = _counted(warmup.runs, *(("pass", "es") if is_offline else ("run",)))
    if is_offline and report.settings.warmup is None:
        return f"{counted}, {warmup.ms:.0f} ms"
    return f"{counted}, {warmup.ms:.0f} ms, ended: {warmup.ended}"


def _show_curve(report: "ProfileReport") -> None:
    names = [f"p{q:g}" for q in report.settings.percentiles]
    rows = [
        [
            f"{part.from_s:.1f} to {part.to_s:.1f}",
            part.runs,
            *(output.number(part.percentiles_ms.get(name), ".4g") for name in names),
            f"{part.max_ms:.4g}",
        ]
        for part in report.curve
    ]
    output.show_table("over time", ["s", "runs", *names, "max"], rows)


def _show_trials(report: "ProfileReport") -> None:
    rows = [
        [
            f"{trial.rate_per_s:.4g}",
            trial.queries,
            f"{trial.p99_ms:.4g}",
            output.number(trial.long_p99_ms, ".4g") or "given up",
            "yes" if trial.passed else "no",
        ]
        for trial in report.trials
    ]
    columns = ["queries/s", "queries", "p99 ms", "over a long time", "passed"]
    output.show_table("rates that were tried", columns, rows)


def show_points(
    points: Sequence[Mapping[str, int]], reports: Sequence["ProfileReport"], *, as_json: bool
) -> None:
    """Print the profiles at the points of a sweep together."""
    if as_json:
        documents = [
            {"shape": dict(point), **report.as_json()}
            for point, report in zip(points, reports, strict=False)
        ]
        output.show_json({"scenario": reports[0].scenario, "points": documents})
        return
    names = [*points[0]]
    percentiles = [float(q) for q in reports[0].settings.percentiles]
    rows = []
    for point, report in zip(points, reports, strict=False):
        latency = None if report.scenario == "offline" else report.latency
        rows.append([*point.values(), *(_cell(latency, q) for q in percentiles), _rate(report)])
    columns = [*names, *(f"p{q:g} ms (95 %)" for q in percentiles), "samples/s"]
    output.show_table(_title(reports[0]), columns, rows)
    for name, text in (
        ("inputs", f"{_inputs(reports[0])}, seed {reports[0].settings.seed}"),
        *_where(reports[0]),
    ):
        output.show_text(f"{name:>12}  {text}")
    for report in reports:
        for finding in report.findings:
            shape = ", ".join(f"{k}={v}" for k, v in report.settings.sizes.items())
            output.show_text(f"        note  {shape}: {finding}")


def _cell(latency: "LatencyReport | None", percentile: float) -> str:
    if latency is None:
        return ""
    ms, interval = _Milliseconds(latency), latency.intervals_ms.get(percentile)
    told = f"({ms(interval[0])} to {ms(interval[1])})" if interval else _needs(latency, percentile)
    value = latency.percentiles_ms.get(percentile)
    return told if value is None else f"{ms(value)} {told}"


def _rate(report: "ProfileReport") -> str:
    from toolkit.profiling.drawing import number

    return number(report.throughput_per_s)


class _Milliseconds:
    """Writes times with one number of decimals: four digits for the median, microseconds seen."""

    def __init__(self, latency: "LatencyReport") -> None:
        median = latency.percentiles_ms[50] or 1.0
        self._decimals = min(max(3 - math.floor(math.log10(median)), 1), 5)

    def __call__(self, value: float) -> str:
        return f"{value:.{self._decimals}f}"


def _values(values: Sequence[float]) -> str:
    return f"(median of {', '.join(f'{value:.2f}' for value in values)})"


def _show_histogram(latency: "LatencyReport") -> None:
    ms = _Milliseconds(latency)
    most = max((count for _, _, count in latency.histogram), default=0)
    for low, high, count in latency.histogram:
        bar = "#" * round(BAR_WIDTH * count / most)
        output.show_text(f"{ms(low):>9} to {ms(high):>9} ms {count:5d} {bar}".rstrip())
    if latency.histogram:
        output.show_text("")
