"""`toolkit inspect` beside sessions: what it says, at which shapes, and what the simulator does."""

import importlib.util
import json
from pathlib import Path
from typing import Any

import pytest

pytest.importorskip("onnx", reason="onnx, of the extra export, is missing")

import onnx
from onnx import TensorProto, helper

from tests.inspection import graphs
from toolkit.cli.main import main
from toolkit.errors import InputError
from toolkit.inspection import inspect_model
from toolkit.inspection.coverage import predict

WITHOUT_QNN = importlib.util.find_spec("onnxruntime_qnn") is None
PREDICTED = {"nnapi", "coreml", "xnnpack", "qnn", "webgpu", "openvino"}


def saved(file: Path, model: onnx.ModelProto) -> Path:
    onnx.save(model, file)
    return file


@pytest.fixture
def symbolic(tmp_path: Path) -> Path:
    return saved(tmp_path / "conv.onnx", graphs.conv_of_symbolic_batch())


def test_symbolic_shapes_and_what_to_type(symbolic: Path) -> None:
    found = {one.name: one for one in predict(symbolic)}
    for name in ("nnapi", "qnn"):
        assert found[name].predicted == 0.0
        assert found[name].changes == ("fix the sizes: --fix-shapes batch=1",)
    assert found["openvino"].predicted == 1.0


def test_fixed_shapes_are_what_is_predicted_at(symbolic: Path) -> None:
    found = {one.name: one for one in predict(symbolic, {"batch": 2})}
    assert found["nnapi"].predicted == found["qnn"].predicted == 1.0
    assert found["nnapi"].predicted_work == 1.0
    assert {one.unknown for one in found.values()} == {0}
    assert found["nnapi"].changes == ()


def test_a_dimension_that_is_not_there_is_an_error(symbolic: Path) -> None:
    with pytest.raises(InputError) as caught:
        inspect_model(symbolic, fix_shapes={"sequence": 3})
    assert "'sequence'" in caught.value.problem
    assert "batch" in caught.value.expected


@pytest.mark.parametrize(
    "typed, code", [("seq=3", 3), ("batch=0", 3), ("batch", 2), ("batch=x", 2)]
)
def test_bad_sizes_end_the_command(symbolic: Path, typed: str, code: int) -> None:
    assert main(["inspect", str(symbolic), "--fix-shapes", typed]) == code


