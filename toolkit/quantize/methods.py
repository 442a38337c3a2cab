"""The ways to quantize a graph, by name."""

import contextlib
import logging
import tempfile
from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass, field
from pathlib import Path

from toolkit.quantize.blockwise import quantize_blocks
from toolkit.quantize.rowwise import quantize_rowwise
from toolkit.quantize.weights import quantize_weights


@dataclass(frozen=True, kw_only=True)
class Method:
    """One way to quantize.

    Attributes:
        name: How reports call it.
        summary: What it does, in a line.
        precision: The variant's precision.
        apply: Writes the quantized model and returns how many nodes or weights it changed.
        session_options: ONNX Runtime session configuration that the variant needs.
    """

    name: str
    summary: str
    precision: str
    apply: Callable[[Path, Path], int]
    session_options: Mapping[str, str] = field(default_factory=dict)


class QuantizerError(Exception):
    """A quantizer gave up on a graph; the search goes on without its candidate."""


def quantize_dynamic(model: Path, target: Path) -> int:
    """Dynamic int8 of onnxruntime: weights a channel, activations a tensor while running.

    The scale of an activation spans the whole batch, so batch mates change the answer; what the
    gate's batch flips are for.
    """
    import onnx
    from onnxruntime.quantization import QuantType
    from onnxruntime.quantization import quantize_dynamic as ort_quantize_dynamic
    from onnxruntime.quantization.shape_inference import quant_pre_process

    with tempfile.TemporaryDirectory() as folder, _quiet():
        prepared = Path(folder) / "prepared.onnx"
        try:
            # Symbolic shape inference fails on transformers (onnxruntime 1.31).
            quant_pre_process(model, prepared, skip_symbolic_shape=True)
            ort_quantize_dynamic(
                prepared,
                target,
                per_channel=True,
                weight_type=QuantType.QInt8,
                extra_options={"DefaultTensorType": onnx.TensorProto.FLOAT},
            )
        except OSError:  # a full disk is no property of the graph
            raise
        except Exception as error:
            raise QuantizerError(str(error)) from error
    proto = onnx.load(target)
    return sum(
        node.op_type in {"MatMulInteger", "DynamicQuantizeLSTM", "ConvInteger"}
        or (node.op_type == "DequantizeLinear")
        for node in proto.graph.node
    )


@contextlib.contextmanager
def _quiet() -> Iterator[None]:
    """Contain onnxruntime's quantizer, which logs to the root logger."""
    level = logging.root.manager.disable
    logging.disable(logging.CRITICAL)
    try:
        yield
    finally:
        logging.disable(level)


METHODS = (
    Method(
        name="rowwise",
        summary="int8 weights a channel, int8 activations with a scale a row",
        precision="int8",
        apply=quantize_rowwise,
        # For the weights of other operators, as below.
        session_options={"session.disable_quant_qdq": "1"},
    ),
    Method(
        name="weight-only",
        summary="int8 weights a channel, computed in float32",
        precision="int8",
        apply=quantize_weights,
        # Without it ONNX Runtime dequantizes in every run; with it, once at load.
        session_options={"session.disable_quant_qdq": "1"},
    ),
    Method(
        name="dynamic",
        summary="int8 weights a channel, int8 activations with a scale a batch",
        precision="int8",
        apply=quantize_dynamic,
    ),
)
"""The methods for models that answer in one run, the one that keeps the most first."""

LANGUAGE_METHODS = (
    Method(
        name="blockwise",
        summary="4-bit weights with a scale and a least value for 32, int8 rows of tables",
        precision="int4",
        apply=quantize_blocks,
    ),
)
"""The methods for language models, whose every step reads all weights for a single token."""
