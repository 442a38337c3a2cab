"""Adopting an `.onnx` file as it is."""

import shutil
import subprocess
import sys
from pathlib import Path

import numpy as np
import onnx
import pytest
from onnx import TensorProto, helper

from tests import builders
from toolkit import CheckFailedError, InputError, ModelPackage, export, load
from toolkit.npz import read_npz


def random_model(file: Path) -> None:
    graph = helper.make_graph(
        [helper.make_node("RandomNormalLike", ["x"], ["y"])],
        "random",
        [helper.make_tensor_value_info("x", TensorProto.FLOAT, ["batch", 3])],
        [helper.make_tensor_value_info("y", TensorProto.FLOAT, ["batch", 3])],
    )
    onnx.save(helper.make_model(graph, ir_version=10, opset_imports=builders.OPSETS), file)


def test_a_file_is_adopted_byte_for_byte_with_its_own_outputs_as_reference(tmp_path: Path) -> None:
    builders.matmul(tmp_path / "m.onnx")
    report = export(tmp_path / "m.onnx", tmp_path / "m.ortpackage")
    package = ModelPackage.open(report.package)
    assert package.variant().model.read_bytes() == (tmp_path / "m.onnx").read_bytes()
    assert (report.parity.compared_with, report.parity.max_abs_error) == ("itself", 0.0)
    assert (package.contents.source.kind, package.contents.task.name) == ("onnx", "tensors")
    folder = package.asset("reference")
    assert folder is not None
    inputs, outputs = read_npz(folder / "inputs.npz"), read_npz(folder / "outputs.npz")
    assert load(report.package).run(inputs)["y"] == pytest.approx(outputs["y"])


def test_adopting_loads_no_torch(tmp_path: Path) -> None:
    builders.relu(tmp_path / "m.onnx")
    code = (
        "import sys; from toolkit import export; export(*sys.argv[1:]);"
        "sys.exit('torch' in sys.modules)"
    )
    subprocess.run(
        [sys.executable, "-c", code, tmp_path / "m.onnx", tmp_path / "m.ortpackage"], check=True
    )


def test_external_data_in_the_folder_comes_along(tmp_path: Path) -> None:
    builders.matmul(tmp_path / "m.onnx", external="weights.bin")
    report = export(tmp_path / "m.onnx", tmp_path / "m.ortpackage")
    shutil.move(tmp_path / "weights.bin", tmp_path / "gone.bin")
    package = ModelPackage.open(report.package)
    assert set(package.variant().contents.files) == {"model.onnx", "weights.bin"}
    answer = load(report.package).run({"x": np.ones((2, 3), np.float32)})["y"]
    assert answer[0].tolist() == [12, 15, 18, 21]


@pytest.mark.parametrize("place", ["../secret.bin", "ABSOLUTE", "link.bin", "missing.bin"])
def test_external_data_outside_the_folder_is_refused(place: str, tmp_path: Path) -> None:
    folder = tmp_path / "models"
    folder.mkdir()
    secret = tmp_path / "secret.bin"
    secret.write_bytes(bytes(48))
    (folder / "link.bin").symlink_to(secret)
    builders.matmul(folder / "m.onnx", external="weights.bin")
    model = onnx.load(folder / "m.onnx", load_external_data=False)
    location = str(secret) if place == "ABSOLUTE" else place
    model.graph.initializer[0].external_data[0].value = location
    (folder / "m.onnx").write_bytes(model.SerializeToString())
    with pytest.raises(InputError, match=Path(place if place != "ABSOLUTE" else secret).name):
        export(folder / "m.onnx", tmp_path / "m.ortpackage")
    assert not (tmp_path / "m.ortpackage").exists()


@pytest.mark.parametrize("content", [b"", b"not a model", "truncated", "no graph"])
def test_a_file_that_is_no_model_is_refused(content: bytes | str, tmp_path: Path) -> None:
    file = tmp_path / "m.onnx"
    builders.matmul(file)
    if isinstance(content, str):
        whole = file.read_bytes()
        content = whole[: len(whole) // 2] if content == "truncated" else b"\x08\x0a"
    file.write_bytes(content)
    with pytest.raises(InputError, match=r"m\.onnx"):
        export(file, tmp_path / "m.ortpackage")


def test_a_missing_file_is_named(tmp_path: Path) -> None:
    with pytest.raises(InputError, match=r"none\.onnx cannot be read"):
        export(tmp_path / "none.onnx", tmp_path / "m.ortpackage")


def test_a_model_that_does_not_repeat_itself_is_refused(tmp_path: Path) -> None:
    random_model(tmp_path / "m.onnx")
    with pytest.raises(CheckFailedError, match="other outputs for the same feeds"):
        export(tmp_path / "m.onnx", tmp_path / "m.ortpackage")
    assert not (tmp_path / "m.ortpackage").exists()


def test_given_feeds_become_the_reference(tmp_path: Path) -> None:
    builders.relu(tmp_path / "m.onnx")
    feeds = {"x": np.array([[-1, 0, 2]], np.float32)}
    report = export(tmp_path / "m.onnx", tmp_path / "m.ortpackage", reference=feeds)
    folder = ModelPackage.open(report.package).asset("reference")
    assert folder is not None
    assert read_npz(folder / "outputs.npz")["y"].tolist() == [[0, 0, 2]]
    with pytest.raises(InputError, match="'z'"):
        export(
            tmp_path / "m.onnx", tmp_path / "n.ortpackage", reference={"z": np.zeros((1, 3), "f4")}
        )


def test_an_exporter_has_nothing_to_do_with_a_file(tmp_path: Path) -> None:
    builders.relu(tmp_path / "m.onnx")
    with pytest.raises(InputError, match="as it is"):
        export(tmp_path / "m.onnx", tmp_path / "m.ortpackage", exporter="torch")
