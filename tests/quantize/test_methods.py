"""Every method on small graphs: what it changes, how close it stays, and what it keeps."""

from pathlib import Path

import numpy as np
import onnx
import pytest

from tests.builders import relu
from tests.quantize.graphs import convolution, images, noise, normalized, ragged
from toolkit.errors import InputError
from toolkit.quantize.blocks import blocks
from toolkit.quantize.context import Context, Method, QuantizerError, contained
from toolkit.quantize.half import quantize_half
from toolkit.quantize.methods import LANGUAGE_METHODS, METHODS, suitable
from toolkit.quantize.naming import check_nodes, with_names
from toolkit.quantize.static import static
from toolkit.tasks import TaskSpec

TEXTS = TaskSpec(name="text-classification", labels=("no", "yes"))


def named(name: str) -> Method:
    return next(method for method in METHODS if method.name == name)


@pytest.mark.parametrize("name", ["dynamic", "dynamic-tensor", "blocks8", "weight-only", "fp16"])
def test_a_method_without_data_stays_close(tmp_path: Path, name: str) -> None:
    model = normalized(tmp_path / "float.onnx", wide=1.0)
    target = tmp_path / "quantized.onnx"
    assert named(name).apply(model, target, Context()) > 0
    (feeds,) = [dict(one) for one in ragged(4).feeds()]
    assert 0 < noise(model, target, feeds) < 0.02
    assert target.stat().st_size < 0.65 * model.stat().st_size


@pytest.mark.parametrize("ranges", ["minmax", "percentile", "entropy"])
@pytest.mark.parametrize("symmetric", [False, True])
def test_static_ranges_of_ragged_batches_stay_close(
    tmp_path: Path, ranges: str, symmetric: bool
) -> None:
    model = normalized(tmp_path / "float.onnx", wide=1.0)
    target = tmp_path / "quantized.onnx"
    calibration = ragged(30)
    shapes = {feeds["x"].shape for feeds in calibration.feeds()}
    assert len(shapes) > 1  # else this tests nothing
    apply = static(ranges, symmetric=symmetric)  # type: ignore[arg-type]  # a name of the list
    assert apply(model, target, Context(calibration=calibration)) == 2
    feeds = dict(next(ragged(8, seed=5).feeds()))
    assert noise(model, target, feeds) < 0.05


def test_activations_of_16_bits_are_closer_than_those_of_8(tmp_path: Path) -> None:
    model = normalized(tmp_path / "float.onnx")
    context = Context(calibration=ragged(30))
    feeds = dict(next(ragged(8, seed=5).feeds()))
    found = []
    for bits in (8, 16):
        target = tmp_path / f"{bits}.onnx"
        assert static("minmax", bits=bits)(model, target, context) == 2
        found.append(noise(model, target, feeds))
    assert found[1] < 0.7 * found[0]


def test_scales_that_were_migrated_make_a_static_graph_closer(tmp_path: Path) -> None:
    model = normalized(tmp_path / "float.onnx")
    context = Context(calibration=ragged(30))
    feeds = dict(next(ragged(8, seed=5).feeds()))
    found = []
    for smooth in (False, True):
        target = tmp_path / f"{smooth}.onnx"
        assert static("minmax", smooth=smooth)(model, target, context) == 2
        found.append(noise(model, target, feeds))
    assert found[1] < 0.7 * found[0]


def test_a_convolution_and_what_follows_become_integers(tmp_path: Path) -> None:
    model = convolution(tmp_path / "float.onnx")
    target = tmp_path / "quantized.onnx"
    assert static("minmax")(model, target, Context(calibration=images())) == 1
    (feeds,) = [dict(one) for one in images(8).feeds()]
    assert noise(model, target, feeds) < 0.02


@pytest.mark.parametrize(
    "name",
    ["dynamic", "weight-only", "blocks8", "blocks4-hqq", "static-minmax", "static-minmax-smooth"],
)
def test_a_kept_node_stays_in_float(tmp_path: Path, name: str) -> None:
    model = normalized(tmp_path / "float.onnx")
    target = tmp_path / "quantized.onnx"
    context = Context(calibration=ragged(), keep=frozenset({"second"}))
    assert named(name).apply(model, target, context) > 0
    graph = onnx.load(target).graph
    (kept,) = [node for node in graph.node if node.name == "second"]
    stored = {tensor.name: tensor for tensor in graph.initializer}
    assert kept.op_type == "MatMul"
    assert stored[kept.input[1]].data_type == onnx.TensorProto.FLOAT
    assert all(node.name != "first" or node.input[1] not in stored for node in graph.node)


