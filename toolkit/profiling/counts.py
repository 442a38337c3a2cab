"""Operations and bytes of one graph node, from its shapes.

An operation is one multiplication or one addition, so that a multiply-add counts as two, as peaks
are quoted. Counted are the products of matrices alone: biases, activations, softmax and scaling
inside of a fused node are left out, which makes the count a lower bound. Bytes are those of the
tensors that a node must read and write once; caches are another matter, see `roofline`.

Source of the method: S. Williams, A. Waterman, D. Patterson, "Roofline: an insightful visual
    performance model for multicore architectures", Communications of the ACM 52 (4), 2009.
"""

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field, replace
from math import ceil, prod
from typing import Literal

Arithmetic = Literal["float32", "int8"]

NO_SHAPES = "the recording has no shapes of it"
NO_WEIGHT = "the shape of its weight is not in the recording"
NO_WEIGHT_SIZE = "the size of its weights is not known"
UNKNOWN = frozenset((NO_SHAPES, NO_WEIGHT, NO_WEIGHT_SIZE))
"""Reasons in `Work.why_not` for work that a node has and nobody can count."""

_BITS = {
    **dict.fromkeys(("double", "int64", "uint64"), 64),
    **dict.fromkeys(("float", "int32", "uint32"), 32),
    **dict.fromkeys(("float16", "bfloat16", "int16", "uint16"), 16),
    **dict.fromkeys(("int8", "uint8", "bool"), 8),
    **dict.fromkeys(("int4", "uint4"), 4),
}
_GATES = {"LSTM": 4, "DynamicQuantizeLSTM": 4, "GRU": 3, "RNN": 1}
_MATMULS = (
    *("MatMul", "FusedMatMul", "MatMulInteger", "MatMulIntegerToFloat", "DynamicQuantizeMatMul"),
    *("QLinearMatMul", "MatMulNBits"),
)
_CONVOLUTIONS = ("Conv", "FusedConv", "ConvInteger", "QLinearConv")
_INT8 = (
    *("MatMulInteger", "MatMulIntegerToFloat", "DynamicQuantizeMatMul", "QLinearMatMul"),
    *("QGemm", "ConvInteger", "QLinearConv", "DynamicQuantizeLSTM"),
)
_SPARSE_READS = ("Gather", "GatherElements", "GatherND", "Slice")
_MOVES_NOTHING = (
    *("Shape", "Size", "Reshape", "Squeeze", "Unsqueeze", "Flatten", "Identity", "Constant"),
    *("If", "Loop", "Scan"),  # the nodes of their bodies are counted by themselves
)
_STREAMING = (
    *("Abs", "Add", "And", "Cast", "Ceil", "Clip", "Cos", "Div", "Elu", "Equal", "Erf", "Exp"),
    *("Floor", "Gelu", "Greater", "GreaterOrEqual", "HardSigmoid", "HardSwish", "IsInf", "IsNaN"),
    *("LeakyRelu", "Less", "LessOrEqual", "Log", "Max", "Min", "Mod", "Mul", "Neg", "Not", "Or"),
    *("PRelu", "Pow", "Reciprocal", "Relu", "Round", "Sigmoid", "Sign", "Sin", "Softplus", "Sqrt"),
    *("Sub", "Sum", "Tanh", "Where", "Xor", "BiasGelu", "FastGelu", "QuickGelu", "BitShift"),
    *("Softmax", "LogSoftmax", "LayerNormalization", "SkipLayerNormalization"),
    *("SimplifiedLayerNormalization", "SkipSimplifiedLayerNormalization", "BatchNormalization"),
    *("InstanceNormalization", "GroupNormalization", "RMSNormalization", "RotaryEmbedding"),
    *("ReduceMax", "ReduceMean", "ReduceMin", "ReduceProd", "ReduceSum", "ReduceSumSquare"),
    *("ReduceL1", "ReduceL2", "ReduceLogSumExp", "ArgMax", "ArgMin", "CumSum"),
    *("QuantizeLinear", "DequantizeLinear", "DynamicQuantizeLinear", "QLinearAdd", "QLinearMul"),
    *("Concat", "Split", "Transpose", "Expand", "Tile", "Pad", "ReorderInput", "ReorderOutput"),
    *("AveragePool", "MaxPool", "GlobalAveragePool", "GlobalMaxPool", "QLinearGlobalAveragePool"),
)


@dataclass(frozen=True, kw_only=True)
class Tensor:
    """Type and shape of a tensor as ONNX Runtime writes them.

    Attributes:
        dtype: "float", "int64", "uint8" and so on.
        shape: All sizes; () is a scalar.
    """

    dtype: str
    shape: tuple[int, ...]

    @property
    def elements(self) -> int:
        """How many numbers it holds."""
        return prod(self.shape)

    @property
    def size_bytes(self) -> int | None:
        """Bytes that they take; None for strings and other types without a fixed size."""
        bits = _BITS.get(self.dtype)
        return None if bits is None else ceil(self.elements * bits / 8)


