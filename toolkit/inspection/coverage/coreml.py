"""What CoreML takes, as NeuralNetwork and as MLProgram.

The operators are those of onnxruntime's coreml_supported_neuralnetwork_ops.md and
coreml_supported_mlprogram_ops.md (1.31.1); the rules are those of the builders in
core/providers/coreml/builders/impl.
"""

from collections.abc import Mapping

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
    any_dtype,
    attribute,
    constant,
    dtypes,
    every,
    for_inference,
    inside,
    never,
    output_dtypes,
    ranked_inputs,
    ranks,
    since,
)

_FOLDER = "coreml/builders/impl"
_INPUTS = "coreml/builders/helper.cc, IsInputSupported"
_LARGEST = 16384
"""Size of a dimension that CoreML still loads (the same function)."""


def _rule(check: Check, builder: str, change: str = "") -> Rule:
    return Rule(check=check, source=f"{_FOLDER}/{builder}_op_builder.cc", change=change)


def _sizes(node: Node) -> str:
    sizes = [(t, size) for t in node.present() for size in t.shape or () if size is not None]
    for tensor, size in sizes:
        if size > _LARGEST:
            return f"reads {tensor.name!r}, of a dimension above {_LARGEST:,}"
        if not size and node.op != "Resize":
            return f"reads {tensor.name!r}, which is empty"
    return ""


def _static_data(node: Node) -> str:
    data = node.input(0)
    if data is None or data.shape is None or data.is_static:
        return ""
    return f"reads {data.name!r}, whose sizes are not fixed"


def _no_root(node: Node) -> str:
    return "" if node.parents else "reads what a caller feeds"


def _clipped(node: Node) -> str:
    return constant(1, 2)(node)


def _new_shape(node: Node) -> str:
    shape = node.input(1)
    count = shape.shape[0] if shape is not None and shape.shape else None
    return f"reshapes to {count} dimensions" if count is not None and count > 5 else ""


def _bias(node: Node) -> str:
    b, c = node.input(1), node.input(2)
    if b is None or c is None or b.shape is None or c.shape is None or len(b.shape) != 2:
        return ""
    width = b.shape[0] if node.attributes.get("transB", 0) else b.shape[1]
    return "" if c.shape in {(), (1,), (width,), (1, width)} else f"its bias is {list(c.shape)}"


def _last_pads(node: Node) -> str:
    pads = node.input(1)
    if pads is None or pads.values is None:
        return ""
    half = len(pads.values) // 2
    leading = (*pads.values[: half - 2], *pads.values[half : 2 * half - 2])
    return "pads other than the last two dimensions" if any(leading) else ""


def _only(*outputs: int) -> Check:
    return lambda node: "" if len(node.outputs) in outputs else "is in training mode"


_STATIC = _rule(_static_data, "base", FIX_SHAPES)
_POOLED = tuple(
    _rule(check, "pool")
    for check in (
        attribute("storage_order", 0, default=0),
        attribute("ceil_mode", 0, default=0),
        attribute("dilations", None, (1, 1)),
        lambda node: "writes the indices too" if len(node.outputs) > 1 else "",
    )
)
_TWO_DIMENSIONS = _rule(ranks(4, 4), "pool", "write it as a 2-D pooling")
_CONVOLUTION = (
    _rule(ranks(3, 4, at=(1,)), "conv", "write it as a 1-D or 2-D convolution"),
    _rule(constant(2), "conv", CONSTANT),
)
_GEMM = (
    _rule(constant(1, 2), "gemm", CONSTANT),
    _rule(
        every(
            attribute("transA", 0, default=0),
            attribute("alpha", 1.0, default=1.0),
            attribute("beta", 1.0, default=1.0),
        ),
        "gemm",
        "write transposition and factors into the weight",
    ),
    _rule(_bias, "gemm"),
)
_SLICED = (_STATIC, _rule(constant(1, 2, 3, 4), "slice", CONSTANT))
_AXES = {
    "ReduceMean": (_rule(constant(1), "reduction", CONSTANT),),
    "ReduceSum": (_rule(constant(1), "reduction", CONSTANT),),
    "Split": (_rule(constant(1), "split", CONSTANT),),
    "Squeeze": (_rule(constant(1), "squeeze", CONSTANT),),
}
_RESHAPED = (
    _STATIC,
    _rule(constant(1), "reshape", CONSTANT),
    _rule(ranks(1, 5), "reshape", "reshape over at most 5 dimensions"),
    _rule(_new_shape, "reshape", "reshape to at most 5 dimensions"),
)
_POWER = (_rule(dtypes("float32", at=(0, 1)), "binary", FLOAT32),)
_NORMALIZED = (
    _rule(constant(1, 2), "normalization", CONSTANT),
    _rule(_only(1), "normalization", INFERENCE),
    _rule(attribute("stash_type", 1, default=1), "normalization"),
)

