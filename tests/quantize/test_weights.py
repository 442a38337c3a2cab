"""int8 weights that are computed with in float."""

from pathlib import Path

import numpy as np
import onnx
import pytest
from onnx import TensorProto, helper, numpy_helper

from tests.quantize.packages import WORDS, write_graph
from toolkit.quantize.weights import quantize_weights, symmetric_int8
from toolkit.runtime import SessionOptions, open_session
from toolkit.tensors import Array


def test_the_largest_weight_of_each_channel_becomes_127() -> None:
    values = np.array([[1.0, -2.0], [0.5, 0.25]], np.float32)
    quantized, scale = symmetric_int8(values, (1,))
    assert quantized.tolist() == [[64, -127], [127, 64]]
    assert scale == pytest.approx([2 / 127, 0.5 / 127])


def test_a_channel_of_zeros_stays_zero() -> None:
    quantized, scale = symmetric_int8(np.zeros((2, 3), np.float32), (1,))
    assert not quantized.any()
    assert (scale > 0).all()


def test_tables_and_matrices_become_int8_and_answers_stay_close(tmp_path: Path) -> None:
    write_graph(tmp_path / "float.onnx")
    assert quantize_weights(tmp_path / "float.onnx", tmp_path / "int8.onnx") == 3
    model = onnx.load(tmp_path / "int8.onnx")
    large = [t for t in model.graph.initializer if np.prod(t.dims) >= 2048]
    assert {t.data_type for t in large} == {TensorProto.INT8}
    ids = np.arange(len(WORDS)).reshape(20, 10)
    before, after = (
        open_session(tmp_path / name, SessionOptions()).run({"input_ids": ids})["logits"]
        for name in ("float.onnx", "int8.onnx")
    )
    assert np.abs(before - after).max() < 0.02 * np.abs(before).max()


def look_up(path: Path, table: Array, other: Array) -> None:
    """A model of one row of a table, beside a matrix that makes up the rest of the file."""
    nodes = [
        helper.make_node("Gather", ["table", "ids"], ["row"], name="look_up"),
        helper.make_node("MatMul", ["row", "matrix"], ["product"], name="product"),
    ]
    graph = helper.make_graph(
        nodes,
        "net",
        [helper.make_tensor_value_info("ids", TensorProto.INT64, ["batch"])],
        [
            helper.make_tensor_value_info("row", TensorProto.FLOAT, ["batch", table.shape[1]]),
            helper.make_tensor_value_info("product", TensorProto.FLOAT, ["batch", other.shape[1]]),
        ],
        [numpy_helper.from_array(table, "table"), numpy_helper.from_array(other, "matrix")],
    )
    opsets = [helper.make_opsetid("", 20)]
    onnx.save(helper.make_model(graph, ir_version=10, opset_imports=opsets), path)


def rows_of(path: Path, count: int) -> Array:
    session = open_session(path, SessionOptions(threads=1))
    return session.run({"ids": np.arange(count)})["row"]


def test_a_wide_column_of_a_table_does_not_coarsen_the_others(tmp_path: Path) -> None:
    table = np.random.default_rng(0).standard_normal((50, 64)).astype(np.float32)
    table[:, 3] *= 20
    look_up(tmp_path / "float.onnx", table, np.eye(64, dtype=np.float32))
    assert quantize_weights(tmp_path / "float.onnx", tmp_path / "int8.onnx") == 2
    error = np.abs(rows_of(tmp_path / "int8.onnx", 50) - table)
    widths = np.abs(table).max(axis=0)
    assert (error <= widths / 127 / 2 * 1.01).all()  # half a step of the column's own


def test_a_table_that_hardly_weighs_stays_float(tmp_path: Path) -> None:
    rng = np.random.default_rng(0)
    table = rng.standard_normal((20, 64)).astype(np.float32)
    look_up(tmp_path / "float.onnx", table, rng.standard_normal((64, 4096)).astype(np.float32))
    assert quantize_weights(tmp_path / "float.onnx", tmp_path / "int8.onnx") == 1
    assert np.array_equal(rows_of(tmp_path / "int8.onnx", 20), table)


def recurrent(kind: str, directions: int) -> onnx.ModelProto:
    gates = {"LSTM": 4, "GRU": 3, "RNN": 1}[kind]
    rng = np.random.default_rng(0)

    def weight(name: str, *shape: int) -> onnx.TensorProto:
        return numpy_helper.from_array(rng.standard_normal(shape).astype(np.float32) / 8, name)

    node = helper.make_node(
        kind,
        ["x", "w", "r", "b"],
        ["y"],
        hidden_size=32,
        direction="forward" if directions == 1 else "bidirectional",
    )
    graph = helper.make_graph(
        [node],
        "recurrent",
        [helper.make_tensor_value_info("x", TensorProto.FLOAT, ["time", "batch", 40])],
        [helper.make_tensor_value_info("y", TensorProto.FLOAT, ["time", directions, "batch", 32])],
        [
            weight("w", directions, gates * 32, 40),
            weight("r", directions, gates * 32, 32),
            weight("b", directions, 2 * gates * 32),
        ],
    )
    return helper.make_model(graph, ir_version=10, opset_imports=[helper.make_opsetid("", 20)])


