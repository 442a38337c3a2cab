"""int8 products whose activations are quantized row by row, so that batch mates cannot matter."""

import tempfile
from collections.abc import Collection
from dataclasses import dataclass, field
from pathlib import Path
from typing import TYPE_CHECKING

import numpy as np

from toolkit.optimize import load_with_shapes, optimize_for_cpu
from toolkit.optimize.attention import MICROSOFT
from toolkit.optimize.editing import Editor, replace
from toolkit.quantize.ranges import RowRange, row_range
from toolkit.quantize.saturation import PORTABLE_LEVELS
from toolkit.quantize.weights import SMALLEST, quantize_weights, symmetric_int8

if TYPE_CHECKING:
    import onnx_ir

_QUANTIZE_LINEAR = 10
"""The opset that brought QuantizeLinear; older graphs are left alone."""
_REDUCE_WITH_INPUTS = 18
"""From this opset on ReduceMax takes its axes as an input."""


def quantize_rowwise(
    model: Path,
    target: Path,
    *,
    keep: Collection[str] = (),
    is_portable: bool = False,
    folded: bool = False,
) -> int:
    """Write a copy of a model whose products with constant matrices run in int8, row by row.

    Each row of an activation `x` gets a scale of its own, `peak = max(|row|)`, and

        y = (q @ W8) * column_scale / levels * peak,  q = round(x / peak * levels) + zero_point

    with `W8` int8 and one scale a column (equations 3 and 6 of Jacob et al. 2018, "Quantization and
    Training of Neural Networks for Efficient Integer-Arithmetic-Only Inference", with a scale a
    row as in Yao et al. 2022, "ZeroQuant"). The integer sum is exact, and no step looks at two
    rows, so that neither batch mates nor padding nor the number of threads can change an answer.
    A row with an infinity, or of NaN, stays so; one NaN among numbers can be lost in ReduceMax.
    Products that read the same activation share its quantized form. Products inside If, Loop and
    Scan count too. Tables and the weights of other operators become int8 as in `quantize_weights`;
    attention's own products stay float. The graph is first rewritten as `optimize_for_cpu` does.

    The shapes of inner values are left out. ONNX Runtime 1.31 infers what it needs, and plans worse
    with them: six layers of width 384 took 13 to 19 % more CPU time at 128 to 256 tokens.

    Args:
        model: The float32 model.
        target: Where the quantized one is written.
        keep: Names of products and look-ups that stay in float.
        is_portable: Weights are at most `PORTABLE_LEVELS`, so that no 16-bit sum of AVX2 saturates.
        folded: For the weights of other operators; see `quantize_weights`.

    Returns:
        How many products were quantized. With 0 the target is a copy of the model.
    """
    import onnx_ir as ir
    from onnx_ir.passes.common import RemoveUnusedNodesPass

    loaded = load_with_shapes(model)
    graph = loaded.graph
    optimize_for_cpu(loaded)
    levels = PORTABLE_LEVELS if is_portable else 127
    bodies = [*graph.subgraphs()]
    editors = {graph: Editor(graph, "rowwise")}
    for number, body in enumerate(bodies):  # names inside and outside must differ
        editors[body] = Editor(body, f"rowwise_{number}")
    opset = graph.opset_imports.get("", 1)
    weights: _Weights = {}
    count = sum(
        _Rewriting(editor, opset, levels, editors, weights).apply(keep)
        for editor in editors.values()
    )
    if not count:
        target.write_bytes(model.read_bytes())
        return 0
    graph.opset_imports[MICROSOFT] = 1
    RemoveUnusedNodesPass()(loaded)
    for body in bodies:
        for name in [name for name, value in body.initializers.items() if _is_unread(value)]:
            del body.initializers[name]
    with tempfile.TemporaryDirectory() as folder:
        products = Path(folder) / "products.onnx"
        proto = ir.to_proto(loaded)
        del proto.graph.value_info[:]
        products.write_bytes(proto.SerializeToString(deterministic=True))
        quantize_weights(products, target, keep=keep, folded=folded)
    return count


@dataclass(frozen=True, kw_only=True)
class _Row:
    """An activation after its quantization: uint8 rows, and what to multiply the product with."""

    quantized: "onnx_ir.Value"
    peak: "onnx_ir.Value"
    range: RowRange


_Weights = dict[tuple["onnx_ir.Value", bool, int], tuple["onnx_ir.Value", "onnx_ir.Value"]]
"""int8[K, N] and column scales, by the float weight, whether it is transposed, and the levels."""


