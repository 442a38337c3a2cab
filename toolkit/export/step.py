"""The step `export`: a source becomes a package with one variant that was compared with it."""

import shutil
import time
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any, Literal, get_args

import numpy as np

from toolkit import __version__
from toolkit.errors import InputError, ToolkitError
from toolkit.export import adopt, graph
from toolkit.export.comparison import ExportParity, compared
from toolkit.export.feeds import (
    batch_dimension,
    dimension_sizes,
    resized,
    sizes_text,
    trace_sizes,
)
from toolkit.export.libraries import versions
from toolkit.export.references import write_reference
from toolkit.export.sources import Exportable, TorchSource, open_source
from toolkit.export.torch_graph import IR_VERSION, OPSETS, one_thread, run_module, trace
from toolkit.package import SUFFIX, Contents, Source
from toolkit.package.integrity import file_sha256
from toolkit.package.package import MANIFEST
from toolkit.package.write import MODEL_FILE, replacing, write_package
from toolkit.progress import Progress, silent
from toolkit.runtime import Session, SessionOptions, open_session
from toolkit.tasks import Task, TaskSpec
from toolkit.tensors import Array, describe

ExporterName = Literal["auto", "torch"]

_OPTIONS = SessionOptions(threads=1, spinning=False)
"""One thread: sums then run in one order, so that a package is the same every time."""


@dataclass(frozen=True, kw_only=True)
class ExportReport:
    """What `export` wrote.

    Attributes:
        package: The package's directory.
        variant: The variant's name, which is its precision.
        parity: How it was checked.
        seconds: How long all of it took.
        exporter: "torch.onnx", or "onnx" for an adopted file.
        size_bytes: Size of the variant's files.
        replaced: Whether a package stood there before.
    """

    package: Path
    variant: str
    parity: ExportParity
    seconds: float
    exporter: str
    size_bytes: int
    replaced: bool


