"""What is rewritten before a graph is compiled computes the same."""

from pathlib import Path

import numpy as np
import pytest

from tests.tiny_package import write_tiny_package
from toolkit.compiling.prepared import prepare, without_gather_nd
from toolkit.runtime import SessionOptions, open_session

onnx = pytest.importorskip("onnx", reason="onnx, of the extra export, is missing")


def gather_nd(file: Path, indices: np.ndarray, shape: tuple[int, ...]) -> Path:
    helper, proto = onnx.helper, onnx.TensorProto
    out = [*indices.shape[:-1], *shape[indices.shape[-1] :]]
    graph = onnx.helper.make_graph(
        [helper.make_node("GatherND", ["x", "places"], ["y"], batch_dims=0)],
        "gather",
        [helper.make_tensor_value_info("x", proto.FLOAT, shape)],
        [helper.make_tensor_value_info("y", proto.FLOAT, out)],
        [onnx.numpy_helper.from_array(indices.astype(np.int64), "places")],
    )
    model = helper.make_model(graph, ir_version=10, opset_imports=[helper.make_opsetid("", 20)])
    onnx.checker.check_model(model, full_check=True)
    onnx.save(model, file)
    return file


EVERY = np.stack(np.meshgrid([0, 1], [0, 1, 2], indexing="ij"), axis=-1)


@pytest.mark.parametrize(
    "indices, operators",
    [
        (EVERY, ["Reshape"]),
        (EVERY[:, ::-1], ["Reshape", "Gather"]),
        (np.array([[1, -1], [0, 2], [-2, 0]]), ["Reshape", "Gather"]),
        (np.array([[[1]], [[-1]]]), ["Reshape", "Gather"]),
        (np.array([[1, 2, 3], [0, 0, 0]]), ["Reshape", "Gather"]),
    ],
    ids=["all in order", "another order", "negative", "first axis", "single numbers"],
)
def test_gather_nd_with_constant_indices(
    tmp_path: Path, indices: np.ndarray, operators: list[str]
) -> None:
    file = gather_nd(tmp_path / "gather.onnx", indices, (2, 3, 4))
    model = onnx.load(file)
    assert without_gather_nd(model) == 1
    assert [node.op_type for node in model.graph.node] == operators
    onnx.checker.check_model(model, full_check=True)
    onnx.save(model, tmp_path / "other.onnx")
    feeds = {"x": np.arange(24, dtype=np.float32).reshape(2, 3, 4)}
    before, after = (
        open_session(path, SessionOptions()).run(feeds)["y"]
        for path in (file, tmp_path / "other.onnx")
    )
    np.testing.assert_array_equal(after, before)


def test_indices_that_are_computed_stay(tmp_path: Path) -> None:
    model = onnx.load(gather_nd(tmp_path / "gather.onnx", EVERY, (2, 3, 4)))
    places = model.graph.initializer.pop()
    value = onnx.helper.make_tensor_value_info("places", onnx.TensorProto.INT64, places.dims)
    model.graph.input.append(value)
    assert without_gather_nd(model) == 0
    assert [node.op_type for node in model.graph.node] == ["GatherND"]


def test_the_sizes_stand_in_the_graph_that_is_compiled(tmp_path: Path) -> None:
    package = write_tiny_package(tmp_path / "tiny.ortpackage")
    target = tmp_path / "prepared.onnx"
    prepare(package.variant().model, target, {"batch": 2, "sequence": 3})
    session = open_session(target, SessionOptions())
    assert [spec.shape for spec in session.inputs] == [(2, 3)]
    assert session.run({"input_ids": np.array([[1, 9, 3], [2, 0, 0]])})["logits"].tolist() == [
        [4.0],
        [-3.0],
    ]


def test_it_asks_for_no_operators_that_it_does_not_use(tmp_path: Path) -> None:
    target = tmp_path / "prepared.onnx"
    prepare(write_tiny_package(tmp_path / "tiny.ortpackage").variant().model, target, {"batch": 1})
    assert [(one.domain, one.version) for one in onnx.load(target).opset_import] == [("", 20)]
