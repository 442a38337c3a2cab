"""The guard that torch.onnx writes behind Softmax, where it can catch nothing."""

from typing import TYPE_CHECKING

import numpy as np

from toolkit.optimize.editing import constant, is_standard, number, replace, tidy
from toolkit.optimize.sizes import scalar

if TYPE_CHECKING:
    import onnx_ir

_SMALL = 64
"""Nodes that are looked through for the values of a mask."""


def remove_nan_guards(model: "onnx_ir.Model") -> int:
    """Remove `Where(IsNaN(p), 0, p)` behind `p = Softmax(scores + mask)`; says how many.

    torch writes it for rows whose mask is -inf everywhere, of which Softmax makes 0 / 0. Where the
    mask is certain to be finite a row of finite scores has a finite maximum, the exponential of
    which is 1, so that no sum is 0 and nothing is NaN. The guard then only acts on rows in which a
    score is NaN or infinite already, where it hides the fault as zeros. Removed is it, therefore,
    when the mask is made of constants, comparisons and choices between finite numbers (or there is
    none); a mask that comes from outside or holds -inf keeps it.

    Args:
        model: Changed in place.
    """
    graph, count = model.graph, 0
    for node in [*graph]:
        if not is_standard(node, "Where"):
            continue
        test, zero, kept = node.inputs
        softmax = None if kept is None else kept.producer()
        if test is None or kept is None or softmax is None or number(zero) != 0:
            continue
        isnan = test.producer()
        if not is_standard(isnan, "IsNaN") or isnan is None or isnan.inputs[0] is not kept:
            continue
        if is_standard(softmax, "Softmax") and _has_finite_mask(softmax.inputs[0]):
            replace_by(graph, node, kept)
            count += 1
    if count:
        tidy(model)
    return count


def replace_by(graph: "onnx_ir.Graph", node: "onnx_ir.Node", value: "onnx_ir.Value") -> None:
    """Let what a node reads stand for what it writes, and remove it."""
    import onnx_ir as ir

    if node.outputs[0].is_graph_output():  # two names for one value need a node
        identity = ir.node("Identity", [value], name=node.name)
        graph.insert_before(node, identity)
        replace(graph, node, identity.outputs[0])
        return
    ir.convenience.replace_all_uses_with(node.outputs[0], value)
    graph.remove(node, safe=True)


def _has_finite_mask(scores: "onnx_ir.Value | None") -> bool:
    """Whether what is added to the products, if anything, is certain to be finite."""
    add = None if scores is None else scores.producer()
    if not is_standard(add, "Add") or add is None:
        return is_standard(add, "MatMul", "Mul", "Div")
    products = [v for v in add.inputs if v is not None and _is_product(v)]
    masks = [v for v in add.inputs if v is not None and not _is_product(v)]
    return len(products) == 1 and len(masks) == 1 and is_finite(masks[0])


def _is_product(value: "onnx_ir.Value") -> bool:
    node = value.producer()
    if node is not None and is_standard(node, "Mul", "Div") and scalar(node.inputs[1]) is not None:
        node = None if node.inputs[0] is None else node.inputs[0].producer()
    return is_standard(node, "MatMul")


def is_finite(value: "onnx_ir.Value | None", depth: int = _SMALL) -> bool:
    """Whether a float value is finite whatever the caller feeds.

    Known to be are finite constants, choices between (Where) and rearrangements of finite values,
    and numbers cast from booleans or integers.
    """
    import onnx_ir as ir

    if value is None or not depth:
        return False
    content = constant(value)
    if content is not None:
        return bool(np.isfinite(content).all())
    node = value.producer()
    if node is None:
        return False
    if is_standard(node, "Where"):
        return all(is_finite(choice, depth // 2) for choice in node.inputs[1:])
    if is_standard(node, "Expand", "Unsqueeze", "Squeeze", "Reshape", "Transpose", "Slice"):
        return is_finite(node.inputs[0], depth - 1)
    if is_standard(node, "Sub") and number(node.inputs[0]) == 1:  # of a mask of 0 and 1
        return is_finite(node.inputs[1], depth - 1)
    if is_standard(node, "Cast") and node.attributes["to"].as_int() == ir.DataType.FLOAT:
        source = node.inputs[0]
        if source is None:
            return False
        integers = {ir.DataType.BOOL, ir.DataType.INT32, ir.DataType.INT64, ir.DataType.UINT8}
        return source.dtype in integers or is_finite(source, depth - 1)
    return False
