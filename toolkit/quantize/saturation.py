"""Whether integer products stay exact on processors whose 16-bit sums saturate.

AVX2 without VNNI multiplies bytes with `vpmaddubsw`: two products of an unsigned and a signed byte
are added to 16 bits, and a sum that does not fit becomes the largest or least number that does. So
the same int8 file can answer differently there. ONNX Runtime's kernels for weights of uint8 widen
both factors first and are exact everywhere.

Source: Intel 64 and IA-32 Architectures Software Developer's Manual, volume 2, PMADDUBSW; ONNX
Runtime (1.31) mlas/lib/amd64/QgemmU8S8KernelAvx2.asm. Held against ONNX Runtime on an emulated
Haswell (qemu-x86_64 7.2 -cpu Haswell): MatMulInteger of 5 x 64 x 16 gave what `saturated_product`
gives in every element, and the exact product once weights were at most 64.
"""

from collections.abc import Iterable
from dataclasses import dataclass
from itertools import islice
from pathlib import Path
from typing import TYPE_CHECKING

import numpy as np

from toolkit.quantize.watching import watched
from toolkit.tensors import Array, Feeds

if TYPE_CHECKING:
    import onnx_ir

PORTABLE_LEVELS = 64
"""Most that a weight may be for no sum to saturate: 2 * 255 * 64 is below 2^15."""

BATCHES = 8
ROWS = 128
"""Of calibration data, and of an activation in each, that products are emulated on."""

_LEAST, _MOST = -(2**15), 2**15 - 1
_ACTIVATION_AND_WEIGHTS: dict[str, tuple[int | None, tuple[int, ...]]] = {
    "MatMulInteger": (0, (1,)),
    "MatMulIntegerToFloat": (0, (1,)),
    "QLinearMatMul": (0, (3,)),
    "DynamicQuantizeMatMul": (None, (1,)),
    "DynamicQuantizeLSTM": (None, (1, 2)),
    "ConvInteger": (None, (1,)),
    "QLinearConv": (None, (3,)),
    "QGemm": (None, (3,)),
    "QAttention": (None, (1,)),
}
"""Where operators have their quantized activation, if it can be emulated, and their weights."""
_FLOAT_OPERATORS = {"MatMul", "Gemm", "Conv", "ConvTranspose"}
"""What ONNX Runtime computes in integers where DequantizeLinear makes both factors."""


@dataclass(frozen=True, kw_only=True)
class Saturation:
    """What was checked of a graph's integer products.

    Attributes:
        products: How many there are.
        proven: Of these, how many cannot saturate whatever the input, by the size of their weights.
        emulated: How many others were emulated on calibration data.
        saturated: Names of those of which a sum saturated there.
        unknown: Names of those that may saturate and could not be emulated.
    """

    products: int
    proven: int
    emulated: int
    saturated: tuple[str, ...] = ()
    unknown: tuple[str, ...] = ()

    @property
    def why(self) -> str:
        """Why the graph is not portable; empty where it is."""
        if self.saturated:
            return (
                f"16-bit sums saturate on AVX2 in {len(self.saturated)} of {self.products} integer "
                f"products: {', '.join(self.saturated[:3])}"
            )
        if self.unknown:
            return (
                f"16-bit sums may saturate on AVX2 in {len(self.unknown)} of {self.products} "
                f"integer products: {', '.join(self.unknown[:3])}"
            )
        return ""


def saturated_product(activation: Array, weight: Array) -> Array:
    """The product of bytes as AVX2 without VNNI computes it.

    Args:
        activation: uint8[rows, inner].
        weight: int8[inner, columns].

    Returns:
        int32[rows, columns], sums of neighboring pairs that were each cut to 16 bits.
    """
    sums = np.clip(_pairs(activation, weight), _LEAST, _MOST).sum(axis=1, dtype=np.int32)
    return np.asarray(sums)


def saturates(activation: Array, weight: Array) -> bool:
    """Whether any pair of products of `saturated_product` does not fit 16 bits."""
    for row in np.unique(activation, axis=0)[:ROWS]:
        pairs = _pairs(row[None], weight)
        if pairs.max(initial=0) > _MOST or pairs.min(initial=0) < _LEAST:
            return True
    return False


def _pairs(activation: Array, weight: Array) -> Array:
    """int32[rows, pairs, columns]: exact sums of two neighboring products."""
    odd = activation.shape[1] % 2
    left = np.pad(activation, ((0, 0), (0, odd))).astype(np.int32)
    right = np.pad(weight, ((0, odd), (0, 0))).astype(np.int32)
    first = left[:, 0::2, None] * right[None, 0::2]
    return np.asarray(first + left[:, 1::2, None] * right[None, 1::2])


@dataclass(frozen=True)
class _Product:
    name: str
    activation: "onnx_ir.Value | None"
    weights: "tuple[onnx_ir.Value | None, ...]"
    transposed: bool = False


