"""`toolkit export`."""

from dataclasses import asdict
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Literal

import typer

from toolkit.cli import output
from toolkit.cli.options import ForceOption, JsonOption, QuietOption, SeedOption
from toolkit.tasks.specification import TaskName

if TYPE_CHECKING:
    from toolkit.export import ExportReport


def export(
    source: Annotated[
        str,
        typer.Argument(
            help="A run directory, a Hugging Face checkpoint directory or .gguf file, "
            "module:callable, or an .onnx file.",
            show_default=False,
        ),
    ],
    *,
    package: Annotated[
        Path,
        typer.Option(
            "-o", "--output", help="The package to write, NAME.ortpackage.", show_default=False
        ),
    ],
    exporter: Annotated[
        Literal["auto", "torchscript", "transformers", "torch", "optimum"],
        typer.Option(help="What writes the graph; auto tries one after another."),
    ] = "auto",
    task: Annotated[
        TaskName | None,
        typer.Option(
            help="For a checkpoint: what it is for.", show_default="as its configuration says"
        ),
    ] = None,
    pooling: Annotated[
        Literal["mean", "cls", "pooler", "none"] | None,
        typer.Option(
            help="For feature extraction: how token states become one embedding.",
            show_default="as the checkpoint says, or mean",
        ),
    ] = None,
    max_length: Annotated[
        int | None,
        typer.Option(help="For a checkpoint: tokens kept of a text.", show_default="the model's"),
    ] = None,
    trust_pickle: Annotated[
        bool,
        typer.Option(
            "--trust-pickle",
            help="For a checkpoint: load weights from a .bin file, which can run anyone's code.",
        ),
    ] = False,
    opset: Annotated[int, typer.Option(help="Operator-set version, 18 to 21.")] = 20,
    tolerance: Annotated[
        float, typer.Option(min=0.0, help="Most that an output may differ from the source's.")
    ] = 1e-4,
    name: Annotated[
        str | None, typer.Option(help="The package's name.", show_default="the output's")
    ] = None,
    reference: Annotated[
        Path | None,
        typer.Option(
            help="For an .onnx file: an .npz of feeds to record as its reference.",
            metavar="FEEDS.npz",
            show_default="seeded random feeds",
        ),
    ] = None,
    seed: SeedOption = 0,
    force: ForceOption = False,
    json_output: JsonOption = False,
    quiet: QuietOption = False,
) -> None:
    """Write a package with an fp32 variant that was compared with its source."""
    from toolkit import export as step
    from toolkit.export import CheckpointOptions
    from toolkit.npz import read_npz

    report = step(
        source,
        package,
        exporter=exporter,
        opset=opset,
        tolerance=tolerance,
        name=name,
        reference=None if reference is None else read_npz(reference),
        checkpoint=CheckpointOptions(
            task=task, pooling=pooling, max_length=max_length, trust_pickle=trust_pickle
        ),
        seed=seed,
        force=force,
        progress=output.progress(quiet=quiet),
    )
    _show(report, as_json=json_output)


def _quantized(report: "ExportReport") -> list[tuple[str, str]]:
    """The int8 variant of a run with quantization-aware training."""
    made = report.quantized
    if made is None:
        return []
    parity, roundings = made.parity, made.roundings
    error = f"{parity.max_abs_error:.2g} (limit {parity.limit:g})"
    if roundings is not None:
        error += (
            f" with the same roundings; {roundings.differing:,} of {roundings.compared:,} fall the "
            f"other way in PyTorch, which moves outputs by up to {roundings.max_abs_error:.2g}"
        )
    kernels = (name for name in made.operators if "Integer" in name or name.startswith("Q"))
    return [
        ("variant", f"{made.variant}, {output.size(made.size_bytes)}"),
        ("max abs error", error),
        ("integer kernels", ", ".join(f"{made.operators[name]} {name}" for name in kernels)),
    ]


def _show(report: "ExportReport", *, as_json: bool) -> None:
    for attempt in report.attempts:
        output.say(f"the exporter {attempt.exporter} failed: {attempt.reason}")
    if report.replaced:
        output.say(f"replaced {report.package}")
    if as_json:
        output.show_json(asdict(report))
        return
    parity = report.parity
    shapes = [", ".join(f"{key} {size}" for key, size in shape.items()) for shape in parity.shapes]
    rows = [
        ("variant", f"{report.variant}, {output.size(report.size_bytes)}"),
        ("exporter", report.exporter),
        ("compared with", parity.compared_with),
        ("at", "; ".join(shapes)),
        ("max abs error", f"{parity.max_abs_error:.2g} (limit {parity.limit:g})"),
        *_quantized(report),
        ("seconds", f"{report.seconds:.1f}"),
    ]
    if report.zeros is not None:
        gzipped = f"{output.size(report.zeros.gzip_bytes)} gzipped"
        counted = f"{report.zeros.share:.1%} of {report.zeros.weights:,} weights; {gzipped}"
        rows.insert(1, ("zeros", counted))
    output.show_table(str(report.package), ("", ""), rows)
