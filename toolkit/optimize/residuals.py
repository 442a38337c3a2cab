"""Residual additions that ONNX Runtime leaves apart from the normalization behind them."""

from typing import TYPE_CHECKING

from toolkit.optimize.editing import is_standard, replace

if TYPE_CHECKING:
    import onnx_ir


def separate_residuals(model: "onnx_ir.Model") -> int:
    """Write the additions before LayerNormalization as `Sum`; says how many.

    ONNX Runtime fuses Add and LayerNormalization into SkipLayerNormalization, whose CPU kernel is
    scalar: on float32[32, 384] it took 76 us where the two took 18 (onnxruntime 1.31, AVX-512). A
    `Sum` of two says the same and is not fused. Drop this when that kernel is vectorized.

    Args:
        model: Changed in place.
    """
    import onnx_ir as ir

    graph, count = model.graph, 0
    for node in [*graph]:
        users = {user.op_type for user, _ in node.outputs[0].uses()}
        if not is_standard(node, "Add") or not users & {"LayerNormalization", "ReduceMean"}:
            continue
        total = ir.node("Sum", [*node.inputs], name=node.name)
        graph.insert_before(node, total)
        replace(graph, node, total.outputs[0])
        count += 1
    return count
