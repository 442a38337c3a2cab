"""`toolkit optimize`."""

from enum import StrEnum
from typing import TYPE_CHECKING, Annotated

import typer

from toolkit.cli import output
from toolkit.cli.options import (
    ComponentOption,
    ForceOption,
    JsonOption,
    PackageArgument,
    ProviderOption,
    ProviderOptionOption,
    QuietOption,
    ThreadsOption,
    session_options,
)
from toolkit.runtime.providers import Provider

if TYPE_CHECKING:
    from toolkit.optimize.report import Candidate, OptimizeReport


class _Precision(StrEnum):
    FP32 = "fp32"
    FP16 = "fp16"


def optimize(
    package: PackageArgument,
    only: Annotated[
        list[str] | None,
        typer.Option(
            "--only",
            help="Try this method: fused, transformers, onnxscript or fp16; may be repeated.",
            metavar="METHOD",
            show_default="all",
        ),
    ] = None,
    precision: Annotated[
        _Precision | None,
        typer.Option(
            help="Only variants of this precision; fp16 without a GPU is added without measuring "
            "its speed.",
            show_default="fp32, and fp16 on a GPU",
        ),
    ] = None,
    name: Annotated[
        str | None,
        typer.Option(help="Name of the new variant.", show_default="fp32-fused or fp16"),
    ] = None,
    component: ComponentOption = None,
    variant: Annotated[
        str | None,
        typer.Option(
            "--variant", help="The variant to start from.", show_default="fp32 as exported"
        ),
    ] = None,
    provider: ProviderOption = Provider.CPU,
    provider_option: ProviderOptionOption = None,
    threads: ThreadsOption = 0,
    force: ForceOption = False,
    json_output: JsonOption = False,
    quiet: QuietOption = False,
) -> None:
    """Add a fused variant where it is measured to be faster here, or an fp16 one."""
    from toolkit import optimize as step
    from toolkit.optimize.report import Float16FailedError

    try:
        report = step(
            package,
            component=component,
            variant=variant,
            methods=only or (),
            precision=None if precision is None else precision.value,
            name=name,
            options=session_options(
                provider=provider, provider_option=provider_option, threads=threads
            ),
            force=force,
            progress=output.progress(quiet=quiet),
        )
    except Float16FailedError as error:
        _show(error.report, as_json=json_output)
        raise
    _show(report, as_json=json_output)


def _show(report: "OptimizeReport", *, as_json: bool) -> None:
    if as_json:
        output.show_json(report.as_json())
        return
    columns = ["method", "size", "max error", "time, of the parent's", "kept", "why"]
    rows = [
        [
            candidate.method,
            output.size(candidate.size_bytes) if candidate.size_bytes else "",
            output.number(candidate.max_abs_error, ".1e"),
            _ratio(candidate),
            "yes" if candidate.kept else "",
            candidate.why,
        ]
        for candidate in report.candidates
    ]
    parent = f"{report.parent}, {output.size(report.parent_size_bytes)}"
    output.show_table(f"candidates beside {parent}", columns, rows, note=_note(report))


def _ratio(candidate: "Candidate") -> str:
    if candidate.latency_ratio is None or candidate.latency_ratio_95 is None:
        return ""
    low, high = candidate.latency_ratio_95
    each = "".join(f"\n{timing.ratio:.3f} at {timing.at}" for timing in candidate.timings)
    return f"{candidate.latency_ratio:.3f} ({low:.3f} to {high:.3f}){each}"


def _note(report: "OptimizeReport") -> str:
    if not report.variants:
        return f"nothing was added to {report.package}"
    lines = []
    for name in report.variants:
        done = "replaced {} in {}" if name in report.replaced else "added {} to {}"
        place = "preferred" if name == report.preferred else f"taken with --variant {name}"
        lines.append(f"{done.format(name, report.package)}, {place}")
    return "\n".join(lines)