@dataclass(frozen=True, kw_only=True)
class NodeShapes:
    """What the counts of a node follow from.

    Attributes:
        op: Its operator type.
        inputs: What it read at run time, without weights that ONNX Runtime packed away.
        outputs: What it wrote.
        weights: Those packed weights; None where the graph could not be read.
        attributes: Whole-number attributes; empty where the graph could not be read.
    """

    op: str
    inputs: Sequence[Tensor]
    outputs: Sequence[Tensor]
    weights: Sequence[Tensor] | None = None
    attributes: Mapping[str, int] = field(default_factory=dict)

    @property
    def everything_read(self) -> Sequence[Tensor]:
        """Inputs and packed weights."""
        return (*self.inputs, *(self.weights or ()))


@dataclass(frozen=True, kw_only=True)
class Work:
    """What a node must do at least.

    Attributes:
        operations: Multiplications and additions of its matrix products; None where it has none,
            or where they are not known.
        bytes: Bytes read and written once; None where they are not known.
        arithmetic: The peak that the operations are to be held against; None where none is
            measured for their type.
        why_not: Why something is not counted; empty when all is.
    """

    operations: int | None = None
    bytes: int | None = None
    arithmetic: Arithmetic | None = None
    why_not: str = ""


def count(node: NodeShapes) -> Work:
    """Operations and bytes of a node.

    Every formula is exact for the shapes at hand or is left out: a missing shape is never guessed.

    Args:
        node: Its shapes.
    """
    if node.op in _MOVES_NOTHING:
        return Work(why_not="moves no data of its own")
    if node.op in _SPARSE_READS:
        return Work(bytes=_sparse_bytes(node))
    if node.op in _STREAMING:
        return Work(bytes=_all_bytes(node))
    formula = _FORMULAS.get(node.op)
    if formula is None:
        return Work(why_not="no formula for this operator")
    if not node.inputs or not node.outputs:
        return Work(why_not=NO_SHAPES)
    operations = formula(node)
    if operations is None:
        return Work(why_not=NO_WEIGHT)
    packed = _implied(node) if node.weights is None else node.weights
    size = None if packed is None else _all_bytes(replace(node, weights=packed))
    return Work(
        operations=operations,
        bytes=size,
        arithmetic=_arithmetic(node),
        why_not="" if size is not None else NO_WEIGHT_SIZE,
    )


def _implied(node: NodeShapes) -> Sequence[Tensor] | None:
    """Packed weights where the graph could not be read; None where they are not certain.

    Source: ONNX Runtime 1.31, core/providers/cpu/math/matmul.cc: B alone is packed, and only if it
        has two dimensions.
    """
    if node.op not in {"MatMul", "FusedMatMul"}:
        return None
    if len(node.inputs) > 1:
        return ()
    a, product = node.inputs[0], node.outputs[0]
    if node.op == "FusedMatMul" or len(a.shape) != len(product.shape):
        return None
    return (Tensor(dtype=a.dtype, shape=(a.shape[-1], product.shape[-1])),)


def _matmul(node: NodeShapes) -> int | None:
    """2·M·N·K: each of the M·N results is a sum of K products.

    Source: ONNX operators MatMul, MatMulInteger, QLinearMatMul; ONNX Runtime's ContribOperators.md
        for FusedMatMul, MatMulIntegerToFloat, DynamicQuantizeMatMul, MatMulNBits.
    """
    a, product = node.inputs[0].shape, node.outputs[0]
    if node.op != "FusedMatMul" or len(a) < 2:
        return 2 * product.elements * a[-1]
    inner = _inner(a, product.shape)
    return None if inner is None else 2 * product.elements * inner


def _gemm(node: NodeShapes) -> int | None:
    """2·M·N·K, whether or not A is transposed; adding C is left out. Source: ONNX operator Gemm."""
    product = node.outputs[0]
    inner = _inner(node.inputs[0].shape, product.shape)
    return None if inner is None else 2 * product.elements * inner


def _inner(a: tuple[int, ...], product: tuple[int, ...]) -> int | None:
    """K of A[M, K], or of A transposed, by the side that is not M; equal sides need no choice."""
    if len(a) < 2 or len(product) < 2 or product[-2] not in a[-2:]:
        return None
    return a[-1] if a[-2] == product[-2] else a[-2]


