"""int8 weights that are computed with in float: smaller, and blind to batch mates."""

from collections.abc import Collection
from pathlib import Path
from typing import TYPE_CHECKING

import numpy as np

from toolkit.quantize.context import contained
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
    folded: bool = False,
) -> int:
    """Write a copy of a model whose large weights are int8 with one float scale a channel.

    Weights of MatMul, Gemm, Conv, LSTM, GRU and RNN become `DequantizeLinear(int8, scale)`; a table
    that Gather reads becomes int8 rows with a scale a row, dequantized after the look-up, and with
    a factor a column where some columns are much wider than others.
    Activations stay float32, so the result of an item cannot depend on the others in its batch.
    Weights inside If, Loop and Scan count too, and are made float where they are read; those that
    are stored outside of it as if `folded`.

    Args:
        model: The float32 model.
        target: Where the quantized one is written.
        keep: Names of nodes whose weights stay in float.
        tables_only: Only what Gather reads.
        folded: `Cast` and `Mul` instead of DequantizeLinear. ONNX Runtime (1.31) folds these two
            when it loads the file; DequantizeLinear it runs every time, unless a session is
            configured not to. They need no opset of their own either.

    Returns:
        How many weights were quantized.

    Raises:
        QuantizerError: The graph is not valid.
    """
    import onnx
    import onnx_ir as ir

    loaded = ir.load(model)
    graphs = [loaded.graph, *loaded.graph.subgraphs()]
    values = [value for graph in graphs for value in graph.initializers.values()]
    total = sum(value.const_value.nbytes for value in values if value.const_value is not None)
    count = sum(
        _quantize(value, keep, tables_only, small=_SMALL_TABLE * total, folded=folded)
        for value in values
    )
    proto = ir.to_proto(loaded)
    with contained():  # what another quantizer made of the graph before may be none
        onnx.checker.check_model(proto, full_check=True)
    target.write_bytes(proto.SerializeToString(deterministic=True))
    return count


def _quantize(
    value: "onnx_ir.Value",
    keep: Collection[str],
    tables_only: bool,
    *,
    small: float,
    folded: bool,
) -> bool:
    """Replace one initializer where every node that reads it can take it; says whether it did."""
    import onnx_ir as ir

    tensor, graph = value.const_value, value.graph
    uses = value.uses()
    if tensor is None or graph is None or value.is_graph_output() or not uses:
        return False
    if tensor.dtype != ir.DataType.FLOAT or tensor.size < SMALLEST or len(tensor.shape) < 2:
        return False
    if value.is_graph_input() or any(not isinstance(node.graph, ir.Graph) for node, _ in uses):
        return False  # a caller may replace it, or a function of the file's own reads it
    if any(node.name in keep for node, _ in uses):
        return False
    axes = {_channel_axis(node, position, len(tensor.shape)) for node, position in uses}
    if all(_is_table(node, position) for node, position in uses):
        if tensor.nbytes < small:
            return False
        quantize_table(graph, value, [node for node, _ in uses])
    elif not tables_only and len(axes) == 1 and (axis := axes.pop()) is not None:
        _quantize_matrix(value, axis, folded=folded)
    else:
        return False
    del graph.initializers[str(value.name)]
    return True


def _quantize_matrix(value: "onnx_ir.Value", axis: int, *, folded: bool) -> None:
    import onnx_ir as ir

    owner = value.graph
    assert owner is not None
    values = _numbers(value)
    others = tuple(i for i in range(values.ndim) if i != axis)
    quantized, scale = symmetric_int8(values, others)
    readers: dict[onnx_ir.Graph, list[tuple[onnx_ir.Node, int]]] = {}
    for node, position in value.uses():
        assert isinstance(node.graph, ir.Graph)
        readers.setdefault(node.graph, []).append((node, position))
    # ONNX Runtime 1.31 makes MatMulNBits of DequantizeLinear and MatMul, and fails where the bytes
    # are stored in another graph.
    folded = folded or readers.keys() != {owner}
    if folded:
        scale = np.expand_dims(scale, others)
    integers = _constant(owner, value, "int8", quantized)
    scales = _constant(owner, value, "scale", scale)
    for number, (graph, uses) in enumerate(readers.items()):
        stem = str(value.name) if not number else f"{value.name}_{number}"
        if folded:
            cast = ir.node("Cast", [integers], {"to": ir.DataType.FLOAT}, name=f"{stem}_cast")
            cast.outputs[0].name = f"{stem}_numbers"
            made = [cast, ir.node("Mul", [cast.outputs[0], scales], name=f"{stem}_dequantize")]
        else:
            inputs = [integers, scales]
            made = [ir.node("DequantizeLinear", inputs, {"axis": axis}, name=f"{stem}_dequantize")]
        weight = made[-1].outputs[0]
        weight.name = f"{stem}_float"
        graph.insert_before(graph[0], made)
        for node, position in uses:
            node.replace_input_with(position, weight)


def quantize_table(
    owner: "onnx_ir.Graph", value: "onnx_ir.Value", gathers: list["onnx_ir.Node"]
) -> None:
    """Let look-ups read int8 rows with a scale a row, instead of a float table of `owner`.

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
    table = _constant(owner, value, "int8", quantized)
    scales = _constant(owner, value, "scale", scale.reshape(-1, *[1] * (values.ndim - 1)))
    factor = None if columns is None else _constant(owner, value, "columns", columns)
    for gather in gathers:
        graph, output = gather.graph, gather.outputs[0]
        assert isinstance(graph, ir.Graph)
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


def symmetric_int8(
    values: Array, axes: tuple[int, ...], *, levels: int = 127
) -> tuple[Array, Array]:
    """int8 values of the same shape, and one float32 scale for each slice along the other axes.

    Args:
        values: float32[...].
        axes: The axes that share a scale.
        levels: The largest integer; fewer than 127 leave room for sums.

    Returns:
        int8[...] between -levels and levels, and float32[channels].
    """
    peak = np.abs(values).max(axis=axes, keepdims=True)
    scale = np.maximum(peak / levels, np.finfo(np.float32).tiny)
    quantized = np.clip(np.rint(values / scale), -levels, levels).astype(np.int8)
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
    if node.op_type in {"Gemm", "FusedGemm", "FusedMatMul"}:
        transposed = node.attributes.get("transB")
        return rank - 2 if transposed is not None and transposed.as_int() else rank - 1
    if node.op_type == "Attention" and node.domain == "com.microsoft":
        return rank - 1
    return {"MatMul": rank - 1, "Conv": 0, "FusedConv": 0}.get(node.op_type)
