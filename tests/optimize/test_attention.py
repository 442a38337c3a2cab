"""Attention as one node: what is recognized, and what is left alone."""

from collections.abc import Callable
from pathlib import Path

import numpy as np
import pytest

from tests.optimize.graphs import HEADS, SIZE, WIDTH, Layer, feeds, operators, run
from toolkit.optimize import fuse_attention, remove_nan_guards


def close(layer: Layer, folder: Path) -> None:
    """One attention is found, and every answer stays."""
    before = run(layer.write(folder / "a.onnx"), folder, feeds())["y"]
    model = layer.load(folder)
    remove_nan_guards(model)
    assert fuse_attention(model) == 1
    found = operators(model)
    assert found.count("MultiHeadAttention") == 1
    assert not {"Softmax", "Transpose", "Reshape"} & {*found}
    after = run(model, folder, feeds())["y"]
    np.testing.assert_allclose(before, after, rtol=0, atol=2e-6)
    alone = {name: value[1:2] for name, value in feeds().items()}
    np.testing.assert_allclose(run(model, folder, alone)["y"], after[1:2], rtol=0, atol=2e-6)


def test_the_answers_stay(tmp_path: Path) -> None:
    close(Layer(), tmp_path)


def test_without_a_mask(tmp_path: Path) -> None:
    layer = Layer()
    layer.add("Softmax", ["scaled"], "p", axis=-1)
    close(layer, tmp_path)


def test_queries_that_may_attend_to_nothing_stay_zero(tmp_path: Path) -> None:
    layer = Layer(guard=False)
    layer.constants["across"] = np.array([1, 3], np.int64)
    layer.add("Unsqueeze", ["keep", "across"], "row4")  # a padded query attends to nothing
    layer.add("Not", ["row4"], "unattended")
    layer.add("Where", ["unattended", "zero", "mixed"], "masked")
    layer.add("Transpose", ["masked"], "back", perm=[0, 2, 1, 3])
    order = [name for name in layer.nodes if name not in {"row4", "unattended", "masked"}]
    place = order.index("mixed") + 1
    order[place:place] = ["row4", "unattended", "masked"]
    layer.nodes = {name: layer.nodes[name] for name in order}
    layer.add("Gather", ["sum", "token"], "y", axis=1)
    layer.constants["token"] = np.array(5, np.int64)  # padded in rows 1 and 2
    before = run(layer.write(tmp_path / "a.onnx"), tmp_path, feeds())["y"]
    np.testing.assert_array_equal(before[1], feeds()["x"][1, 5])  # attention added zeros
    close(layer, tmp_path)


def test_the_scale_may_be_divided_by_or_split(tmp_path: Path) -> None:
    layer = Layer()
    layer.constants["divisor"] = np.array(SIZE**0.5, np.float32)
    layer.add("Div", ["product", "divisor"], "scaled")
    close(layer, tmp_path)
    layer = Layer()
    layer.constants["scale"] = np.array(SIZE**-0.25, np.float32)
    for part in "qk":
        layer.add("Mul", [f"{part}t", "scale"], f"{part}s")
    layer.add("MatMul", ["qs", "ks"], "product")
    del layer.nodes["scaled"]
    layer.add("Add", ["product", "mask"], "scores")
    order = [*layer.nodes]
    for name in ("qs", "ks"):
        order.insert(order.index("product"), order.pop(order.index(name)))
    layer.nodes = {name: layer.nodes[name] for name in order}
    close(layer, tmp_path)


def test_the_scale_may_be_computed_from_a_shape(tmp_path: Path) -> None:
    layer = Layer()
    layer.constants |= {"last": np.array([-1]), "end": np.array([np.iinfo(np.int64).max])}
    computed = ("shape", "size", "float", "root", "scaled")
    layer.add("Shape", ["qt"], "shape")
    layer.add("Slice", ["shape", "last", "end"], "size")
    layer.add("Cast", ["size"], "float", to=1)
    layer.add("Sqrt", ["float"], "root")
    layer.add("Div", ["product", "root"], "scaled")
    order = [name for name in layer.nodes if name not in computed]
    order[order.index("scores") : order.index("scores")] = computed
    layer.nodes = {name: layer.nodes[name] for name in order}
    close(layer, tmp_path)


def another_reader(layer: Layer) -> None:
    layer.add("Gather", ["normal", "token"], "first", axis=1)
    layer.add("ReduceSum", ["scores"], "total", keepdims=0)
    layer.add("Add", ["first", "total"], "y")


def a_scale_that_is_fed(layer: Layer) -> None:
    layer.add("ReduceMax", ["x"], "peak", keepdims=0)
    layer.add("Mul", ["product", "peak"], "scaled")
    order = [*layer.nodes]
    order.insert(0, order.pop())
    layer.nodes = {name: layer.nodes[name] for name in order}


def a_negative_scale(layer: Layer) -> None:
    layer.constants["scale"] = np.array(-1, np.float32)


def another_axis(layer: Layer) -> None:
    layer.add("Softmax", ["scores"], "p", axis=2)


def unlike_heads(layer: Layer) -> None:
    layer.constants["other"] = np.array([0, 0, HEADS // 2, SIZE * 2], np.int64)
    layer.constants["wide"] = np.array([0, 0, WIDTH], np.int64)
    layer.add("Reshape", ["v", "other"], "v4")
    layer.constants["ones"] = np.ones((1, HEADS // 2, 1, 1), np.float32)
    for part in "qk":
        layer.add("Reshape", [part, "other"], f"{part}4")
    layer.constants["join"] = np.array([0, -1, WIDTH // 2], np.int64)
    layer.constants["wo"] = layer.constants["wo"][: WIDTH // 2]


def heads_that_are_not_put_back(layer: Layer) -> None:
    layer.add("Transpose", ["mixed"], "back", perm=[0, 1, 2, 3])


def a_key_that_is_not_turned(layer: Layer) -> None:
    layer.add("Transpose", ["k4"], "kt", perm=[0, 2, 1, 3])
    layer.add("MatMul", ["kt", "qt"], "product")


@pytest.mark.parametrize(
    "change",
    [
        another_reader,
        a_scale_that_is_fed,
        a_negative_scale,
        another_axis,
        unlike_heads,
        heads_that_are_not_put_back,
        a_key_that_is_not_turned,
    ],
)
def test_what_differs_is_left_alone(tmp_path: Path, change: Callable[[Layer], None]) -> None:
    layer = Layer(guard=False)
    change(layer)
    model = layer.load(tmp_path)
    assert fuse_attention(model) == 0
    assert "com.microsoft" not in model.graph.opset_imports


def test_a_guard_is_no_part_of_the_pattern(tmp_path: Path) -> None:
    assert fuse_attention(Layer(lowest=-np.inf).load(tmp_path)) == 0


def test_values_that_are_outputs_stay(tmp_path: Path) -> None:
    assert fuse_attention(Layer(guard=False).load(tmp_path, outputs=("y", "p"))) == 0
