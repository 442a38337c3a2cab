"""`toolkit quantize`."""

from typing import TYPE_CHECKING, Annotated

import typer

from toolkit.cli import output
from toolkit.cli.options import (
    ComponentOption,
    DataOption,
    ForceOption,
    JsonOption,
    LabelColumnOption,
    PackageArgument,
    QuietOption,
    TextColumnOption,
    ThreadsOption,
    VariantOption,
    WhereOption,
    sample_options,
    session_options,
)

if TYPE_CHECKING:
    from toolkit.quantize import QuantizeReport


def quantize(
    package: PackageArgument,
    data: DataOption,
    max_drop: Annotated[
        float, typer.Option(min=0.0, help="Most that the metric may fall, as a share.")
    ] = 0.005,
    min_agreement: Annotated[
        float, typer.Option(min=0.0, max=1.0, help="Least share of samples with fp32's label.")
    ] = 0.0,
    max_batch_flips: Annotated[
        int, typer.Option(min=0, help="Most samples whose label batch mates may change.")
    ] = 0,
    max_perplexity_rise: Annotated[
        float,
        typer.Option(min=0.0, help="Most that a language model's perplexity may rise, as a share."),
    ] = 0.1,
    only: Annotated[
        list[str] | None, typer.Option("--only", help="Try this method; may be repeated.")
    ] = None,
    name: Annotated[
        str | None, typer.Option(help="Name of the new variant.", show_default="its precision")
    ] = None,
    text_column: TextColumnOption = "",
    label_column: LabelColumnOption = "",
    where: WhereOption = None,
    component: ComponentOption = None,
    variant: VariantOption = None,
    threads: ThreadsOption = 0,
    force: ForceOption = False,
    json_output: JsonOption = False,
    quiet: QuietOption = False,
) -> None:
    """Add an int8 variant that keeps its promises on your data."""
    from toolkit import quantize as step
    from toolkit.quantize import Limits, QuantizeFailedError

    try:
        report = step(
            package,
            data,
            limits=Limits(
                max_drop=max_drop,
                min_agreement=min_agreement,
                max_batch_flips=max_batch_flips,
                max_perplexity_rise=max_perplexity_rise,
            ),
            reading=sample_options(text_column=text_column, label_column=label_column, where=where),
            methods=only or (),
            component=component,
            variant=variant,
            name=name,
            options=session_options(threads=threads),
            force=force,
            progress=output.progress(quiet=quiet),
        )
    except QuantizeFailedError as error:
        _show(error.report, as_json=json_output)
        raise
    _show(report, as_json=json_output)


def _show(report: "QuantizeReport", *, as_json: bool) -> None:
    if as_json:
        output.show_json(report.as_json())
        return
    columns = ["method", "size", "p50 ms", "metric", "drop", "agreement", "flips", "kept", "why"]
    rows = [
        [
            candidate.method,
            output.size(candidate.size_bytes) if candidate.size_bytes else "",
            output.number(candidate.latency_ms, ".3f"),
            "" if candidate.metric is None else str(candidate.metric),
            output.number(candidate.drop, ".4f"),
            output.number(candidate.agreement, ".4f"),
            output.number(candidate.batch_flips, "d"),
            "yes" if candidate.kept else "",
            candidate.why,
        ]
        for candidate in (report.parent, *report.candidates)
    ]
    done = "replaced {} in {}" if report.replaced else "added {} to {}"
    place = "preferred" if report.preferred else f"behind {report.parent.variant}, which is faster"
    note = f"{done.format(report.chosen, report.package)}, {place}" if report.chosen else ""
    output.show_table(f"{report.n} samples", columns, rows, note=note)
