"""Thousands of graphs of one operator: every type, every rank, and onnx's own test cases.

`benchmarks.prediction --operators` writes them into a folder and asks each provider for each.
"""

import contextlib
import warnings
from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import Any

import numpy as np
import onnx
from onnx import TensorProto, helper, numpy_helper

from toolkit.inspection.coverage.rules import words

SHAPES: tuple[tuple[int, ...], ...] = (
    *((), (4,), (2, 4), (2, 3, 4), (1, 3, 4, 4), (1, 2, 3, 4, 4), (1, 2, 2, 3, 4, 4)),
)
TYPES = ("float", "float16", "double", "int32", "int64", "uint8", "int8", "int16", "uint32", "bool")
UNARY = words(
    """
    Abs Acos Asin Atan Ceil Celu Cos Elu Erf Exp Flatten Floor Gelu HardSigmoid HardSwish Identity
    IsInf IsNaN LeakyRelu Log LogSoftmax LpNormalization Neg NonZero Not Reciprocal Relu Round Selu
    Sigmoid Sign Sin Sinh Size Softmax Softplus Softsign Sqrt Tan Tanh ThresholdedRelu Transpose
    """
)
BINARY = words(
    """
    Add And Div Equal Greater GreaterOrEqual Less LessOrEqual Max Mean Min Mod Mul Or PRelu Pow Sub
    Sum Xor
    """
)
REDUCING = words(
    """
    ReduceL1 ReduceL2 ReduceLogSumExp ReduceMax ReduceMean ReduceMin ReduceProd ReduceSum
    ReduceSumSquare
    """
)
POOLING = words("GlobalAveragePool GlobalMaxPool")
WINDOWED = words("AveragePool MaxPool")
NEWEST_OPSET = 21
Case = tuple[str, Sequence[str], dict[str, Any], dict[str, Any]]
"""Operator, what it reads besides x, attributes, constants by name."""


def write_all(folder: Path) -> int:
    """Write every graph as `NAME.onnx` into a folder, and say how many."""
    count = 0
    for name, model in (*_swept(), *_published()):
        onnx.save(model, folder / f"{name}.onnx")
        count += 1
    return count


def _swept() -> Iterator[tuple[str, onnx.ModelProto]]:
    kinds = [(dtype, 2) for dtype in TYPES]
    kinds += [("float", rank) for rank in (0, 1, 3, 4, 5, 6)]
    kinds += [("int64", 0), ("int64", 4), ("int32", 4), ("bool", 4)]
    for dtype, rank in kinds:
        shape = SHAPES[rank]
        element = getattr(TensorProto, dtype.upper())
        for number, (op, fed, attributes, constants) in enumerate(_cases(shape, element)):
            outputs = ["y", "y2"] if op in {"Split", "TopK"} else ["y"]
            inputs = ["x", *(name for name in (*fed, *constants))]
            values = [helper.make_tensor_value_info(n, element, shape) for n in ("x", *fed)]
            graph = helper.make_graph(
                [helper.make_node(op, inputs, outputs, **attributes)],
                op,
                values,
                [helper.make_empty_tensor_value_info(name) for name in outputs],
                [numpy_helper.from_array(value, name) for name, value in constants.items()],
            )
            model = helper.make_model(
                graph, ir_version=10, opset_imports=[helper.make_opsetid("", 20)]
            )
            with contextlib.suppress(Exception):  # a type that the operator does not take
                inferred = onnx.shape_inference.infer_shapes(model, strict_mode=True)
                onnx.checker.check_model(inferred)
                yield f"{op}-{dtype}-{rank}-{number}", inferred


def _cases(shape: tuple[int, ...], element: int) -> Iterator[Case]:
    rank, dtype = len(shape), helper.tensor_dtype_to_np_dtype(element)
    ones = np.ones(shape, dtype)
    for op in UNARY:
        yield op, (), {}, {}
    for op in BINARY:
        yield op, ("z",), {}, {}
        yield op, (), {}, {"z": ones}
    for name in TYPES:
        yield "Cast", (), {"to": getattr(TensorProto, name.upper())}, {}
    limits = {"low": np.zeros((), dtype), "high": np.ones((), dtype)}
    yield "Clip", (), {}, limits
    yield "Reshape", (), {}, {"s": np.array([-1, 1])}
    yield "Unsqueeze", (), {}, {"a": np.array([0])}
    yield "Expand", (), {}, {"s": np.array([2, *([1] * rank)])}
    if rank:
        yield from _along_axes(shape, dtype)
    if rank >= 3:
        yield from _of_images(shape, dtype)


def _along_axes(shape: tuple[int, ...], dtype: Any) -> Iterator[Case]:
    last = len(shape) - 1
    for op in REDUCING:
        yield op, (), {}, {"a": np.array([last])}
        yield op, (), {}, {}
    for op in ("ArgMax", "ArgMin"):
        yield op, (), {"axis": last}, {}
    yield "CumSum", (), {}, {"a": np.array(last)}
    ends = {"low": np.array([1]), "high": np.array([3]), "a": np.array([last])}
    yield "Slice", (), {}, ends
    yield "Split", (), {"axis": last, "num_outputs": 2}, {}
    yield "Concat", ("z",), {"axis": last}, {}
    yield "Tile", (), {}, {"n": np.array([2, *([1] * last)])}
    yield "Pad", (), {}, {"p": np.array([0] * len(shape) + [1] * len(shape))}
    yield "TopK", (), {}, {"k": np.array([2])}
    for index in (np.array([0, 0]), np.array(0)):
        yield "Gather", (), {}, {"i": index}
    yield "GatherND", (), {}, {"i": np.array([[0], [0]])}
    yield "GatherElements", (), {}, {"i": np.zeros(shape, np.int64)}
    scale = {"w": np.ones(4, dtype), "b": np.ones(4, dtype)}
    yield "LayerNormalization", (), {}, scale
    yield "MatMul", (), {}, {"w": np.ones((4, 5), dtype)}
    if len(shape) == 2:
        yield "Gemm", (), {}, {"w": np.ones((4, 5), dtype), "b": np.ones(5, dtype)}


def _of_images(shape: tuple[int, ...], dtype: Any) -> Iterator[Case]:
    channels, window = shape[1], [2] * (len(shape) - 2)
    weight = np.ones((2 * channels, channels, *window), dtype)
    yield "Conv", (), {}, {"w": weight}
    yield "ConvTranspose", (), {}, {"w": np.swapaxes(weight, 0, 1).copy()}
    for op in POOLING:
        yield op, (), {}, {}
    for op in WINDOWED:
        yield op, (), {"kernel_shape": window}, {}
    per_channel = {name: np.ones(channels, dtype) for name in "sbmv"}
    yield "BatchNormalization", (), {}, per_channel
    yield "InstanceNormalization", (), {}, {name: per_channel[name] for name in "sb"}
    yield "LRN", (), {"size": 3}, {}


def _published() -> Iterator[tuple[str, onnx.ModelProto]]:
    """The cases of `onnx.backend.test`, those of newer opsets converted where that is possible."""
    from onnx.backend.test.case.node import collect_testcases

    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        cases = collect_testcases(None)
    for case in cases:
        model = case.model
        if model is None:
            continue
        opsets = {entry.domain: entry.version for entry in model.opset_import}
        if opsets.get("", 0) > NEWEST_OPSET:
            try:
                model = onnx.version_converter.convert_version(model, NEWEST_OPSET)
            except Exception:  # noqa: BLE001, S112 - an operator that the older opset lacks
                continue
        model.ir_version = min(model.ir_version, 10)
        yield case.name, model