def test_gptq_is_closer_than_rounding(tmp_path: Path) -> None:
    model = normalized(tmp_path / "float.onnx")
    context = Context(calibration=ragged(60))
    feeds = dict(next(ragged(8, seed=5).feeds()))
    found = []
    for rounding in ("rtn", "gptq"):
        target = tmp_path / f"{rounding}.onnx"
        assert blocks(4, rounding)(model, target, context) == 2
        found.append(noise(model, target, feeds))
    assert found[1] < found[0] < 0.3


def test_a_graph_without_products_is_left_alone(tmp_path: Path) -> None:
    relu(tmp_path / "relu.onnx")
    for name in ("static-minmax", "static-minmax-smooth", "blocks8", "weight-only"):
        context = Context(calibration=ragged())
        assert named(name).apply(tmp_path / "relu.onnx", tmp_path / "target.onnx", context) == 0


def test_a_method_that_needs_data_says_so(tmp_path: Path) -> None:
    model = normalized(tmp_path / "float.onnx")
    with pytest.raises(QuantizerError, match="needs calibration data"):
        named("static-minmax").apply(model, tmp_path / "target.onnx", Context())


def test_float16_keeps_no_single_node(tmp_path: Path) -> None:
    model = normalized(tmp_path / "float.onnx")
    with pytest.raises(QuantizerError, match="no single node"):
        quantize_half(model, tmp_path / "target.onnx", Context(keep=frozenset({"first"})))


def test_methods_come_from_the_cheapest_on() -> None:
    chosen = suitable(TEXTS)
    assert [method.rank for method in chosen] == sorted(method.rank for method in chosen)
    assert chosen[0].name == "rowwise"
    assert [method.name for method in suitable(TEXTS, ["fp16", "dynamic"])] == ["dynamic", "fp16"]
    names = [method.name for method in METHODS]
    assert len({*names}) == len(names)


def test_a_language_model_has_methods_of_its_own() -> None:
    task = TaskSpec(name="text-generation")
    assert [method.name for method in suitable(task)] == ["blockwise", "blocks8"]
    assert {method.name for method in LANGUAGE_METHODS} >= {"blocks4-gptq"}
    with pytest.raises(InputError, match="'rowwise'"):
        suitable(task, ["rowwise"])


def test_what_a_library_raises_is_a_quantizers_failure() -> None:
    with pytest.raises(QuantizerError, match="the first line"), contained():
        raise KeyError("the first line")
    with pytest.raises(OSError, match="No space"), contained():
        raise OSError(28, "No space left on device")
    with pytest.raises(QuantizerError, match="it needs nothing"), contained():
        raise ImportError("no", name="nothing")


def test_nodes_without_a_name_get_one(tmp_path: Path) -> None:
    model = normalized(tmp_path / "float.onnx")
    assert with_names(model, tmp_path / "named.onnx") == model
    proto = onnx.load(model)
    for node in proto.graph.node:
        node.name = "MatMul_2" if node.name == "first" else ""
    onnx.save(proto, model)
    found = onnx.load(with_names(model, tmp_path / "named.onnx"))
    names = [node.name for node in found.graph.node]
    assert names == ["LayerNormalization_0", "MatMul_2", "MatMul_2_", "Add_3"]


def test_a_node_that_is_not_there_cannot_be_kept(tmp_path: Path) -> None:
    model = normalized(tmp_path / "float.onnx")
    check_nodes(model, ["first"])
    with pytest.raises(InputError) as refused:
        check_nodes(model, ["frist"])
    assert "'frist'" in refused.value.problem
    assert "first" in refused.value.expected


def test_quantizing_says_nothing_on_stdout(
    tmp_path: Path, capfd: pytest.CaptureFixture[str]
) -> None:
    model = normalized(tmp_path / "float.onnx")
    context = Context(calibration=ragged())
    for name in ("static-entropy", "blocks4-gptq", "blocks4-hqq", "dynamic"):
        named(name).apply(model, tmp_path / "target.onnx", context)
    assert capfd.readouterr().out == ""
    assert np.isfinite(noise(model, tmp_path / "target.onnx", dict(next(ragged(3).feeds()))))
