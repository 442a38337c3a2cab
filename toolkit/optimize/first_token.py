"""Rows that are selected in the end, selected before the work on the others is done."""

from dataclasses import dataclass, field
from typing import TYPE_CHECKING

import numpy as np

from toolkit.optimize.attention import MICROSOFT
from toolkit.optimize.editing import (
    Editor,
    constant,
    dimensions,
    integer,
    is_standard,
    number,
    tidy,
)

if TYPE_CHECKING:
    import onnx_ir

_ELEMENTWISE = {"Gelu", "Erf", "Tanh", "Relu", "Sigmoid", "Sqrt", "Neg", "Identity"}
_BROADCASTING = {"Add", "Sub", "Mul", "Div", "Sum", "Pow", "Where"}


def select_rows_early(model: "onnx_ir.Model") -> int:
    """Move the selection of one token in front of the last layer; says how many nodes it passed.

    A classifier that reads token 0 alone (`Gather(x, 0, axis=1)` of float32[batch, sequence,
    width]) needs of its last layer the feed-forward network, the normalizations and the
    attention's query for that token only; keys and values are still those of all tokens. Each node
    that is passed treats the rows of axis 1 one by one, so that the result is the same but for the
    order in which a kernel sums: products with constant matrices, elementwise functions,
    additions, LayerNormalization over the last axis, and the query of MultiHeadAttention (so
    `fuse_attention` comes first). A node is passed only if all that reads it has been.

    Args:
        model: Changed in place.
    """
    graph, count = model.graph, 0
    for node in [*graph]:
        if node.graph is graph and (token := _selected(node)) is not None:
            count += _Selection(Editor(graph, "token"), node, token).move()
    if count:
        tidy(model)
    return count


@dataclass
class _Selection:
    editor: Editor
    node: "onnx_ir.Node"
    start: int
    moved: dict["onnx_ir.Value", "onnx_ir.Value"] = field(default_factory=dict)

    def move(self) -> int:
        """Rebuild what leads to the selection for one row; says how many nodes."""
        import onnx_ir as ir

        source = self.node.inputs[0]
        shape = dimensions(source)
        if source is None or shape is None or len(shape) != 3 or shape[1] == 1:
            return 0
        passed = [] if source.is_graph_output() else self._cone(source)
        if not any(is_standard(n, "MatMul") or n.op_type == "MultiHeadAttention" for n in passed):
            return 0  # nothing that costs would be saved
        for node in reversed(passed):
            self._rebuild(node)
        row = self.moved[source]
        if self.node.op_type == "Slice":
            ir.convenience.replace_all_uses_with(self.node.outputs[0], row)
        else:
            self.node.replace_input_with(0, row)
            self.node.replace_input_with(1, self.editor.constant(np.array(0, np.int64)))
        return len(passed)

    def _cone(self, source: "onnx_ir.Value") -> "list[onnx_ir.Node]":
        """The nodes that work row by row for this Gather alone, the last one first."""
        inside = {self.node}
        passed = []
        nodes = [*self.editor.graph]
        for node in reversed(nodes[: nodes.index(self.node)]):
            output = node.outputs[0]
            readers = {user for user, _ in output.uses()}
            if not readers or not readers <= inside or output.is_graph_output():
                continue
            others = [user for user in readers if user is not self.node]
            if any([*u.inputs].count(output) != _rows(u).count(output) for u in others):
                continue  # some reader needs all of its rows
            if output is not source and self.node in readers:
                continue
            if _rows(node):
                inside.add(node)
                passed.append(node)
        return passed

    def _rebuild(self, node: "onnx_ir.Node") -> None:
        import onnx_ir as ir

        rows = _rows(node)
        inputs = [self._row(v) if v in rows else v for v in node.inputs]
        if node.op_type == "MultiHeadAttention" and len(inputs) > 5 and inputs[5] is not None:
            inputs[5] = self._row(inputs[5], axis=2)
        made = ir.node(node.op_type, inputs, node.attributes, domain=node.domain)
        self.editor.made += 1
        made.name = f"token/{self.editor.made}/{node.op_type}"
        made.outputs[0].name = f"token/{self.editor.made}"
        self.editor.graph.insert_before(self.node, made)
        made.outputs[0].type = node.outputs[0].type
        made.outputs[0].shape = _one_row(node.outputs[0])
        self.moved[node.outputs[0]] = made.outputs[0]

    def _row(self, value: "onnx_ir.Value | None", axis: int = 1) -> "onnx_ir.Value":
        assert value is not None
        if value not in self.moved:
            end = self.start + 1 or np.iinfo(np.int64).max
            bounds = [np.array([i], np.int64) for i in (self.start, end, axis)]
            cut = self.editor.node(
                self.node, "Slice", [value, *(self.editor.constant(b) for b in bounds)]
            )
            cut.type = value.type
            cut.shape = _one_row(value, axis)
            self.moved[value] = cut
        return self.moved[value]


def _selected(node: "onnx_ir.Node") -> int | None:
    """The one row of axis 1 that a Gather or, as this pass leaves it, a Slice takes."""
    if is_standard(node, "Gather") and integer(node, "axis", 0) == 1:
        content = constant(node.inputs[1])
        return int(content) if content is not None and content.ndim == 0 else None
    if is_standard(node, "Slice") and not node.outputs[0].is_graph_output():
        bounds = [number(bound) for bound in node.inputs[1:]]
        if len(bounds) < 3 or bounds[2] != 1 or (bounds[3:] or [1]) != [1]:
            return None
        start, end = bounds[:2]
        return int(start) if start is not None and start >= 0 and end == start + 1 else None
    return None


def _one_row(value: "onnx_ir.Value", axis: int = 1) -> "onnx_ir.Shape | None":
    import onnx_ir as ir

    if value.shape is None:
        return None
    return ir.Shape([1 if i == axis else size for i, size in enumerate(value.shape)])


def _rows(node: "onnx_ir.Node") -> "list[onnx_ir.Value]":
    """The inputs whose rows a node treats one by one; none where it mixes rows, or may."""
    first = node.inputs[0] if node.inputs else None
    shape = dimensions(node.outputs[0])
    if first is None or shape is None or len(shape) != 3 or len(node.outputs) != 1:
        return []
    if node.op_type == "MultiHeadAttention" and node.domain == MICROSOFT:
        _, key, value, _, *others = [*node.inputs, *[None] * 6][:10]
        masks = [mask for mask in [others[0], *others[2:]] if mask is not None]
        plain = not masks and not integer(node, "unidirectional", 0)
        return [first] if plain and key is not None and value is not None else []
    if is_standard(node, *_ELEMENTWISE):
        return [first]
    if is_standard(node, "LayerNormalization"):
        return [first] if integer(node, "axis", -1) in {-1, 2} else []
    if is_standard(node, "MatMul"):
        weight = constant(node.inputs[1])
        return [first] if weight is not None and weight.ndim == 2 and _has_rows(first) else []
    if not is_standard(node, *_BROADCASTING):
        return []
    rows: list[onnx_ir.Value] = []
    for value in node.inputs:
        content = constant(value)
        if content is not None and (content.ndim < 2 or content.shape[-2] == 1):
            continue
        other = dimensions(value)
        if value is None or other is None or len(other) != 3 or other[1] != shape[1]:
            return []
        rows.append(value)
    return rows if shape[1] is not None else []


def _has_rows(value: "onnx_ir.Value") -> bool:
    shape = dimensions(value)
    return shape is not None and len(shape) == 3
