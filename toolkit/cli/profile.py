"""`toolkit profile`."""

import math
from collections.abc import Mapping, Sequence
from typing import TYPE_CHECKING, Annotated

import typer

from toolkit.cli import comparison, details, output
from toolkit.cli.options import (
    AllowFallbackOption,
    ForceOption,
    JsonOption,
    OptionalSourceArgument,
    ProviderOption,
    ProviderOptionOption,
    QuietOption,
    SeedOption,
    ShapeOption,
    ThreadsOption,
    VariantOption,
    session_options,
    shape_sizes,
)
from toolkit.runtime.providers import Provider

if TYPE_CHECKING:
    from toolkit.profiling import LatencyReport, ProfileReport

BAR_WIDTH = 32


def profile(
    source: OptionalSourceArgument = None,
    variant: VariantOption = None,
    provider: ProviderOption = Provider.CPU,
    provider_option: ProviderOptionOption = None,
    allow_fallback: AllowFallbackOption = False,
    threads: ThreadsOption = 0,
    runs: Annotated[int, typer.Option("--runs", help="Timed runs.")] = 400,
    warmup: Annotated[
        int, typer.Option("--warmup", help="Runs made and discarded before them.")
    ] = 20,
    shape: ShapeOption = None,
    seed: SeedOption = 0,
    compare: comparison.CompareOption = None,
    tune: comparison.TuneOption = False,
    budget: comparison.BudgetOption = None,
    tolerance: comparison.ToleranceOption = 1e-3,
    fail_if_slower: comparison.FailIfSlowerOption = None,
    baseline: comparison.BaselineOption = None,
    replay: comparison.ReplayOption = None,
    operators: details.OperatorsOption = False,
    resources: details.ResourcesOption = False,
    html_report: details.ReportOption = None,
    chrome_trace: details.TraceOption = None,
    force: ForceOption = False,
    json_output: JsonOption = False,
    quiet: QuietOption = False,
) -> None:
    """Measure session creation, first run and steady state in fresh processes."""
    from toolkit import profiling

    asked = comparison.Asked(
        compare=compare,
        tune=tune,
        budget=budget,
        tolerance=tolerance,
        fail_if_slower=fail_if_slower,
        baseline=baseline,
        replay=replay,
    )
    source = asked.check(source, threads=threads)
    more = details.Details(
        operators=operators,
        resources=resources,
        report=html_report,
        trace=chrome_trace,
        force=force,
    )
    more.check(is_comparison=asked.is_comparison, is_tuning=tune)
    options = session_options(
        provider=provider,
        provider_option=provider_option,
        allow_fallback=allow_fallback,
        threads=threads,
    )
    sizes = shape_sizes(shape)
    if asked.is_comparison:
        asked.run(
            source,
            variant=variant,
            options=options,
            sizes=sizes,
            seed=seed,
            as_json=json_output,
            quiet=quiet,
            more=more,
        )
        return
    arguments = asked.replayed(
        profiling.profile,
        {
            "variant": variant,
            "options": options,
            "runs": runs,
            "warmup": warmup,
            "sizes": sizes,
            "seed": seed,
        },
    )
    progress = output.progress(quiet=quiet)
    try:
        report = profiling.profile(source, **arguments, progress=progress)
    except profiling.RunFailedError as stopped:
        _show(stopped.report, as_json=json_output)
        raise
    beside = asked.beside(report.as_json())
    found = more.measure(source, arguments, progress=progress)
    p50 = None if report.latency is None else report.latency.percentiles_ms[50]
    parts = {"baseline": beside.as_json()} if beside else {}
    parts |= found.as_json(plain_p50_ms=p50)
    _show(report, as_json=json_output, more=parts)
    if not json_output:
        found.show(plain_p50_ms=p50)
    more.write({**report.as_json(), **parts}, found, latency=report.latency)
    asked.judge(beside, as_json=json_output)


def _show(
    report: "ProfileReport", *, as_json: bool, more: Mapping[str, object] | None = None
) -> None:
    if as_json:
        output.show_json({**report.as_json(), **(more or {})})
        return
    where = report.environment
    variant = f" {where.variant}" if where.variant else ""
    output.show_table(
        f"{where.model}{variant}, {report.scenario}",
        ["", "ms", "95 % interval"],
        _rows(report),
    )
    if report.latency is not None:
        _show_histogram(report.latency)
    shapes = ", ".join(f"{name} {list(shape)}" for name, shape in where.shapes.items())
    placed = ", ".join(f"{count} nodes on {name}" for name, count in report.placement.items())
    peak = "unknown" if report.peak_rss_mb is None else f"{report.peak_rss_mb:.0f} MB"
    rate = report.throughput_per_s
    for name, text in (
        ("throughput", "" if rate is None else f"{rate:.1f} samples/s"),
        ("peak memory", f"{peak} of the measuring process"),
        ("inputs", f"{shapes} ({where.inputs}, seed {report.settings.seed})"),
        ("provider", f"{report.provider}: {placed or 'placement unknown'}"),
        (
            "threads",
            str(
                report.settings.threads or where.machine.default_threads or "ONNX Runtime's choice"
            ),
        ),
        ("machine", where.machine.as_line()),
        ("model", f"sha256 {where.sha256[:16]}, {where.date}"),
    ):
        if text:
            output.show_text(f"{name:>12}  {text}")


def _rows(report: "ProfileReport") -> list[list[str]]:
    creation, first, latency = report.session_creation, report.first_run, report.latency
    rows = [["session creation", f"{creation.median_ms:.2f}", _values(creation.values_ms)]]
    if first is not None:
        rows.append(["first run", f"{first.median_ms:.3f}", _values(first.values_ms)])
    if latency is None:
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
                else f"needs {latency.runs_needed[percentile]} runs",
            ]
        )
    for percentile, needed in latency.runs_needed.items():
        if percentile not in latency.percentiles_ms:
            rows.append([f"p{percentile:g}", "", f"needs {needed} runs"])
    spread = f"{ms(latency.min_ms)} to {ms(latency.max_ms)} in {latency.runs} runs"
    rows.append(["mean", ms(latency.mean_ms), f"(range {spread})"])
    return rows


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