_BOTH: dict[str, tuple[Rule, ...]] = {
    **dict.fromkeys(
        ("Add", "Div", "Mul", "Sub"),
        (_rule(since(7), "binary", "export with --opset 18 or later"),),
    ),
    **dict.fromkeys(
        ("LeakyRelu", "Relu", "Sigmoid", "Tanh"),
        (_rule(since(6), "activation", "export with --opset 18 or later"),),
    ),
    **dict.fromkeys(("Reciprocal", "Sqrt", "Transpose"), ()),
    **_AXES,
    "ArgMax": (_rule(attribute("select_last_index", 0, default=0), "argmax"),),
    "AveragePool": (_TWO_DIMENSIONS, *_POOLED),
    "Clip": (_rule(_clipped, "clip", CONSTANT),),
    "Concat": (_rule(ranks(1, 5), "concat", "at most 5 dimensions"),),
    "DepthToSpace": (_STATIC,),
    "Gemm": _GEMM,
    "GlobalAveragePool": (_TWO_DIMENSIONS,),
    "GlobalMaxPool": (_TWO_DIMENSIONS,),
    "MaxPool": (_TWO_DIMENSIONS, *_POOLED),
    "PRelu": (_rule(constant(1), "activation", CONSTANT), _rule(ranks(3, 4), "activation")),
    "Pow": _POWER,
    "Reshape": _RESHAPED,
    "Resize": (
        _rule(ranks(4, 4), "resize", "write it in 4 dimensions"),
        _rule(constant(2, 3), "resize", CONSTANT),
    ),
    "Slice": _SLICED,
    "Softmax": (_STATIC,),
}

_NEURAL_NETWORK: dict[str, tuple[Rule, ...]] = {
    **_BOTH,
    "BatchNormalization": (
        _rule(constant(1, 2, 3, 4), "batch_norm", CONSTANT),
        _rule(for_inference, "batch_norm", INFERENCE),
        _rule(ranks(4, 4), "batch_norm", "write it in 4 dimensions"),
    ),
    "Cast": (_rule(_no_root, "cast"), _rule(output_dtypes("float32", "int32"), "cast")),
    "Conv": (_rule(constant(1), "conv", CONSTANT), *_CONVOLUTION),
    "DepthToSpace": (_STATIC, _rule(attribute("mode", "DCR", default="DCR"), "depthtospace")),
    "Flatten": (),
    "Gather": (
        _rule(dtypes("int32", "int64", at=(1,)), "gather"),
        _rule(ranks(1, 5, at=(1,)), "gather", "give the index as a list of one"),
    ),
    "LRN": (),
    "MatMul": (
        _rule(constant(1), "gemm", CONSTANT),
        _rule(ranks(2, 2, at=(0, 1)), "gemm", "reshape to 2 dimensions, or take MLProgram"),
    ),
    "Pad": (
        _rule(attribute("mode", "constant", default="constant"), "pad"),
        _rule(constant(1, 2, 3), "pad", CONSTANT),
        _rule(_last_pads, "pad"),
    ),
    "Resize": (
        *_BOTH["Resize"],
        _rule(attribute("coordinate_transformation_mode", "asymmetric"), "resize"),
        _rule(attribute("mode", "linear", "nearest", default="nearest"), "resize"),
        _rule(attribute("nearest_mode", "floor"), "resize"),
    ),
    "Shape": (
        _rule(attribute("start", 0, default=0), "shape"),
        _rule(attribute("end", None), "shape"),
    ),
}

