"""Which products suffer most from being quantized, by one pass over calibration data."""

from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING

import numpy as np

from toolkit.optimize.editing import Editor
from toolkit.quantize.context import Context, Grain
from toolkit.quantize.watching import constant_products, watched
from toolkit.tensors import Array

if TYPE_CHECKING:
    import onnx_ir

SAMPLES = 64


@dataclass(frozen=True, kw_only=True)
class Sensitivity:
    """How much a product's output changes when it alone is quantized.

    Attributes:
        node: Its name.
        noise: Energy of the change over the energy of the output, both summed over the data.
    """

    node: str
    noise: float


def sensitivities(
    model: Path, context: Context, *, grain: Grain, bits: int
) -> tuple[Sensitivity, ...]:
    """The products of a graph, the most sensitive one first.

    Beside every product of the float graph stands a twin whose weight and activation are rounded,
    and both outputs' energies are added up while the data runs through the float graph once. So
    every product is measured on the inputs that it has in float, whatever happens to the others.

    Args:
        model: The float32 model.
        context: Calibration data, and nodes that are kept anyway.
        grain: What shares a scale among the activations: "none" rounds no activation.
        bits: Bits of a weight, which has a scale an output channel (or, for 4, for 32 weights).

    Source: the idea of onnxruntime.quantization.qdq_loss_debug (1.31), which compares the
        activations of the float and of the quantized model, where errors add up along the graph.
    """
    import onnx_ir as ir

    loaded = ir.load(model)
    graph = loaded.graph
    products = [node for node in constant_products(graph) if node.name not in context.keep]
    if not products:
        return ()
    editor = Editor(graph, "twin")
    opset = graph.opset_imports.get("", 1)
    energies: list[onnx_ir.Value] = []
    for node in products:
        after = _successor(graph, node)
        twin = _twin(editor, node, after, grain=grain, bits=bits, opset=opset)
        change = editor.node(after, "Sub", [node.outputs[0], twin])
        energies += [_energy(editor, after, value) for value in (change, node.outputs[0])]
    totals = np.zeros(len(energies))
    for batch in watched(loaded, energies, context.data.feeds(SAMPLES)):
        totals += [float(value.sum()) for value in batch]
    noises, signals = totals[0::2], totals[1::2]
    found = [
        Sensitivity(node=str(node.name), noise=float(noise / max(signal, 1e-30)))
        for node, noise, signal in zip(products, noises, signals, strict=True)
    ]
    return tuple(sorted(found, key=lambda one: -one.noise))


def _successor(graph: "onnx_ir.Graph", node: "onnx_ir.Node") -> "onnx_ir.Node":
    """A node behind this one, before which others can be inserted: an Identity of its output."""
    import onnx_ir as ir

    made = ir.node("Identity", [node.outputs[0]])
    made.name = f"{node.name}/twin"
    made.outputs[0].name = f"{node.outputs[0].name}/twin"
    graph.insert_after(node, made)
    return made


def _twin(
    editor: Editor,
    node: "onnx_ir.Node",
    after: "onnx_ir.Node",
    *,
    grain: Grain,
    bits: int,
    opset: int,
) -> "onnx_ir.Value":
    """The output of the same operator with a rounded weight and a rounded activation."""
    import onnx_ir as ir

    activation, weight = node.inputs[0], node.inputs[1]
    assert activation is not None
    assert weight is not None
    assert weight.const_value is not None
    values = np.asarray(weight.const_value.numpy(), np.float32)
    rounded = editor.initializer("weight", _rounded(values, _channel_axis(node), bits))
    if grain != "none":
        activation = _rounded_activation(editor, after, activation, grain, opset)
    copy = ir.Node(
        "", node.op_type, [activation, rounded, *node.inputs[2:]], node.attributes.values()
    )
    copy.name = f"{node.name}/rounded"
    copy.outputs[0].name = f"{node.outputs[0].name}/rounded"
    editor.graph.insert_before(after, copy)
    return copy.outputs[0]


def _channel_axis(node: "onnx_ir.Node") -> int:
    """The axis of a weight's output channels."""
    if node.op_type == "Conv":
        return 0
    transposed = node.attributes.get("transB")
    weight = node.inputs[1]
    assert weight is not None
    assert weight.const_value is not None
    is_transposed = transposed is not None and bool(transposed.as_int())
    return 0 if is_transposed else len(weight.const_value.shape) - 1


def _rounded(weight: Array, axis: int, bits: int) -> Array:
    levels = 2 ** (bits - 1) - 1
    rows = np.moveaxis(weight, axis, 0).reshape(weight.shape[axis], -1)
    width = rows.shape[1] if bits == 8 else 32
    padded = np.pad(rows, ((0, 0), (0, -rows.shape[1] % width)))
    blocked = padded.reshape(len(rows), -1, width)
    scale = np.maximum(np.abs(blocked).max(axis=2, keepdims=True) / levels, 1e-30)
    back = (np.rint(blocked / scale) * scale).reshape(len(rows), -1)[:, : rows.shape[1]]
    others = [size for i, size in enumerate(weight.shape) if i != axis]
    return np.ascontiguousarray(
        np.moveaxis(back.reshape(weight.shape[axis], *others), 0, axis), np.float32
    )


def _rounded_activation(
    editor: Editor,
    after: "onnx_ir.Node",
    activation: "onnx_ir.Value",
    grain: Grain,
    opset: int,
) -> "onnx_ir.Value":
    """An activation rounded to 127 steps on either side of zero."""
    magnitude = editor.node(after, "Abs", [activation])
    peak = _reduced(editor, after, "ReduceMax", magnitude, per_row=grain == "row", opset=opset)
    peak = editor.node(after, "Max", [peak, editor.constant(np.float32(1e-8))])
    levels = editor.constant(np.float32(127))
    steps = editor.node(after, "Mul", [editor.node(after, "Div", [activation, peak]), levels])
    whole = editor.node(after, "Round", [steps])
    return editor.node(after, "Mul", [editor.node(after, "Div", [whole, levels]), peak])


def _reduced(
    editor: Editor,
    after: "onnx_ir.Node",
    operator: str,
    value: "onnx_ir.Value",
    *,
    per_row: bool,
    opset: int,
) -> "onnx_ir.Value":
    if not per_row:
        return editor.node(after, operator, [value], {"keepdims": 0})
    if opset < 18:
        return editor.node(after, operator, [value], {"axes": [-1], "keepdims": 1})
    axes = editor.constant(np.array([-1], np.int64))
    return editor.node(after, operator, [value, axes], {"keepdims": 1})


def _energy(editor: Editor, after: "onnx_ir.Node", value: "onnx_ir.Value") -> "onnx_ir.Value":
    squared = editor.node(after, "Mul", [value, value])
    return editor.node(after, "ReduceSum", [squared], {"keepdims": 0})