def test_the_document_keeps_placed_and_predicted_apart(
    symbolic: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    assert main(["inspect", str(symbolic), "--fix-shapes", "batch=1", "--json"]) == 0
    providers = json.loads(capsys.readouterr().out)["providers"]
    assert set(providers) >= PREDICTED | {"cpu"}
    assert providers["cpu"]["placed"] == 1.0
    assert providers["cpu"]["predictions"] == []
    assert providers["nnapi"]["placed"] is None
    assert providers["nnapi"]["predictions"][0]["predicted"] == 1.0
    formats = [one["model_format"] for one in providers["coreml"]["predictions"]]
    assert formats == ["NeuralNetwork", "MLProgram"]
    for one in (p for entry in providers.values() for p in entry["predictions"]):
        assert "placed" not in one


def test_the_command_names_the_operator_the_reason_and_the_change(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    file = saved(tmp_path / "conv.onnx", graphs.conv_of_symbolic_batch())
    assert main(["inspect", str(file)]) == 0
    shown = capsys.readouterr().out
    row = next(line for line in shown.splitlines() if line.split()[:1] == ["nnapi"])
    assert "0.0% (0 of 1)" in row
    assert "whose sizes are not fixed" in shown
    assert "--fix-shapes batch=1   (nnapi, qnn" in shown


def test_a_graph_that_onnxruntime_does_not_load_is_predicted_from_the_file(tmp_path: Path) -> None:
    nodes = [helper.make_node("Relu", ["x"], ["h"]), graphs.node("Nonsense", "h")]
    file = saved(tmp_path / "odd.onnx", graphs.model(nodes, [("x", TensorProto.FLOAT, [2])]))
    found = next(one for one in predict(file) if one.name == "nnapi")
    assert (found.taken, found.nodes, found.unknown) == (1, 2, 0)


def test_nodes_whose_sizes_nobody_knows_are_counted(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    nodes = [
        helper.make_node("Nonsense", ["x"], ["h"]),  # what follows has neither type nor shape
        helper.make_node("Relu", ["h"], ["r"]),
        graphs.node("Sigmoid", "r"),
    ]
    file = saved(tmp_path / "odd.onnx", graphs.model(nodes, [("x", TensorProto.FLOAT, [2])]))
    found = next(one for one in predict(file) if one.name == "nnapi")
    assert (found.taken, found.nodes, found.unknown) == (2, 3, 2)
    assert main(["inspect", str(file)]) == 0
    (line,) = (x for x in capsys.readouterr().out.splitlines() if x.split()[:1] == ["unknown"])
    assert "nnapi 2" in line
    assert main(["inspect", str(file), "--json"]) == 0
    document = json.loads(capsys.readouterr().out)
    assert document["providers"]["nnapi"]["predictions"][0]["unknown"] == 2


def test_nodes_are_counted_after_constants_are_folded(tmp_path: Path) -> None:
    nodes = [helper.make_node("Exp", ["w"], ["e"]), graphs.node("Add", "x", "e")]
    fed = (("x", TensorProto.FLOAT, [4]),)
    file = saved(tmp_path / "fold.onnx", graphs.model(nodes, fed, weights=[graphs.weight("w", 4)]))
    assert {one.nodes for one in predict(file)} == {1}


def side_by_side() -> onnx.ModelProto:
    """Ten operators that do not see one another; four of them the simulator takes."""
    floats, doubles = TensorProto.FLOAT, TensorProto.DOUBLE
    int64, bools = TensorProto.INT64, TensorProto.BOOL
    fed = {"f": floats, "d": doubles, "i": int64, "b": bools}
    operators: tuple[tuple[str, tuple[str, ...], int, dict[str, Any]], ...] = (
        ("MatMul", ("f", "w"), floats, {}),
        ("Sigmoid", ("f",), floats, {}),
        ("Add", ("i", "i"), int64, {}),
        ("Mod", ("i", "i"), int64, {}),
        ("Add", ("d", "d"), doubles, {}),
        ("Transpose", ("i",), int64, {}),
        ("Cast", ("f",), int64, {"to": int64}),
        ("GatherND", ("b", "n"), bools, {}),
        ("Erf", ("f",), floats, {}),
        ("Neg", ("i",), int64, {}),
    )
    nodes = [
        helper.make_node(op, names, [f"y{i}"], **more)
        for i, (op, names, _, more) in enumerate(operators)
    ]
    graph = helper.make_graph(
        nodes,
        "side",
        [helper.make_tensor_value_info(name, dtype, [2, 4]) for name, dtype in fed.items()],
        [
            helper.make_tensor_value_info(f"y{i}", dtype, None)
            for i, (_, _, dtype, _) in enumerate(operators)
        ],
        [graphs.weight("w", 4, 3), graphs.weight("n", 3, 1, dtype="int64")],
    )
    return helper.make_model(graph, ir_version=10, opset_imports=[helper.make_opsetid("", 20)])


@pytest.mark.skipif(WITHOUT_QNN, reason="onnxruntime-qnn, of the extra qnn, is missing")
def test_the_simulator_takes_what_is_predicted(tmp_path: Path) -> None:
    found = inspect_model(saved(tmp_path / "side.onnx", side_by_side()))
    predicted = next(one for one in found.predictions if one.name == "qnn")
    assert found.providers["qnn"].placed == predicted.predicted == 0.4
    left = {"Add", "Transpose", "Cast", "GatherND", "Erf", "Neg"}
    assert {broken.operator for broken in predicted.breaks} == left
