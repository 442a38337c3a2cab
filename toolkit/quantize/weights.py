"""int8 weights that are computed with in float: smaller, and blind to batch mates."""

from collections.abc import Collection
from pathlib import Path
from typing import TYPE_CHECKING

import numpy as np

from toolkit.tensors import Array

if TYPE_CHECKING:
    import onnx_ir

SMALLEST = 1024
"""Elements below which an initializer is not worth a scale and a node."""

_SMALL_TABLE = 0.01
"""A table with a smaller share of the model's bytes stays in float: a position's row is added to
all tokens there, and the table gains little."""

_WIDE = 2.0
"""Times the median that a column of a table is wide before columns get factors of their own."""

_RECURRENT = {"LSTM", "GRU", "RNN"}


def quantize_weights(
    model: Path,
    target: Path,
    *,
    keep: Collection[str] = (),
    tables_only: bool = False,
) -> int:
    """Write a copy of a model whose large weights are int8 with one float scale a channel.

    Weights of MatMul, Gemm, Conv, LSTM, GRU and RNN become `DequantizeLinear(int8, scale)`; a table
    that Gather reads becomes int8 rows with a scale a row, dequantized after the look-up, and with
    a factor a column where some columns are much wider than others.
    Activations stay float32, so the result of an item cannot depend on the others in its batch.

    Args:
        model: The float32 model.
        target: Where the quantized one is written.
        keep: Names of nodes whose weights stay in float.
        tables_only: Only what Gather reads.

    Returns:
        How many weights were quantized.
    """
    import onnx
    import onnx_ir as ir

    loaded = ir.load(model)
    values = [*loaded.graph.initializers.values()]
    total = sum(value.const_value.nbytes for value in values if value.const_value is not None)
    count = sum(
        _quantize(loaded.graph, value, keep, tables_only, small=_SMALL_TABLE * total)
        for value in values
    )
    proto = ir.to_proto(loaded)
    onnx.checker.check_model(proto, full_check=True)
    target.write_bytes(proto.SerializeToString(deterministic=True))
    return count


def _quantize(
    graph: "onnx_ir.Graph",
    value: "onnx_ir.Value",
    keep: Collection[str],
    tables_only: bool,
    *,
    small: float,
) -> bool:
    """Replace one initializer where every node that reads it can take it; says whether it did."""
    import onnx_ir as ir

    tensor = value.const_value
    uses = value.uses()
    if tensor is None or value.is_graph_output() or not uses:
        return False
    if tensor.dtype != ir.DataType.FLOAT or tensor.size < SMALLEST or len(tensor.shape) < 2:
        return False
    if any(node.graph is not graph for node, _ in uses):
        return False  # read inside If, Loop or Scan
    if any(node.name in keep for node, _ in uses):
        return False
    axes = {_channel_axis(node, position, len(tensor.shape)) for node, position in uses}
    if all(_is_table(node, position) for node, position in uses):
        if tensor.nbytes < small:
            return False
        quantize_table(graph, value, [node for node, _ in uses])
    elif not tables_only and len(axes) == 1 and (axis := axes.pop()) is not None:
        _quantize_matrix(graph, value, axis)
    else:
        return False
    del graph.initializers[str(value.name)]
    return True


def _quantize_matrix(graph: "onnx_ir.Graph", value: "onnx_ir.Value", axis: int) -> None:
    import onnx_ir as ir

    values = _numbers(value)
    quantized, scale = symmetric_int8(values, tuple(i for i in range(values.ndim) if i != axis))
    dequantize = ir.node(
        "DequantizeLinear",
        [_constant(graph, value, "int8", quantized), _constant(graph, value, "scale", scale)],
        {"axis": axis},
        name=f"{value.name}_dequantize",
    )
    dequantize.outputs[0].name = f"{value.name}_float"
    graph.insert_before(graph[0], dequantize)
    ir.convenience.replace_all_uses_with(value, dequantize.outputs[0])


