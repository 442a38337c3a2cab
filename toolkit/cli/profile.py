"""`toolkit profile`."""

from typing import Any

import typer

from toolkit.cli import comparison, details, output, plain
from toolkit.cli import scenario as playing
from toolkit.cli.options import (
    AllowFallbackOption,
    ComponentOption,
    FixShapesOption,
    ForceOption,
    JsonOption,
    OptionalSourceArgument,
    ProviderOption,
    ProviderOptionOption,
    QuietOption,
    RequireOption,
    SeedOption,
    TextColumnOption,
    ThreadsOption,
    VariantOption,
    WhereOption,
    pairs,
    session_options,
)
from toolkit.cli.together import check_together
from toolkit.runtime.providers import Provider


def profile(
    context: typer.Context,
    source: OptionalSourceArgument = None,
    component: ComponentOption = None,
    variant: VariantOption = None,
    provider: ProviderOption = Provider.CPU,
    provider_option: ProviderOptionOption = None,
    allow_fallback: AllowFallbackOption = False,
    require: RequireOption = None,
    fix_shapes: FixShapesOption = None,
    threads: ThreadsOption = 0,
    scenario: playing.ScenarioOption = playing.ScenarioWord.SINGLE_STREAM,
    streams: playing.StreamsOption = None,
    rate: playing.RateOption = None,
    find_rate: playing.FindRateOption = False,
    latency_bound: playing.LatencyBoundOption = None,
    sessions: playing.SessionsOption = None,
    batch_tokens: playing.TokensOption = None,
    runs: playing.RunsOption = None,
    warmup: playing.WarmupOption = None,
    sustained: playing.SustainedOption = None,
    percentile: playing.PercentileOption = None,
    data: playing.ProfileDataOption = None,
    text_column: TextColumnOption = "",
    where: WhereOption = None,
    inputs: playing.InputOption = None,
    shape: playing.ShapesOption = None,
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
    from toolkit.profiling.scenarios import scenario_of

    asked = comparison.Asked(
        compare=compare,
        tune=tune,
        budget=budget,
        tolerance=tolerance,
        fail_if_slower=fail_if_slower,
        baseline=baseline,
        replay=replay,
    )
    check_together(context, asked)
    source = asked.model(source)
    more = details.Details(
        operators=operators,
        resources=resources,
        report=html_report,
        trace=chrome_trace,
        force=force,
    )
    more.check()
    options = session_options(
        provider=provider,
        provider_option=provider_option,
        allow_fallback=allow_fallback,
        require=require,
        fix_shapes=fix_shapes,
        threads=threads,
    )
    points = playing.shape_points(shape)
    played = playing.AskedScenario(
        scenario=scenario,
        streams=streams,
        rate=rate,
        find_rate=find_rate,
        latency_bound_ms=latency_bound,
        sessions=sessions,
        tokens=batch_tokens,
        percentile=percentile,
    ).document()
    plain.check_points(points, asked, more)
    if asked.is_comparison:
        asked.run(
            source,
            component=component,
            variant=variant,
            options=options,
            sizes=points[0],
            seed=seed,
            as_json=json_output,
            quiet=quiet,
            more=more,
        )
        return
    typed: dict[str, Any] = {
        "component": component,
        "variant": variant,
        "options": options,
        "scenario": scenario_of(played),
        "runs": runs,
        "warmup": warmup,
        "budget_s": budget,
        "sustained_s": sustained or 0.0,
        "data": str(data or ""),
        "text_column": text_column,
        "where": pairs(where, option="--where"),
        "inputs": playing.input_files(inputs),
        "sizes": points[0],
        "seed": seed,
        **({"percentiles": percentile, "must_carry": True} if percentile else {}),
    }
    progress = output.progress(quiet=quiet)
    if len(points) > 1:
        plain.run_points(source, typed, points, as_json=json_output, progress=progress)
        return
    plain.run(source, typed, asked=asked, more=more, as_json=json_output, progress=progress)
