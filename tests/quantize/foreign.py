"""Small files as other exporters write them, one for each thing that breaks naive quantizers."""

from collections.abc import Sequence
from pathlib import Path

import numpy as np
from onnx import GraphProto, NodeProto, TensorProto, helper, numpy_helper, save

from toolkit.tensors import Array

WIDTH = 64
ROWS: list[str | int | None] = ["batch", WIDTH]


def weight(name: str, *shape: int, seed: int = 0) -> TensorProto:
    """float32 weights whose products keep the size of what goes in."""
    values = np.random.default_rng(seed).normal(size=shape) / np.sqrt(shape[0])
    return numpy_helper.from_array(values.astype(np.float32), name)


def write(
    file: Path,
    nodes: Sequence[NodeProto],
    stored: Sequence[TensorProto] = (),
    *,
    opset: int = 20,
    ir_version: int = 10,
    source: str = "x",
    result: str = "y",
    domains: Sequence[str] = (),
    listed: bool = False,
) -> Path:
    """Write a model of float32[batch, 64] to float32[batch, 64]."""
    inputs = [helper.make_tensor_value_info(source, TensorProto.FLOAT, ROWS)]
    if listed:  # as IR versions below 4 had to
        inputs += [
            helper.make_tensor_value_info(one.name, one.data_type, [*one.dims]) for one in stored
        ]
    outputs = [helper.make_tensor_value_info(result, TensorProto.FLOAT, ROWS)]
    graph = helper.make_graph([*nodes], "foreign", inputs, outputs, [*stored])
    opsets = [helper.make_opsetid("", opset), *(helper.make_opsetid(d, 1) for d in domains)]
    save(helper.make_model(graph, ir_version=ir_version, opset_imports=opsets), file)
    return file


def constants(file: Path) -> Path:
    """Weights as Constant nodes, one of them behind a Transpose of a constant."""
    return write(
        file,
        [
            helper.make_node("Constant", [], ["w"], value=weight("w", WIDTH, WIDTH)),
            helper.make_node("Constant", [], ["v"], value=weight("v", WIDTH, WIDTH, seed=1)),
            helper.make_node("Transpose", ["v"], ["t"], perm=[1, 0]),
            helper.make_node("MatMul", ["x", "w"], ["h"]),
            helper.make_node("MatMul", ["h", "t"], ["y"]),
        ],
    )