def quantize_table(
    graph: "onnx_ir.Graph", value: "onnx_ir.Value", gathers: list["onnx_ir.Node"]
) -> None:
    """Let look-ups read int8 rows with a scale a row, instead of a float table.

    Where columns differ much in width, each is divided by its own before, and a looked-up row
    multiplied with them after.
    """
    import onnx_ir as ir

    values = _numbers(value)
    widths = np.abs(values).max(axis=0)
    is_uneven = values.ndim == 2 and bool(widths.max() > _WIDE * np.median(widths) > 0)
    columns = np.maximum(widths, np.finfo(np.float32).tiny) if is_uneven else None
    even = values if columns is None else values / columns
    quantized, scale = symmetric_int8(even, tuple(range(1, values.ndim)))
    table = _constant(graph, value, "int8", quantized)
    scales = _constant(graph, value, "scale", scale.reshape(-1, *[1] * (values.ndim - 1)))
    factor = None if columns is None else _constant(graph, value, "columns", columns)
    for gather in gathers:
        output = gather.outputs[0]
        rows = ir.node("Gather", [table, gather.inputs[1]], {"axis": 0})
        numbers = ir.node("Cast", [rows.outputs[0]], {"to": ir.DataType.FLOAT})
        factors = ir.node("Gather", [scales, gather.inputs[1]], {"axis": 0})
        product = ir.node("Mul", [numbers.outputs[0], factors.outputs[0]])
        made_nodes = {"rows": rows, "numbers": numbers, "scales": factors, "product": product}
        if factor is not None:
            product = ir.node("Mul", [product.outputs[0], factor])
            made_nodes["columns"] = product
        for part, node in made_nodes.items():
            node.name = f"{gather.name or output.name}_{part}"
            node.outputs[0].name = f"{output.name}_{part}"
            graph.insert_before(gather, node)
        made, name = product.outputs[0], output.name
        made.type, made.shape = output.type, output.shape
        ir.convenience.replace_all_uses_with(output, made, replace_graph_outputs=True)
        output.name, made.name = f"{name}_before", name  # a graph output keeps its name
        graph.remove(gather, safe=True)


def symmetric_int8(values: Array, axes: tuple[int, ...]) -> tuple[Array, Array]:
    """int8 values of the same shape, and one float32 scale for each slice along the other axes.

    Args:
        values: float32[...].
        axes: The axes that share a scale.

    Returns:
        int8[...] between -127 and 127, and float32[channels].
    """
    peak = np.abs(values).max(axis=axes, keepdims=True)
    scale = np.maximum(peak / 127, np.finfo(np.float32).tiny)
    quantized = np.clip(np.rint(values / scale), -127, 127).astype(np.int8)
    return quantized, scale.reshape(-1).astype(np.float32)


def _numbers(value: "onnx_ir.Value") -> Array:
    assert value.const_value is not None
    return np.asarray(value.const_value.numpy(), np.float32)


def _constant(
    graph: "onnx_ir.Graph", origin: "onnx_ir.Value", part: str, content: Array
) -> "onnx_ir.Value":
    import onnx_ir as ir

    name = f"{origin.name}_{part}"
    made = ir.val(name, const_value=ir.tensor(content, name=name))
    graph.register_initializer(made)
    return made


def _is_table(node: "onnx_ir.Node", position: int) -> bool:
    axis = node.attributes.get("axis")
    return node.op_type == "Gather" and position == 0 and (axis is None or axis.as_int() == 0)


def _channel_axis(node: "onnx_ir.Node", position: int, rank: int) -> int | None:
    """The axis of output channels of a weight, or None where it must stay float."""
    if node.op_type in _RECURRENT:  # [directions, gates * hidden, inputs or hidden]
        return 1 if position in {1, 2} else None
    if position != 1:
        return None
    if node.op_type == "Gemm":
        transposed = node.attributes.get("transB")
        return 0 if transposed is not None and transposed.as_int() else 1
    return {"MatMul": rank - 1, "Conv": 0}.get(node.op_type)