@pytest.mark.parametrize("directions", [1, 2])
@pytest.mark.parametrize("kind", ["LSTM", "GRU", "RNN"])
def test_recurrent_weights_are_quantized_by_gate(
    tmp_path: Path, kind: str, directions: int
) -> None:
    onnx.save(recurrent(kind, directions), tmp_path / "float.onnx")
    assert quantize_weights(tmp_path / "float.onnx", tmp_path / "int8.onnx") == 2
    feeds = {"x": np.random.default_rng(1).standard_normal((7, 3, 40)).astype(np.float32)}
    before, after = (
        open_session(tmp_path / name, SessionOptions()).run(feeds)["y"]
        for name in ("float.onnx", "int8.onnx")
    )
    assert np.abs(before - after).max() < 0.02


@pytest.mark.parametrize("folded", [False, True])
def test_a_weight_that_both_branches_of_an_if_read_is_stored_once(
    folded: bool, tmp_path: Path
) -> None:
    values = np.random.default_rng(0).normal(size=(64, 64)).astype(np.float32)
    weight = numpy_helper.from_array(values, "w")
    branch = helper.make_graph(
        [helper.make_node("MatMul", ["x", "w"], ["inner"])],
        "branch",
        [],
        [helper.make_tensor_value_info("inner", TensorProto.FLOAT, ["batch", 64])],
    )
    node = helper.make_node("If", ["which"], ["y"], then_branch=branch, else_branch=branch)
    graph = helper.make_graph(
        [node],
        "conditional",
        [
            helper.make_tensor_value_info("x", TensorProto.FLOAT, ["batch", 64]),
            helper.make_tensor_value_info("which", TensorProto.BOOL, []),
        ],
        [helper.make_tensor_value_info("y", TensorProto.FLOAT, ["batch", 64])],
        [weight],
    )
    model = helper.make_model(graph, ir_version=10, opset_imports=[helper.make_opsetid("", 20)])
    onnx.save(model, tmp_path / "float.onnx")
    target = tmp_path / "int8.onnx"
    assert quantize_weights(tmp_path / "float.onnx", target, folded=folded) == 1
    stored = onnx.load(target).graph.initializer
    assert sorted(t.data_type for t in stored) == [TensorProto.FLOAT, TensorProto.INT8]
    rows = np.random.default_rng(1).normal(size=(3, 64)).astype(np.float32)
    before, after = (
        [
            open_session(file, SessionOptions()).run({"x": rows, "which": np.array(which)})["y"]
            for which in (True, False)
        ]
        for file in (tmp_path / "float.onnx", target)
    )
    assert np.abs(np.stack(before) - np.stack(after)).max() < 0.02 * np.abs(before).max()


def test_weights_are_quantized_the_same_way_twice(tmp_path: Path) -> None:
    write_graph(tmp_path / "float.onnx")
    written: list[bytes] = []
    for _ in range(2):
        quantize_weights(tmp_path / "float.onnx", tmp_path / "int8.onnx")
        written.append((tmp_path / "int8.onnx").read_bytes())
    assert written[0] == written[1]


def test_the_embedding_of_a_text_does_not_depend_on_its_company(tmp_path: Path) -> None:
    write_graph(tmp_path / "float.onnx")
    quantize_weights(tmp_path / "float.onnx", tmp_path / "int8.onnx")
    session = open_session(tmp_path / "int8.onnx", SessionOptions(threads=1))
    ids = np.arange(60).reshape(6, 10)

    def logits(rows: Array) -> Array:
        return session.run({"input_ids": rows})["logits"]

    alone = np.concatenate([logits(ids[i : i + 1]) for i in range(len(ids))])
    assert np.abs(alone - logits(ids)).max() < 1e-6 * 127


def test_a_look_up_that_is_a_graph_output_keeps_its_name_and_shape(tmp_path: Path) -> None:
    table = numpy_helper.from_array(
        np.random.default_rng(0).standard_normal((64, 32)).astype(np.float32), "table"
    )
    graph = helper.make_graph(
        [helper.make_node("Gather", ["table", "ids"], ["vectors"])],
        "look_up",
        [helper.make_tensor_value_info("ids", TensorProto.INT64, ["batch", "sequence"])],
        [helper.make_tensor_value_info("vectors", TensorProto.FLOAT, ["batch", "sequence", 32])],
        [table],
    )
    model = helper.make_model(graph, ir_version=10, opset_imports=[helper.make_opsetid("", 20)])
    onnx.save(model, tmp_path / "float.onnx")
    assert quantize_weights(tmp_path / "float.onnx", tmp_path / "int8.onnx") == 1
    before, after = (
        open_session(tmp_path / name, SessionOptions()) for name in ("float.onnx", "int8.onnx")
    )
    assert before.outputs == after.outputs
    ids = {"ids": np.arange(64).reshape(4, 16)}
    assert np.abs(before.run(ids)["vectors"] - after.run(ids)["vectors"]).max() < 0.02
