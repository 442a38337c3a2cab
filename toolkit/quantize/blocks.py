"""Weights of 8 or 4 bits in blocks, by onnxruntime's quantizer: MatMulNBits."""

import tempfile
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any, Literal

from toolkit.quantize.context import Context, contained
from toolkit.quantize.keeping import hide, show
from toolkit.quantize.weights import quantize_weights
from toolkit.tensors import Feeds

Rounding = Literal["rtn", "hqq", "gptq"]

BLOCKS = {8: 128, 4: 32}
"""Weights that share a scale, by their bits."""

SMALLEST_BLOCK = 16

GPTQ_SAMPLES = 64
"""onnxruntime's GPTQ keeps all of its samples at once."""

ACCURACY_LEVEL = 4
"""Activations are rounded to int8 in blocks inside the kernel."""
IN_FLOAT = 0
"""The accuracy level that computes in float32: for other processors than this one, since AVX2's
kernel for rounded activations gives wrong sums (microsoft/onnxruntime issue 29853)."""


def blocks(bits: Literal[4, 8], rounding: Rounding) -> Callable[[Path, Path, Context], int]:
    """The quantizer with these settings.

    Args:
        bits: Of a weight.
        rounding: "rtn" rounds to the nearest; "hqq", which the CPU's kernel (onnxruntime 1.31)
            computes for 4 bits alone, chooses zero points that shrink the error of wide weights
            (Badri and Shaji 2023, "Half-Quadratic Quantization"); "gptq", for 4 bits,
            corrects the weights that are still to be rounded for the error of those that were, on
            calibration data (Frantar et al. 2022, "GPTQ").
    """

    def apply(model: Path, target: Path, context: Context) -> int:
        return _quantize(model, target, context, bits=bits, rounding=rounding)

    return apply


def _quantize(
    model: Path, target: Path, context: Context, *, bits: Literal[4, 8], rounding: Rounding
) -> int:
    """Write a copy of a model whose constant matrices are MatMulNBits, and its tables int8 rows."""
    import onnx
    from onnxruntime.quantization.matmul_nbits_quantizer import MatMulNBitsQuantizer
    from onnxruntime.quantization.onnx_model import ONNXModel

    proto = onnx.load(model)
    with contained():
        rewritten = ONNXModel(proto)
        rewritten.replace_gemm_with_matmul()  # MatMulNBits replaces no Gemm, and says nothing of it
        proto = rewritten.model
        kept = {*context.keep, *(f"{name}_MatMul" for name in context.keep)}
        depths = _depths(proto, kept)
        if not depths:
            return 0
        block = min(BLOCKS[bits], max(SMALLEST_BLOCK, 1 << (min(depths).bit_length() - 1)))
        excluded = kept | _narrower(proto, SMALLEST_BLOCK)
        # GPTQ (onnxruntime 1.31) is not told of nodes_to_exclude: it quantizes every MatMul.
        hidden = hide(proto, excluded) if rounding == "gptq" else set()
        quantizer = MatMulNBitsQuantizer(
            proto,
            bits=bits,
            block_size=block,
            is_symmetric=False,
            accuracy_level=_accuracy_level(context),
            nodes_to_exclude=sorted(excluded),
            algo_config=_algorithm(context, bits, block, rounding),
        )
        quantizer.process()
        made = quantizer.model.model
        show(made, hidden)
    count: int = sum(node.op_type == "MatMulNBits" for node in made.graph.node)
    if not count:
        return 0
    del made.graph.value_info[:]
    if all(one.domain != "com.microsoft" for one in made.opset_import):
        made.opset_import.append(onnx.helper.make_opsetid("com.microsoft", 1))
    with tempfile.TemporaryDirectory() as folder:
        products = Path(folder) / "products.onnx"
        onnx.save(made, products)
        quantize_weights(products, target, keep=context.keep, tables_only=True)
    return count


def _algorithm(context: Context, bits: Literal[4, 8], block: int, rounding: Rounding) -> Any:
    from onnxruntime.quantization import matmul_nbits_quantizer as ort_blocks

    if rounding == "hqq":
        return ort_blocks.HQQWeightOnlyQuantConfig(block_size=block, bits=bits)
    if rounding == "gptq":
        reader = _Reader([*context.data.feeds(GPTQ_SAMPLES)])
        return ort_blocks.GPTQWeightOnlyQuantConfig(reader, block_size=block)
    return ort_blocks.DefaultWeightOnlyQuantConfig(
        block_size=block, is_symmetric=False, accuracy_level=_accuracy_level(context), bits=bits
    )


def _accuracy_level(context: Context) -> int:
    return IN_FLOAT if context.is_portable else ACCURACY_LEVEL


def _depths(model: Any, kept: set[str]) -> list[int]:
    """The inner sizes of the products that can be quantized."""
    shapes = {tensor.name: [*tensor.dims] for tensor in model.graph.initializer}
    return [
        shapes[node.input[1]][0]
        for node in model.graph.node
        if node.op_type == "MatMul"
        and node.name not in kept
        and len(shapes.get(node.input[1], ())) == 2
        and shapes[node.input[1]][0] >= SMALLEST_BLOCK
    ]


def _narrower(model: Any, least: int) -> set[str]:
    """Products whose inner size is below a block's."""
    shapes = {tensor.name: [*tensor.dims] for tensor in model.graph.initializer}
    return {
        node.name
        for node in model.graph.node
        if node.op_type == "MatMul"
        and len(shapes.get(node.input[1], ())) == 2
        and shapes[node.input[1]][0] < least
    }


class _Reader:
    """Feeds one after the other, as onnxruntime's quantizers read them: it can be copied."""

    def __init__(self, feeds: list[Feeds]) -> None:
        self._feeds = feeds

    def __iter__(self) -> Iterator[Feeds]:
        return iter(self._feeds)
