"""The step `export`: a source becomes a package with one variant that was compared with it."""

import shutil
import time
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import asdict, dataclass, replace
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np

from toolkit import __version__
from toolkit.errors import InputError
from toolkit.export import adopt
from toolkit.export.checkpoint.files import CheckpointOptions
from toolkit.export.comparison import ExportParity
from toolkit.export.libraries import collecting_later, versions
from toolkit.export.parts import EXPORTERS, ExporterName, TorchSource
from toolkit.export.references import write_reference
from toolkit.export.sources import Exportable, open_source
from toolkit.export.torch_graph import OPSETS
from toolkit.export.traced import OPTIONS, Attempt, CheckedGraph, exported
from toolkit.export.zeros import GraphZeros, zeros_of_pruned
from toolkit.package import SUFFIX, Contents, Source
from toolkit.package.format import COMPONENT
from toolkit.package.integrity import file_sha256
from toolkit.package.package import MANIFEST
from toolkit.package.replacing import replacing
from toolkit.package.write import MODEL_FILE, Part, write_package
from toolkit.progress import Progress, silent
from toolkit.runtime import open_session
from toolkit.tasks import TaskSpec
from toolkit.tensors import Array

if TYPE_CHECKING:
    from toolkit.export.trained import QuantizedExport

_RECORDED: Mapping[str, str] = {
    "torch": "torch.onnx",
    "torchscript": "torch.onnx (TorchScript)",
    "transformers": "transformers.exporters",
    "optimum": "optimum-onnx",
}
"""What the package calls an exporter."""


@dataclass(frozen=True, kw_only=True)
class ExportReport:
    """What `export` wrote.

    Attributes:
        package: The package's directory.
        variant: The variant's name, which is its precision.
        parity: How it was checked.
        seconds: How long all of it took.
        exporter: "transformers.exporters", "torch.onnx", "optimum-onnx", or "onnx" for an adopted
            file.
        attempts: Exporters that failed before it.
        size_bytes: Size of the variant's files.
        replaced: Whether a package stood there before.
        zeros: Counted in the graph, where training pruned the model.
        quantized: The int8 variant of a run with quantization-aware training; None for others.
    """

    package: Path
    variant: str
    parity: ExportParity
    seconds: float
    exporter: str
    attempts: tuple[Attempt, ...]
    size_bytes: int
    replaced: bool
    zeros: GraphZeros | None = None
    quantized: "QuantizedExport | None" = None


@dataclass(frozen=True, kw_only=True)
class _Made:
    """A package in the making, checked, and what it will say of itself."""

    graphs: Sequence[CheckedGraph]
    precision: str
    source: Source
    task: TaskSpec
    attempts: tuple[Attempt, ...] = ()
    preprocessing: Path | None = None
    items: Sequence[Any] = ()
    metrics: Mapping[str, Any] | None = None


