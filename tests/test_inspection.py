"""What is in a package or an `.onnx` file."""

import json
import sys
from pathlib import Path

import numpy as np
import pytest

from tests.tiny_package import GRAPH, add_preferred_variant, write_tiny_package
from toolkit.cli.main import main
from toolkit.errors import InputError, SetupError
from toolkit.inspection import inspect_model
from toolkit.inspection.graph import read_graph
from toolkit.tensors import TensorSpec

onnx = pytest.importorskip("onnx", reason="onnx, of the extra export, is missing")
helper, numpy_helper = onnx.helper, onnx.numpy_helper
FLOAT, INT64, BOOL = onnx.TensorProto.FLOAT, onnx.TensorProto.INT64, onnx.TensorProto.BOOL


def saved(file: Path, graph: object, **options: object) -> Path:
    settings = {"ir_version": 10, "opset_imports": [helper.make_opsetid("", 20)], **options}
    onnx.save(helper.make_model(graph, **settings), file)
    return file


def value(name: str, element: int, shape: "list[int | str | None]") -> object:
    return helper.make_tensor_value_info(name, element, shape)


def weights(name: str, *shape: int) -> object:
    return numpy_helper.from_array(np.ones(shape, np.float32), name)


def matmul(file: Path, *, ir_version: int = 10, list_weights: bool = False) -> Path:
    inputs = [value("x", FLOAT, ["batch", 4])]
    if list_weights:
        inputs.append(value("w", FLOAT, [4, 3]))
    graph = helper.make_graph(
        [helper.make_node("MatMul", ["x", "w"], ["y"])],
        "matmul",
        inputs,
        [value("y", FLOAT, ["batch", 3])],
        [weights("w", 4, 3)],
    )
    return saved(file, graph, ir_version=ir_version)


def test_initializers_that_old_files_list_are_no_inputs(tmp_path: Path) -> None:
    facts = read_graph(matmul(tmp_path / "old.onnx", ir_version=3, list_weights=True))
    assert facts.inputs == (TensorSpec(name="x", dtype="float32", shape=("batch", 4)),)
    assert facts.outputs == (TensorSpec(name="y", dtype="float32", shape=("batch", 3)),)
    assert facts.ir_version == 3


def test_symbolic_dimensions_are_listed_with_their_places() -> None:
    found = inspect_model(GRAPH)
    assert found.dimensions == {"batch": ("input_ids:0",), "sequence": ("input_ids:1",)}


def test_a_dimension_without_a_name_reads_as_a_question_mark(tmp_path: Path) -> None:
    graph = helper.make_graph(
        [helper.make_node("Relu", ["x"], ["y"])],
        "relu",
        [value("x", FLOAT, [None, 4])],
        [value("y", FLOAT, [None, 4])],
    )
    found = inspect_model(saved(tmp_path / "unnamed.onnx", graph))
    assert found.graph.inputs[0].shape == ("?", 4)
    assert found.dimensions == {"?": ("x:0",)}


def test_weights_in_constant_nodes_count_as_parameters(tmp_path: Path) -> None:
    graph = helper.make_graph(
        [
            helper.make_node("Constant", [], ["w"], value=weights("w", 4, 3)),
            helper.make_node("MatMul", ["x", "w"], ["y"]),
        ],
        "constant",
        [value("x", FLOAT, ["batch", 4])],
        [value("y", FLOAT, ["batch", 3])],
    )
    assert read_graph(saved(tmp_path / "constant.onnx", graph)).parameters == {"float32": 12}


def branch(name: str, size: int) -> object:
    return helper.make_graph(
        [helper.make_node("Add", ["x", f"{name}_w"], [f"{name}_y"])],
        name,
        [],
        [value(f"{name}_y", FLOAT, ["batch", size])],
        [weights(f"{name}_w", size)],
    )


def test_subgraphs_are_counted(tmp_path: Path) -> None:
    graph = helper.make_graph(
        [
            helper.make_node(
                "If", ["flag"], ["y"], then_branch=branch("one", 4), else_branch=branch("two", 4)
            )
        ],
        "choice",
        [value("flag", BOOL, []), value("x", FLOAT, ["batch", 4])],
        [value("y", FLOAT, ["batch", 4])],
    )
    facts = read_graph(saved(tmp_path / "if.onnx", graph))
    assert facts.operators == {"Add": 2, "If": 1}
    assert facts.parameters == {"float32": 8}
    assert facts.inputs[0] == TensorSpec(name="flag", dtype="bool", shape=())


def test_a_function_counts_as_the_nodes_of_its_body_at_every_call(tmp_path: Path) -> None:
    twice = helper.make_function(
        "ours",
        "Twice",
        ["a"],
        ["c"],
        [helper.make_node("Relu", ["a"], ["b"]), helper.make_node("Add", ["b", "b"], ["c"])],
        [helper.make_opsetid("", 20)],
    )
    graph = helper.make_graph(
        [
            helper.make_node("Twice", ["x"], ["h"], domain="ours"),
            helper.make_node("Twice", ["h"], ["y"], domain="ours"),
        ],
        "calls",
        [value("x", FLOAT, [4])],
        [value("y", FLOAT, [4])],
    )
    opsets = [helper.make_opsetid("", 20), helper.make_opsetid("ours", 1)]
    file = saved(tmp_path / "calls.onnx", graph, functions=[twice], opset_imports=opsets)
    facts = read_graph(file)
    assert facts.operators == {"Relu": 2, "Add": 2}
    assert facts.opsets == {"": 20, "ours": 1}