def _branch(name: str, seed: int, columns: int) -> GraphProto:
    stored = weight(f"{name}_w", WIDTH, columns, seed=seed)
    nodes = [
        helper.make_node("Constant", [], [f"{name}_c"], value=stored),
        helper.make_node("MatMul", ["x", f"{name}_c"], [f"{name}_p"]),
        helper.make_node("Concat", [f"{name}_p"] * (WIDTH // columns), [f"{name}_y"], axis=1),
    ]
    return helper.make_graph(
        nodes, name, [], [helper.make_tensor_value_info(f"{name}_y", TensorProto.FLOAT, ROWS)]
    )


def branches(file: Path, *, columns: int = WIDTH) -> Path:
    """All weights inside the branches of an If: float32[64, columns], their products repeated."""
    return write(
        file,
        [
            helper.make_node("ReduceSum", ["x"], ["sum"], keepdims=0),
            helper.make_node("Greater", ["sum", "zero"], ["positive"]),
            helper.make_node(
                "If",
                ["positive"],
                ["y"],
                then_branch=_branch("a", 1, columns),
                else_branch=_branch("b", 2, columns),
            ),
        ],
        [numpy_helper.from_array(np.array(0, np.float32), "zero")],
    )


def loop(file: Path) -> Path:
    """All weights inside the body of a Loop of three steps; one is read from outside it."""
    body = helper.make_graph(
        [
            helper.make_node("MatMul", ["s", "inner"], ["p"]),
            helper.make_node("MatMul", ["p", "outer"], ["q"]),
            helper.make_node("Tanh", ["q"], ["next"]),
            helper.make_node("Identity", ["going"], ["on"]),
        ],
        "body",
        [
            helper.make_tensor_value_info("i", TensorProto.INT64, []),
            helper.make_tensor_value_info("going", TensorProto.BOOL, []),
            helper.make_tensor_value_info("s", TensorProto.FLOAT, ROWS),
        ],
        [
            helper.make_tensor_value_info("on", TensorProto.BOOL, []),
            helper.make_tensor_value_info("next", TensorProto.FLOAT, ROWS),
        ],
        [weight("inner", WIDTH, WIDTH)],
    )
    return write(
        file,
        [helper.make_node("Loop", ["steps", "", "x"], ["y"], body=body)],
        [numpy_helper.from_array(np.array(3), "steps"), weight("outer", WIDTH, WIDTH, seed=1)],
    )


def old(file: Path) -> Path:
    """Opset 9, IR version 3, and every initializer listed as a graph input."""
    stored = [weight("w", WIDTH, WIDTH), numpy_helper.from_array(np.ones(WIDTH, np.float32), "b")]
    nodes = [helper.make_node("Gemm", ["x", "w", "b"], ["y"])]
    return write(file, nodes, stored, opset=9, ir_version=3, listed=True)


def oddly_named(file: Path) -> Path:
    """Colons and slashes in every name, and a node without one."""
    return write(
        file,
        [
            helper.make_node("MatMul", ["in/x:0", "a/w:0"], ["a/h:0"], name="a/b:0"),
            helper.make_node("MatMul", ["a/h:0", "a/v:0"], ["out/y:0"]),
        ],
        [weight("a/w:0", WIDTH, WIDTH), weight("a/v:0", WIDTH, WIDTH, seed=1)],
        source="in/x:0",
        result="out/y:0",
    )


def fused(file: Path) -> Path:
    """Operators of com.microsoft beside a product."""
    return write(
        file,
        [
            helper.make_node("MatMul", ["x", "w"], ["h"]),
            helper.make_node("BiasGelu", ["h", "b"], ["g"], domain="com.microsoft"),
            helper.make_node("FusedMatMul", ["g", "v"], ["y"], domain="com.microsoft", transB=1),
        ],
        [
            weight("w", WIDTH, WIDTH),
            numpy_helper.from_array(np.zeros(WIDTH, np.float32), "b"),
            weight("v", WIDTH, WIDTH, seed=1),
        ],
        domains=["com.microsoft"],
    )


def unweighted(file: Path) -> Path:
    """No weight at all."""
    return write(file, [helper.make_node("Relu", ["x"], ["y"])])


def recurrent(file: Path, *, decay: float = 0.9) -> Path:
    """A state s that becomes decay * s + x @ w: "state" in, "stateN" out; and a scalar input."""
    state: list[str | int | None] = [1, "batch", WIDTH]
    graph = helper.make_graph(
        [
            helper.make_node("MatMul", ["x", "w"], ["p"], name="in"),
            helper.make_node("Mul", ["state", "decay"], ["old"]),
            helper.make_node("Add", ["old", "p"], ["stateN"]),
            helper.make_node("MatMul", ["stateN", "v"], ["z"], name="out"),
            helper.make_node("Mul", ["z", "gain"], ["y"]),
        ],
        "recurrent",
        [
            helper.make_tensor_value_info("x", TensorProto.FLOAT, ["batch", WIDTH]),
            helper.make_tensor_value_info("state", TensorProto.FLOAT, state),
            helper.make_tensor_value_info("gain", TensorProto.FLOAT, []),
        ],
        [
            helper.make_tensor_value_info("y", TensorProto.FLOAT, state),
            helper.make_tensor_value_info("stateN", TensorProto.FLOAT, state),
        ],
        [
            weight("w", WIDTH, WIDTH),
            weight("v", WIDTH, WIDTH, seed=1),
            numpy_helper.from_array(np.array(decay, np.float32), "decay"),
        ],
    )
    opsets = [helper.make_opsetid("", 20)]
    save(helper.make_model(graph, ir_version=10, opset_imports=opsets), file)
    return file


def rows(count: int = 40, *, seed: int = 3) -> Array:
    """float32[count, 64]."""
    return np.random.default_rng(seed).normal(size=(count, WIDTH)).astype(np.float32)
