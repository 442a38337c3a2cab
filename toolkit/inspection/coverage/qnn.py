"""What QNN takes on the HTP back end.

The operators are those that the provider has a builder for. Types and ranks are those that the back
end's own check passes, measured on the simulator of onnxruntime-qnn 2.7.0 with soc_model 57 and the
graphs of benchmarks/single_operators.py (benchmarks/prediction.md says how many are judged right).
"""

from toolkit.inspection.coverage.graph import Node
from toolkit.inspection.coverage.rules import (
    CONSTANT,
    DECLARED,
    FIX_SHAPES,
    FLOAT32,
    INFERENCE,
    Check,
    Coverage,
    Rule,
    any_dtype,
    attribute,
    constant,
    dtypes,
    every,
    filled,
    for_inference,
    never,
    one_output,
    output_dtypes,
    ranked,
    ranks,
    static,
)

_REPOSITORY = "onnxruntime/onnxruntime-qnn: onnxruntime/core/providers/qnn/builder"
_MEASURED = "measured: onnxruntime-qnn 2.7.0, HTP simulator, soc_model 57"
_SHAPES = f"{_REPOSITORY}/qnn_model_wrapper.cc, GetOnnxShape"
_INT32 = "export in float32, or in int32 where it holds indices"
_LOWER_RANK = "reshape to fewer dimensions before it"

_FLOAT = ("float32", "float16")
_INTEGER = ("int32", "int64")
_NUMBER = (*_FLOAT, *_INTEGER)
_ANY = (*_NUMBER, "bool", "uint32")
_MOVED = (*_NUMBER, "bool")
_QUANTIZED = ("uint8", "int8", "uint16", "int16")
"""Between the two halves of QuantizeLinear and DequantizeLinear every operator sees floats; the
types of the quantized tensors themselves are seen by operators that only move data."""
_PER_CHANNEL = ("Conv", "ConvTranspose", "MatMul", "Gemm")
_UNSIGNED = "quantize weights to uint8 too, or leave LayerNormalization in float"

_TAKEN: tuple[tuple[str, tuple[str, ...], int, int], ...] = (
    # operators, types of input 0, fewest and most dimensions of input 0
    ("Abs Add Sub Div Greater GreaterOrEqual Less LessOrEqual Equal", _NUMBER, 0, 5),
    ("Mul", (*_NUMBER, "uint32"), 0, 5),
    ("Max Min", (*_NUMBER, "uint32"), 0, 4),
    ("Clip", _NUMBER, 0, 5),
    ("And Or Xor Not Where", ("bool",), 0, 5),
    (
        "Exp Sigmoid Sum Gelu LeakyRelu PRelu ThresholdedRelu Pow IsNaN Reciprocal Relu",
        _FLOAT,
        0,
        5,
    ),
    ("Mean", ("float32",), 0, 5),
    ("Ceil Cos Floor Log Round Sin Sqrt Tanh Tan Atan Elu HardSigmoid HardSwish", _FLOAT, 0, 4),
    ("Selu Softplus Neg Sign", _FLOAT, 0, 4),
    ("ReduceMean Softmax Pad MatMul com.microsoft:FusedMatMul", _FLOAT, 1, 5),
    ("LayerNormalization LogSoftmax LpNormalization ReduceL2 ReduceLogSumExp ArgMin", _FLOAT, 1, 4),
    ("ReduceSum ReduceMax ReduceMin", _NUMBER, 1, 5),
    ("ArgMax", (*_NUMBER, "uint32"), 1, 4),
    ("CumSum TopK", _NUMBER, 1, 4),
    ("Mod", (*_NUMBER, "uint8", "int8", "int16", "uint16", "uint32"), 0, 4),
    ("Reshape Flatten Squeeze", (*_ANY, "uint8"), 0, 5),
    ("Unsqueeze", (*_ANY, "uint8"), 0, 4),
    ("Identity", _ANY, 0, 5),
    ("Gather Concat ScatterND", _ANY, 1, 5),
    ("Split Tile", _MOVED, 1, 5),
    ("Slice", (*_MOVED, "uint8"), 1, 5),
    ("GatherElements", _MOVED, 1, 4),
    ("GatherND", (*_FLOAT, "int32"), 1, 4),
    ("ScatterElements", (*_NUMBER, "uint8"), 1, 4),
    ("Expand", _ANY, 0, 5),
    ("Transpose", (*_FLOAT, "bool", "int32", "uint32"), 0, 5),
    ("Conv ConvTranspose AveragePool GlobalAveragePool", _FLOAT, 3, 5),
    ("MaxPool GlobalMaxPool BatchNormalization InstanceNormalization LRN", _FLOAT, 3, 4),
    ("GroupNormalization", _FLOAT, 3, 4),
    ("DepthToSpace SpaceToDepth GridSample Upsample RoiAlign", _FLOAT, 4, 4),
    ("Resize", _FLOAT, 3, 5),
    ("Gemm Einsum", _FLOAT, 2, 2),
    ("LSTM GRU", _FLOAT, 3, 3),
    ("RMSNormalization SimplifiedLayerNormalization", _FLOAT, 1, 4),
    ("com.microsoft:QuickGelu com.microsoft:MatMulNBits", _FLOAT, 1, 5),
    ("com.microsoft:RotaryEmbedding STFT RandomUniformLike", _FLOAT, 2, 4),
    ("Cast", (*_ANY, "uint8"), 0, 5),
    ("Erf", _FLOAT, 0, 5),
    ("QuantizeLinear", _FLOAT, 0, 5),
    ("DequantizeLinear", (*_QUANTIZED, "int32", "int4", "uint4"), 0, 5),
)


