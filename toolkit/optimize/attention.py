"""Scaled dot-product attention as one node."""

import math
from dataclasses import dataclass
from typing import TYPE_CHECKING

import numpy as np

from toolkit.optimize.editing import (
    Editor,
    constant,
    dimensions,
    integer,
    is_standard,
    number,
    only_user,
    permutation,
    replace,
    tidy,
)
from toolkit.optimize.sizes import scalar, sizes

if TYPE_CHECKING:
    import onnx_ir

MICROSOFT = "com.microsoft"

_SPLIT = (0, 2, 1, 3)
"""[batch, sequence, heads, size] to [batch, heads, sequence, size], and back."""


@dataclass(frozen=True, kw_only=True)
class _Attention:
    """What was recognized.

    Attributes:
        query: float32[batch, sequence, heads * size].
        key: float32[batch, length, heads * size].
        value: float32[batch, length, heads * size].
        mask: Added to the scaled products; broadcasts to [batch, heads, sequence, length].
        heads: Attention heads.
        scale: Factor of the products.
        unattended: bool[batch or 1, 1, sequence or 1, 1], the queries whose answer is zero.
        output: The node whose output, [batch, sequence, heads * size], is replaced.
    """

    query: "onnx_ir.Value"
    key: "onnx_ir.Value"
    value: "onnx_ir.Value"
    mask: "onnx_ir.Value | None"
    heads: int
    scale: float
    unattended: "onnx_ir.Value | None"
    output: "onnx_ir.Node"


@dataclass(frozen=True, kw_only=True)
class _Heads:
    """One of query, key and value, traced back to where its heads were split off."""

    whole: "onnx_ir.Value"
    heads: int
    size: int
    scale: float


def fuse_attention(model: "onnx_ir.Model") -> int:
    """Write attention as com.microsoft MultiHeadAttention; says how many were found.

    Recognized is `softmax(q k^T * scale + mask) v` (equation 1 of Vaswani et al. 2017, "Attention
    Is All You Need") over heads that Reshape and Transpose split off, as torch.onnx writes it for
    scaled_dot_product_attention (each factor scaled by a root) and for eager attention (the product
    scaled). Every value inside must have no other reader, scales must be constant, and query, key
    and value must have the same heads; whatever differs is left as it is. A guard against NaN
    behind Softmax is such a difference: `remove_nan_guards` comes first. transformers (5.23) writes
    zeros over the answers of queries that may attend to nothing; they stay, behind the fused node.

    The mask becomes `attention_bias`, which the CPU kernel (onnxruntime 1.31) copies into its
    scores before it adds the product: it broadcasts over batch and heads, but not over queries, so
    a mask of one query is expanded, once for all layers. `key_padding_mask` would be expanded anew
    in each.

    Args:
        model: Changed in place.
    """
    graph = model.graph
    found = [match for node in graph if (match := _match(node)) is not None]
    editor = Editor(graph, "attention")
    expanded: dict[object, onnx_ir.Value] = {}
    for match in found:
        bias = _bias(editor, match, expanded)
        fused = editor.node(
            match.output,
            "MultiHeadAttention",
            [match.query, match.key, match.value, None, None, bias][: 6 if bias else 3],
            {"num_heads": match.heads, "scale": match.scale},
            domain=MICROSOFT,
        )
        if match.unattended is not None:
            axis = editor.constant(np.array([1], np.int64))
            rows = editor.node(match.output, "Squeeze", [match.unattended, axis])
            zero = editor.constant(np.float32(0))
            fused.type, fused.shape = match.output.outputs[0].type, match.output.outputs[0].shape
            rows.shape = _without_axis(match.unattended, 1)
            fused = editor.node(match.output, "Where", [rows, zero, fused])
        replace(graph, match.output, fused)
    if found:
        graph.opset_imports.setdefault(MICROSOFT, 1)
        tidy(model)
    return len(found)


