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

    model = ir.from_proto(onnx.shape_inference.infer_shapes(proto, data_prop=True))
    LiftConstantsToInitializersPass(lift_all_constants=True, size_limit=0)(model)
    return model


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