@dataclass(frozen=True, kw_only=True)
class _Graph:
    """A variant in the making, checked, and what the package will say of it."""

    session: Session
    feeds: Mapping[str, Array]
    outputs: Mapping[str, Array]
    parity: ExportParity
    precision: str
    source: Source
    task: TaskSpec
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
    seed: int = 0,
    force: bool = False,
    progress: Progress = silent,
) -> ExportReport:
    """Write a model package with one variant that was compared with its source.

    A module is compared with its graph at no fewer than four shapes other than the traced one and
    on its reference rows. An `.onnx` file has nothing to be compared with: it is checked, run
    twice, and its own outputs become the reference.

    Args:
        source: A run directory, `module:callable` (see `Exportable`), an `Exportable`, or an
            `.onnx` file, which is adopted as it is.
        output: The package to write; its name ends in `.ortpackage`.
        exporter: "auto" takes the one that suits the source.
        opset: Operator-set version of the graph, 18 to 21; an adopted file keeps its own.
        tolerance: Most that any output may differ, absolutely.
        name: The package's name; the output's without its suffix when not given.
        reference: For an `.onnx` file: feeds to record; seeded random ones when not given.
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
    with _writing(output), replacing(output, force=force) as staging:
        work = staging / ".work"  # beside the package, so that a large model is only renamed
        model, extras = work / "model", work / "reference"
        model.mkdir(parents=True)
        extras.mkdir()
        opened = open_source(source)
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
                opened, model, opset=opset, tolerance=tolerance, seed=seed, progress=progress
            )
        progress(f"writing {output}")
        size_bytes = sum(file.stat().st_size for file in model.rglob("*") if file.is_file())
        _write(staging, model, extras, made, name=name or output.name)
        shutil.rmtree(work)
    return ExportReport(
        package=output,
        variant=made.precision,
        parity=made.parity,
        seconds=time.perf_counter() - start,
        exporter=made.source.exporter,
        size_bytes=size_bytes,
        replaced=replaced,
    )


def _check_options(
    source: str | Path | Exportable, output: Path, *, exporter: str, opset: int, tolerance: float
) -> None:
    if output.suffix != SUFFIX:
        raise InputError(
            f"{output} is no name for a package",
            expected=f"a name that ends in {SUFFIX}",
            fix=f"-o {output.with_suffix(SUFFIX)}",
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
    if exporter not in get_args(ExporterName):
        raise InputError(
            f"there is no exporter {exporter!r}",
            expected=f"one of {', '.join(get_args(ExporterName))}",
        )
    if opset not in OPSETS:
        raise InputError(
            f"opset {opset} is not supported", expected=f"{OPSETS[0]} to {OPSETS[-1]}; 20 is usual"
        )
    if not (np.isfinite(tolerance) and tolerance >= 0):
        raise InputError(f"the tolerance is {tolerance}", expected="a number from 0 on")


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
    opset: int,
    tolerance: float,
    seed: int,
    progress: Progress,
) -> _Graph:
    module = source.module
    was_training = module.training
    module.eval()
    try:
        with one_thread():
            sizes = dimension_sizes(source.feeds, source.dimensions)
            outputs = _answers(source)
            traced = trace_sizes(sizes)
            batch = batch_dimension(source.dimensions)
            progress(f"exporting at {sizes_text(traced)}")
            model = trace(
                module,
                resized(source.feeds, source.dimensions, traced, batch=batch, seed=seed),
                dimensions=source.dimensions,
                output_names=tuple(outputs),
                opset=opset,
            )
            model = graph.lightened(graph.slimmed(model))
            graph.strip(model)
            model.ir_version = IR_VERSION
            graph.write(model, folder / MODEL_FILE)
            graph.check(folder / MODEL_FILE, full=True)
            del model
            session = open_session(folder / MODEL_FILE, _OPTIONS)
            parity = compared(
                source, session, outputs, traced=traced, limit=tolerance, seed=seed, say=progress
            )
    finally:
        module.train(was_training)
    return _Graph(
        session=session,
        feeds=source.feeds,
        outputs=outputs,
        parity=parity,
        precision="fp32",
        source=Source(
            kind=source.kind,
            name=source.name,
            sha256=source.sha256,
            exporter="torch.onnx",
            versions={
                "onnx-edge-toolkit": __version__,
                **versions("torch", "onnx", "onnxscript", "onnxslim", "onnxruntime"),
            },
        ),
        task=source.task,
        preprocessing=source.preprocessing,
        items=source.items,
        metrics=source.metrics,
    )


def _answers(source: TorchSource) -> dict[str, Array]:
    """What the module answers for its reference rows."""
    try:
        outputs = run_module(source.module, source.feeds, output_names=source.output_names)
    except ToolkitError:
        raise
    except Exception as error:  # whatever a stranger's code raises
        raise InputError(
            f"{source.name} fails on its own example inputs: {type(error).__name__}: {error}",
            expected="a forward that takes the inputs as keyword arguments by these names: "
            + ", ".join(source.feeds),
        ) from error
    if source.task.output not in ("", *outputs):
        raise InputError(
            f"the task of {source.name} reads the output {source.task.output!r}",
            expected=f"one of {', '.join(outputs)}",
        )
    _check_readable(source, outputs)
    return outputs


def _check_readable(source: TorchSource, outputs: Mapping[str, Array]) -> None:
    """Read the reference answers as `infer` will, so that no package is written that cannot."""
    try:
        Task(source.task, None).decode(outputs)
    except (ValueError, IndexError, KeyError) as error:
        output = source.task.output
        found = describe(outputs[output]) if output in outputs else ", ".join(outputs)
        labels = ", ".join(source.task.labels) or "none"
        raise InputError(
            f"the task {source.task.name!r} of {source.name} does not fit its output {output!r}, "
            f"{found}",
            expected=f"an output for the labels {labels} and the activation "
            f"{source.task.activation!r}",
        ) from error


def _adopted(
    file: Path, folder: Path, given: Mapping[str, Array] | None, *, tolerance: float, seed: int
) -> _Graph:
    precision = adopt.copy_model(file, folder)
    session = open_session(folder / MODEL_FILE, _OPTIONS)
    feeds, outputs, parity = adopt.reference(session, file, given, seed=seed)
    sizes = {
        dimension: feeds[spec.name].shape[axis]
        for spec in session.inputs
        for axis, dimension in enumerate(spec.shape)
        if isinstance(dimension, str)
    }
    return _Graph(
        session=session,
        feeds=feeds,
        outputs=outputs,
        parity=ExportParity(
            max_abs_error=parity.max_abs_error,
            limit=tolerance,
            shapes=(sizes,),
            compared_with="itself",
        ),
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


def _write(staging: Path, model: Path, extras: Path, made: _Graph, *, name: str) -> None:
    write_reference(extras, made.feeds, made.outputs, made.items)
    assets = {"reference": extras}
    if made.preprocessing is not None:
        assets["preprocessing"] = made.preprocessing
    write_package(
        staging,
        name=name,
        contents=Contents(
            task=made.task,
            inputs=made.session.inputs,
            outputs=made.session.outputs,
            source=made.source,
            assets={},
            metrics=dict(made.metrics or {}),
        ),
        assets=assets,
        variant=made.precision,
        model=model,
        precision=made.precision,
        method=made.source.exporter,
        parity=asdict(made.parity),
    )
