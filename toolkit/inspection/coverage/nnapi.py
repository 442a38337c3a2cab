"""What NNAPI takes, on Android 12 (feature level 5) or later.

The operators are those of onnxruntime's nnapi_supported_ops.md (1.31.1); the rules are those of the
builders in core/providers/nnapi/nnapi_builtin/builders/impl.
"""

from toolkit.inspection.coverage.graph import Node
from toolkit.inspection.coverage.rules import (
    CONSTANT,
    DECLARED,
    FIX_SHAPES,
    FLOAT32,
    INFERENCE,
    INSIDE,
    Check,
    Coverage,
    Rule,
    attribute,
    constant,
    dtypes,
    every,
    filled_inputs,
    for_inference,
    inside,
    output_dtypes,
    ranked_inputs,
    ranks,
    since,
    static_inputs,
)

_FOLDER = "nnapi/nnapi_builtin/builders/impl"
_LOWER_RANK = "reshape to at most 4 dimensions before it"
_QUANTIZED = ("uint8", "int8")


def _rule(check: Check, builder: str, change: str = "") -> Rule:
    return Rule(check=check, source=f"{_FOLDER}/{builder}_op_builder.cc", change=change)


def _float(*more: str) -> Rule:
    return _rule(dtypes("float32", *more), "base", FLOAT32)


def _up_to_4(builder: str, low: int = 1) -> Rule:
    return _rule(ranks(low, 4), builder, _LOWER_RANK)


def _grouped_dilation(node: Node) -> str:
    weight = node.input(1)
    dilated = any(size != 1 for size in node.attributes.get("dilations", ()))
    grouped = node.attributes.get("group", 1) != 1
    depthwise = weight is not None and weight.shape is not None and weight.shape[1:2] == (1,)
    return "is grouped and dilated" if dilated and grouped and not depthwise else ""


def _clip(node: Node) -> str:
    low, high = (
        tensor.values[0] if (tensor := node.input(i)) is not None and tensor.values else None
        for i in (1, 2)
    )
    low = node.attributes.get("min", low)
    high = node.attributes.get("max", high)
    return "" if (low, high) in {(0.0, 6.0), (-1.0, 1.0)} else f"clips to {low} and {high}"


def _product(node: Node) -> str:
    """2-D with a constant, or a batch of equal leading sizes."""
    a, b = node.input(0), node.input(1)
    if a is None or b is None or a.shape is None or b.shape is None:
        return ""
    if len(a.shape) == len(b.shape) >= 3 and a.shape[:-2] == b.shape[:-2]:
        return ""
    if len(a.shape) != 2 or len(b.shape) != 2:
        return f"multiplies {len(a.shape)} by {len(b.shape)} dimensions of unlike leading sizes"
    return "" if b.is_constant else "input 1 is not a constant"


def _gemm_weight(node: Node) -> str:
    return "" if node.attributes.get("transB", 0) else constant(1)(node)


def _gemm_bias(node: Node) -> str:
    b, c = node.input(1), node.input(2)
    if b is None or c is None or b.shape is None or c.shape is None or len(b.shape) != 2:
        return ""
    width = b.shape[0] if node.attributes.get("transB", 0) else b.shape[1]
    return "" if c.shape in {(width,), (1, width)} else f"its bias is {list(c.shape)}"


def _even_split(node: Node) -> str:
    split = node.input(1)
    if split is not None and split.values is not None:
        return "" if len(set(split.values)) == 1 else "splits into unlike sizes"
    data, count = node.input(0), len(node.outputs)
    if data is None or data.shape is None:
        return ""
    size = data.shape[node.attributes.get("axis", 0)]
    return "splits into unlike sizes" if size is not None and size % count else ""


def _resize_mode(node: Node) -> str:
    mode = node.attributes.get("mode", "nearest")
    moved = node.attributes.get("coordinate_transformation_mode", "half_pixel")
    if mode == "linear":
        return "" if moved in {"half_pixel", "align_corners", "asymmetric"} else f"resizes {moved}"
    nearest = node.attributes.get("nearest_mode", "round_prefer_floor")
    fine = (mode, moved, nearest) == ("nearest", "asymmetric", "floor")
    return "" if fine else f"resizes {mode}, {moved}, {nearest}"


