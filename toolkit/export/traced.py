"""A source's modules as checked graphs, by the first exporter that gets all of them right."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass, replace
from pathlib import Path
from typing import TYPE_CHECKING

import numpy as np

from toolkit.errors import CheckFailedError, InputError, ToolkitError
from toolkit.export import graph, optimum_graph, torch_graph, torchscript_graph, transformers_graph
from toolkit.export.comparison import ExportParity, compared
from toolkit.export.feeds import batch_dimension, dimension_sizes, resized, sizes_text, trace_sizes
from toolkit.export.libraries import collecting_later
from toolkit.export.parts import ExporterName, TorchPart, TorchSource
from toolkit.export.torch_graph import IR_VERSION, one_thread, run_module
from toolkit.export.weights import Traced
from toolkit.package.write import MODEL_FILE
from toolkit.progress import Progress
from toolkit.runtime import Session, SessionOptions, open_session
from toolkit.tasks import Task
from toolkit.tensors import Array, describe

if TYPE_CHECKING:
    from toolkit.export.feeds import Sizes

OPTIONS = SessionOptions(threads=1, spinning=False)
"""One thread: sums then run in one order, so that a package is the same every time."""


@dataclass(frozen=True, kw_only=True)
class CheckedGraph:
    """One graph, written and compared.

    Attributes:
        component: The package's component that it becomes.
        folder: Where `model.onnx` lies.
        session: The graph, opened.
        feeds: The reference inputs.
        outputs: The source's answers for them.
        parity: How the graph was compared.
    """

    component: str
    folder: Path
    session: Session
    feeds: Mapping[str, Array]
    outputs: Mapping[str, Array]
    parity: ExportParity


@dataclass(frozen=True, kw_only=True)
class Attempt:
    """An exporter that failed.

    Attributes:
        exporter: Its name.
        reason: Why, in a line.
        missed: Whether it wrote a graph, which then computed something else.
    """

    exporter: str
    reason: str
    missed: bool


def exported(
    source: TorchSource,
    folder: Path,
    *,
    exporter: ExporterName,
    opset: int,
    tolerance: float,
    seed: int,
    progress: Progress,
) -> tuple[list[CheckedGraph], str, tuple[Attempt, ...]]:
    """The graphs of a source, the exporter that wrote them, and those that failed before it.

    Args:
        source: The modules.
        folder: An empty folder; a graph's files go to a folder in it by component.
        exporter: "auto" tries those that suit the source, one after another.
        opset: Operator-set version.
        tolerance: Most that any output may differ, absolutely.
        seed: Of the feeds that are made.
        progress: Called with a line for each thing that begins.

    Raises:
        InputError: No exporter can export the source.
        SetupError: The exporter that was named is not installed.
        CheckFailedError: What was exported misses the tolerance.
    """
    if exporter != "auto" and exporter not in source.exporters:
        raise InputError(
            f"the exporter {exporter!r} cannot take {source.name}",
            expected=f"one of {', '.join(source.exporters)} for this kind of source",
        )
    names = source.exporters if exporter == "auto" else (exporter,)
    with _evaluating(source), one_thread():
        answers = [_answers(source, part) for part in source.parts]
        failed: list[Attempt] = []
        for name in names:
            try:
                graphs = [
                    _checked(
                        source,
                        part,
                        outputs,
                        folder / part.component,
                        exporter=name,
                        opset=opset,
                        tolerance=tolerance,
                        seed=seed,
                        progress=progress,
                    )
                    for part, outputs in zip(source.parts, answers, strict=True)
                ]
            except ToolkitError as error:
                if len(names) == 1:
                    raise
                attempt = Attempt(
                    exporter=name,
                    reason=error.problem.splitlines()[0],
                    missed=isinstance(error, CheckFailedError),
                )
                progress(f"the exporter {name} failed: {attempt.reason}")
                failed.append(attempt)
            else:
                return graphs, name, tuple(failed)
    raise _none_left(source, failed)


def _none_left(source: TorchSource, failed: list[Attempt]) -> ToolkitError:
    lines = "\n".join(f"    {attempt.exporter}: {attempt.reason}" for attempt in failed)
    kind = CheckFailedError if all(attempt.missed for attempt in failed) else InputError
    alone = "--exporter NAME        (tries one alone, and says more)"
    return kind(
        f"no exporter could export {source.name}:\n{lines}",
        fix=f"--tolerance 1e-3        (sets the limit), or {alone}"
        if any(attempt.missed for attempt in failed)
        else alone,
    )


@contextmanager
def _evaluating(source: TorchSource) -> Iterator[None]:
    """The modules in eval mode; as before afterwards."""
    modes = [(part.module, part.module.training) for part in source.parts]
    for module, _ in modes:
        module.eval()
    try:
        yield
    finally:
        for module, was_training in modes:
            module.train(was_training)


_EXPORTERS: Mapping[str, Callable[..., Traced]] = {
    "torch": torch_graph.trace,
    "torchscript": torchscript_graph.trace,
    "transformers": transformers_graph.trace,
    "optimum": optimum_graph.trace,
}


def _checked(
    source: TorchSource,
    part: TorchPart,
    outputs: dict[str, Array],
    folder: Path,
    *,
    exporter: ExporterName,
    opset: int,
    tolerance: float,
    seed: int,
    progress: Progress,
) -> CheckedGraph:
    """One module's graph by one exporter, written and compared."""
    folder.mkdir(exist_ok=True)
    file = folder / MODEL_FILE
    traced = _traced_sizes(part)
    which = "" if part.component == "model" else f" the {part.component}"
    progress(f"exporting{which} at {sizes_text(traced)} with {exporter}")
    with collecting_later():
        made = _EXPORTERS[exporter](
            source, part, _trace_feeds(part, traced, seed), tuple(outputs), opset=opset
        )
        made = graph.cleaned(made)
    graph.strip(made.model)
    made.model.ir_version = IR_VERSION
    graph.check_made(made)
    graph.write(made.model, file, made.weights)
    del made
    session = open_session(file, OPTIONS)
    text = source.task.text
    parity = compared(
        _at_the_longest(part, source) if exporter == "torchscript" else part,
        session,
        outputs,
        traced=traced,
        longest=None if text is None else text.max_length,
        limit=tolerance,
        seed=seed,
        say=progress,
    )
    return CheckedGraph(
        component=part.component,
        folder=folder,
        session=session,
        feeds=part.feeds,
        outputs=outputs,
        parity=parity,
    )


