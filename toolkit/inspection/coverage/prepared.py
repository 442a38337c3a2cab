"""The graph that providers are asked about: after ONNX Runtime's basic optimizations.

ONNX Runtime folds constants and fuses (MatMul and Add into Gemm, Erf's neighbors into Gelu) before
it asks a provider what it takes, and counts nodes after that.
"""

import tempfile
from collections.abc import Mapping
from dataclasses import replace
from pathlib import Path
from typing import TYPE_CHECKING

from toolkit.errors import InputError, SetupError
from toolkit.inspection.coverage.graph import Graph, external_names, read

if TYPE_CHECKING:
    from onnx import ModelProto

_OLDEST = 7
"""The first opset that ONNX Runtime promises to run (its docs, compatibility)."""
_INSERTED = ("InsertedPrecisionFreeCast_", "InsertedCast_")
"""How ONNX Runtime 1.31 names the Casts with which the CPU computes float16 in float32."""
_TOO_NEW = "only *guarantees* support"
"""What ONNX Runtime 1.31 says where it refuses an opset as too new."""


def prepared(model: Path, sizes: Mapping[str, int]) -> Graph:
    """The main graph with the sizes written into it, optimized at ONNX Runtime's level basic.

    Where ONNX Runtime put Casts around float16 that the CPU does not compute, which it does for the
    CPU alone, the graph is the file's own, nothing folded. It is so, too, where onnxruntime
    is missing or does not load the model; where the opset is why, the graph says so.

    Args:
        model: An `.onnx` file that onnx can read.
        sizes: Sizes by name of symbolic dimensions that it has.
    """
    import onnx

    own = onnx.load(model, load_external_data=False)
    external = external_names(own)  # ONNX Runtime moves weights when it writes its graph
    unloadable = ""
    with tempfile.TemporaryDirectory() as folder:
        optimized = Path(folder) / "optimized.onnx"
        try:
            from toolkit.runtime import SessionOptions, open_session

            options = SessionOptions(threads=1, graph_level="basic", fix_shapes=sizes)
            open_session(model, options, graph=optimized)
            proto = onnx.load(optimized, load_external_data=False)
            if any(node.name.startswith(_INSERTED) for node in proto.graph.node):
                proto = _fixed(own, sizes)
        except (InputError, SetupError) as error:
            proto = _fixed(own, sizes)
            if isinstance(error, InputError):
                unloadable = _unloadable(proto, error.problem)
    return replace(read(proto, external), unloadable=unloadable)


def _unloadable(model: "ModelProto", problem: str) -> str:
    """Whether it is the opset for which ONNX Runtime does not load a model; empty otherwise."""
    opsets = [entry.version for entry in model.opset_import if entry.domain in {"", "ai.onnx"}]
    opset = max(opsets, default=1)
    if opset < _OLDEST or _TOO_NEW in problem:
        return f"ONNX Runtime does not load this graph of opset {opset}"
    return ""


def _fixed(model: "ModelProto", sizes: Mapping[str, int]) -> "ModelProto":
    """Write the sizes into a model, and drop the shapes that were inferred without them."""
    for value in (*model.graph.input, *model.graph.output):
        for dim in value.type.tensor_type.shape.dim:
            if dim.dim_param in sizes:
                dim.dim_value = sizes[dim.dim_param]
    if sizes:
        del model.graph.value_info[:]
    return model
