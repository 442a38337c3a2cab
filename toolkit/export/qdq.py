"""A traced QDQ graph as ONNX Runtime's integer kernels want it, with the same values bit by bit."""

from __future__ import annotations

from typing import TYPE_CHECKING

import numpy as np

from toolkit.tensors import Array

if TYPE_CHECKING:
    import onnx_ir as ir
    from onnx import ModelProto

_BIASED = {"Conv", "Gemm"}


def tidied(model: ModelProto) -> ModelProto:
    """The graph with weights stored as they are multiplied, int32 biases and int8 lookups.

    Args:
        model: A QDQ graph with symmetric weights, every initializer inside.
    """
    import onnx_ir as ir

    graph = ir.from_proto(model).graph
    rewritten = ir.Model(graph, ir_version=model.ir_version)
    for node in [*graph]:
        if node.op_type == "Transpose":
            _turn_weight(node)
        elif node.op_type in _BIASED and len(node.inputs) == 3:
            _quantize_bias(node)
        elif node.op_type == "Gather":
            _look_up(node)
    for value in [*graph.initializers.values()]:
        if not value.uses():
            graph.initializers.pop(value.name or "")
    return ir.to_proto(rewritten)


def _turn_weight(node: ir.Node) -> None:
    """Store a weight as the Transpose behind its DequantizeLinear hands it on."""
    import onnx_ir as ir

    found = _dequantized(node.inputs[0])
    if found is None or node.inputs[0] is None or len(node.inputs[0].uses()) != 1:
        return
    dequantizer, weight = found
    given = node.attributes.get("perm")
    axes = tuple(given.as_ints()) if given else tuple(reversed(range(weight.ndim)))
    axis = dequantizer.attributes.get_int("axis", 1) % weight.ndim
    turned = _stored(node, "turned", weight.transpose(axes))
    made = ir.node(
        "DequantizeLinear",
        [turned, *dequantizer.inputs[1:]],
        {"axis": axes.index(axis)},
        name=f"{node.name}.dequantized",
    )
    _replace(node, [made])
    _remove(dequantizer)


def _quantize_bias(node: ir.Node) -> None:
    """Store a bias as int32 in steps of the products' sums, where that loses nothing."""
    import onnx_ir as ir

    factors = [_scale(value) for value in node.inputs[:2]]
    bias = _array(node.inputs[2])
    if bias is None or bias.ndim != 1 or factors[0] is None or factors[1] is None:
        return
    if factors[0].size != 1:
        return
    scale = np.broadcast_to(factors[0].reshape(()) * factors[1], bias.shape)
    steps = np.round(bias / scale)
    if np.abs(steps).max(initial=0) >= 2**31 or (steps * scale != bias).any():
        return
    inputs = [_stored(node, "bias", steps.astype(np.int32)), _stored(node, "bias_scale", scale)]
    made = ir.node("DequantizeLinear", inputs, {"axis": 0}, name=f"{node.name}.bias")
    _graph(node).insert_before(node, made)
    node.replace_input_with(2, made.outputs[0])


def _look_up(node: ir.Node) -> None:
    """Look int8 rows up and scale those, instead of the whole table in every run."""
    import onnx_ir as ir

    found = _dequantized(node.inputs[0])
    scales = _scale(node.inputs[0])
    if found is None or scales is None or scales.ndim != 1:
        return
    dequantizer, _table = found
    if node.attributes.get_int("axis", 0) != 0 or dequantizer.attributes.get_int("axis", 1) != 0:
        return
    ids = node.inputs[1]
    row_scales = _stored(node, "row_scales", scales.reshape(-1, 1))
    rows = ir.node("Gather", [dequantizer.inputs[0], ids], {"axis": 0}, name=f"{node.name}.rows")
    to_float = {"to": ir.DataType.FLOAT}
    floats = ir.node("Cast", [rows.outputs[0]], to_float, name=f"{node.name}.floats")
    factors = ir.node("Gather", [row_scales, ids], {"axis": 0}, name=f"{node.name}.scales")
    scaled = ir.node("Mul", [floats.outputs[0], factors.outputs[0]], name=f"{node.name}.scaled")
    _replace(node, [rows, floats, factors, scaled])
    if not dequantizer.outputs[0].uses():
        _remove(dequantizer)


def _dequantized(value: ir.Value | None) -> tuple[ir.Node, Array] | None:
    """The DequantizeLinear that makes a value of an initializer, and that; None for others."""
    made = None if value is None else value.producer()
    if made is None or made.op_type != "DequantizeLinear":
        return None
    array = _array(made.inputs[0])
    return None if array is None else (made, array)


def _scale(value: ir.Value | None) -> Array | None:
    """The scale that a value was dequantized with; None where it was not."""
    made = None if value is None else value.producer()
    is_dequantized = made is not None and made.op_type == "DequantizeLinear"
    return _array(made.inputs[1]) if made is not None and is_dequantized else None


def _array(value: ir.Value | None) -> Array | None:
    tensor = None if value is None or value.is_graph_input() else value.const_value
    return None if tensor is None else tensor.numpy()


def _stored(node: ir.Node, name: str, array: Array) -> ir.Value:
    """A new initializer."""
    import onnx_ir as ir

    name = f"qdq.{node.outputs[0].name}.{name}"  # no module is named so
    value = ir.val(name, const_value=ir.tensor(np.ascontiguousarray(array), name=name))
    _graph(node).register_initializer(value)
    return value


def _graph(node: ir.Node) -> ir.Graph:
    import onnx_ir as ir

    assert isinstance(node.graph, ir.Graph)
    return node.graph


def _replace(node: ir.Node, made: list[ir.Node]) -> None:
    """Put nodes in a node's place; the last one makes its value."""
    import onnx_ir as ir

    graph, new = _graph(node), made[-1].outputs[0]
    graph.insert_before(node, made)
    new.shape, new.type = node.outputs[0].shape, node.outputs[0].type
    ir.convenience.replace_all_uses_with(node.outputs[0], new, replace_graph_outputs=True)
    graph.remove(node, safe=True)


def _remove(node: ir.Node) -> None:
    _graph(node).remove(node, safe=True)
