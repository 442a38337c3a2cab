"""The graph that providers are asked about: after ONNX Runtime's basic optimizations.

ONNX Runtime folds constants and fuses (MatMul and Add into Gemm, Erf's neighbors into Gelu) before
it asks a provider what it takes, and counts nodes after that.
"""

import tempfile
from collections.abc import Mapping
from pathlib import Path

from toolkit.errors import InputError, SetupError
from toolkit.inspection.coverage.fixing import fix
from toolkit.inspection.coverage.graph import Graph, read


def prepared(model: Path, sizes: Mapping[str, int]) -> Graph:
    """The main graph with the sizes written into it, optimized at ONNX Runtime's level basic.

    Where onnxruntime is missing or does not load the model, the graph is the file's own.

    Args:
        model: An `.onnx` file that onnx can read.
        sizes: Sizes by dimension name.
    """
    import onnx

    proto = onnx.load(model, load_external_data=False)
    is_external = any(tensor.external_data for tensor in proto.graph.initializer)
    with tempfile.TemporaryDirectory() as folder:
        source = model
        if sizes:
            try:
                proto = onnx.load(model)
            except (OSError, onnx.checker.ValidationError):  # weights are missing: said elsewhere
                is_external = False
            fix(proto, sizes)
            source = Path(folder) / "fixed.onnx"
            beside = "fixed.onnx.data"
            onnx.save(proto, source, save_as_external_data=is_external, location=beside)
        optimized = Path(folder) / "optimized.onnx"
        if _optimize(source, optimized):
            proto = onnx.load(optimized, load_external_data=False)
    return read(proto)


def _optimize(model: Path, optimized: Path) -> bool:
    try:
        from toolkit.runtime import SessionOptions, open_session

        options = SessionOptions(threads=1, graph_level="basic")
        open_session(model, options, graph=optimized)
    except (InputError, SetupError):
        return False
    return optimized.is_file()