def _convolution(node: NodeShapes) -> int | None:
    """2 · results · input channels of a group · kernel: each result is a sum over one window.

    In ONNX Runtime's blocked layout the channels are padded to a multiple of the block, and are
    counted so, since the kernel computes them. Source: ONNX operators Conv, ConvInteger.
    """
    product = node.outputs[0]
    weight = _kernel(node)
    if weight is None or weight.shape[:1] != product.shape[1:2]:
        return None
    return 2 * product.elements * prod(weight.shape[1:])


def _transposed_convolution(node: NodeShapes) -> int | None:
    """2 · inputs · output channels of a group · kernel. Source: ONNX operator ConvTranspose."""
    weight = _kernel(node)
    return None if weight is None else 2 * node.inputs[0].elements * prod(weight.shape[1:])


def _kernel(node: NodeShapes) -> Tensor | None:
    rank = len(node.inputs[0].shape)
    candidates = (*(node.weights or ()), *node.inputs[1:])
    return next((tensor for tensor in candidates if len(tensor.shape) == rank), None)


def _recurrent(node: NodeShapes) -> int | None:
    """2 · steps · batch · directions · gates·H · (I + H): a product with W and one with R a step.

    Source: ONNX operators LSTM, GRU, RNN, default layout: X is [steps, batch, I], Y
        [steps, directions, batch, H], Y_h [directions, batch, H].
    """
    x = node.inputs[0].shape
    y = node.outputs[0].shape
    if len(x) != 3 or len(y) not in {3, 4} or node.attributes.get("layout", 0):
        return None
    steps, batch, inputs = x
    directions, hidden = y[-3], y[-1]
    return 2 * steps * batch * directions * _GATES[node.op] * hidden * (inputs + hidden)


def _attention(node: NodeShapes) -> int | None:
    """com.microsoft.Attention: the projections 2·B·S·I·N, then scores and values.

    N is the width of query, key and value together. Source: ONNX Runtime's ContribOperators.md.
    """
    if len(node.inputs) > 1 and len(node.inputs[1].shape) > 2:  # ONNX's own, of the same name
        return _multi_head_attention(node)
    x, y = node.inputs[0], node.outputs[0]
    projected = next(
        (
            t.shape[-1]
            for t in node.everything_read[1:]
            if t.dtype == x.dtype and (len(t.shape) == 1 or t.shape[:-1] == x.shape[-1:])
        ),
        None,
    )
    if len(x.shape) != 3 or projected is None or len(node.outputs) > 1:
        return None
    batch, steps, inputs = x.shape
    keys = (projected - y.shape[-1]) // 2
    projections = 2 * batch * steps * inputs * projected
    return projections + 2 * batch * steps * steps * keys + 2 * y.elements * steps


def _multi_head_attention(node: NodeShapes) -> int | None:
    """Scores 2·|Q|·T and values 2·|Y|·T, with T keys; softmax and masks are left out.

    |Q| and |Y| are numbers of elements, which holds for every layout. Source: ONNX operator
        Attention (opset 23); ONNX Runtime's ContribOperators.md, MultiHeadAttention.
    """
    if len(node.inputs) < 2 or len(node.outputs) > 1:  # a cache of keys: their number is not known
        return None
    query, key = node.inputs[0], node.inputs[1]
    if len(query.shape) not in {3, 4} or len(key.shape) not in {3, 4}:
        return None
    keys = key.shape[-2]
    return 2 * keys * (query.elements + node.outputs[0].elements)


_FORMULAS: dict[str, Callable[[NodeShapes], int | None]] = {
    **dict.fromkeys(_MATMULS, _matmul),
    **dict.fromkeys(("Gemm", "FusedGemm", "QGemm"), _gemm),
    **dict.fromkeys(_CONVOLUTIONS, _convolution),
    "ConvTranspose": _transposed_convolution,
    **dict.fromkeys(_GATES, _recurrent),
    "Attention": _attention,
    "MultiHeadAttention": _multi_head_attention,
}


def _arithmetic(node: NodeShapes) -> Arithmetic | None:
    if node.op in _INT8:
        return "int8"
    if node.op == "MatMulNBits":
        # accuracy_level 4 multiplies in int8. Source: ContribOperators.md, MatMulNBits.
        return "int8" if node.attributes.get("accuracy_level") == 4 else "float32"
    return "float32" if node.inputs[0].dtype == "float" else None


def _all_bytes(node: NodeShapes) -> int | None:
    sizes = [tensor.size_bytes for tensor in (*node.everything_read, *node.outputs)]
    return None if None in sizes else sum(size for size in sizes if size is not None)


def _sparse_bytes(node: NodeShapes) -> int | None:
    """What is taken out is read and written; of the source nothing else, of the indices all."""
    sizes = [tensor.size_bytes for tensor in (*node.inputs[1:], *node.outputs, *node.outputs)]
    return None if None in sizes else sum(size for size in sizes if size is not None)
