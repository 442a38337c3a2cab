"""Dynamic int8 as onnxruntime's own quantizer writes it."""

import tempfile
from collections.abc import Callable
from pathlib import Path

from toolkit.quantize.context import Context, contained

_EMBEDDINGS = {"Gather", "EmbedLayerNormalization"}

_MADE = {"MatMulInteger", "DynamicQuantizeLSTM", "ConvInteger", "DequantizeLinear"}


def dynamic(*, per_channel: bool, embeddings: bool) -> Callable[[Path, Path, Context], int]:
    """The quantizer with these settings.

    Args:
        per_channel: A scale for each output channel of a weight; otherwise one a weight.
        embeddings: Look-up tables become int8 too.
    """

    def apply(model: Path, target: Path, context: Context) -> int:
        return quantize_dynamic(
            model, target, context, per_channel=per_channel, embeddings=embeddings
        )

    return apply


def quantize_dynamic(
    model: Path,
    target: Path,
    context: Context | None = None,
    *,
    per_channel: bool = True,
    embeddings: bool = True,
) -> int:
    """Dynamic int8 of onnxruntime: activations get a scale for a whole tensor while running.

    The scale of an activation spans the whole batch, so batch mates change the answer; what the
    gate's batch flips are for.

    Args:
        model: The float32 model.
        target: Where the quantized one is written.
        context: Nodes to keep, and whether sums may saturate.
        per_channel: A scale for each output channel of a weight; otherwise one a weight.
        embeddings: Look-up tables become int8 too.

    Returns:
        How many nodes of the result compute in int8 or read int8 weights.

    Raises:
        QuantizerError: onnxruntime gave up on the graph.
    """
    import onnx
    from onnxruntime.quantization import QuantType
    from onnxruntime.quantization import quantize_dynamic as ort_quantize_dynamic
    from onnxruntime.quantization.registry import IntegerOpsRegistry
    from onnxruntime.quantization.shape_inference import quant_pre_process

    context = context or Context()
    operators = {*IntegerOpsRegistry} - (set() if embeddings else _EMBEDDINGS)
    # The quantizer (onnxruntime 1.31) writes Gemm as MatMul first, under another name.
    kept = [*context.keep, *(f"{name}_MatMul" for name in context.keep)]
    with tempfile.TemporaryDirectory() as folder, contained():
        prepared = Path(folder) / "prepared.onnx"
        # Symbolic shape inference fails on transformers (onnxruntime 1.31); fusions, which an LSTM
        # needs, would rename nodes that are to be kept.
        quant_pre_process(
            model, prepared, skip_symbolic_shape=True, skip_optimization=bool(context.keep)
        )
        ort_quantize_dynamic(
            prepared,
            target,
            per_channel=per_channel,
            reduce_range=context.is_portable,
            weight_type=QuantType.QInt8,
            op_types_to_quantize=sorted(operators),
            nodes_to_exclude=sorted(kept),
            extra_options={"DefaultTensorType": onnx.TensorProto.FLOAT},
        )
    return sum(node.op_type in _MADE for node in onnx.load(target).graph.node)