def _padding(node: Node) -> str:
    pads = node.input(1)
    negative = pads is not None and pads.values is not None and min(pads.values, default=0) < 0
    return "has negative pads" if negative else ""


_CONVOLUTION = (
    _rule(constant(1), "conv", CONSTANT),
    _rule(ranks(4, 4, at=(1,)), "conv", "write it as a 2-D convolution"),
    _rule(_grouped_dilation, "conv"),
)
_QUANTIZED_CONVOLUTION = (
    _rule(constant(1, 2, 3, 4, 5, 6, 7, 8), "conv", CONSTANT),
    _rule(ranks(4, 4, at=(3,)), "conv", "write it as a 2-D convolution"),
)
_POOLED = tuple(
    _rule(check, "pool")
    for check in (
        attribute("count_include_pad", 0, default=0),
        attribute("storage_order", 0, default=0),
        attribute("ceil_mode", 0, default=0),
        attribute("dilations", None, (1, 1)),
        lambda node: "writes the indices too" if len(node.outputs) > 1 else "",
    )
)
_TWO_DIMENSIONS = _rule(ranks(4, 4), "pool", "write it as a 2-D pooling")
_BINARY = (
    _float(),
    _rule(since(7), "binary", "export with --opset 18 or later"),
    _rule(ranks(0, 4, at=(0, 1)), "binary", _LOWER_RANK),
)
_UNARY = (_float(), _rule(since(6), "unary", "export with --opset 18 or later"))
_QUANTIZING = _rule(constant(1, 2), "quantizelinear", CONSTANT)
_ONE_SCALE = _rule(ranks(0, 1, at=(1,)), "quantizelinear", "quantize with one scale (per tensor)")
_LEADING = _rule(
    every(attribute("transA", 0, default=0), attribute("alpha", 1.0, default=1.0)),
    "gemm",
    "write transposition and factor into the weight",
)