def _cast(node: Node) -> str:
    """What a Cast may write follows from what it reads."""
    source, target = node.input(0), node.outputs[0]
    if source is None or target is None or not source.dtype or not target.dtype:
        return ""
    if target.dtype == "int64" and source.dtype not in {*_INTEGER, "uint32"}:
        return f"casts {source.dtype} to int64"
    if target.dtype in {"bool", "uint8", "uint32"} and source.dtype == "float16":
        return f"casts float16 to {target.dtype}"
    return ""


def _part_of_gelu(node: Node) -> str:
    """Erf between the two halves of GELU is taken with them; the back end has no Erf of its own."""
    scaled = node.producer in {"Div", "Mul"}
    return "" if scaled and node.consumers == ("Add",) else "stands outside of a GELU"


def _wide_output(node: Node) -> str:
    written = node.outputs[0]
    rank = None if written is None else written.rank
    return f"writes {rank} dimensions" if rank is not None and rank > 5 else ""


def _two_inputs(node: Node) -> str:
    return "" if len(node.inputs) > 1 else "has one input"


def _same_types(node: Node) -> str:
    found = {tensor.dtype for tensor in node.present() if tensor.dtype}
    return f"mixes {', '.join(sorted(found))}" if len(found) > 1 else ""


def _undilated(node: Node) -> str:
    dilated = any(size != 1 for size in node.attributes.get("dilations", ()))
    return "is dilated" if dilated else ""


def _scalar_gather(node: Node) -> str:
    data, indices = node.input(0), node.input(1)
    if data is None or indices is None or data.dtype != "int64" or indices.rank != 0:
        return ""
    return "takes one int64 row out by a scalar index"


def _resize(node: Node) -> str:
    data = node.input(0)
    nearest = node.attributes.get("mode", "nearest") == "nearest"
    if nearest and data is not None and data.rank not in {None, 4}:
        return f"resizes the nearest way in {data.rank} dimensions"
    return ""


def _short_matmul(node: Node) -> str:
    a, b = node.input(0), node.input(1)
    if a is None or b is None or not b.is_constant or a.rank != 5:
        return ""
    return "multiplies 5 dimensions with a constant"


def _per_channel(node: Node) -> str:
    """A scale a channel is taken where a product or a convolution reads the weight."""
    weight, scale = node.input(0), node.input(1)
    if weight is None or scale is None or not weight.is_constant or scale.shape in {None, (), (1,)}:
        return ""
    odd = [op for op in node.consumers if op not in _PER_CHANNEL]
    return f"has a scale a channel, and {odd[0]} reads it" if odd else ""


def _at_input(node: Node) -> str:
    return "" if node.parents else "quantizes what a caller feeds, which the CPU does"


def _at_output(node: Node) -> str:
    return "" if node.consumers else "writes a graph output in float, which the CPU does"


def _signed_scale(node: Node) -> str:
    data, scale = (*node.dequantized, "", "")[:2]
    mixed = data.startswith("uint") and scale in {"int8", "int16"}
    return f"its scale is {scale} beside {data}" if mixed else ""


def _plain_recurrent(node: Node) -> str:
    if node.input(4) is not None:
        return "has the length of each sequence as an input"
    return "has peepholes" if node.op == "LSTM" and node.input(7) is not None else ""


def _rule(check: Check, change: str = "", source: str = _MEASURED) -> Rule:
    return Rule(check=check, source=source, change=change)


def _builder(name: str) -> str:
    return f"{_REPOSITORY}/opbuilder/{name}_op_builder.cc"


