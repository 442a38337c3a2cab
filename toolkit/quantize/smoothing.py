"""Scales moved from wide channels of an activation into the weights that read it."""

from pathlib import Path
from typing import TYPE_CHECKING

import numpy as np

from toolkit.optimize.editing import Editor
from toolkit.quantize.context import Context
from toolkit.quantize.watching import constant_products, watched
from toolkit.tensors import Array

if TYPE_CHECKING:
    import onnx_ir

ALPHA = 0.5
"""How much of the width goes over to the weights; what Xiao et al. found best for most models."""

_NORMALIZATIONS = {"LayerNormalization"}


def is_smoothed(method: str) -> bool:
    """Whether the method of this name migrates scales before it rounds."""
    return method.endswith("-smooth")


def migrate_scales(model: Path, target: Path, context: Context) -> int:
    """Write a copy of a model with some channels of activations narrower and their weights wider.

    A product `x @ W` becomes `(x / s) @ (s * W)` with `s = max|x|^a / max|W|^(1 - a)` for each
    channel, which in exact arithmetic is the same. It is done where LayerNormalization makes `x`,
    whose few wide channels are what ruins one scale for all of them. Where nothing else reads `x`
    the division goes into the normalization's weights; otherwise it is a node.

    Args:
        model: The float32 model.
        target: Where the changed one is written; with 0 nothing is.
        context: Feeds of calibration data, and nodes to keep as they are.

    Returns:
        How many activations were changed.

    Source: G. Xiao et al. 2022, "SmoothQuant", equation 4.
    """
    import onnx_ir as ir

    loaded = ir.load(model)
    groups = _groups(loaded.graph, context)
    if not groups:
        return 0
    widths = _widths(model, [str(activation.name) for activation in groups], context)
    editor = Editor(loaded.graph, "smoothed")
    for (activation, products), width in zip(groups.items(), widths, strict=True):
        weights = [_weight(product) for product in products]
        peak = np.max([np.abs(weight).max(axis=1) for weight in weights], axis=0)
        scale = _scale(width, peak)
        _divide(editor, activation, products, scale)
        for product, weight in zip(products, weights, strict=True):
            wider = editor.initializer(f"{product.name}/weight", weight * scale[:, None])
            product.replace_input_with(1, wider)
    from onnx_ir.passes.common import RemoveUnusedNodesPass

    RemoveUnusedNodesPass()(loaded)
    target.write_bytes(ir.to_proto(loaded).SerializeToString(deterministic=True))
    return len(groups)


def _groups(graph: "onnx_ir.Graph", context: Context) -> "dict[onnx_ir.Value, list[onnx_ir.Node]]":
    """Outputs of normalizations, with the products that read them."""
    groups: dict[onnx_ir.Value, list[onnx_ir.Node]] = {}
    for node in constant_products(graph):
        activation = node.inputs[0]
        assert activation is not None
        maker = activation.producer()
        is_normalized = maker is not None and maker.op_type in _NORMALIZATIONS
        if node.op_type == "MatMul" and is_normalized and node.name not in context.keep:
            groups.setdefault(activation, []).append(node)
    return groups


def _widths(model: Path, names: list[str], context: Context) -> list[Array]:
    """float32[channels] for each activation: the largest absolute value of each channel."""
    import onnx_ir as ir

    loaded = ir.load(model)
    values = {str(value.name): value for node in loaded.graph for value in node.outputs}
    found: list[Array] = []
    for batch in watched(loaded, [values[name] for name in names], context.data.feeds()):
        peaks = [np.abs(array).max(axis=tuple(range(array.ndim - 1))) for array in batch]
        found = [np.maximum(a, b) for a, b in zip(found or peaks, peaks, strict=True)]
    return found


def _scale(width: Array, peak: Array) -> Array:
    tiny = np.float32(1e-5)
    scale = np.maximum(width, tiny) ** ALPHA / np.maximum(peak, tiny) ** (1 - ALPHA)
    return np.maximum(scale, tiny).astype(np.float32)


def _weight(product: "onnx_ir.Node") -> Array:
    weight = product.inputs[1]
    assert weight is not None
    assert weight.const_value is not None
    return np.asarray(weight.const_value.numpy(), np.float32)


def _divide(
    editor: Editor,
    activation: "onnx_ir.Value",
    products: "list[onnx_ir.Node]",
    scale: Array,
) -> None:
    """Let products read an activation divided by a scale a channel."""
    maker = activation.producer()
    assert maker is not None
    read_by_others = activation.is_graph_output() or any(
        node not in products for node, _ in activation.uses()
    )
    parameters = [value.const_value for value in maker.inputs[1:] if value is not None]
    is_normalization = maker.op_type in _NORMALIZATIONS
    if is_normalization and not read_by_others and all(tensor is not None for tensor in parameters):
        for position, tensor in enumerate(parameters, start=1):
            assert tensor is not None
            narrower = np.asarray(tensor.numpy(), np.float32) / scale
            maker.replace_input_with(position, editor.initializer("normalization", narrower))
        return
    divided = editor.node(products[0], "Mul", [activation, editor.constant(1 / scale)])
    for product in products:
        product.replace_input_with(0, divided)
