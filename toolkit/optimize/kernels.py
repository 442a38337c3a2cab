"""Which passes a graph goes through, and in which order."""

from pathlib import Path
from typing import TYPE_CHECKING

from toolkit.optimize.additions import separate_additions
from toolkit.optimize.attention import fuse_attention
from toolkit.optimize.first_token import select_rows_early
from toolkit.optimize.guards import remove_nan_guards
from toolkit.optimize.masked import split_masked_attention

if TYPE_CHECKING:
    import onnx
    import onnx_ir


def load_with_shapes(file: Path) -> "onnx_ir.Model":
    """A model with every shape that can be inferred, and its constants as initializers."""
    import onnx

    return with_shapes(onnx.load(file))


def with_shapes(proto: "onnx.ModelProto") -> "onnx_ir.Model":
    """A model with every shape that can be inferred, and its constants as initializers."""
    import onnx
    import onnx_ir as ir
    from onnx_ir.passes.common import LiftConstantsToInitializersPass

    if not proto.graph.value_info:  # onnx alone does not see through sizes that are computed
        proto = _symbolic(proto)
    model = ir.from_proto(onnx.shape_inference.infer_shapes(proto, data_prop=True))
    LiftConstantsToInitializersPass(lift_all_constants=True, size_limit=0)(model)
    return model


def _symbolic(proto: "onnx.ModelProto") -> "onnx.ModelProto":
    """The model with the shapes that ONNX Runtime's symbolic inference finds, if it finds any."""
    try:
        from onnxruntime.tools.symbolic_shape_infer import SymbolicShapeInference
    except ImportError:  # sympy, which comes with torch
        return proto
    inference = SymbolicShapeInference(2**31 - 1, True, False, 0)  # dimensions are merged
    try:
        # Its one public function (1.31) leaves files where it was called when a shape stays open.
        inference._preprocess(proto)  # noqa: SLF001
        while inference.run_:
            inference._infer_impl()  # noqa: SLF001
        inference._update_output_from_vi()  # noqa: SLF001
    except Exception:  # noqa: BLE001 - it gives up with whatever a strange graph leads to
        return proto
    found: onnx.ModelProto = inference.out_mp_
    return found


def optimize_for_cpu(model: "onnx_ir.Model") -> int:
    """Apply every pass; says how many places changed.

    The graph may hold operators of com.microsoft afterwards. A graph without what a pass looks for
    stays as it is.

    Args:
        model: Changed in place; with shapes, as `load_with_shapes` returns it.
    """
    passes = (
        remove_nan_guards,
        fuse_attention,
        select_rows_early,
        split_masked_attention,
        separate_additions,
    )
    return sum(apply(model) for apply in passes)


def optimize_standard(model: "onnx_ir.Model") -> int:
    """Apply the passes that add no operator which a mobile provider lacks; says how many changes.

    No com.microsoft, and no `Sum`, which neither NNAPI nor CoreML takes.

    Args:
        model: Changed in place; with shapes, as `with_shapes` returns it.
    """
    return remove_nan_guards(model) + select_rows_early(model)