_OWN: dict[str, tuple[Rule, ...]] = {
    "ArgMax": (_rule(attribute("select_last_index", 0, default=0)),),
    "ArgMin": (_rule(attribute("select_last_index", 0, default=0)),),
    "AveragePool": (_rule(_undilated),),
    "BatchNormalization": (
        _rule(constant(1, 2, 3, 4), CONSTANT, _builder("batch_norm")),
        _rule(for_inference, INFERENCE, _builder("batch_norm")),
    ),
    "Cast": (
        _rule(output_dtypes(*_ANY, "uint8"), _INT32),
        _rule(_cast, _INT32),
    ),
    "Clip": (_rule(constant(1, 2), CONSTANT, _builder("clip")),),
    "CumSum": (_rule(constant(1), CONSTANT, _builder("cumsum")),),
    "DequantizeLinear": (
        _rule(constant(1, 2), CONSTANT),
        _rule(_per_channel, "quantize this weight with one scale (per tensor)"),
        _rule(_at_output),
    ),
    "Erf": (_rule(_part_of_gelu, "export with --opset 20, where Gelu is one node"),),
    "Expand": (
        _rule(constant(1), CONSTANT, _builder("expand")),
        _rule(_wide_output, _LOWER_RANK),
    ),
    "Gather": (_rule(_scalar_gather, "give the index as a list of one"),),
    "GatherND": (_rule(attribute("batch_dims", 0, default=0)),),
    "Gemm": (
        _rule(
            every(attribute("alpha", 1.0, default=1.0), attribute("beta", 1.0, default=1.0)),
            "write the factor into the weight",
            _builder("gemm"),
        ),
    ),
    "GRU": (_rule(_plain_recurrent),),
    "GridSample": (_rule(attribute("mode", "linear", "bilinear", "nearest", default="linear")),),
    "LayerNormalization": (_rule(one_output), _rule(_signed_scale, _UNSIGNED)),
    "LpNormalization": (_rule(attribute("p", 2, default=2)),),
    "LSTM": (_rule(_plain_recurrent, source=_builder("lstm")),),
    **dict.fromkeys(("Max", "Mean", "Min", "Sum"), (_rule(_two_inputs),)),
    "MaxPool": (_rule(_undilated), _rule(one_output)),
    "Pow": (_rule(_same_types),),
    "ScatterElements": (_rule(attribute("reduction", "none", "add", default="none")),),
    "ScatterND": (_rule(attribute("reduction", "none", "add", "mul", default="none")),),
    "MatMul": (_rule(_short_matmul, _LOWER_RANK),),
    "Mod": (_rule(attribute("fmod", 0, default=0), source=_builder("mod")),),
    "Pad": (
        _rule(constant(1, 2), CONSTANT, _builder("pad")),
        _rule(attribute("mode", "constant", "reflect", "edge", default="constant")),
    ),
    "QuantizeLinear": (
        _rule(constant(1, 2), CONSTANT),
        _rule(_at_input),
    ),
    "Resize": (
        _rule(attribute("antialias", 0, default=0), source=_builder("resize")),
        _rule(attribute("exclude_outside", 0, default=0), source=_builder("resize")),
        _rule(
            attribute(
                "coordinate_transformation_mode",
                *("half_pixel", "pytorch_half_pixel", "align_corners", "asymmetric"),
                default="half_pixel",
            ),
            source=_builder("resize"),
        ),
        _rule(_resize, _LOWER_RANK),
    ),
    "Slice": (_rule(constant(1, 2, 3, 4), CONSTANT, _builder("slice")),),
    "Split": (_rule(constant(1), CONSTANT, _builder("split")),),
    "Tile": (_rule(constant(1), CONSTANT, _builder("tile")),),
    "TopK": (_rule(constant(1), CONSTANT, f"{_REPOSITORY}/opbuilder/topk.cc"),),
    "Where": (_rule(dtypes(*_NUMBER, at=(1, 2)), _INT32),),
    **{
        op: (_rule(constant(1), CONSTANT, _builder("reduce")),)
        for op in ("ReduceL2", "ReduceMax", "ReduceMean", "ReduceMin", "ReduceSum")
    },
}

_OPERATORS: dict[str, tuple[Rule, ...]] = {
    op: (
        _rule(dtypes(*types), FLOAT32 if types == _FLOAT else _INT32),
        _rule(ranks(low, high), _LOWER_RANK),
        *_OWN.get(op, ()),
    )
    for names, types, low, high in _TAKEN
    for op in names.split()
}

COVERAGE = Coverage(
    provider="qnn",
    operators={
        **_OPERATORS,
        "NonZero": (_rule(never("how much it writes depends on the values")),),
        "ReduceProd": (_rule(never("the back end refuses it")),),
        "If": (_rule(never("its branches are graphs of their own")),),
    },
    general=(
        _rule(ranked, DECLARED, _SHAPES),
        _rule(static, FIX_SHAPES, _SHAPES),
        _rule(filled),  # the back end ends the process over one
        _rule(
            any_dtype(*_ANY, *_QUANTIZED, "int4", "uint4"),
            "export in float32; the back end has no float64",
        ),
    ),
    source=f"{_REPOSITORY}/op_builder_factory.cc",
    alone=("QuantizeLinear", "DequantizeLinear"),
    takes_units=True,
    changes={
        "com.microsoft:MatMulIntegerToFloat": "quantize to QDQ, or take the float variant",
        "MatMulInteger": "quantize to QDQ, or take the float variant",
        "DynamicQuantizeLinear": "quantize to QDQ, or take the float variant",
    },
)
