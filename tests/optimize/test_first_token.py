"""The rows of a last layer that nobody reads."""

from collections.abc import Callable
from pathlib import Path

import numpy as np
import onnx_ir as ir
import pytest

from tests.optimize.graphs import Layer, feeds, run
from toolkit.optimize import fuse_attention, remove_nan_guards, select_rows_early


def fused(layer: Layer, folder: Path, **options: tuple[str, ...]) -> ir.Model:
    model = layer.load(folder, **options)
    remove_nan_guards(model)
    fuse_attention(model)
    return model


def attention(model: ir.Model) -> ir.Node:
    return next(node for node in model.graph if node.op_type == "MultiHeadAttention")


@pytest.mark.parametrize("token", [0, 2, -1])
def test_one_row_gives_the_same_answer(tmp_path: Path, token: int) -> None:
    layer = Layer()
    layer.constants["token"] = np.array(token, np.int64)
    model = fused(layer, tmp_path)
    assert select_rows_early(model) == 5  # MatMul, attention, MatMul, Add, LayerNormalization
    query, key, value = (v.shape for v in attention(model).inputs[:3] if v is not None)
    assert query is not None
    assert key is not None
    assert value is not None
    assert [query[1], key[1] == value[1] != 1] == [1, True]
    before = run(layer.write(tmp_path / "a.onnx"), tmp_path, feeds())["y"]
    np.testing.assert_allclose(before, run(model, tmp_path, feeds())["y"], rtol=0, atol=2e-6)


def an_output_inside(layer: Layer) -> tuple[str, ...]:
    return ("y", "normal")


def another_reader(layer: Layer) -> tuple[str, ...]:
    layer.add("ReduceMean", ["normal", "one"], "mean", keepdims=0)
    layer.constants["one"] = np.array([1])
    return ("y", "mean")


def several_tokens(layer: Layer) -> tuple[str, ...]:
    layer.constants["token"] = np.array([0, 1])
    return ("y",)


def another_axis(layer: Layer) -> tuple[str, ...]:
    layer.add("Gather", ["normal", "token"], "y", axis=0)
    return ("y",)


@pytest.mark.parametrize("change", [an_output_inside, another_reader, several_tokens, another_axis])
def test_rows_that_are_read_are_computed(
    tmp_path: Path, change: Callable[[Layer], tuple[str, ...]]
) -> None:
    layer = Layer()
    outputs = change(layer)
    assert select_rows_early(fused(layer, tmp_path, outputs=outputs)) == 0


def test_a_node_that_mixes_rows_is_not_passed(tmp_path: Path) -> None:
    layer = Layer()
    layer.add("LayerNormalization", ["sum", "gamma2"], "normal", axis=1)
    layer.constants["gamma2"] = np.ones((1, 1), np.float32)
    assert select_rows_early(fused(layer, tmp_path)) == 0


def test_causal_attention_is_not_passed(tmp_path: Path) -> None:
    model = fused(Layer(), tmp_path)
    attention(model).attributes["unidirectional"] = ir.AttrInt64("unidirectional", 1)
    select_rows_early(model)
    query = attention(model).inputs[0]
    assert query is not None
    assert query.shape is not None
    assert query.shape[1] != 1


def test_a_graph_that_was_rewritten_before_attention_was_known(tmp_path: Path) -> None:
    layer = Layer()
    model = layer.load(tmp_path)
    remove_nan_guards(model)
    assert select_rows_early(model) == 3  # MatMul, Add, LayerNormalization
    assert select_rows_early(model) == 0
    assert fuse_attention(model) == 1
    assert select_rows_early(model) == 2  # MatMul, attention
    before = run(layer.write(tmp_path / "a.onnx"), tmp_path, feeds())["y"]
    np.testing.assert_allclose(before, run(model, tmp_path, feeds())["y"], rtol=0, atol=2e-6)


def test_names_stay_unique_over_several_passes(tmp_path: Path) -> None:
    model = Layer().load(tmp_path)
    remove_nan_guards(model)
    for apply in (select_rows_early, fuse_attention, select_rows_early):
        apply(model)
    names = [node.name for node in model.graph if node.name] + [*model.graph.initializers]
    assert len(names) == len({*names})