def test_operators_of_other_domains_carry_their_domain(tmp_path: Path) -> None:
    graph = helper.make_graph(
        [helper.make_node("Gelu", ["x"], ["y"], domain="com.microsoft")],
        "gelu",
        [value("x", FLOAT, [4])],
        [value("y", FLOAT, [4])],
    )
    opsets = [helper.make_opsetid("", 20), helper.make_opsetid("com.microsoft", 1)]
    facts = read_graph(saved(tmp_path / "gelu.onnx", graph, opset_imports=opsets))
    assert facts.operators == {"com.microsoft:Gelu": 1}


def external(folder: Path, location: str) -> Path:
    file = matmul(folder / "model.onnx")
    model = onnx.load(file)
    onnx.external_data_helper.convert_model_to_external_data(
        model, location="model.onnx.data", size_threshold=0
    )
    onnx.save(model, file)
    model = onnx.load(file, load_external_data=False)
    for entry in model.graph.initializer[0].external_data:
        if entry.key == "location":
            entry.value = location
    file.write_bytes(model.SerializeToString())
    return file


def test_external_data_counts_in_the_size(tmp_path: Path) -> None:
    file = external(tmp_path, "model.onnx.data")
    found = inspect_model(file)
    data = (tmp_path / "model.onnx.data").stat().st_size
    assert found.graph.files == {"model.onnx": file.stat().st_size, "model.onnx.data": data}
    assert found.size_bytes == file.stat().st_size + data
    assert found.parameters == 12


def test_external_data_that_is_not_there_is_named(tmp_path: Path) -> None:
    file = external(tmp_path, "model.onnx.data")
    (tmp_path / "model.onnx.data").unlink()
    found = inspect_model(file)
    assert found.graph.missing_files == ("model.onnx.data",)
    assert found.providers["cpu"].placed is None
    assert "model.onnx.data" in found.providers["cpu"].why


@pytest.mark.parametrize("location", ["../secret", "/etc/hostname", "a\\b"])
def test_external_data_outside_of_the_folder_is_refused(tmp_path: Path, location: str) -> None:
    with pytest.raises(InputError) as caught:
        read_graph(external(tmp_path, location))
    assert repr(location) in caught.value.problem


@pytest.mark.parametrize("content", [b"", b"no model at all", b"\x00\xff" * 40])
def test_a_file_that_is_no_model_is_refused(tmp_path: Path, content: bytes) -> None:
    file = tmp_path / "broken.onnx"
    file.write_bytes(content)
    with pytest.raises(InputError, match=r"broken\.onnx"):
        inspect_model(file)


def test_a_truncated_model_is_refused(tmp_path: Path) -> None:
    file = matmul(tmp_path / "cut.onnx")
    file.write_bytes(file.read_bytes()[:60])
    with pytest.raises(InputError, match=r"cut\.onnx"):
        inspect_model(file)


def test_a_missing_file_is_named(tmp_path: Path) -> None:
    with pytest.raises(InputError, match=r"gone\.onnx"):
        inspect_model(tmp_path / "gone.onnx")


def test_without_onnx_the_extra_is_named(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(sys.modules, "onnx", None)
    with pytest.raises(SetupError) as caught:
        read_graph(GRAPH)
    assert "[export]" in caught.value.fix


def test_the_share_of_a_provider_is_the_one_that_a_session_showed() -> None:
    share = inspect_model(GRAPH).providers["cpu"]
    assert (share.placed, share.nodes, share.why) == (1.0, {"CPUExecutionProvider": 3}, "")


def test_only_providers_that_are_built_in_have_a_share() -> None:
    assert "nnapi" not in inspect_model(GRAPH).providers


def test_a_graph_that_no_session_takes_says_why(tmp_path: Path) -> None:
    graph = helper.make_graph(
        [helper.make_node("Nonsense", ["x"], ["y"])],
        "nonsense",
        [value("x", FLOAT, [4])],
        [value("y", FLOAT, [4])],
    )
    share = inspect_model(saved(tmp_path / "nonsense.onnx", graph)).providers["cpu"]
    assert share.placed is None
    assert "Nonsense" in share.why


def test_a_package_shows_its_variants_task_source_and_history(tmp_path: Path) -> None:
    package = write_tiny_package(tmp_path / "tiny.ortpackage")
    add_preferred_variant(package, name="int8", threshold=6, limit=1.0)
    found = inspect_model(package.path)
    assert found.variant == "int8"
    assert found.package is not None
    assert [v["name"] for v in found.package.variants] == ["int8", "fp32"]
    assert found.package.variants[0]["parent"] == "fp32"
    assert found.package.task["labels"] == ("negative", "positive")
    assert found.package.source["kind"] == "run"
    assert [step["step"] for step in found.package.history] == ["export", "quantize"]
    assert inspect_model(package.path, variant="fp32").variant == "fp32"


def test_a_variant_of_a_bare_file_is_refused() -> None:
    with pytest.raises(InputError, match="'int8'"):
        inspect_model(GRAPH, variant="int8")


def test_the_document_has_the_keys_of_the_contract(capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["inspect", str(GRAPH), "--json"]) == 0
    document = json.loads(capsys.readouterr().out)
    assert document["schema_version"] == "1"
    assert document["inputs"] == [
        {"name": "input_ids", "dtype": "int64", "shape": ["batch", "sequence"]}
    ]
    assert (document["opset"], document["ir_version"], document["parameters"]) == (20, 10, 2)
    assert document["operators"] == {"ReduceMax": 1, "Cast": 1, "Sub": 1}
    assert document["size_bytes"] == GRAPH.stat().st_size
    assert document["providers"]["cpu"]["placed"] == 1.0


def test_the_command_prints_the_specification(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    package = write_tiny_package(tmp_path / "tiny.ortpackage")
    assert main(["inspect", str(package.path)]) == 0
    shown = capsys.readouterr().out
    assert "input_ids: int64[batch, sequence]" in shown
    assert "100.0% of the nodes placed" in shown
    assert "negative, positive" in shown