def export(
    source: str | Path | Exportable,
    output: str | Path,
    *,
    exporter: ExporterName = "auto",
    opset: int = 20,
    tolerance: float = 1e-4,
    name: str | None = None,
    reference: Mapping[str, Array] | None = None,
    checkpoint: CheckpointOptions | None = None,
    seed: int = 0,
    force: bool = False,
    progress: Progress = silent,
) -> ExportReport:
    """Write a model package with one variant that was compared with its source.

    A module is compared with its graph at no fewer than four shapes other than the traced one and
    on its reference rows. An `.onnx` file has nothing to be compared with: it is checked, run
    twice, and its own outputs become the reference.

    Args:
        source: A run directory, a Hugging Face checkpoint, `module:callable` (see `Exportable`),
            an `Exportable`, or an `.onnx` file, which is adopted as it is.
        output: The package to write; its name ends in `.ortpackage`.
        exporter: "auto" tries those that suit the source, one after another, until the graph
            of one computes what the source does.
        opset: Operator-set version of the graph, 18 to 21; an adopted file keeps its own.
        tolerance: Most that any output may differ, absolutely.
        name: The package's name; the output's without its suffix when not given.
        reference: For an `.onnx` file: feeds to record; seeded random ones when not given.
        checkpoint: How a checkpoint is read; refused for any other source.
        seed: Of the feeds that are made.
        force: Replace a package that stands there.
        progress: Called with a line for each thing that begins.

    Raises:
        InputError: The source or an option is not usable, or the output cannot be written.
        SetupError: The extra `export`, or onnxruntime, is not installed.
        CheckFailedError: The graph misses the tolerance. As with every failure, nothing is written.
    """
    start = time.perf_counter()
    output = Path(output)
    _check_options(source, output, exporter=exporter, opset=opset, tolerance=tolerance)
    replaced = output.exists()
    with _writing(output), replacing(output, force=force, sources=_files(source)) as staging:
        work = staging / ".work"  # beside the package, so that a large model is only renamed
        model = work / "model"
        model.mkdir(parents=True)
        with collecting_later():
            opened = open_source(source, work=work, checkpoint=checkpoint)
        if isinstance(opened, Path):
            if exporter != "auto":
                raise InputError(
                    f"{opened} is adopted as it is: exporter {exporter!r} has nothing to do",
                    fix="leave --exporter out",
                )
            made = _adopted(opened, model, reference, tolerance=tolerance, seed=seed)
        else:
            if reference is not None:
                raise InputError(
                    f"{opened.name} brings its own reference rows",
                    expected="a reference for .onnx files only",
                )
            made = _exported(
                opened,
                model,
                exporter=exporter,
                opset=opset,
                tolerance=tolerance,
                seed=seed,
                progress=progress,
            )
        files = [graph.folder / MODEL_FILE for graph in made.graphs]
        zeros = zeros_of_pruned(files, made.metrics or {})
        progress(f"writing {output}")
        size_bytes = sum(file.stat().st_size for file in model.rglob("*") if file.is_file())
        _write(staging, work, made, name=name or output.name)
        shutil.rmtree(work)
        quantized = None
        if not isinstance(opened, Path) and opened.quantized is not None:
            from toolkit.export.trained import add_trained

            quantized = add_trained(staging, opened, opset=opset, seed=seed, progress=progress)
    return ExportReport(
        package=output,
        variant=made.precision,
        parity=_together([graph.parity for graph in made.graphs]),
        seconds=time.perf_counter() - start,
        exporter=made.source.exporter,
        attempts=made.attempts,
        size_bytes=size_bytes,
        replaced=replaced,
        zeros=zeros,
        quantized=quantized,
    )


def _check_options(
    source: str | Path | Exportable, output: Path, *, exporter: str, opset: int, tolerance: float
) -> None:
    if output.suffix != SUFFIX:
        raise InputError(
            f"{output} is no name for a package",
            expected=f"a name that ends in {SUFFIX}",
            fix=f"-o {output.resolve().with_suffix(SUFFIX).name}",
        )
    if output.is_dir() and any(output.iterdir()) and not (output / MANIFEST).is_file():
        raise InputError(
            f"{output} is not empty and no package, so it will not be replaced",
            expected="a path that does not exist yet, or a package and --force",
        )
    if not isinstance(source, Exportable) and Path(source).exists():
        inner = Path(source).resolve()
        if inner.is_relative_to(output.resolve()):
            raise InputError(
                f"{output} holds the source {source}, which writing it would delete",
                expected="an output beside the source",
            )
    if exporter not in ("auto", *EXPORTERS):
        raise InputError(
            f"there is no exporter {exporter!r}", expected=f"auto, {', '.join(EXPORTERS)}"
        )
    if opset not in OPSETS:
        raise InputError(
            f"opset {opset} is not supported", expected=f"{OPSETS[0]} to {OPSETS[-1]}; 20 is usual"
        )
    if not (np.isfinite(tolerance) and tolerance >= 0):
        raise InputError(f"the tolerance is {tolerance}", expected="a number from 0 on")


