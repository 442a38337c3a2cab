"""`toolkit quantize`."""

from enum import StrEnum
from pathlib import Path
from typing import Annotated

import typer

from toolkit.cli import output
from toolkit.cli.options import (
    ComponentOption,
    ForceOption,
    JsonOption,
    LabelColumnOption,
    OutputOption,
    QuietOption,
    SeedOption,
    SourceArgument,
    TextColumnOption,
    ThreadsOption,
    VariantOption,
    WhereOption,
    sample_options,
    session_options,
)
from toolkit.cli.scenario import some_seconds


class _InstructionSet(StrEnum):
    NATIVE = "native"
    PORTABLE = "portable"


class _Objective(StrEnum):
    LATENCY = "latency"
    SIZE = "size"
    BALANCED = "balanced"


def quantize(
    source: SourceArgument,
    data: Annotated[
        Path | None,
        typer.Option(
            "--data",
            help="Labeled data: .csv, .jsonl (also .gz), .npz, or a folder of images; for a bare "
            "file .npz, with an array for each graph input and one that --label-column names.",
            show_default=False,
        ),
    ] = None,
    max_drop: Annotated[
        float | None,
        typer.Option(
            min=0.0, help="Most that the metric may fall, as a share.", show_default="0.005"
        ),
    ] = None,
    min_agreement: Annotated[
        float | None,
        typer.Option(
            min=0.0,
            max=1.0,
            help="Least share of samples with fp32's label; for a bare file without labels, of "
            "those whose outputs moved by at most 10 % of their norm.",
            show_default="0, or 0.99 without labels",
        ),
    ] = None,
    max_batch_flips: Annotated[
        int,
        typer.Option(
            min=0, help="Most samples whose label batch mates, padding or threads may change."
        ),
    ] = 0,
    max_perplexity_rise: Annotated[
        float | None,
        typer.Option(
            min=0.0,
            help="Most that a language model's perplexity may rise, as a share.",
            show_default="0.1",
        ),
    ] = None,
    min_sqnr: Annotated[
        float | None,
        typer.Option(
            help="Least ratio, in decibels, of fp32's outputs to what they change by.",
            show_default="none, or 15 without labels",
        ),
    ] = None,
    labels: Annotated[
        bool,
        typer.Option(
            "--labels/--no-labels",
            help="Without labels, only closeness to fp32 is measured: agreement and SQNR.",
        ),
    ] = True,
    objective: Annotated[
        _Objective, typer.Option(help="What the best of those that keep their promises is.")
    ] = _Objective.BALANCED,
    budget: Annotated[
        float,
        typer.Option(
            parser=some_seconds,
            metavar="DURATION",
            help="When to end the search and keep the best one found, such as 90s or 10m.",
            show_default="10m",
        ),
    ] = 600.0,
    only: Annotated[
        list[str] | None,
        typer.Option("--only", help="Try this method; may be repeated.", metavar="METHOD"),
    ] = None,
    keep: Annotated[
        list[str] | None,
        typer.Option("--keep", help="Leave this node in float; may be repeated.", metavar="NODE"),
    ] = None,
    calibration: Annotated[
        Path | None,
        typer.Option(
            help="Data that ranges are measured on, of any format of --data.",
            show_default="a sample of --data",
        ),
    ] = None,
    calibration_samples: Annotated[
        int, typer.Option(min=1, help="Most samples for calibration.")
    ] = 256,
    isa: Annotated[
        _InstructionSet,
        typer.Option(
            help="Whose integer products count: this machine's, or those of any processor, among "
            "them the ones whose sums saturate (AVX2)."
        ),
    ] = _InstructionSet.NATIVE,
    random_inputs: Annotated[
        bool,
        typer.Option(
            "--random-inputs",
            help="For a bare file without data: check promises on random inputs, which proves "
            "little.",
        ),
    ] = False,
    seed: SeedOption = 0,
    name: Annotated[
        str | None, typer.Option(help="Name of the new variant.", show_default="its precision")
    ] = None,
    text_column: TextColumnOption = "",
    label_column: LabelColumnOption = "",
    where: WhereOption = None,
    component: ComponentOption = None,
    variant: VariantOption = None,
    threads: ThreadsOption = 0,
    html_report: Annotated[
        Path | None,
        typer.Option(
            "--report",
            help="Write one .html file with every candidate and the front of size and latency.",
            show_default=False,
        ),
    ] = None,
    output_file: OutputOption = None,
    force: ForceOption = False,
    json_output: JsonOption = False,
    quiet: QuietOption = False,
) -> None:
    """Add the best quantized variant that keeps its promises on your data, or write it with -o."""
    from dataclasses import replace

    from toolkit import quantize as step
    from toolkit.cli import promises, quantized
    from toolkit.package import is_bare
    from toolkit.quantize import (
        WITHOUT_LABELS,
        Limits,
        QuantizeFailedError,
        QuantizeStoppedError,
        SearchOptions,
        check_page,
        write_page,
    )

    if html_report is not None:
        check_page(html_report)
    labeled = labels and (bool(label_column) or not is_bare(source))
    default = Limits() if labeled else WITHOUT_LABELS
    promises.check_read(
        source,
        labeled=labeled or (bool(label_column) and is_bare(source)),
        max_drop=max_drop,
        max_perplexity_rise=max_perplexity_rise,
    )
    reading = sample_options(text_column=text_column, label_column=label_column, where=where)
    try:
        report = step(
            source,
            data,
            limits=Limits(
                max_drop=default.max_drop if max_drop is None else max_drop,
                min_agreement=default.min_agreement if min_agreement is None else min_agreement,
                max_batch_flips=max_batch_flips,
                max_perplexity_rise=default.max_perplexity_rise
                if max_perplexity_rise is None
                else max_perplexity_rise,
                min_sqnr_db=default.min_sqnr_db if min_sqnr is None else min_sqnr,
            ),
            reading=replace(reading, labels=labels),
            search=SearchOptions(
                methods=only or (),
                objective=objective.value,
                budget_s=budget,
                keep=keep or (),
                calibration=calibration,
                calibration_samples=calibration_samples,
                seed=seed,
                isa=isa.value,
            ),
            component=component,
            variant=variant,
            name=name,
            options=session_options(threads=threads),
            output=output_file,
            random_inputs=random_inputs,
            force=force,
            progress=output.progress(quiet=quiet),
        )
    except (QuantizeFailedError, QuantizeStoppedError) as error:
        quantized.show(error.report, as_json=json_output)
        if html_report is not None:
            write_page(error.report, html_report)
        raise
    quantized.show(report, as_json=json_output)
    if html_report is not None:
        write_page(report, html_report)
