"""Whether the nodes that a method was to leave in float are in float."""

from collections.abc import Collection, Iterator
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np

from toolkit.optimize.attention import MICROSOFT
from toolkit.tensors import Array

if TYPE_CHECKING:
    import onnx_ir

LEAST_AXES = 2
"""Of a weight; vectors, such as biases, are added in float by every method."""

_INTEGERS = ("MatMulNBits", "QuantizeLinear", "DequantizeLinear", "QLinear", "DynamicQuantize")
"""How operators begin that hold quantized weights, or make them."""

HIDDEN = "FusedMatMul"
"""What a product is called while a quantizer that asks nobody is not to see it: without attributes,
ONNX Runtime's operator of that name computes what MatMul does."""


def not_kept(source: Path, made: Path, keep: Collection[str]) -> tuple[str, ...]:
    """The nodes of `keep` whose float weights a quantized graph does not read any more.

    A node counts as kept where one of its name, or one of another name, reads float values that
    equal its weight, as they stand or transposed. Nodes without stored weights are always kept.

    Args:
        source: The float32 model.
        made: What a method wrote.
        keep: Names of nodes of the source's main graph.
    """
    import onnx_ir as ir

    if not keep:
        return ()
    nodes = [node for node in ir.load(source).graph if node.name in keep]
    after: dict[str, onnx_ir.Node] = {}
    read: list[tuple[onnx_ir.Node, Array]] = []
    for node in ir.load(made).graph.all_nodes():
        after[str(node.name)] = node
        if not node.op_type.startswith(_INTEGERS):
            read += [(node, weight) for weight in _weights(node)]
    lost = []
    for node in nodes:
        named = after.get(str(node.name)) or after.get(f"{node.name}_MatMul")  # was a Gemm
        beside = [weight for reader, weight in read if named in (None, reader)]
        if not all(any(_equal(one, other) for other in beside) for one in _weights(node)):
            lost.append(str(node.name))
    return tuple(lost)


def hide(model: Any, names: Collection[str]) -> set[str]:
    """Give the products of these names another operator, in place; says which had it changed.

    Args:
        model: A ModelProto.
        names: Of nodes of the main graph.
    """
    import onnx

    hidden = set()
    for node in model.graph.node:
        if node.op_type == "MatMul" and not node.domain and node.name in names:
            node.op_type, node.domain = HIDDEN, MICROSOFT
            hidden.add(node.name)
    if hidden and all(one.domain != MICROSOFT for one in model.opset_import):
        model.opset_import.append(onnx.helper.make_opsetid(MICROSOFT, 1))
    return hidden


def show(model: Any, hidden: Collection[str]) -> None:
    """Undo what `hide` changed, in place."""
    for node in model.graph.node:
        if node.op_type == HIDDEN and node.name in hidden:
            node.op_type, node.domain = "MatMul", ""


def _weights(node: "onnx_ir.Node") -> Iterator[Array]:
    """The stored float32 tensors with two axes or more that a node reads."""
    import onnx_ir as ir

    for value in node.inputs:
        tensor = None if value is None else value.const_value
        if tensor is None or tensor.dtype != ir.DataType.FLOAT:
            continue
        if len(tensor.shape) >= LEAST_AXES:
            yield np.asarray(tensor.numpy())


def _equal(one: Array, other: Array) -> bool:
    return np.array_equal(one, other) or (
        one.ndim == other.ndim == LEAST_AXES and np.array_equal(one, other.T)
    )