def _bias(
    editor: Editor, match: _Attention, expanded: "dict[object, onnx_ir.Value]"
) -> "onnx_ir.Value | None":
    """The mask as float32[batch or 1, heads or 1, sequence, length]."""
    mask = match.mask
    if mask is None:
        return None
    shape, query, key = dimensions(mask), dimensions(match.query), dimensions(match.key)
    if shape and query and key and len(shape) == 4:
        wanted = (query[1], key[1])
        if None not in wanted and shape[2:] == wanted:
            return mask
    source = match.output
    if mask not in expanded:
        sizes = [
            editor.node(source, "Shape", [value], {"start": 1, "end": 2})
            for value in (_origin(match.query), _origin(match.key))
        ]
        ones = editor.constant(np.array([1, 1], np.int64))
        target = editor.node(source, "Concat", [ones, *sizes], {"axis": 0})
        expanded[mask] = editor.node(source, "Expand", [mask, target])
    return expanded[mask]


def _origin(value: "onnx_ir.Value") -> "onnx_ir.Value":
    """What a projection was made of, which has its rows, and other readers in any case."""
    node = value.producer()
    if node is None or not is_standard(node, "Add", "MatMul") or node.inputs[0] is None:
        return value
    first, second = node.inputs[:2]
    if first is not None and constant(second) is not None:
        return _origin(first) if len(dimensions(first) or ()) == 3 else value
    if second is not None and node.op_type == "Add" and constant(first) is not None:
        return _origin(second) if len(dimensions(second) or ()) == 3 else value
    return value


def _match(softmax: "onnx_ir.Node") -> _Attention | None:
    """The attention around a Softmax."""
    if not is_standard(softmax, "Softmax") or integer(softmax, "axis", -1) not in {-1, 3}:
        return None
    product = only_user(softmax.outputs[0], "MatMul")
    if product is None or product.inputs[0] is not softmax.outputs[0]:
        return None
    mixed, unattended = _without_zeros(product.outputs[0])
    transpose = only_user(mixed, "Transpose")
    if transpose is None or permutation(transpose) != _SPLIT:
        return None
    output = only_user(transpose.outputs[0], "Reshape")
    scores = softmax.inputs[0]
    if output is None or scores is None:
        return None
    mask, scores = _without_mask(scores)
    scores, factor = _without_scale(scores)
    multiply = None if scores is None else _made_by(scores, "MatMul")
    if multiply is None:
        return None
    query, key = _split_heads(multiply.inputs[0]), _split_heads(multiply.inputs[1], is_key=True)
    value = _split_heads(product.inputs[1])
    if query is None or key is None or value is None or value.scale != 1:
        return None
    if not query.heads == key.heads == value.heads or not query.size == key.size == value.size:
        return None
    if not _joins_heads(output, query):
        return None
    scale = factor * query.scale * key.scale
    if not math.isfinite(scale) or scale <= 0:  # 0 asks the kernel for its default
        return None
    return _Attention(
        query=query.whole,
        key=key.whole,
        value=value.whole,
        mask=mask,
        heads=query.heads,
        scale=scale,
        unattended=unattended,
        output=output,
    )


def _without_zeros(
    mixed: "onnx_ir.Value",
) -> "tuple[onnx_ir.Value, onnx_ir.Value | None]":
    """The answers after zeros took the place of some rows, and which rows, if any do."""
    where = only_user(mixed, "Where")
    if where is None or where.inputs[2] is not mixed or number(where.inputs[1]) != 0:
        return mixed, None
    shape = dimensions(where.inputs[0])
    if shape is None or len(shape) != 4 or (shape[1], shape[3]) != (1, 1):
        return mixed, None
    return where.outputs[0], where.inputs[0]


def _without_axis(value: "onnx_ir.Value", axis: int) -> "onnx_ir.Shape | None":
    import onnx_ir as ir

    if value.shape is None:
        return None
    return ir.Shape([size for i, size in enumerate(value.shape) if i != axis])


def _made_by(value: "onnx_ir.Value | None", *operators: str) -> "onnx_ir.Node | None":
    """The node that makes a value which one node reads, once."""
    if value is None or value.is_graph_output() or len(value.uses()) != 1:
        return None
    node = value.producer()
    return node if is_standard(node, *operators) else None


def _without_mask(
    scores: "onnx_ir.Value",
) -> "tuple[onnx_ir.Value | None, onnx_ir.Value | None]":
    """The mask that is added to scores, and the scores before."""
    add = _made_by(scores, "Add")
    if add is None:
        return None, scores
    for mask, rest in (add.inputs, add.inputs[::-1]):
        inner, _ = _without_scale(rest)
        shape = dimensions(mask)
        if _made_by(inner, "MatMul") is not None and shape is not None and len(shape) == 4:
            return mask, rest
    return None, None


