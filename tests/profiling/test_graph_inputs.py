"""Inputs that nobody can draw at random: sizes of tensors, and those of unknown rank."""

import json
from pathlib import Path

import numpy as np
import onnx
import pytest
from onnx import TensorProto, ValueInfoProto, helper, numpy_helper

from tests.builders import OPSETS, mlp
from toolkit.cli.main import main
from toolkit.profiling.graph_inputs import GraphInputs
from toolkit.tensors import TensorSpec


def save(file: Path, nodes: list[onnx.NodeProto], inputs: list[ValueInfoProto]) -> list[TensorSpec]:
    """Write a graph; what a session would tell of its inputs."""
    output = helper.make_tensor_value_info("y", TensorProto.FLOAT, None)
    big = numpy_helper.from_array(np.zeros((300, 300), np.float32), "unread")
    graph = helper.make_graph(nodes, "inputs", inputs, [output], [big])
    onnx.save(helper.make_model(graph, ir_version=10, opset_imports=OPSETS), file)
    return [TensorSpec(name=value.name, dtype="float32", shape=()) for value in inputs]


def reshape(file: Path) -> list[TensorSpec]:
    nodes = [
        helper.make_node("Cast", ["shape"], ["whole"], to=TensorProto.INT64),
        helper.make_node("Reshape", ["x", "whole"], ["y"]),
    ]
    inputs = [
        helper.make_tensor_value_info("x", TensorProto.FLOAT, ["batch", 4]),
        helper.make_tensor_value_info("shape", TensorProto.INT32, [2]),
    ]
    return save(file, nodes, inputs)


def unranked(file: Path) -> list[TensorSpec]:
    value = ValueInfoProto(name="x")
    value.type.tensor_type.elem_type = TensorProto.FLOAT
    return save(file, [helper.make_node("Relu", ["x"], ["y"])], [value])


def test_what_says_how_large_a_tensor_is_is_found_behind_a_cast(tmp_path: Path) -> None:
    specs = reshape(tmp_path / "reshape.onnx")
    found = GraphInputs.of(tmp_path / "reshape.onnx", specs)
    assert found == GraphInputs(sizes={"shape": "Reshape"})


def test_an_unknown_rank_is_no_scalar(tmp_path: Path) -> None:
    specs = unranked(tmp_path / "unranked.onnx")
    assert GraphInputs.of(tmp_path / "unranked.onnx", specs).unranked == ("x",)
    scalar = helper.make_tensor_value_info("x", TensorProto.FLOAT, [])
    specs = save(tmp_path / "scalar.onnx", [helper.make_node("Relu", ["x"], ["y"])], [scalar])
    assert GraphInputs.of(tmp_path / "scalar.onnx", specs) == GraphInputs()


def test_a_file_of_another_format_says_nothing(tmp_path: Path) -> None:
    (tmp_path / "x.onnx").write_bytes(b"\xff" * 40)
    spec = TensorSpec(name="x", dtype="float32", shape=())
    assert GraphInputs.of(tmp_path / "x.onnx", [spec]) == GraphInputs()


@pytest.mark.parametrize("made, name, more", [(reshape, "shape", ""), (unranked, "x", "x=3")])
def test_the_option_that_gives_it_is_named(
    made: object, name: str, more: str, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    file = tmp_path / "model.onnx"
    assert callable(made)
    made(file)
    assert main(["profile", str(file), "-q"]) == 3
    told = capsys.readouterr().err
    assert "cannot be guessed" in told
    assert f"--input {name}=FILE.npy" in told
    if more:
        assert main(["profile", str(file), "--shape", more, "-q"]) == 3
        assert "how many axes 'x' has" in capsys.readouterr().err


def test_a_comparison_says_that_it_cannot_be_given(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    reshape(tmp_path / "model.onnx")
    assert main(["profile", str(tmp_path / "model.onnx"), "--compare", "threads=1", "-q"]) == 3
    assert "profile each alone" in capsys.readouterr().err


def test_a_file_gives_an_unknown_rank(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    unranked(tmp_path / "model.onnx")
    np.save(tmp_path / "x.npy", np.ones((2, 3), np.float32))
    arguments = ["profile", str(tmp_path / "model.onnx"), "--input", f"x={tmp_path / 'x.npy'}"]
    arguments += ["--runs", "2", "--warmup", "0", "--resources", "--json", "-q"]
    assert main(arguments) == 0
    document = json.loads(capsys.readouterr().out)
    assert document["environment"]["shapes"] == {"x": [2, 3]}
    assert document["resources"]["runs"] > 0


@pytest.mark.parametrize("name", ["nothere.npy", "nothere.csv"])
def test_an_input_that_cannot_be_read_says_what_it_must_hold(
    name: str, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    mlp(tmp_path / "mlp.onnx")
    arguments = ["profile", str(tmp_path / "mlp.onnx"), "--input", f"x={tmp_path / name}", "-q"]
    assert main(arguments) == 3
    told = capsys.readouterr().err
    assert "expected:" in told
    assert "float32[batch, 16]" in told
    assert "try: --input x=FILE.npy" in told
