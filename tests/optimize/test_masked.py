"""Attention with a mask, written out again."""

from pathlib import Path

import numpy as np
import onnx_ir as ir
import pytest

from tests.optimize.graphs import Layer, feeds, operators, run
from toolkit.optimize import (
    fuse_attention,
    remove_nan_guards,
    select_rows_early,
    split_masked_attention,
)

PARTS = {"Reshape", "Transpose", "FusedMatMul", "Softmax"}


def fused(layer: Layer, folder: Path) -> ir.Model:
    model = layer.load(folder)
    remove_nan_guards(model)
    assert fuse_attention(model) == 1
    return model


def answers_stay(layer: Layer, model: ir.Model, folder: Path) -> None:
    for shape in ((3, 6), (1, 1), (2, 20)):
        before = run(layer.write(folder / "a.onnx"), folder, feeds(*shape))["y"]
        after = run(model, folder, feeds(*shape))["y"]
        np.testing.assert_allclose(before, after, rtol=0, atol=2e-6)


@pytest.mark.parametrize("early", [False, True])
def test_masked_attention_is_written_out_and_the_answers_stay(tmp_path: Path, early: bool) -> None:
    layer = Layer()
    model = fused(layer, tmp_path)
    assert not early or select_rows_early(model)
    assert split_masked_attention(model) == 1
    assert operators(model).count("MultiHeadAttention") == 0
    assert {*operators(model)} >= PARTS
    answers_stay(layer, model, tmp_path)
    assert split_masked_attention(model) == fuse_attention(model) == 0


def test_attention_without_a_mask_stays_one_node(tmp_path: Path) -> None:
    layer = Layer()
    layer.add("Softmax", ["scaled"], "p", axis=-1)
    model = fused(layer, tmp_path)
    assert split_masked_attention(model) == 0
    assert operators(model).count("MultiHeadAttention") == 1