def _at_the_longest(part: TorchPart, source: TorchSource) -> TorchPart:
    """The part, compared at the most tokens too: a trace may hold for short texts only."""
    text = source.task.text
    if part.shapes is None or text is None:
        return part
    longest = {"batch": 1, "sequence": text.max_length}
    compared_at = dict.fromkeys(tuple(at.items()) for at in (*part.shapes.compared, longest))
    return replace(part, shapes=replace(part.shapes, compared=tuple(map(dict, compared_at))))


def _traced_sizes(part: TorchPart) -> Sizes:
    if part.shapes is not None:
        return part.shapes.traced
    return trace_sizes(dimension_sizes(part.feeds, part.dimensions))


def _trace_feeds(part: TorchPart, traced: Sizes, seed: int) -> dict[str, Array]:
    if part.shapes is not None:
        return part.shapes.make(traced, seed)
    batch = batch_dimension(part.dimensions)
    return resized(part.feeds, part.dimensions, traced, batch=batch, seed=seed)


def _answers(source: TorchSource, part: TorchPart) -> dict[str, Array]:
    """What the module answers for its reference rows."""
    try:
        outputs = run_module(part.module, part.feeds, output_names=part.output_names)
    except ToolkitError:
        raise
    except Exception as error:  # whatever a stranger's code raises
        raise InputError(
            f"{source.name} fails on its own example inputs: {type(error).__name__}: {error}",
            expected="a forward that takes the inputs as keyword arguments by these names: "
            + ", ".join(part.feeds),
        ) from error
    _check_numbers(source, outputs if part.read is None else part.read(part.feeds, outputs))
    if source.kind != "checkpoint":  # those make their task from the model's own config
        if source.task.output not in ("", *outputs):
            raise InputError(
                f"the task of {source.name} reads the output {source.task.output!r}",
                expected=f"one of {', '.join(outputs)}",
            )
        _check_readable(source, outputs)
    return outputs


def _check_numbers(source: TorchSource, outputs: Mapping[str, Array]) -> None:
    """Refuse NaN, which no graph could be compared with; an infinity may be meant, as a mask."""
    for name, value in outputs.items():
        if value.dtype.kind == "f" and np.isnan(value).any():
            raise InputError(
                f"the output {name!r} of {source.name} holds {int(np.isnan(value).sum()):,} NaN of "
                f"{value.size:,} values for its own example inputs",
                expected="numbers; infinities are allowed",
            )


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
