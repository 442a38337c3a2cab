"""Nodes that are to stay in float do so, whatever the method."""

from dataclasses import replace
from pathlib import Path

import numpy as np
import onnx
import pytest
from onnx import TensorProto, helper, numpy_helper

from tests.quantize import foreign
from tests.quantize.foreign import WIDTH, rows
from tests.quantize.graphs import normalized, ragged
from tests.quantize.packages import write_graph
from toolkit.errors import ToolkitError
from toolkit.npz import write_npz
from toolkit.quantize import SearchOptions, methods, quantize
from toolkit.quantize.calibration import Calibration
from toolkit.quantize.context import Context, Method
from toolkit.quantize.keeping import not_kept
from toolkit.quantize.methods import LANGUAGE_METHODS, METHODS
from toolkit.quantize.naming import with_names
from toolkit.tasks import Item
from toolkit.tensors import Array, TensorSpec

KEEPING = [m for m in {m.name: m for m in (*METHODS, *LANGUAGE_METHODS)}.values() if m.keeps_nodes]


def tokens() -> Calibration:
    """Token ids for `write_graph`."""
    rng = np.random.default_rng(0)
    items: tuple[Item, ...] = tuple(rng.integers(0, 200, 5) for _ in range(16))

    def encode(batch: object) -> dict[str, Array]:
        return {"input_ids": np.stack([*batch])}  # type: ignore[misc]  # arrays here

    return Calibration(
        items=items,
        encode=encode,
        inputs=(TensorSpec(name="input_ids", dtype="int64", shape=("batch", "sequence")),),
        origin="a test",
        sha256="0" * 64,
        seed=0,
    )


@pytest.mark.parametrize("kept", ["first", "second"])
@pytest.mark.parametrize("method", KEEPING, ids=lambda method: method.name)
def test_every_method_keeps_a_product(method: Method, kept: str, tmp_path: Path) -> None:
    model, target = normalized(tmp_path / "float.onnx"), tmp_path / "quantized.onnx"
    context = Context(calibration=ragged(), keep=frozenset({kept}))
    before = {t.name: numpy_helper.to_array(t) for t in onnx.load(model).graph.initializer}
    if not method.apply(model, target, context):
        assert method.name.endswith("-smooth")  # nothing else is behind a normalization
        assert kept == "first"
        return
    assert not_kept(model, target, [kept]) == ()
    graph = onnx.load(target).graph
    stored = {t.name: numpy_helper.to_array(t) for t in graph.initializer}
    products = [n for n in graph.node if n.op_type == "MatMul" and n.input[1] in stored]
    weight = before["a" if kept == "first" else "b"]
    (product,) = [n for n in products if np.array_equal(stored[n.input[1]], weight)]
    assert product.domain == ""
    assert stored[product.input[1]].dtype == np.float32
    free = Context(calibration=ragged())
    assert method.apply(model, target, free) > 0
    assert not_kept(model, target, [kept]) == (kept,)  # else the check sees nothing


@pytest.mark.parametrize("kept", ["Gather_0", "MatMul_2", "Gemm_4"])
@pytest.mark.parametrize("method", KEEPING, ids=lambda method: method.name)
def test_every_method_keeps_a_table_and_a_gemm(method: Method, kept: str, tmp_path: Path) -> None:
    write_graph(tmp_path / "float.onnx", width=64)
    model, target = with_names(tmp_path / "float.onnx", tmp_path / "n.onnx"), tmp_path / "q.onnx"
    if method.apply(model, target, Context(calibration=tokens(), keep=frozenset({kept}))):
        assert not_kept(model, target, [kept]) == ()
    else:
        assert "-smooth" in method.name  # of which this graph has nothing


@pytest.mark.parametrize(
    "method", [m for m in KEEPING if not m.needs_data], ids=lambda method: method.name
)
def test_methods_keep_a_recurrent_layer_and_a_convolution(method: Method, tmp_path: Path) -> None:
    model, target = layers(tmp_path / "float.onnx"), tmp_path / "quantized.onnx"
    for kept in ("lstm", "conv"):
        assert method.apply(model, target, Context(keep=frozenset({kept}))) > 0
        assert not_kept(model, target, [kept]) == ()


def layers(file: Path) -> Path:
    """Write y = LSTM(Conv(x)) @ w, float32[batch, 8, 64] to float32[64, 1, batch, 128]."""
    rng = np.random.default_rng(0)

    def weight(name: str, *shape: int) -> TensorProto:
        return numpy_helper.from_array(rng.normal(size=shape).astype(np.float32), name)

    graph = helper.make_graph(
        [
            helper.make_node("Conv", ["x", "k"], ["c"], name="conv", pads=[1, 1]),
            helper.make_node("Transpose", ["c"], ["t"], name="turn", perm=[2, 0, 1]),
            helper.make_node("LSTM", ["t", "w", "r"], ["h"], name="lstm", hidden_size=32),
            helper.make_node("MatMul", ["h", "m"], ["y"], name="last"),
        ],
        "layers",
        [helper.make_tensor_value_info("x", TensorProto.FLOAT, ["batch", 8, WIDTH])],
        [helper.make_tensor_value_info("y", TensorProto.FLOAT, [WIDTH, 1, "batch", 128])],
        [
            weight("k", 64, 8, 3),
            weight("w", 1, 128, 64),
            weight("r", 1, 128, 32),
            weight("m", 32, 128),
        ],
    )
    opsets = [helper.make_opsetid("", 20)]
    onnx.save(helper.make_model(graph, ir_version=10, opset_imports=opsets), file)
    return file


def test_a_method_that_keeps_nothing_is_a_bug(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    weights = next(method for method in METHODS if method.name == "weight-only")

    def deaf(model: Path, target: Path, context: Context) -> int:
        return weights.apply(model, target, Context())

    monkeypatch.setattr(methods, "METHODS", (replace(weights, name="deaf", apply=deaf),))
    model = foreign.oddly_named(tmp_path / "model.onnx")
    (tmp_path / "data.npz").write_bytes(write_npz({"in/x:0": rows()}))
    with pytest.raises(AssertionError, match="deaf was to leave a/b:0 in float") as raised:
        quantize(
            model,
            tmp_path / "data.npz",
            output=tmp_path / "out.onnx",
            search=SearchOptions(keep=["a/b:0"]),
        )
    assert not isinstance(raised.value, ToolkitError)
    assert not (tmp_path / "out.onnx").exists()
