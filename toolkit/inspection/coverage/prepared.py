"""The graph that providers are asked about: after ONNX Runtime's basic optimizations.

ONNX Runtime folds constants and fuses (MatMul and Add into Gemm, Erf's neighbors into Gelu) before
it asks a provider what it takes, and counts nodes after that.
"""

import tempfile
from collections.abc import Mapping
from pathlib import Path
from typing import TYPE_CHECKING

from toolkit.errors import InputError, SetupError
from toolkit.inspection.coverage.graph import Graph, read

if TYPE_CHECKING:
    from onnx import ModelProto


def prepared(model: Path, sizes: Mapping[str, int]) -> Graph:
    """The main graph with the sizes written into it, optimized at ONNX Runtime's level basic.

    Where onnxruntime is missing or does not load the model, the graph is the file's own.

    Args:
        model: An `.onnx` file that onnx can read.
        sizes: Sizes by name of symbolic dimensions that it has.
    """
    import onnx

    with tempfile.TemporaryDirectory() as folder:
        optimized = Path(folder) / "optimized.onnx"
        try:
            from toolkit.runtime import SessionOptions, open_session

            options = SessionOptions(threads=1, graph_level="basic", fix_shapes=sizes)
            open_session(model, options, graph=optimized)
            proto = onnx.load(optimized, load_external_data=False)
        except (InputError, SetupError):
            proto = onnx.load(model, load_external_data=False)
            _fix(proto, sizes)
    return read(proto)


def _fix(model: "ModelProto", sizes: Mapping[str, int]) -> None:
    """Write the sizes into a model, and drop the shapes that were inferred without them."""
    for value in (*model.graph.input, *model.graph.output):
        for dim in value.type.tensor_type.shape.dim:
            if dim.dim_param in sizes:
                dim.dim_value = sizes[dim.dim_param]
    if sizes:
        del model.graph.value_info[:]
