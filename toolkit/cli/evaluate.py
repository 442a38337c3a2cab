"""`toolkit evaluate`."""

from typing import Annotated

import typer

from toolkit.cli import output
from toolkit.cli.options import (
    AllowFallbackOption,
    DataOption,
    FixShapesOption,
    JsonOption,
    LabelColumnOption,
    PackageArgument,
    ProviderOption,
    ProviderOptionOption,
    RequireOption,
    TextColumnOption,
    ThreadsOption,
    VariantOption,
    WhereOption,
    sample_options,
    session_options,
)
from toolkit.runtime.providers import Provider


def evaluate(
    package: PackageArgument,
    data: DataOption,
    by: Annotated[str, typer.Option("--by", help="A column: metrics of each of its values.")] = "",
    text_column: TextColumnOption = "",
    label_column: LabelColumnOption = "",
    where: WhereOption = None,
    variant: VariantOption = None,
    provider: ProviderOption = Provider.CPU,
    provider_option: ProviderOptionOption = None,
    allow_fallback: AllowFallbackOption = False,
    require: RequireOption = None,
    fix_shapes: FixShapesOption = None,
    threads: ThreadsOption = 0,
    json_output: JsonOption = False,
) -> None:
    """Task metrics with 95 % intervals on labeled data."""
    from toolkit.evaluate import scoring
    from toolkit.runtime.placement import placement_text

    report = scoring.evaluate(
        package,
        data,
        variant=variant,
        by=by,
        reading=sample_options(text_column=text_column, label_column=label_column, where=where),
        options=session_options(
            provider=provider,
            provider_option=provider_option,
            allow_fallback=allow_fallback,
            require=require,
            fix_shapes=fix_shapes,
            threads=threads,
        ),
    )
    if json_output:
        output.show_json(report.as_json())
        return
    placed = placement_text(report.provider, report.placement, report.elsewhere)
    groups = [("all", report.metrics, report.n)]
    groups += [(name, group.metrics, group.n) for name, group in report.groups.items()]
    output.show_table(
        "",
        [by or "", "n", *report.metrics],
        [[name, n, *(str(m) for m in metrics.values())] for name, metrics, n in groups],
        note=f"{report.variant} on {placed}; 95 % intervals in brackets",
    )
