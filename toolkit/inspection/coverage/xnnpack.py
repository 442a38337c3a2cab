"""What XNNPACK takes.

The operators and their rules are those of core/providers/xnnpack/detail/node_support_checker.cc and
of the kernels. Nodes inside of subgraphs, which it may take as well, are not counted.
"""

from toolkit.inspection.coverage.graph import Node
from toolkit.inspection.coverage.rules import (
    CONSTANT,
    FIX_SHAPES,
    FLOAT32,
    Check,
    Coverage,
    Rule,
    attribute,
    constant,
    dtypes,
    ranks,
    since,
)

_CHECKER = "xnnpack/detail/node_support_checker.cc"
_QUANTIZED = ("uint8", "int8")
_FUSED = ("Conv", "MaxPool", "AveragePool")


def _rule(check: Check, file: str, change: str = "") -> Rule:
    return Rule(check=check, source=f"xnnpack/{file}", change=change)


def _inner_sizes(node: Node) -> str:
    data = node.input(0)
    if data is None or data.shape is None or None not in data.shape[1:]:
        return ""
    return f"reads {data.name!r}, whose channels or sizes are not fixed"


def _depthwise(node: Node) -> str:
    group, weight = node.attributes.get("group", 1), node.input(1)
    if group == 1 or weight is None or weight.shape is None or weight.shape[1:2] == (1,):
        return ""
    return f"has {group} groups and is not depthwise"


def _last_axis(node: Node) -> str:
    data = node.input(0)
    axis = node.attributes.get("axis", -1 if node.since >= 13 else 1)
    last = data is None or data.rank is None or axis in {-1, data.rank - 1}
    return "" if last else f"is over axis {axis}, not the last"


def _product(node: Node) -> str:
    a, b = node.input(0), node.input(1)
    if a is None or b is None or a.rank is None or b.rank is None:
        return ""
    fits = b.rank <= 2 and a.rank in {b.rank, b.rank + 1}
    return "" if fits else f"multiplies {a.rank} by {b.rank} dimensions"


def _one_output(node: Node) -> str:
    return "writes the indices too" if len(node.outputs) > 1 else ""


def _behind(node: Node) -> str:
    return "" if node.producer in _FUSED else f"does not follow {', '.join(_FUSED)}"


_FLOATS = _rule(dtypes("float32", *_QUANTIZED), "detail/utils.cc", FLOAT32)
_FLAT = ranks(4, 4)
_PADDED = attribute("auto_pad", "NOTSET", "VALID", "SAME_UPPER", default="NOTSET")

_OPERATORS: dict[str, tuple[Rule, ...]] = {
    **{
        op: (
            _FLOATS,
            _rule(_FLAT, f"nn/{file}", "write it as a 2-D convolution"),
            _rule(_inner_sizes, f"nn/{file}", FIX_SHAPES),
            _rule(constant(*constants), f"nn/{file}", CONSTANT),
            _rule(_PADDED, f"nn/{file}"),
            *((_rule(_depthwise, f"nn/{file}"),) if op == "Conv" else ()),
        )
        for op, file, constants in (
            ("Conv", "conv.cc", (1, 2)),
            ("ConvTranspose", "conv_transpose.cc", (1, 2)),
            ("QLinearConv", "conv.cc", (1, 2, 3, 4, 5, 6, 7, 8)),
        )
    },
    **{
        op: (
            _FLOATS,
            _rule(_FLAT, f"nn/{file}", "write it as a 2-D pooling"),
            _rule(_inner_sizes, f"nn/{file}", FIX_SHAPES),
            _rule(attribute("ceil_mode", 0, default=0), f"nn/{file}"),
            _rule(attribute("storage_order", 0, default=0), f"nn/{file}"),
            _rule(_PADDED, f"nn/{file}"),
            _rule(since(low), f"nn/{file}", "export with --opset 18 or later"),
            _rule(_one_output, f"nn/{file}"),
        )
        for op, file, low in (("MaxPool", "max_pool.cc", 8), ("AveragePool", "average_pool.cc", 7))
    },
    **dict.fromkeys(("Relu", "Clip"), (_FLOATS, Rule(check=_behind, source=_CHECKER))),
    "Gemm": (
        _rule(dtypes("float32"), "math/gemm.cc", FLOAT32),
        _rule(attribute("alpha", 1.0, default=1.0), "math/gemm.cc"),
        _rule(attribute("beta", 1.0, default=1.0), "math/gemm.cc"),
        _rule(constant(1, 2), "math/gemm.cc", CONSTANT),
        _rule(ranks(0, 2, at=(0, 1, 2)), "math/gemm.cc"),
    ),
    "MatMul": (
        _rule(dtypes("float32"), "math/matmul.cc", FLOAT32),
        _rule(_product, "math/matmul.cc", "reshape to 3 dimensions or fewer before it"),
        _rule(constant(1), "math/matmul.cc", CONSTANT),
    ),
    "Resize": (
        _FLOATS,
        _rule(_FLAT, "tensor/resize.cc", "write it in 4 dimensions"),
        _rule(attribute("mode", "linear"), "tensor/resize.cc", "resize with mode linear"),
        _rule(constant(2, 3), "tensor/resize.cc", CONSTANT),
    ),
    "Softmax": (_FLOATS, _rule(_last_axis, "math/softmax.cc", "move the axis last")),
}

COVERAGE = Coverage(
    provider="xnnpack", operators=_OPERATORS, general=(), source=_CHECKER, changes={}
)