def check_saturation(model: Path, feeds: Iterable[Feeds]) -> Saturation:
    """Check every integer product of a quantized graph for sums that do not fit 16 bits.

    Weights of at most `PORTABLE_LEVELS` prove a product. Others are emulated on the activations
    that the data leads to; where those cannot be had, the product counts as unknown.

    Args:
        model: The quantized model.
        feeds: Calibration data, of which `BATCHES` batches are run where needed.
    """
    import onnx_ir as ir

    loaded = ir.load(model)
    products = [
        product
        for node in ir.traversal.RecursiveGraphIterator(loaded.graph)
        if (product := _integer_product(node)) is not None
    ]
    open_ones = [product for product in products if not _is_proven(product)]
    known = [product for product in open_ones if _can_be_watched(loaded.graph, product)]
    saturated: set[str] = set()
    if known:
        values = list(dict.fromkeys(p.activation for p in known if p.activation is not None))
        signed = {value: _is_signed(value) for value in values}
        for value in values:
            value.type = ir.TensorType(ir.DataType.INT8 if signed[value] else ir.DataType.UINT8)
        for batch in watched(loaded, values, islice(feeds, BATCHES)):
            found = dict(zip(values, batch, strict=True))
            saturated |= {p.name for p in known if _saturates_on(p, found, signed)}
    return Saturation(
        products=len(products),
        proven=len(products) - len(open_ones),
        emulated=len(known),
        saturated=tuple(p.name for p in known if p.name in saturated),
        unknown=tuple(p.name for p in open_ones if p not in known),
    )


def _integer_product(node: "onnx_ir.Node") -> _Product | None:
    name = str(node.name or node.outputs[0].name)
    if node.op_type in _ACTIVATION_AND_WEIGHTS:
        at, weights = _ACTIVATION_AND_WEIGHTS[node.op_type]
        return _Product(
            name,
            None if at is None else node.inputs[at],
            tuple(node.inputs[position] for position in weights),
        )
    if node.op_type == "MatMulNBits" and "accuracy_level" in node.attributes:
        # With rounded activations its kernels differ between processors by more than saturation:
        # for a single row and zero points AVX2's (microsoft/onnxruntime issue 29853) is wrong.
        return _Product(name, None, (None,)) if node.attributes["accuracy_level"].as_int() else None
    if node.op_type in _FLOAT_OPERATORS:
        factors = [_dequantized(value) for value in node.inputs[:2]]
        if all(value is not None for value in factors):
            turned = node.attributes.get("transB")
            can_be_emulated = node.op_type in {"MatMul", "Gemm"}
            return _Product(
                name,
                factors[0] if can_be_emulated else None,
                (factors[1],),
                turned is not None and bool(turned.as_int()),
            )
    return None


def _dequantized(value: "onnx_ir.Value | None") -> "onnx_ir.Value | None":
    """What DequantizeLinear reads to make a value, where that is of 8 bits."""
    node = None if value is None else value.producer()
    if node is None or node.op_type != "DequantizeLinear" or node.inputs[0] is None:
        return None
    zero_point = node.inputs[2] if len(node.inputs) > 2 else None
    stored = zero_point if zero_point is not None else node.inputs[0]
    is_wide = stored.const_value is not None and stored.const_value.nbytes > stored.const_value.size
    return None if is_wide else node.inputs[0]


def _is_proven(product: _Product) -> bool:
    for value in product.weights:
        tensor = None if value is None else value.const_value
        if tensor is None:
            return False
        numbers = tensor.numpy()
        if numbers.dtype != np.uint8 and np.abs(numbers.astype(np.int32)).max() > PORTABLE_LEVELS:
            return False
    return True


def _can_be_watched(graph: "onnx_ir.Graph", product: _Product) -> bool:
    value = product.activation
    node = None if value is None else value.producer()
    weight = product.weights[0]
    return (
        node is not None
        and node.graph is graph
        and node.op_type in {"QuantizeLinear", "DynamicQuantizeLinear"}
        and weight is not None
        and weight.const_value is not None
        and len(weight.const_value.shape) == 2
    )


def _is_signed(value: "onnx_ir.Value") -> bool:
    node = value.producer()
    assert node is not None
    zero_point = (
        node.inputs[2] if node.op_type == "QuantizeLinear" and len(node.inputs) > 2 else None
    )
    tensor = None if zero_point is None else zero_point.const_value
    return tensor is not None and tensor.numpy().dtype == np.int8


def _saturates_on(
    product: _Product, found: "dict[onnx_ir.Value, Array]", signed: "dict[onnx_ir.Value, bool]"
) -> bool:
    weight = product.weights[0]
    assert product.activation is not None
    assert weight is not None
    assert weight.const_value is not None
    numbers = weight.const_value.numpy()
    activation = found[product.activation].reshape(-1, found[product.activation].shape[-1])
    if signed[product.activation]:  # the kernels move signed bytes to unsigned ones first
        activation = (activation.astype(np.int16) + 128).astype(np.uint8)
    return saturates(activation, numbers.T if product.transposed else numbers)
