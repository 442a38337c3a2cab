"""Graphs of three nodes, written with onnx: a product, one operator on it, another product."""

from pathlib import Path

import numpy as np

WIDTH = 8


def write_graph(file: Path, *, batch: int | str = "batch", operator: str = "Relu") -> Path:
    """A model of y = operator(x w) w on float32[batch, 8]."""
    import onnx
    from onnx import TensorProto, helper, numpy_helper

    weight = np.random.default_rng(0).standard_normal((WIDTH, WIDTH)).astype(np.float32)
    nodes = [
        helper.make_node("MatMul", ["x", "w"], ["first"], name="first"),
        helper.make_node(operator, ["first"], ["second"], name="second"),
        helper.make_node("MatMul", ["second", "w"], ["y"], name="third"),
    ]
    graph = helper.make_graph(
        nodes,
        "three",
        [helper.make_tensor_value_info("x", TensorProto.FLOAT, [batch, WIDTH])],
        [helper.make_tensor_value_info("y", TensorProto.FLOAT, [batch, WIDTH])],
        [numpy_helper.from_array(weight, "w")],
    )
    model = helper.make_model(graph, ir_version=10, opset_imports=[helper.make_opsetid("", 20)])
    onnx.checker.check_model(model, full_check=True)
    onnx.save(model, file)
    return file


def feeds(batch: int) -> dict[str, np.ndarray]:
    """Seeded values of x."""
    values = np.random.default_rng(1).standard_normal((batch, WIDTH))
    return {"x": values.astype(np.float32)}
