"""A checkpoint's ONNX graph, by optimum-onnx, whose environment is one of its own."""

from __future__ import annotations

import tempfile
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import TYPE_CHECKING

from toolkit.errors import InputError, SetupError
from toolkit.export.graph import name_dimensions
from toolkit.export.libraries import export_extra, quiet
from toolkit.export.parts import TorchPart, TorchSource
from toolkit.export.torch_graph import first_line
from toolkit.export.weights import Traced, set_aside
from toolkit.tasks import TaskName
from toolkit.tensors import Feeds

if TYPE_CHECKING:
    from onnx import ModelProto

_TASKS: Mapping[TaskName, str] = {
    "text-classification": "text-classification",
    "token-classification": "token-classification",
    "question-answering": "question-answering",
    "fill-mask": "fill-mask",
    "feature-extraction": "feature-extraction",
    "text-generation": "text-generation-with-past",
    "image-classification": "image-classification",
    "object-detection": "object-detection",
}
"""optimum's names of the tasks whose graph it writes as one file with our inputs."""


def trace(
    source: TorchSource,
    part: TorchPart,
    feeds: Feeds,
    output_names: Sequence[str],
    *,
    opset: int,
) -> Traced:
    """The graph that optimum-onnx writes for the checkpoint; it loads and traces by itself.

    Args:
        source: The checkpoint.
        part: The module that the graph will be compared with, and its symbolic dimensions.
        feeds: The inputs that the graph must take.
        output_names: The outputs that it must have; others are dropped.
        opset: Operator-set version.

    Raises:
        SetupError: optimum-onnx is not installed.
        InputError: It cannot export the checkpoint, or writes another graph.
    """
    with export_extra():
        import onnx
        import onnx_ir as ir
    try:
        from optimum.exporters.onnx import main_export
    except ImportError as error:
        raise SetupError(
            "the exporter 'optimum' needs optimum-onnx, which is not installed",
            expected="an environment of its own: its pins exclude those of the extra export",
            fix="pip install 'onnx-edge-toolkit[cpu,optimum]'",
        ) from error
    task = _TASKS.get(source.task.name)
    if task is None or source.path is None or len(source.parts) != 1:
        raise InputError(
            f"optimum writes no graph for {source.task.name} that a package can hold",
            expected=f"one of {', '.join(_TASKS)}",
        )
    with tempfile.TemporaryDirectory() as folder:
        with quiet():
            try:
                main_export(
                    str(source.path),
                    folder,
                    task=task,
                    opset=opset,
                    do_validation=False,  # it would only warn; the caller compares
                    local_files_only=True,
                )
            except Exception as error:  # whatever the exporter and a checkpoint raise
                raise InputError(
                    f"optimum cannot export it: {first_line(error)}",
                    expected="an architecture that optimum-onnx lists",
                ) from error
        files = sorted(Path(folder).glob("*.onnx"))
        if len(files) != 1:
            raise InputError(
                f"optimum writes {', '.join(file.name for file in files) or 'no file'}",
                expected="one graph",
            )
        model = onnx.load(str(files[0]))
    _keep_outputs(model, output_names)
    _check_inputs(model, feeds)
    name_dimensions(model, part.dimensions)
    return set_aside(ir.from_proto(model))


def _keep_outputs(model: ModelProto, wanted: Sequence[str]) -> None:
    """Drop the outputs that nobody asked for, and put the others in order."""
    found = {value.name: value for value in model.graph.output}
    missing = [name for name in wanted if name not in found]
    if missing:
        raise InputError(
            f"optimum writes the outputs {', '.join(found)}", expected=", ".join(wanted)
        )
    kept = [found[name] for name in wanted]
    del model.graph.output[:]
    model.graph.output.extend(kept)


def _check_inputs(model: ModelProto, feeds: Feeds) -> None:
    found = {value.name for value in model.graph.input}
    if found != set(feeds):
        raise InputError(
            f"optimum writes a graph that takes {', '.join(sorted(found))}",
            expected=", ".join(feeds),
        )
