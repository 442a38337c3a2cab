"""A file of any origin, brought into the shape that the quantizers take."""

from __future__ import annotations

import tempfile
from pathlib import Path
from typing import TYPE_CHECKING

from toolkit.errors import InputError
from toolkit.export.adopt import copy_model
from toolkit.export.floats import how_quantized
from toolkit.package.write import MODEL_FILE
from toolkit.quantize.context import QuantizerError, contained

if TYPE_CHECKING:
    import onnx_ir
    from onnx import ModelProto

OPSET = 13
"""The least that the quantizers write scales a channel for."""

LARGEST = 2**31
"""Bytes; what is not smaller needs a file beside it, which a bare `.onnx` file does without."""


def prepare(file: Path, target: Path) -> tuple[str, ...]:
    """Write a copy of a model that computes the same and hides no weight.

    Constant nodes become initializers, in sub-graphs too, and what constants alone make is computed
    where the file does not grow by it; initializers are no graph inputs; the file's own functions
    are put where they are called; every node has a name of its own; and the opset is `OPSET` at
    least. Names of graph inputs and outputs stay, whatever they look like.

    Args:
        file: The `.onnx` file.
        target: Where the copy is written, without external data.

    Returns:
        What was changed that its user may want to know.

    Raises:
        InputError: It is no model, too large, of half precision, or quantized already.
    """
    import onnx
    import onnx.inliner
    import onnx_ir as ir
    from onnx_ir.passes.common import LiftConstantsToInitializersPass

    with tempfile.TemporaryDirectory() as folder:
        precision = copy_model(file, Path(folder))
        size = sum(part.stat().st_size for part in Path(folder).rglob("*") if part.is_file())
        if size >= LARGEST:
            raise InputError(
                f"{file} holds {size / 1e9:.1f} GB",
                expected="less than 2 GiB, which one .onnx file can hold",
                fix="toolkit export MODEL.onnx -o PKG, and quantize the package",
            )
        model = onnx.load(Path(folder) / MODEL_FILE)
    _refuse(file, model, precision)
    notes: list[str] = []
    if model.functions:
        model = onnx.inliner.inline_local_functions(model)
    if given := _drop_inputs(model):
        notes.append(f"{given} weights were graph inputs too; they cannot be fed any more")
    version = _opset(model)
    if version < OPSET:
        model = _raised(file, model)
        notes.append(f"the opset was raised from {version} to {OPSET}")
    del model.graph.value_info[:]  # of another opset, or of weights; both mislead the quantizers
    loaded = ir.from_proto(model)
    LiftConstantsToInitializersPass(lift_all_constants=True, size_limit=0)(loaded)
    folded = _folded(ir.to_proto(loaded))
    chosen = loaded if folded is None or _stored(folded) > _stored(loaded) else folded
    _name(chosen)
    target.write_bytes(ir.to_proto(chosen).SerializeToString(deterministic=True))
    return tuple(notes)


def _folded(model: ModelProto) -> onnx_ir.Model | None:
    """The model with what constants alone make computed, such as a weight's gates in another order.

    None where the optimizer gives up.
    """
    import onnx_ir as ir
    from onnx_ir.passes.common import LiftConstantsToInitializersPass, RemoveUnusedNodesPass
    from onnxscript.optimizer import fold_constants

    loaded = ir.from_proto(model)
    try:
        with contained():
            fold_constants(loaded, input_size_limit=LARGEST, output_size_limit=LARGEST)
            LiftConstantsToInitializersPass(lift_all_constants=True, size_limit=0)(loaded)
            RemoveUnusedNodesPass()(loaded)
    except QuantizerError:
        return None
    made = ir.from_proto(
        ir.to_proto(loaded)
    )  # nodes that were replaced count as readers until then
    for graph in (made.graph, *made.graph.subgraphs()):
        for name, value in [*graph.initializers.items()]:
            if not value.uses() and not value.is_graph_output():
                del graph.initializers[name]
    return made


def _stored(model: onnx_ir.Model) -> int:
    """Bytes of all initializers."""
    return sum(
        value.const_value.nbytes
        for graph in (model.graph, *model.graph.subgraphs())
        for value in graph.initializers.values()
        if value.const_value is not None
    )


def _refuse(file: Path, model: ModelProto, precision: str) -> None:
    if how := how_quantized(model):
        raise InputError(
            f"{file} is quantized already: {how}",
            expected="a float32 model",
            fix="quantize the file that it was made from",
        )
    if precision == "fp16":
        raise InputError(
            f"{file} is of half precision",
            expected="a float32 model",
            fix="quantize the float32 file that it was made from",
        )


def _drop_inputs(model: ModelProto) -> int:
    """Take initializers out of the graph inputs, where models before IR version 4 list them."""
    stored = {tensor.name for tensor in model.graph.initializer}
    rest = [value for value in model.graph.input if value.name not in stored]
    dropped = len(model.graph.input) - len(rest)
    if dropped:
        del model.graph.input[:]
        model.graph.input.extend(rest)
    model.ir_version = max(model.ir_version, 4)
    return dropped


def _opset(model: ModelProto) -> int:
    return max(
        (one.version for one in model.opset_import if one.domain in {"", "ai.onnx"}), default=1
    )


def _raised(file: Path, model: ModelProto) -> ModelProto:
    import onnx

    try:
        with contained():
            made: ModelProto = onnx.version_converter.convert_version(model, OPSET)
    except QuantizerError as error:
        raise InputError(
            f"{file} is of opset {_opset(model)}, which onnx cannot raise to {OPSET}: {error}",
            expected=f"opset {OPSET} or newer",
            fix="export it again",
        ) from error
    return made


def _name(model: onnx_ir.Model) -> None:
    """Give every node a name that no other node has."""
    import onnx_ir as ir

    taken: set[str] = set()
    for number, node in enumerate(ir.traversal.RecursiveGraphIterator(model.graph)):
        name = node.name or f"{node.op_type}_{number}"
        while name in taken:
            name += "_"
        taken.add(name)
        node.name = name
