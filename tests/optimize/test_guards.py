"""The guard against NaN behind Softmax."""

from pathlib import Path

import numpy as np
import pytest

from tests.optimize.graphs import Layer, feeds, operators, run
from toolkit.optimize import remove_nan_guards


def test_a_finite_mask_needs_no_guard(tmp_path: Path) -> None:
    layer = Layer()
    model = layer.load(tmp_path)
    assert remove_nan_guards(model) == 1
    assert "IsNaN" not in operators(model)
    before = run(layer.write(tmp_path / "a.onnx"), tmp_path, feeds())["y"]
    np.testing.assert_array_equal(before, run(model, tmp_path, feeds())["y"])


@pytest.mark.parametrize("lowest", [-np.inf, np.nan])
def test_an_infinite_mask_keeps_its_guard(tmp_path: Path, lowest: float) -> None:
    model = Layer(lowest=lowest).load(tmp_path)
    assert remove_nan_guards(model) == 0
    assert "IsNaN" in operators(model)


def test_a_row_that_may_see_nothing_stays_zero(tmp_path: Path) -> None:
    layer = Layer(lowest=-np.inf)
    given = {**feeds(), "keep": np.zeros((3, 6), bool)}
    before = run(layer.write(tmp_path / "a.onnx"), tmp_path, given)["y"]
    model = layer.load(tmp_path)
    remove_nan_guards(model)
    assert np.isfinite(before).all()
    np.testing.assert_array_equal(before, run(model, tmp_path, given)["y"])


def test_a_mask_that_is_computed_keeps_its_guard(tmp_path: Path) -> None:
    layer = Layer()
    layer.add("Where", ["keep4", "zero", "lowest"], "choice")
    layer.nodes["mask"].CopyFrom(layer.nodes.pop("choice"))
    layer.nodes["mask"].output[0] = "mask"
    layer.add("Log", ["mask"], "log")
    order = [*layer.nodes]
    order.insert(order.index("mask") + 1, order.pop())
    layer.nodes = {name: layer.nodes[name] for name in order}
    layer.add("Add", ["scaled", "log"], "scores")
    assert remove_nan_guards(layer.load(tmp_path)) == 0


def test_another_value_than_zero_is_no_guard(tmp_path: Path) -> None:
    layer = Layer()
    layer.add("Where", ["nan", "scale", "p"], "weights")
    assert remove_nan_guards(layer.load(tmp_path)) == 0


def test_a_guard_that_is_an_output_keeps_its_name(tmp_path: Path) -> None:
    model = Layer().load(tmp_path, outputs=("y", "weights"))
    assert remove_nan_guards(model) == 1
    answer = run(model, tmp_path, feeds())
    np.testing.assert_allclose(answer["weights"].sum(-1), 1, rtol=1e-5)
