"""Graphs of one operator, each with one thing that a list of operator names does not see."""

from collections.abc import Callable, Sequence
from typing import Any

import numpy as np
import onnx
from onnx import TensorProto, helper, numpy_helper

FLOAT, INT64, BOOL = TensorProto.FLOAT, TensorProto.INT64, TensorProto.BOOL
Sizes = Sequence[int | str]
Fed = tuple[str, int, Sizes]


def model(
    nodes: Sequence[Any],
    fed: Sequence[Fed],
    *,
    weights: Sequence[Any] = (),
    output: tuple[int, Sizes | None] = (FLOAT, None),
    opset: int = 20,
) -> onnx.ModelProto:
    """A model whose last node writes the graph output."""
    graph = helper.make_graph(
        nodes,
        "graph",
        [helper.make_tensor_value_info(*value) for value in fed],
        [helper.make_tensor_value_info(nodes[-1].output[0], *output)],
        list(weights),
    )
    opsets = [helper.make_opsetid("", opset)]
    return helper.make_model(graph, ir_version=10, opset_imports=opsets)


def weight(name: str, *shape: int, dtype: Any = np.float32) -> onnx.TensorProto:
    """A constant of ones."""
    return numpy_helper.from_array(np.ones(shape, dtype), name)


def node(op: str, *inputs: str, **attributes: Any) -> onnx.NodeProto:
    """A node that writes `y`."""
    return helper.make_node(op, list(inputs), ["y"], **attributes)


def conv_with_fed_weights() -> onnx.ModelProto:
    return model([node("Conv", "x", "w")], [("x", FLOAT, [1, 3, 8, 8]), ("w", FLOAT, [4, 3, 3, 3])])


def conv_3d() -> onnx.ModelProto:
    fed: Sequence[Fed] = [("x", FLOAT, [1, 3, 8, 8, 8])]
    return model([node("Conv", "x", "w")], fed, weights=[weight("w", 4, 3, 3, 3, 3)])


def conv_without_attributes() -> onnx.ModelProto:
    return model(
        [node("Conv", "x", "w")], [("x", FLOAT, [1, 3, 8, 8])], weights=[weight("w", 4, 3, 3, 3)]
    )


def conv_of_symbolic_batch() -> onnx.ModelProto:
    fed: Sequence[Fed] = [("x", FLOAT, ["batch", 3, 8, 8])]
    return model([node("Conv", "x", "w")], fed, weights=[weight("w", 4, 3, 3, 3)])


def add(element: int, *, opset: int = 20) -> Callable[[], onnx.ModelProto]:
    """Two inputs of a type."""

    def build() -> onnx.ModelProto:
        fed: Sequence[Fed] = [("x", element, [2, 3]), ("z", element, [2, 3])]
        return model([node("Add", "x", "z")], fed, output=(element, None), opset=opset)

    return build


def int4_weight() -> onnx.ModelProto:
    packed = helper.make_tensor("w", TensorProto.INT4, [2, 4], [1] * 8)
    nodes = [
        helper.make_node("DequantizeLinear", ["w", "s"], ["d"]),
        helper.make_node("Identity", ["x"], ["i"]),
        node("MatMul", "i", "d"),
    ]
    fed: Sequence[Fed] = [("x", FLOAT, [3, 2])]
    return model(nodes, fed, weights=[packed, weight("s")], opset=21)


def transpose(rank: int) -> Callable[[], onnx.ModelProto]:
    """Without `perm`."""
    return lambda: model([node("Transpose", "x")], [("x", FLOAT, [2] * rank)])


def reshape_of_symbolic_batch() -> onnx.ModelProto:
    shape = numpy_helper.from_array(np.array([-1, 4]), "s")
    return model([node("Reshape", "x", "s")], [("x", FLOAT, ["batch", 2, 2])], weights=[shape])


def gather(element: int) -> Callable[[], onnx.ModelProto]:
    """Indices that a caller feeds."""
    return lambda: model(
        [node("Gather", "w", "i")], [("i", element, [3])], weights=[weight("w", 5, 4)]
    )


def unary(op: str, *, opset: int = 20) -> Callable[[], onnx.ModelProto]:
    """One float32 input of two dimensions."""
    return lambda: model([node(op, "x")], [("x", FLOAT, [2, 4])], opset=opset)


def product_of_3_dimensions() -> onnx.ModelProto:
    return model([node("MatMul", "x", "w")], [("x", FLOAT, [1, 3, 4])], weights=[weight("w", 4, 5)])


def einsum() -> onnx.ModelProto:
    fed: Sequence[Fed] = [("x", FLOAT, [2, 3]), ("z", FLOAT, [3, 4])]
    return model([node("Einsum", "x", "z", equation="ij,jk->ik")], fed)


def mod() -> onnx.ModelProto:
    fed: Sequence[Fed] = [("x", INT64, [3]), ("z", INT64, [3])]
    return model([node("Mod", "x", "z")], fed, output=(INT64, None))


def nonzero() -> onnx.ModelProto:
    return model([node("NonZero", "x")], [("x", FLOAT, [2, 3])], output=(INT64, None))


def choice() -> onnx.ModelProto:
    def branch(name: str) -> Any:
        out = helper.make_tensor_value_info(name, FLOAT, [2])
        return helper.make_graph([helper.make_node("Relu", ["x"], [name])], name, [], [out])

    taken = node("If", "c", then_branch=branch("one"), else_branch=branch("two"))
    return model([taken], [("c", BOOL, []), ("x", FLOAT, [2])])
