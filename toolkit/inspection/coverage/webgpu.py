"""What WebGPU takes: the kernels of core/providers/webgpu and their types.

Symbolic sizes are fine there. Nodes inside of subgraphs, which it may take as well, are not
counted.
"""

from toolkit.inspection.coverage.rules import (
    FLOAT32,
    Coverage,
    Rule,
    attribute,
    dtypes,
    output_dtypes,
    ranks,
)

_SOURCE = "webgpu/webgpu_execution_provider.cc"
_FLOAT = ("float32", "float16")
_NUMBER = (*_FLOAT, "int32", "uint32")
_INDICES = "int32 instead of int64, float32 instead of float64"

_TAKEN: tuple[tuple[str, tuple[str, ...]], ...] = (
    ("Acos Acosh Asin Asinh Atan Atanh Ceil Cos Cosh Elu Erf Exp Floor Gelu HardSigmoid", _FLOAT),
    ("LeakyRelu Log Reciprocal Relu Sigmoid Sin Sinh Sqrt Tan Tanh ThresholdedRelu", _FLOAT),
    ("Softplus HardSwish Round BatchNormalization InstanceNormalization", _FLOAT),
    ("LayerNormalization SimplifiedLayerNormalization RMSNormalization", _FLOAT),
    ("AveragePool GlobalAveragePool GlobalMaxPool MaxPool Einsum Clip Softmax", _FLOAT),
    ("Conv ConvTranspose Gemm MatMul Resize CumSum", _NUMBER),
    ("Abs Neg Add Sub Mul Div Pow Equal Greater GreaterOrEqual Less LessOrEqual Max Min", _NUMBER),
    ("ArgMax ArgMin ReduceL1 ReduceL2 ReduceLogSum ReduceLogSumExp ReduceMax ReduceMean", _NUMBER),
    ("ReduceMin ReduceProd ReduceSum ReduceSumSquare DepthToSpace Range", _NUMBER),
    ("Concat Split Slice Pad Transpose Tile GatherElements GatherND ScatterND", _NUMBER),
    ("Expand Gather Reshape Squeeze Unsqueeze Flatten Identity", (*_NUMBER, "bool", "int64")),
    ("Not And Or Where", ("bool",)),
    ("Cast", (*_NUMBER, "bool", "int64")),
    ("Shape", (*_NUMBER, "bool", "int64", "uint8", "int8", "float64")),
    ("If", ("bool",)),
    ("DequantizeLinear", ("uint8", "int8", "int32", "uint4", "int4")),
    ("com.microsoft:Attention com.microsoft:BiasGelu com.microsoft:FastGelu", _FLOAT),
    ("com.microsoft:FusedConv com.microsoft:GroupQueryAttention com.microsoft:MatMulNBits", _FLOAT),
    ("com.microsoft:MultiHeadAttention com.microsoft:QuickGelu", _FLOAT),
    ("com.microsoft:RotaryEmbedding com.microsoft:SkipLayerNormalization", _FLOAT),
    ("com.microsoft:SkipSimplifiedLayerNormalization com.microsoft:BiasAdd", _FLOAT),
)


def _rules(op: str, types: tuple[str, ...]) -> tuple[Rule, ...]:
    change = FLOAT32 if types == _FLOAT else _INDICES
    found = [Rule(check=dtypes(*types), source="webgpu/webgpu_supported_types.h", change=change)]
    if op == "Cast":
        written = output_dtypes(*_NUMBER, "bool", "int64")
        found.append(Rule(check=written, source="webgpu/tensor/cast.cc", change=change))
    if op == "Where":
        branches = dtypes(*_NUMBER, "bool", at=(1, 2))
        found.append(Rule(check=branches, source="webgpu/tensor/where.cc", change=change))
    if op in {"Conv", "ConvTranspose"}:
        flat = "write it as a 1-D or 2-D convolution"
        found.append(Rule(check=ranks(3, 4), source="webgpu/nn/conv.cc", change=flat))
    if op in {"AveragePool", "MaxPool"}:
        found.append(Rule(check=ranks(4, 4), source="webgpu/nn/pool.cc"))
        found.append(Rule(check=attribute("ceil_mode", 0, default=0), source="webgpu/nn/pool.cc"))
    return tuple(found)


COVERAGE = Coverage(
    provider="webgpu",
    operators={op: _rules(op, types) for names, types in _TAKEN for op in names.split()},
    general=(),
    source=_SOURCE,
    changes={"NonZero": "write the mask with Where, which keeps the shape"},
)
