"""Sizes and factors that a graph computes from shapes."""

import math
from typing import TYPE_CHECKING

from toolkit.optimize.editing import constant, dimensions, integer, is_standard, number

if TYPE_CHECKING:
    import onnx_ir

_DEEP = 12
"""Nodes that a factor may be computed by."""


def scalar(value: "onnx_ir.Value | None", depth: int = _DEEP) -> float | None:
    """The one number that a value always holds, computed from constants and known sizes.

    The older exporter of torch computes the scale of attention from the shape of its query:
    `Sqrt(Div(1, Sqrt(Cast(Slice(Shape(q), -1, ...)))))`.
    """
    known = number(value)
    if known is not None or value is None or not depth:
        return known
    node = value.producer()
    if is_standard(node, "Slice", "Gather", "Squeeze", "Unsqueeze"):
        found = sizes(value)
        size = found[0] if found is not None and len(found) == 1 else None
        return float(size) if isinstance(size, int) else None
    if node is None or not is_standard(node, "Cast", "Sqrt", "Div", "Mul"):
        return None
    inputs = [scalar(i, depth - 1) for i in node.inputs]
    first, second = inputs[0], inputs[-1]
    if first is None or second is None:
        return None
    if node.op_type == "Mul":
        return first * second
    if node.op_type == "Div":
        return first / second if second else None
    if node.op_type == "Sqrt":
        return math.sqrt(first) if first >= 0 else None
    return first


def sizes(value: "onnx_ir.Value | None") -> "list[int | tuple[onnx_ir.Value, int]] | None":
    """What a vector of sizes holds: numbers, and axes of values that are known by name only."""
    content = constant(value)
    if content is not None:
        return [int(size) for size in content.reshape(-1)] if content.ndim <= 1 else None
    node = None if value is None else value.producer()
    if node is None:
        return None
    if is_standard(node, "Shape") and node.inputs[0] is not None:
        shape = dimensions(node.inputs[0])
        if shape is None:
            return None
        every: list[int | tuple[onnx_ir.Value, int]] = [
            axis if isinstance(axis, int) else (node.inputs[0], i) for i, axis in enumerate(shape)
        ]
        return every[integer(node, "start", 0) : integer(node, "end", len(shape))]
    if is_standard(node, "Concat"):
        parts = [sizes(part) for part in node.inputs]
        return None if None in parts else [size for part in parts if part for size in part]
    if is_standard(node, "Slice") and len(node.inputs) == 3:
        whole, start, end = sizes(node.inputs[0]), scalar(node.inputs[1]), scalar(node.inputs[2])
        if whole is not None and start is not None and end is not None:
            return whole[int(start) : int(end)]
    return None
