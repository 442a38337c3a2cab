"""Extra outputs of a graph, watched while calibration data runs through it."""

import tempfile
from collections.abc import Iterable, Iterator, Sequence
from pathlib import Path
from typing import TYPE_CHECKING

from toolkit.runtime import SessionOptions, open_session
from toolkit.tensors import Array, Feeds

if TYPE_CHECKING:
    import onnx_ir

PRODUCTS = ("MatMul", "Gemm", "Conv")


def constant_products(graph: "onnx_ir.Graph") -> "list[onnx_ir.Node]":
    """The named nodes that multiply an activation with a constant float32 weight."""
    import onnx_ir as ir

    found = []
    for node in graph:
        if node.op_type not in PRODUCTS or node.domain not in {"", "ai.onnx"} or not node.name:
            continue
        activation, weight = node.inputs[0], node.inputs[1]
        if activation is None or weight is None or activation.const_value is not None:
            continue
        tensor = weight.const_value
        if tensor is not None and tensor.dtype == ir.DataType.FLOAT and len(tensor.shape) >= 2:
            found.append(node)
    return found


def watched(
    model: "onnx_ir.Model", values: "Sequence[onnx_ir.Value]", feeds: Iterable[Feeds]
) -> Iterator[list[Array]]:
    """What some values of a graph are for each batch, one after the other.

    Args:
        model: The float32 model; its outputs become these values alone.
        values: Of the main graph, with names.
        feeds: Run one after the other.
    """
    import onnx_ir as ir

    graph = model.graph
    names = [str(value.name) for value in values]
    graph.outputs.clear()
    for value in values:
        value.type = value.type or ir.TensorType(ir.DataType.FLOAT)
        graph.outputs.append(value)
    from onnx_ir.passes.common import RemoveUnusedNodesPass

    RemoveUnusedNodesPass()(model)
    needed = {str(value.name) for value in graph.inputs}
    with tempfile.TemporaryDirectory() as folder:
        file = Path(folder) / "watched.onnx"
        proto = ir.to_proto(model)
        del proto.graph.value_info[:]
        file.write_bytes(proto.SerializeToString(deterministic=True))
        session = open_session(file, SessionOptions(spinning=False))
        for one in feeds:
            outputs = session.run({name: one[name] for name in one if name in needed})
            yield [outputs[name] for name in names]