@dataclass
class _Rewriting:
    editor: Editor
    opset: int
    weight_levels: int
    editors: dict["onnx_ir.Graph", Editor]
    weights: "_Weights"
    rows: dict["onnx_ir.Value", _Row] = field(default_factory=dict)

    def apply(self, keep: Collection[str]) -> int:
        """Rewrite every product that can be; says how many."""
        if self.opset < _QUANTIZE_LINEAR:
            return 0
        products = [
            node for node in self.editor.graph if self._is_product(node) and node.name not in keep
        ]
        for node in products:
            self._rewrite(node)
        return len(products)

    def _rewrite(self, node: "onnx_ir.Node") -> None:
        activation, weight = node.inputs[0], node.inputs[1]
        assert activation is not None
        assert weight is not None
        row = self.rows.get(activation)
        if row is None:
            row = self.rows[activation] = self._quantized_rows(node, activation)
        quantized, scale = self._weight(weight, _flag(node, "transB"), row.range.levels)
        product = self.editor.node(
            node,
            "MatMulIntegerToFloat",
            [
                row.quantized,
                quantized,
                self.editor.constant(np.float32(1)),
                scale,
                self.editor.constant(np.uint8(row.range.zero_point)),
            ],
            domain=MICROSOFT,
        )
        result = self.editor.node(node, "Mul", [product, row.peak])
        if node.op_type == "Gemm" and len(node.inputs) > 2 and node.inputs[2] is not None:
            result = self.editor.node(node, "Add", [result, node.inputs[2]])
        replace(self.editor.graph, node, result)

    def _quantized_rows(self, before: "onnx_ir.Node", activation: "onnx_ir.Value") -> _Row:
        """Add the nodes that quantize an activation; every one works on all threads."""
        chosen = row_range(activation)
        magnitude = (
            activation if chosen.one_sided else self.editor.node(before, "Abs", [activation])
        )
        if self.opset < _REDUCE_WITH_INPUTS:
            peak = self.editor.node(before, "ReduceMax", [magnitude], {"axes": [-1], "keepdims": 1})
        else:
            axes = self.editor.constant(np.array([-1], np.int64))
            peak = self.editor.node(before, "ReduceMax", [magnitude, axes], {"keepdims": 1})
        peak = self.editor.node(
            before, "Max", [peak, self.editor.constant(np.float32(chosen.floor))]
        )
        unit = self.editor.node(before, "Div", [activation, peak])
        step = self.editor.constant(np.float32(1 / chosen.levels))
        zero_point = self.editor.constant(np.uint8(chosen.zero_point))
        quantized = self.editor.node(before, "QuantizeLinear", [unit, step, zero_point])
        return _Row(quantized=quantized, peak=peak, range=chosen)

    def _is_product(self, node: "onnx_ir.Node") -> bool:
        """Whether it multiplies an activation with a constant float32 matrix worth quantizing."""
        import onnx_ir as ir

        if node.domain not in {"", "ai.onnx"} or node.op_type not in {"MatMul", "Gemm"}:
            return False
        activation, weight = node.inputs[0], node.inputs[1]
        if activation is None or weight is None or activation.const_value is not None:
            return False
        tensor = weight.const_value
        if tensor is None or weight.is_graph_input() or weight.graph not in self.editors:
            return False
        if tensor.dtype != ir.DataType.FLOAT or tensor.size < SMALLEST or len(tensor.shape) != 2:
            return False
        return node.op_type == "MatMul" or _is_plain(node)

    def _weight(
        self, weight: "onnx_ir.Value", transposed: bool, levels: int
    ) -> tuple["onnx_ir.Value", "onnx_ir.Value"]:
        """int8[K, N] and its column scales, over the levels of the activation."""
        key = (weight, transposed, levels)
        if key not in self.weights:
            assert weight.const_value is not None
            assert weight.graph is not None
            owner = self.editors[weight.graph]  # which several bodies may be in
            values = np.asarray(weight.const_value.numpy(), np.float32)
            quantized, scale = symmetric_int8(
                values.T if transposed else values, (0,), levels=self.weight_levels
            )
            self.weights[key] = (
                owner.initializer(f"{weight.name}_int8", np.ascontiguousarray(quantized)),
                owner.initializer(f"{weight.name}_scale", scale / np.float32(levels)),
            )
        return self.weights[key]


def _is_unread(value: "onnx_ir.Value") -> bool:
    return not value.uses() and not value.is_graph_output()


def _is_plain(gemm: "onnx_ir.Node") -> bool:
    """Whether a Gemm is no more than a product and a bias."""
    factors = [gemm.attributes[name] for name in ("alpha", "beta") if name in gemm.attributes]
    return not _flag(gemm, "transA") and all(factor.as_float() == 1 for factor in factors)


def _flag(node: "onnx_ir.Node", name: str) -> bool:
    attribute = node.attributes.get(name)
    return attribute is not None and bool(attribute.as_int())