_ML_PROGRAM: dict[str, tuple[Rule, ...]] = {
    **_BOTH,
    **dict.fromkeys(
        ("Ceil", "Cos", "Elu", "Erf", "Exp", "Gelu", "HardSigmoid", "Identity", "Max", "Round"), ()
    ),
    **dict.fromkeys(("Sin", "Softplus", "com.microsoft:QuickGelu"), ()),
    **dict.fromkeys(("GroupNormalization", "InstanceNormalization"), _NORMALIZED),
    "And": (),
    "Cast": (
        _rule(_no_root, "cast"),
        _rule(any_dtype("int32", "int64", "float32", "float16", "bool"), "cast", FLOAT32),
    ),
    "Conv": _CONVOLUTION,
    "ConvTranspose": (
        _rule(constant(1, 2), "convtranspose", CONSTANT),
        _rule(ranks(3, 4, at=(1,)), "convtranspose"),
        _rule(attribute("auto_pad", "NOTSET", "VALID", default="NOTSET"), "convtranspose"),
        _rule(attribute("output_shape", None), "convtranspose"),
    ),
    "GatherND": (_rule(attribute("batch_dims", 0, default=0), "gather_nd"),),
    "GridSample": (_rule(ranks(4, 4), "gridsample"),),
    "LayerNormalization": _NORMALIZED,
    "MatMul": (_rule(ranks(1, 5, at=(0, 1)), "gemm"),),
    "ReduceMax": (_rule(constant(1), "reduction", CONSTANT),),
    "Shape": (),
    "Tile": (_rule(ranks(1, 5), "tile"),),
    "Unsqueeze": (_rule(constant(1), "squeeze", CONSTANT),),
    "Where": (_rule(dtypes("float32", "float16", at=(1, 2)), "where", FLOAT32),),
    "com.microsoft:FusedConv": _CONVOLUTION,
}

_OWN_TYPES: dict[str, tuple[str, ...]] = {
    "And": ("bool",),
    "Cast": ("float32", "float16", "int32", "int64", "bool"),
    "Gather": ("float32", "float16", "int64"),
    "Shape": ("float32", "float16", "int32", "int64"),
    "Slice": ("float32", "float16", "int64"),
    "Where": ("bool",),
}


def _typed(
    operators: Mapping[str, tuple[Rule, ...]], floats: tuple[str, ...]
) -> dict[str, tuple[Rule, ...]]:
    """The same, with the types of input 0 in front (base_op_builder.cc, IsInputDtypeSupport)."""
    found = {}
    for op, rules in operators.items():
        own = tuple(t for t in _OWN_TYPES.get(op, floats) if t != "float16" or t in floats)
        found[op] = (_rule(dtypes(*own), "base", FLOAT32), *rules)
    return found


def _coverage(model_format: str, operators: Mapping[str, tuple[Rule, ...]], file: str) -> Coverage:
    return Coverage(
        provider="coreml",
        model_format=model_format,
        operators={
            **operators,
            **dict.fromkeys(
                ("If", "Loop", "Scan"),
                (_rule(never("its branches are graphs of their own"), "base"),),
            ),
        },
        general=(
            _rule(inside, "base", INSIDE),
            Rule(check=ranked_inputs, source=_INPUTS, change=DECLARED),
            Rule(check=_sizes, source=_INPUTS),
        ),
        source=f"onnxruntime/tools/mobile_helpers/{file}",
        changes={
            "Gelu": "take MLProgram, which has Gelu",
            "Erf": "take MLProgram, which has Erf",
            "LayerNormalization": "take MLProgram, which has LayerNormalization",
        },
    )


NEURAL_NETWORK = _coverage(
    "NeuralNetwork",
    _typed(_NEURAL_NETWORK, ("float32",)),
    "coreml_supported_neuralnetwork_ops.md",
)
ML_PROGRAM = _coverage(
    "MLProgram",
    _typed(_ML_PROGRAM, ("float32", "float16")),
    "coreml_supported_mlprogram_ops.md",
)
