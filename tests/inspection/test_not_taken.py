"""What providers leave although each operator is on their lists."""

from pathlib import Path
from typing import Any

import pytest

pytest.importorskip("onnx", reason="onnx, of the extra export, is missing")

import onnx
from onnx import TensorProto, helper

from tests.inspection import graphs
from toolkit.inspection.coverage import Prediction, predict

FLOAT = TensorProto.FLOAT
SHAPED = ("nnapi", "coreml NeuralNetwork", "coreml MLProgram", "qnn")
NORMALIZED = ("nnapi", "coreml NeuralNetwork", "qnn")


def predicted(file: Path, model: onnx.ModelProto, **saving: Any) -> dict[str, Prediction]:
    onnx.save(model, file, **saving)
    return {one.name: one for one in predict(file)}


def normalization(*outputs: str, shape: graphs.Sizes, **attributes: Any) -> onnx.ModelProto:
    names = ("scale", "bias", "mean", "variance")
    node = helper.make_node("BatchNormalization", ["x", *names], ["y", *outputs], **attributes)
    weights = [graphs.weight(name, 3) for name in names]
    built = graphs.model([node], [("x", FLOAT, shape)], weights=weights)
    built.graph.output.extend(helper.make_tensor_value_info(n, FLOAT, [3]) for n in outputs)
    return built


def test_a_normalization_in_training_mode(tmp_path: Path) -> None:
    model = normalization("m", "v", shape=[1, 3, 4, 4], training_mode=1)
    found = predicted(tmp_path / "train.onnx", model)
    for name in NORMALIZED:
        assert found[name].taken == 0
        assert found[name].breaks[0].reason == "is in training mode"


def test_a_normalization_of_three_dimensions_is_left_by_neural_network_alone(
    tmp_path: Path,
) -> None:
    found = predicted(tmp_path / "flat.onnx", normalization(shape=[1, 3, 4]))
    assert [found[name].taken for name in NORMALIZED] == [1, 0, 1]
    square = predicted(tmp_path / "square.onnx", normalization(shape=[1, 3, 4, 4]))
    assert [square[name].taken for name in NORMALIZED] == [1, 1, 1]


@pytest.mark.parametrize("is_external", [True, False])
def test_weights_in_another_file(tmp_path: Path, is_external: bool) -> None:
    fed = [("x", FLOAT, [1, 3, 8, 8])]
    model = graphs.model(
        [graphs.node("Conv", "x", "w")], fed, weights=[graphs.weight("w", 64, 3, 3, 3)]
    )
    saving = {"save_as_external_data": True, "location": "w.data"} if is_external else {}
    found = predicted(tmp_path / "conv.onnx", model, **saving)
    for name in ("nnapi", "coreml NeuralNetwork", "coreml MLProgram"):
        assert found[name].taken == (0 if is_external else 1)
    assert found["qnn"].taken == 1
    assert ("another file" in str(found["nnapi"].breaks)) == is_external


def test_inputs_without_a_shape(tmp_path: Path) -> None:
    nodes = [helper.make_node("Relu", ["x"], ["h"]), graphs.node("Sigmoid", "h")]
    model = graphs.model(nodes, [("x", FLOAT, [1])])
    model.graph.input[0].type.tensor_type.ClearField("shape")
    found = predicted(tmp_path / "norank.onnx", model)
    for name in SHAPED:
        assert (found[name].taken, found[name].unknown) == (0, 0)
        assert "shape is not known" in found[name].breaks[0].reason


def test_dimensions_of_size_0(tmp_path: Path) -> None:
    model = graphs.model([graphs.node("Relu", "x")], [("x", FLOAT, [0, 4])])
    found = predicted(tmp_path / "empty.onnx", model)
    for name in SHAPED:
        assert found[name].taken == 0
        assert "empty" in found[name].breaks[0].reason


@pytest.mark.parametrize("opset", [5, 99])
def test_an_opset_that_is_not_loaded(tmp_path: Path, opset: int) -> None:
    model = graphs.model([graphs.node("Relu", "x")], [("x", FLOAT, [1, 4])], opset=opset)
    for found in predicted(tmp_path / "opset.onnx", model).values():
        assert found.taken == 0
        assert f"opset {opset}" in found.breaks[0].reason


@pytest.mark.parametrize("source", ["QNNExecutionProvider", "OpenVINOExecutionProvider", ""])
def test_a_compiled_graph_is_for_the_provider_that_compiled_it(tmp_path: Path, source: str) -> None:
    node = graphs.node("EPContext", "x", domain="com.microsoft", embed_mode=1, source=source)
    model = graphs.model([node], [("x", FLOAT, [1, 4])])
    model.opset_import.append(helper.make_opsetid("com.microsoft", 1))
    found = predicted(tmp_path / "compiled.onnx", model)
    own = source.removesuffix("ExecutionProvider").lower()
    assert [name for name, one in found.items() if one.predicted == 1.0] == ([own] if own else [])
    assert (source or "does not name") in found["nnapi"].breaks[0].reason


def test_casts_that_the_cpu_alone_needs_are_not_predicted_on(tmp_path: Path) -> None:
    fed: list[graphs.Fed] = [("x", TensorProto.FLOAT16, ["batch", 3, 8, 8])]
    weights = [graphs.weight("w", 4, 3, 3, 3, dtype="float16")]
    nodes = [helper.make_node("Conv", ["x", "w"], ["h"]), graphs.node("Relu", "h")]
    half = (TensorProto.FLOAT16, None)
    file = tmp_path / "half.onnx"
    onnx.save(graphs.model(nodes, fed, weights=weights, output=half), file)
    found = {one.name: one for one in predict(file, {"batch": 2})}
    assert {one.nodes for one in found.values()} == {2}
    assert found["qnn"].predicted == found["coreml MLProgram"].predicted == 1.0
    assert found["nnapi"].breaks[0].reason == "input 0 is float16"
