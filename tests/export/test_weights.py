"""Weights beside a graph: written behind it, turned, and never lost."""

from pathlib import Path

import numpy as np
import onnx
import onnx_ir as ir
import pytest
from onnx import TensorProto, helper, numpy_helper

from toolkit.export.graph import cleaned
from toolkit.export.weights import Traced, put_back, set_aside, turn_weights, write
from toolkit.runtime import SessionOptions, open_session

WIDTH = 160  # a matrix of it is above the size from which weights are set aside


def model(*, readers: int = 1) -> onnx.ModelProto:
    """A graph of y = x W^T, plus x for each further reader of W."""
    weight = np.random.default_rng(0).standard_normal((WIDTH, WIDTH)).astype(np.float32)
    nodes = [
        helper.make_node("Transpose", ["w"], ["wt"], perm=[1, 0]),
        helper.make_node("MatMul", ["x", "wt"], ["y"]),
    ]
    names = ["y"]
    for number in range(1, readers):
        nodes.append(helper.make_node("MatMul", ["x", "w"], [f"y{number}"]))
        names.append(f"y{number}")
    shape: list[str | int | None] = ["batch", WIDTH]
    graph = helper.make_graph(
        nodes,
        "g",
        [helper.make_tensor_value_info("x", TensorProto.FLOAT, shape)],
        [helper.make_tensor_value_info(name, TensorProto.FLOAT, shape) for name in names],
        [numpy_helper.from_array(weight, "w")],
    )
    opset = helper.make_opsetid("", 20)
    return helper.make_model(graph, opset_imports=[opset], ir_version=10)


def answers(file: Path) -> dict[str, object]:
    session = open_session(file, SessionOptions(threads=1))
    x = np.random.default_rng(1).standard_normal((3, WIDTH)).astype(np.float32)
    return {name: value.tolist() for name, value in session.run({"x": x}).items()}


def test_a_graph_written_with_its_weights_behind_it_is_the_whole_one(tmp_path: Path) -> None:
    whole = model()
    traced = set_aside(ir.from_proto(whole))
    assert set(traced.weights) == {"w"}
    assert not traced.model.graph.initializer
    del traced.model.graph.input[1:]
    write(traced.model, tmp_path / "behind.onnx", traced.weights)
    read = onnx.load(tmp_path / "behind.onnx")
    onnx.checker.check_model(read, full_check=True)
    assert read.SerializeToString(deterministic=True) == put_back(
        set_aside(ir.from_proto(whole))
    ).SerializeToString(deterministic=True)


@pytest.mark.parametrize("readers", [1, 2])
def test_a_weight_is_turned_where_one_transpose_alone_reads_it(
    tmp_path: Path, readers: int
) -> None:
    onnx.save(model(readers=readers), tmp_path / "whole.onnx")
    loaded = ir.load(tmp_path / "whole.onnx")
    assert turn_weights(loaded) == (1 if readers == 1 else 0)
    made: Traced = cleaned(set_aside(ir.load(tmp_path / "whole.onnx")))
    operators = [node.op_type for node in made.model.graph.node]
    assert operators.count("Transpose") == readers - 1
    write(made.model, tmp_path / "turned.onnx", made.weights)
    assert [*answers(tmp_path / "turned.onnx").values()] == [
        pytest.approx(np.array(y), abs=1e-5) for y in answers(tmp_path / "whole.onnx").values()
    ]