_OPERATORS: dict[str, tuple[Rule, ...]] = {
    **dict.fromkeys(("Abs", "Exp", "Floor", "Log", "Neg", "Sin", "Sqrt", "Tanh"), _UNARY),
    **dict.fromkeys(("Add", "Div", "Mul", "Pow", "PRelu", "Sub"), _BINARY),
    **dict.fromkeys(("Elu", "Identity", "LeakyRelu", "Relu"), (_float(),)),
    "AveragePool": (_float(), _TWO_DIMENSIONS, *_POOLED),
    "BatchNormalization": (
        _float(),
        _up_to_4("batchnorm", 2),
        _rule(constant(1, 2, 3, 4), "batchnorm", CONSTANT),
        _rule(for_inference, "batchnorm", INFERENCE),
    ),
    "Cast": (_float(), _rule(output_dtypes("float32", "int32"), "cast", "int32 instead of int64")),
    "Clip": (_float(), _rule(constant(1, 2), "clip", CONSTANT), _rule(_clip, "clip")),
    "Concat": (_float("uint8"), _up_to_4("concat")),
    "Conv": (_float(), *_CONVOLUTION),
    "DepthToSpace": (_float(), _rule(attribute("mode", "DCR", default="DCR"), "depthtospace")),
    "DequantizeLinear": (
        _rule(dtypes(*_QUANTIZED, "int32"), "dequantizelinear", "quantize to 8 bits"),
        _QUANTIZING,
        _ONE_SCALE,
    ),
    "Flatten": (_float(), _up_to_4("flatten")),
    "Gather": (
        _float(),
        _up_to_4("gather"),
        _rule(
            lambda node: dtypes("int32", at=(1,))(node) and constant(1)(node),
            "gather",
            "int32 indices instead of int64",
        ),
    ),
    "Gemm": (
        _float(),
        _LEADING,
        _rule(attribute("beta", 1.0, default=1.0), "gemm", "write the factor into the bias"),
        _rule(_gemm_weight, "gemm", CONSTANT),
        _rule(_gemm_bias, "gemm"),
    ),
    "GlobalAveragePool": (_float(), _TWO_DIMENSIONS),
    "GlobalMaxPool": (_float(), _TWO_DIMENSIONS),
    "LRN": (_float(), _rule(ranks(4, 4), "LRN")),
    "MatMul": (_float(), _rule(_product, "gemm", CONSTANT)),
    "MaxPool": (_float("uint8"), _TWO_DIMENSIONS, *_POOLED),
    **dict.fromkeys(
        ("Max", "Min"),
        (
            _float(),
            _rule(lambda n: "" if len(n.inputs) == 2 else "has not two inputs", "minmax"),
        ),
    ),
    "Pad": (
        _float(),
        _up_to_4("pad"),
        _rule(attribute("mode", "constant", default="constant"), "pad"),
        _rule(constant(1, 2), "pad", CONSTANT),
        _rule(_padding, "pad"),
    ),
    "QLinearConv": (_rule(dtypes(*_QUANTIZED), "conv"), *_QUANTIZED_CONVOLUTION),
    "QLinearMatMul": (
        _rule(dtypes(*_QUANTIZED), "gemm"),
        _rule(constant(1, 2, 3, 4, 5, 6, 7), "gemm", CONSTANT),
        _rule(ranks(2, 2), "gemm"),
    ),
    "QuantizeLinear": (
        _float(),
        _QUANTIZING,
        _ONE_SCALE,
        _rule(output_dtypes(*_QUANTIZED), "quantizelinear", "quantize to 8 bits"),
    ),
    "ReduceMean": (_float(), _up_to_4("reduction"), _rule(constant(1), "reduction", CONSTANT)),
    "Reshape": (_float("uint8"), _up_to_4("reshape"), _rule(constant(1), "reshape", CONSTANT)),
    "Resize": (
        _float("uint8"),
        _rule(ranks(4, 4), "resize", "write it in 4 dimensions"),
        _rule(_resize_mode, "resize", "nearest, asymmetric, floor; or linear"),
        _rule(constant(2, 3), "resize", CONSTANT),
        _rule(attribute("antialias", 0, default=0), "resize"),
    ),
    "Sigmoid": (*_UNARY, _up_to_4("unary")),
    "Slice": (_float(), _up_to_4("slice"), _rule(constant(1, 2, 3, 4), "slice", CONSTANT)),
    "Softmax": (
        _float(),
        _rule(
            lambda node: ranks(2, 2)(node) and ranks(4, 4)(node),
            "softmax",
            "reshape to 2 or 4 dimensions before it",
        ),
    ),
    "Split": (_float(), _rule(constant(1), "split", CONSTANT), _rule(_even_split, "split")),
    "Squeeze": (_float(), _up_to_4("squeeze"), _rule(constant(1), "squeeze", CONSTANT)),
    "Transpose": (_float("uint8"), _up_to_4("transpose")),
    "Unsqueeze": (_float(), _up_to_4("unsqueeze"), _rule(constant(1), "unsqueeze", CONSTANT)),
    **{
        f"com.microsoft:{op}": (
            _rule(dtypes(*_QUANTIZED), "binary"),
            _rule(constant(*positions), "binary", CONSTANT),
        )
        for op, positions in {
            "QLinearAdd": (1, 2, 4, 5, 6, 7),
            "QLinearAveragePool": (1, 2, 3, 4),
            "QLinearSigmoid": (1, 2, 3, 4),
        }.items()
    },
}

COVERAGE = Coverage(
    provider="nnapi",
    operators=_OPERATORS,
    general=(
        _rule(inside, "base", INSIDE),
        _rule(ranked_inputs, "base", DECLARED),
        _rule(static_inputs, "base", FIX_SHAPES),
        _rule(filled_inputs, "base"),
    ),
    source="onnxruntime/tools/mobile_helpers/nnapi_supported_ops.md",
    takes_units=True,
    changes={
        "LayerNormalization": "export with --opset 16, where it is single operators",
    },
)