def _files(source: str | Path | Exportable) -> list[Path]:
    """The source, if it lies on the disk."""
    path = None if isinstance(source, Exportable) else Path(source)
    return [path] if path is not None and path.exists() else []


@contextmanager
def _writing(output: Path) -> Iterator[None]:
    """Give a failure of the file system, such as a full disk, our type."""
    try:
        yield
    except OSError as error:
        place = f" ({error.filename})" if error.filename else ""
        raise InputError(
            f"{output} cannot be written: {error.strerror or error}{place}",
            expected="room and permission to write; nothing was changed",
        ) from error


def _exported(
    source: TorchSource,
    folder: Path,
    *,
    exporter: ExporterName,
    opset: int,
    tolerance: float,
    seed: int,
    progress: Progress,
) -> _Made:
    graphs, by, attempts = exported(
        source,
        folder,
        exporter=exporter,
        opset=opset,
        tolerance=tolerance,
        seed=seed,
        progress=progress,
    )
    return _Made(
        graphs=graphs,
        precision="fp32",
        source=Source(
            kind=source.kind,
            name=source.name,
            sha256=source.sha256,
            exporter=_RECORDED[by],
            versions={
                "onnx-edge-toolkit": __version__,
                **versions("torch", "transformers", "optimum-onnx", "onnx", "onnxscript"),
                **versions("onnxslim", "onnxruntime"),
            },
        ),
        attempts=attempts,
        task=source.task,
        preprocessing=source.preprocessing,
        items=source.items,
        metrics=source.metrics,
    )


def _adopted(
    file: Path, folder: Path, given: Mapping[str, Array] | None, *, tolerance: float, seed: int
) -> _Made:
    folder = folder / COMPONENT
    folder.mkdir()
    precision = adopt.copy_model(file, folder)
    session = open_session(folder / MODEL_FILE, OPTIONS)
    feeds, outputs, parity = adopt.reference(session, file, given, seed=seed)
    sizes = {
        dimension: feeds[spec.name].shape[axis]
        for spec in session.inputs
        for axis, dimension in enumerate(spec.shape)
        if isinstance(dimension, str)
    }
    adopted = CheckedGraph(
        component=COMPONENT,
        folder=folder,
        session=session,
        feeds=feeds,
        outputs=outputs,
        parity=ExportParity(
            max_abs_error=parity.max_abs_error,
            limit=tolerance,
            shapes=(sizes,),
            compared_with="itself",
        ),
    )
    return _Made(
        graphs=(adopted,),
        precision=precision,
        source=Source(
            kind="onnx",
            name=file.name,
            sha256=file_sha256(file),
            exporter="onnx",
            versions={"onnx-edge-toolkit": __version__, **versions("onnx", "onnxruntime")},
        ),
        task=TaskSpec(name="tensors"),
    )


def _write(staging: Path, work: Path, made: _Made, *, name: str) -> None:
    parts: list[Part] = []
    for graph in made.graphs:
        reference = work / f"reference.{graph.component}"
        reference.mkdir()
        # Items are what the whole model takes, which its first component gets.
        write_reference(reference, graph.feeds, graph.outputs, () if parts else made.items)
        parts.append(
            Part(
                component=graph.component,
                model=graph.folder,
                inputs=graph.session.inputs,
                outputs=graph.session.outputs,
                reference=reference,
                parity=asdict(graph.parity),
            )
        )
    write_package(
        staging,
        name=name,
        contents=Contents(task=made.task, source=made.source, metrics=dict(made.metrics or {})),
        parts=parts,
        assets={} if made.preprocessing is None else {"preprocessing": made.preprocessing},
        variant=made.precision,
        precision=made.precision,
        method=made.source.exporter,
    )


def _together(parities: Sequence[ExportParity]) -> ExportParity:
    """The parity of all graphs as one."""
    return replace(
        parities[0],
        max_abs_error=max(parity.max_abs_error for parity in parities),
        shapes=tuple(shape for parity in parities for shape in parity.shapes),
    )
