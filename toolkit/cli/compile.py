"""`toolkit compile`."""

from enum import StrEnum
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from toolkit.cli import output
from toolkit.cli.options import (
    ComponentOption,
    ForceOption,
    JsonOption,
    PackageArgument,
    ProviderOptionOption,
    QuietOption,
    RequireOption,
    SeedOption,
    TextColumnOption,
    WhereOption,
    sample_options,
    session_options,
)
from toolkit.runtime.providers import Provider

if TYPE_CHECKING:
    from toolkit.compiling import CompileReport


class _Precision(StrEnum):
    FP16 = "fp16"
    INT8 = "int8"
    INT8_16BIT = "int8-16bit"


def compile(  # noqa: A001 - the command's name
    package: PackageArgument,
    provider: Annotated[
        Provider, typer.Option("--provider", help="Execution provider that compiles.")
    ] = Provider.QNN,
    soc: Annotated[
        str | None,
        typer.Option(
            help="Chips to compile for, each into a variant: numbers or names, such as 57,SM8750.",
            metavar="CHIP,...",
            show_default="57",
        ),
    ] = None,
    fix_shapes: Annotated[
        str | None,
        typer.Option(
            "--fix-shapes",
            help="Sizes of symbolic dimensions: batch=1,sequence=128. Texts are padded or cut to "
            "them.",
            metavar="NAME=SIZE,...",
            show_default="1 for the batch, the model's longest text, else the reference's",
        ),
    ] = None,
    precision: Annotated[
        _Precision | None,
        typer.Option(
            help="What is computed in. int8 and int8-16bit (16-bit activations, for transformers) "
            "quantize on a part of --data first.",
            show_default="fp16, or as the variant is",
        ),
    ] = None,
    data: Annotated[
        Path | None,
        typer.Option(
            "--data",
            help="Samples whose answers are compared with the CPU's: .csv, .jsonl (also .gz) or "
            ".npz; labels are not needed.",
            show_default=False,
        ),
    ] = None,
    samples: Annotated[
        int, typer.Option(min=0, help="Most samples that are compared; 0 for all.")
    ] = 0,
    min_agreement: Annotated[
        float, typer.Option(min=0.0, max=1.0, help="Least share of samples with the CPU's answer.")
    ] = 0.98,
    require: RequireOption = None,
    provider_option: ProviderOptionOption = None,
    text_column: TextColumnOption = "",
    where: WhereOption = None,
    component: ComponentOption = None,
    variant: Annotated[
        str | None,
        typer.Option("--variant", help="The variant to compile.", show_default="fp32 as exported"),
    ] = None,
    name: Annotated[
        str | None,
        typer.Option(
            help="What the new variants' names begin with, before the chip.",
            show_default="the provider, and the precision if quantized",
        ),
    ] = None,
    seed: SeedOption = 0,
    force: ForceOption = False,
    json_output: JsonOption = False,
    quiet: QuietOption = False,
) -> None:
    """Compile a package ahead of time for chips: a variant that opens fast on each."""
    from toolkit import compile as step

    options = session_options(
        provider=provider, provider_option=provider_option, require=require, fix_shapes=fix_shapes
    )
    report = step(
        package,
        provider=provider,
        socs=[part for part in (soc or "").split(",") if part.strip()],
        fix_shapes=options.fix_shapes,
        precision=None if precision is None else precision.value,
        data=data,
        reading=sample_options(text_column=text_column, label_column="", where=where),
        samples=samples,
        min_agreement=min_agreement,
        require=options.require,
        provider_options=options.provider_options,
        component=component,
        variant=variant,
        name=name,
        seed=seed,
        force=force,
        progress=output.progress(quiet=quiet),
    )
    if json_output:
        output.show_json(report.as_json())
    else:
        _show(report)


def _show(report: "CompileReport") -> None:
    from toolkit.runtime.placement import operators_text

    columns = ["variant", "size", "compiled", "on the CPU", "noise, dB", "agreement"]
    rows = [
        [
            one.variant,
            output.size(one.size_bytes),
            f"{one.share:.1%} of {sum(one.nodes.values())} nodes",
            operators_text(one.elsewhere) or "nothing",
            output.number(one.sqnr_db, ".1f"),
            "" if one.agreement is None else f"{one.agreement:.1%} of {one.samples}",
        ]
        for one in report.compiled
    ]
    sizes = [
        f"{name}={size}{' (chosen)' if name in report.chosen else ''}"
        for name, size in report.shapes.items()
    ]
    why = {name: text for one in report.compiled for name, text in one.reasons.items()}
    notes = [f"{name} on the CPU: {text}" for name, text in why.items()]
    notes += [f"{report.parent} at {', '.join(sizes) or 'its own shapes'}, {report.precision}"]
    for one in report.compiled:
        done = "replaced" if one.replaced else "added"
        notes.append(f"{done} {one.variant} for {one.compatibility}")
    taken = f"toolkit infer {report.package} --provider {report.provider}"
    notes.append(f"{taken} --provider-option soc_model={report.compiled[0].soc}")
    output.show_table(f"compiled by {report.provider}", columns, rows, note="\n".join(notes))