def _without_scale(value: "onnx_ir.Value | None") -> "tuple[onnx_ir.Value | None, float]":
    """A value before it was multiplied with constants, and their product."""
    node = _made_by(value, "Mul", "Div")
    if node is None or value is None:
        return value, 1.0
    first, second = scalar(node.inputs[0]), scalar(node.inputs[1])
    if node.op_type == "Div":
        factor, inner = (1 / second if second else None), node.inputs[0]
    elif second is not None:
        factor, inner = second, node.inputs[0]
    else:
        factor, inner = first, node.inputs[1]
    if factor is None:
        return value, 1.0
    rest, others = _without_scale(inner)
    return rest, factor * others


def _split_heads(value: "onnx_ir.Value | None", *, is_key: bool = False) -> _Heads | None:
    """Trace float32[batch, heads, sequence, size] back; of a key the last axes are swapped."""
    value, scale = _without_scale(value)
    order = (0, 1, 2, 3)
    if is_key and (flipped := _flipped(value)) is not None:
        value, order = flipped, (0, 1, 3, 2)
        value, factor = _without_scale(value)
        scale *= factor
    transpose = _made_by(value, "Transpose") or _shape_only(value)
    if transpose is None:
        return None
    axes = permutation(transpose)
    if len(axes) != 4 or tuple(axes[i] for i in order) != ((0, 2, 3, 1) if is_key else _SPLIT):
        return None
    reshape = _made_by(transpose.inputs[0], "Reshape")
    if reshape is None or reshape.inputs[0] is None:
        return None
    whole, split = dimensions(reshape.inputs[0]), dimensions(reshape.outputs[0])
    if whole is None or split is None or (len(whole), len(split)) != (3, 4):
        return None
    heads, size = split[2:]
    if not (isinstance(heads, int) and isinstance(size, int) and whole[2] == heads * size):
        return None
    # One equal axis is enough: the number of elements settles the other.
    if not any(a is not None and a == b for a, b in zip(whole[:2], split[:2], strict=True)):
        return None
    return _Heads(whole=reshape.inputs[0], heads=heads, size=size, scale=scale)


def _flipped(value: "onnx_ir.Value | None") -> "onnx_ir.Value | None":
    """A key before its last two axes were swapped.

    torch.onnx 2.13 swaps them in three dimensions: Reshape to [-1, length, size], Transpose, and
    Reshape to [batch, heads, size, length], with the sizes read from the key's own shape.
    """
    node = _made_by(value, "Transpose", "Reshape")
    if node is None:
        return None
    if node.op_type == "Transpose":
        return node.inputs[0] if permutation(node) == (0, 1, 3, 2) else None
    swap = _made_by(node.inputs[0], "Transpose")
    flat = None if swap is None else _made_by(swap.inputs[0], "Reshape")
    if swap is None or flat is None or permutation(swap) != (0, 2, 1):
        return None
    key = flat.inputs[0]
    shape = dimensions(key)
    if key is None or shape is None or len(shape) != 4:
        return None
    heads, size = shape[1], shape[3]
    if not isinstance(heads, int) or not isinstance(size, int):
        return None
    axes = [(key, 0), heads, (key, 2), size]
    wanted = ([-1, axes[2], size], [axes[0], heads, size, axes[2]])
    return key if (sizes(flat.inputs[1]), sizes(node.inputs[1])) == wanted else None


def _shape_only(value: "onnx_ir.Value | None") -> "onnx_ir.Node | None":
    """A Transpose that one node reads, and others only for its shape."""
    node = None if value is None else value.producer()
    if value is None or value.is_graph_output() or not is_standard(node, "Transpose"):
        return None
    readers = [user for user, _ in value.uses() if not is_standard(user, "Shape")]
    return node if len(readers) == 1 else None


def _joins_heads(reshape: "onnx_ir.Node", query: _Heads) -> bool:
    """Whether a Reshape gives [batch, sequence, heads * size], the query's shape."""
    joined, whole = dimensions(reshape.outputs[0]), dimensions(query.whole)
    return joined is not None and joined == whole
