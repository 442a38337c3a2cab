"""What OpenVINO takes on the device CPU.

Source: core/providers/openvino/ov_versions/data_ops.cc and capability.cc; checked against
onnxruntime-openvino 1.24.1.
"""

from toolkit.inspection.coverage.graph import Node
from toolkit.inspection.coverage.rules import (
    FLOAT32,
    Coverage,
    Rule,
    any_dtype,
    attribute,
    dtypes,
    every,
    words,
)

_SOURCE = "openvino/ov_versions/data_ops.cc"

_OPERATORS = words(
    """
    Abs Acos Acosh Add And ArgMax ArgMin Asin Asinh Atan Atanh AveragePool BatchNormalization
    BitShift Cast CastLike Ceil Celu Clip Compress Concat Constant ConstantOfShape Conv ConvInteger
    ConvTranspose Cos Cosh CumSum DepthToSpace DequantizeLinear Div Dropout DynamicQuantizeLinear
    Einsum Elu Equal Erf Exp Expand EyeLike Flatten Floor GRU Gather GatherElements GatherND Gelu
    Gemm GlobalAveragePool GlobalLpPool GlobalMaxPool Greater GreaterOrEqual GridSample
    GroupNormalization HardSigmoid HardSwish Identity If InstanceNormalization LRN LSTM
    LayerNormalization LeakyRelu Less LessOrEqual Log LogSoftmax Loop LpNormalization MatMul
    MatMulInteger Max MaxPool Mean MeanVarianceNormalization Min Mish Mod Mul Neg NonMaxSuppression
    NonZero Not OneHot Or PRelu Pad Pow QuantizeLinear RNN RandomNormal
    RandomNormalLike Range Reciprocal ReduceL1 ReduceL2 ReduceLogSum ReduceLogSumExp ReduceMax
    ReduceMean ReduceMin ReduceProd ReduceSum ReduceSumSquare Relu Reshape Resize ReverseSequence
    RoiAlign Round Scatter ScatterElements ScatterND Selu Shape Shrink Sigmoid Sign Sin Sinh Size
    Slice Softmax Softplus Softsign SpaceToDepth Split Sqrt Squeeze Sub Sum Tan Tanh
    ThresholdedRelu Tile TopK Transpose Trilu Unsqueeze Upsample Where Xor
    SimplifiedLayerNormalization com.microsoft:SkipLayerNormalization com.microsoft:MatMulNBits
    com.microsoft:QuickGelu com.microsoft:FusedMatMul
    """
)

_ALONE = words(
    """
    Cast Celu ConstantOfShape Dropout Einsum Expand GatherElements GatherND GridSample
    LayerNormalization Loop LSTM OneHot Pad RandomNormalLike ReduceMin Shape Slice
    TopK
    """
)

_SCALARS = frozenset(
    words(
        """
    Add And Cast Ceil Clip DequantizeLinear Div Equal Exp Expand Floor Gather Greater Identity If
    Less Loop Max Min Mul Neg PRelu Pow QuantizeLinear Range ReduceMax ReduceMin ReduceProd Reshape
    Shape Sqrt Squeeze Sub Unsqueeze Where DynamicQuantizeLinear
        """
    )
)
_EMPTY = frozenset(("Concat", "Equal", "Expand", "Shape", "Slice"))


def _sizes(node: Node) -> str:
    """No scalars and no empty tensors but for operators that stand them; constants aside."""
    read = tuple(tensor for tensor in node.present() if not tensor.is_constant)
    for tensor in (*read, *(t for t in node.outputs if t is not None)):
        if tensor.shape == () and node.op not in _SCALARS:
            return f"{tensor.name!r} is a scalar"
        if tensor.shape and 0 in tensor.shape and node.op not in _EMPTY:
            return f"{tensor.name!r} is empty"
    return ""


COVERAGE = Coverage(
    provider="openvino",
    operators={
        **dict.fromkeys(_OPERATORS, ()),
        "ReduceMax": (
            Rule(
                check=dtypes("bool", "float32", "float16", "int64", "int32", "uint32"),
                source=_SOURCE,
                change=FLOAT32,
            ),
        ),
        "Resize": (
            Rule(
                check=every(
                    attribute("antialias", 0, default=0), attribute("exclude_outside", 0, default=0)
                ),
                source="measured: onnxruntime-openvino 1.24.1",
            ),
        ),
    },
    general=(
        Rule(
            check=any_dtype(
                *("bool", "float32", "float16", "int64", "int32", "int16", "int8", "int4"),
                *("uint32", "uint16", "uint8", "uint4"),
            ),
            source=f"{_SOURCE}, populate_types_supported",
            change=FLOAT32,
        ),
        Rule(
            check=_sizes,
            source=f"{_SOURCE}, node_is_supported",
            change="give it one dimension of size 1",
        ),
    ),
    source=f"{_SOURCE}, supported_op_mode",
    grouping="clusters",
    smallest=3,
    alone=_ALONE,
    changes={"IsNaN": "remove the NaN guard: toolkit optimize"},
)
