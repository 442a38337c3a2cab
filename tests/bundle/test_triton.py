"""`toolkit bundle --target triton`: the repository, its configuration, and the client."""

import importlib.util
import json
import os
import shutil
import subprocess
import sys
import zipfile
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from google.protobuf import text_format  # type: ignore[import-untyped]

from tests.builders import relu
from tests.bundle.packages import picture_package
from tests.bundle.served import Server, write_wheels
from tests.bundle.serving_packages import (
    fixed_rows,
    flip_byte,
    mixing,
    write_tensor_package,
)
from tests.tiny_package import GRAPH, write_tiny_package
from toolkit.bundle import BundleOptions, BundleReport, bundle
from toolkit.bundle.document import AppModel
from toolkit.bundle.testing import verdict
from toolkit.bundle.triton import config_text
from toolkit.errors import CheckFailedError, InputError
from toolkit.package import ModelPackage
from toolkit.package.write import add_variant, staging_directory
from toolkit.tasks import ImageSpec

pytestmark = pytest.mark.slow

IN_CI = os.environ.get("CI") == "true"
TRITONCLIENT = "tritonclient==2.73.0"
ROWS = np.array([[1, -2, 3], [-4, 5, -6]], np.float32)


@pytest.fixture(scope="module")
def made(tmp_path_factory: pytest.TempPathFactory) -> BundleReport:
    folder = tmp_path_factory.mktemp("triton")
    package = write_tiny_package(folder / "tiny.ortpackage")
    return bundle(package.path, target="triton", output=folder / "out")


@pytest.fixture(scope="module")
def published(tmp_path_factory: pytest.TempPathFactory) -> Any:
    """The module that NVIDIA's client ships; the rest of it wants other versions than we have."""
    folder = tmp_path_factory.mktemp("tritonclient")
    command = [sys.executable, "-m", "pip", "download", "--no-deps", "--quiet", "-d", str(folder)]
    done = subprocess.run(
        [*command, TRITONCLIENT], capture_output=True, text=True, check=False, timeout=120
    )
    if done.returncode:
        if IN_CI:
            pytest.fail(done.stderr)
        pytest.skip(f"{TRITONCLIENT} cannot be fetched")
    (wheel,) = folder.glob("*.whl")
    with zipfile.ZipFile(wheel) as archive:
        file = archive.extract("tritonclient/grpc/model_config_pb2.py", folder)
    spec = importlib.util.spec_from_file_location("model_config_pb2", file)
    assert spec is not None
    assert spec.loader is not None
    module = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)
    return module


def config(published: Any, folder: Path) -> Any:
    (file,) = folder.glob("models/*/config.pbtxt")
    return text_format.Parse(file.read_text(), published.ModelConfig())


def test_the_schema_is_the_one_that_triton_publishes(published: Any, made: BundleReport) -> None:
    shipped = (made.path / "model_config.pb").read_bytes()
    assert shipped == published.DESCRIPTOR.serialized_pb


def test_the_configuration_is_read_by_the_published_schema(
    published: Any, made: BundleReport
) -> None:
    found = config(published, made.path)
    assert (found.name, found.backend, found.max_batch_size) == ("tiny", "onnxruntime", 32)
    (ids,), (logits,) = found.input, found.output
    assert (ids.name, ids.data_type, list(ids.dims)) == ("input_ids", published.TYPE_INT64, [-1])
    assert (logits.data_type, list(logits.dims)) == (published.TYPE_FP32, [1])
    assert list(found.dynamic_batching.preferred_batch_size) == [8, 32]
    assert found.dynamic_batching.max_queue_delay_microseconds == 1000
    assert found.instance_group[0].kind == published.ModelInstanceGroup.KIND_CPU
    assert found.parameters["intra_op_thread_count"].string_value == "0"
    assert not found.optimization.HasField("graph")


def test_the_repository_has_triton_s_layout_and_the_package_s_graph(made: BundleReport) -> None:
    found = sorted(
        file.relative_to(made.path).as_posix() for file in made.path.glob("models/**/*.*")
    )
    assert found == ["models/tiny/1/model.onnx", "models/tiny/config.pbtxt"]
    assert (made.path / "models/tiny/1/model.onnx").read_bytes() == GRAPH.read_bytes()
    assert not (made.path / "model" / "model.onnx").exists()
    assert {part.path: part.kind for part in made.parts}["models/tiny/1/model.onnx"] == "model"


def self_test(folder: Path, *arguments: str) -> subprocess.CompletedProcess[str]:
    return subprocess.run(
        [sys.executable, "self_test.py", *arguments],
        cwd=folder,
        capture_output=True,
        text=True,
        check=False,
        timeout=120,
        env={**os.environ, "PYTHONDONTWRITEBYTECODE": "1"},
    )


def copied(made: BundleReport, folder: Path) -> Path:
    shutil.copytree(made.path, folder / "copy")
    return folder / "copy"


def failed(done: subprocess.CompletedProcess[str]) -> str:
    said = verdict(done.stdout)
    assert done.returncode == 1
    assert said is not None
    assert said["passed"] is False
    return done.stderr


def test_one_changed_byte_fails_the_self_test(made: BundleReport, tmp_path: Path) -> None:
    folder = copied(made, tmp_path)
    graph = folder / "models/tiny/1/model.onnx"
    flip_byte(graph, at=graph.read_bytes().index(np.float32(5).tobytes()) + 2)
    told = failed(self_test(folder))
    assert "models/tiny/1/model.onnx was changed" in told
    assert "the answers differ" in told


@pytest.mark.parametrize(
    "old, new, told",
    [
        ("TYPE_INT64", "TYPE_INT32", "input_ids"),
        ("dims: -1", "dims: 7", "sizes"),
        ("max_batch_size: 32", "max_batch_size: 0", "input_ids has the sizes"),
        ("max_batch_size: 32", "max_batch_size: 16", "preferred batch size 32"),
        ("max_batch_size: 32", "most_rows: 32", "most_rows"),
    ],
)
def test_a_configuration_that_is_not_the_graph_s_fails(
    made: BundleReport, tmp_path: Path, old: str, new: str, told: str
) -> None:
    folder = copied(made, tmp_path)
    file = folder / "models/tiny/config.pbtxt"
    before = file.read_text()
    assert old in before
    file.write_text(before.replace(old, new))
    assert told in failed(self_test(folder))


def test_a_graph_that_answers_by_its_company_gets_no_batching(
    published: Any, tmp_path: Path
) -> None:
    package = write_tensor_package(tmp_path / "mixing.ortpackage", mixing, {"x": ROWS})
    report = bundle(package.path, target="triton", output=tmp_path / "out")
    found = config(published, report.path)
    assert not found.HasField("dynamic_batching")
    assert found.max_batch_size == 1  # at 0, Triton would put 4 and batch
    assert any("no dynamic batching" in note for note in report.notes)
    assert "no dynamic batching" in (report.path / "README.md").read_text()


def with_details(package: ModelPackage, **details: object) -> ModelPackage:
    with staging_directory(package) as staging:
        model = staging / "model"
        model.mkdir()
        shutil.copy(GRAPH, model / "model.onnx")
        return add_variant(
            package,
            model,
            name="int8",
            precision="int8",
            method="dynamic",
            parent="fp32",
            parity={"max_abs_error": 0.0, "limit": 1.0},
            details=details,
            step="quantize",
            preferred=True,
        )


@pytest.mark.parametrize(
    "details, is_batched",
    [
        ({"batch_flips": 28, "flips": {}}, False),
        ({"batch_flips": 0, "flips": {"long mates": 2}}, False),
        ({"batch_flips": 0, "flips": {"padding on the right": 1}}, False),
        ({"batch_flips": 0, "flips": {"padding on the left": 3}}, True),
        ({"batch_flips": None, "flips": {}}, True),
    ],
)
def test_flips_that_quantizing_recorded_decide(
    published: Any, tmp_path: Path, details: dict[str, object], is_batched: bool
) -> None:
    package = with_details(write_tiny_package(tmp_path / "tiny.ortpackage"), **details)
    report = bundle(package.path, target="triton", output=tmp_path / "out")
    assert config(published, report.path).HasField("dynamic_batching") == is_batched
    assert any("no dynamic batching" in note for note in report.notes) != is_batched


def test_a_graph_without_a_batch_keeps_all_its_sizes(published: Any, tmp_path: Path) -> None:
    package = write_tensor_package(tmp_path / "Fixed_Net.ortpackage", fixed_rows, {"x": ROWS})
    report = bundle(package.path, target="triton", output=tmp_path / "out")
    found = config(published, report.path)
    assert (found.name, found.max_batch_size) == ("fixed-net", 0)
    assert list(found.input[0].dims) == [2, 3]
    assert not found.HasField("dynamic_batching")


def test_batches_of_tensors_are_part_of_the_self_test(published: Any, tmp_path: Path) -> None:
    package = write_tensor_package(tmp_path / "relu.ortpackage", relu, {"x": ROWS})
    report = bundle(package.path, target="triton", output=tmp_path / "out")
    assert config(published, report.path).HasField("dynamic_batching")
    # A graph that answers each row alone as the other one did, and together something else.
    mixing(report.path / "models/relu/1/model.onnx")
    assert "the answers differ" in failed(self_test(report.path))


def test_session_options_become_triton_s_words() -> None:
    options = {
        "session.graph_optimization_level": "enable_basic",
        "session.intra_op_num_threads": "4",
        "session.enable_cpu_mem_arena": "false",
        "session.disable_quant_qdq": "1",
    }
    package = json.loads(
        '{"name": "x", "version": "1", "variant": "v", "precision": "fp32", "target": "triton",'
        '"graph": "model.onnx", "files": {}, "task": {"name": "tensors", "labels": [],'
        '"output": "", "activation": "none", "multi_label": false, "value_transform": ""},'
        '"inputs": [{"name": "t", "dtype": "float32", "shape": ["batch"]}],'
        '"outputs": [{"name": "y", "dtype": "float16", "shape": ["batch", 2]}],'
        '"text": null, "columns": null, "image": null,'
        '"self_test": {"limit": 1, "file": "f", "cases": []}, "session_options": {}}'
    )
    import msgspec

    model = msgspec.convert({**package, "session_options": options}, AppModel)
    text = config_text(model, "x", rows=8, labels=False)
    assert "level: -1" in text
    assert 'key: "intra_op_thread_count"\n  value {\n    string_value: "4"' in text
    assert 'key: "enable_mem_arena"\n  value {\n    string_value: "0"' in text
    assert "disable_quant_qdq" not in text
    assert "TYPE_FP16" in text
    assert "dims: 1\n  reshape {\n  }" in text  # a number a row has no axis of its own
    strange = msgspec.structs.replace(
        model, inputs=(msgspec.structs.replace(model.inputs[0], dtype="string"),)
    )
    with pytest.raises(InputError, match="'t' is string"):
        config_text(strange, "x", rows=8, labels=False)


@pytest.fixture(scope="module")
def server(tmp_path_factory: pytest.TempPathFactory) -> Any:
    folder = tmp_path_factory.mktemp("server")
    package = write_tiny_package(folder / "tiny.ortpackage")
    wheels = folder / "wheels"
    wheels.mkdir()
    options = BundleOptions(runtime=write_wheels(wheels), self_test=False)
    report = bundle(package.path, target="docker", output=folder / "out", options=options)
    started = Server(report.path)
    yield started
    started.end()


def test_the_self_test_asks_a_server_of_the_same_protocol(
    made: BundleReport, server: Server
) -> None:
    done = self_test(made.path, "--url", server.url)
    assert done.returncode == 0, done.stderr
    said = verdict(done.stdout)
    assert said is not None
    assert (said["runtime"], said["cases"]) == (server.url, 2)


def test_a_server_that_is_not_there_or_has_another_model_fails(
    made: BundleReport, server: Server, tmp_path: Path
) -> None:
    told = failed(self_test(made.path, "--url", "http://127.0.0.1:9"))
    assert "refused" in told
    assert "the answers differ" not in told  # nothing answered
    asked = subprocess.run(
        [sys.executable, "client.py", "--url", "http://127.0.0.1:9", "a film"],
        cwd=made.path,
        capture_output=True,
        text=True,
        check=False,
    )
    assert asked.returncode == 1
    assert "refused" in asked.stderr
    assert len(asked.stderr.splitlines()) == 1
    other = write_tiny_package(tmp_path / "other.ortpackage")
    report = bundle(other.path, target="triton", output=tmp_path / "out")
    assert "404" in failed(self_test(report.path, "--url", server.url))


def test_the_client_tokenizes_and_the_server_answers(made: BundleReport, server: Server) -> None:
    done = subprocess.run(
        [sys.executable, "client.py", "--url", server.url, "good film", "bad", "[sic] bad"],
        cwd=made.path,
        capture_output=True,
        text=True,
        check=True,
        timeout=120,
        env={**os.environ, "PYTHONDONTWRITEBYTECODE": "1"},
    )
    labels = [json.loads(line)["label"] for line in done.stdout.splitlines()]
    assert labels == ["positive", "negative", "negative"]


def test_another_result_of_the_same_tensors_fails_the_self_test(
    made: BundleReport, tmp_path: Path
) -> None:
    folder = tmp_path / "copy"
    shutil.copytree(made.path, folder)
    document = folder / "model" / "model.json"
    about = json.loads(document.read_text(encoding="utf-8"))
    about["task"]["labels"].reverse()
    document.write_text(json.dumps(about), encoding="utf-8")
    assert "case 1: postprocessing makes another result" in failed(self_test(folder))


@pytest.mark.parametrize("kind", ["picture", "tensors"])
def test_the_readme_is_a_page_whose_program_runs(kind: str, tmp_path: Path) -> None:
    if kind == "picture":
        image = ImageSpec(height=4, width=5)
        pictures = [np.full((4, 5, 3), 200, np.uint8)]
        package = picture_package(tmp_path / "a.ortpackage", image=image, pictures=pictures)
    else:
        package = write_tensor_package(tmp_path / "a.ortpackage", relu, {"x": ROWS})
    folder = bundle(package.path, target="triton", output=tmp_path / "out").path
    readme = (folder / "README.md").read_text(encoding="utf-8")
    assert max(map(len, readme.splitlines())) < 250
    assert "client.py --url http://127.0.0.1:8000 < items.jsonl" in readme
    program = readme.split("In your program: `")[1].split("`.")[0]
    here = "import app; from unittest.mock import patch; import client; "
    here += "patch.object(client.Remote, 'run', app.Model().run.__func__).start(); "
    here += "client.Remote.session = app.Model().session; "
    subprocess.run([sys.executable, "-B", "-c", here + program], cwd=folder, check=True, timeout=60)


def test_a_bundle_that_fails_its_self_test_is_not_kept(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    package = write_tiny_package(tmp_path / "tiny.ortpackage")
    monkeypatch.setattr(
        sys.modules["toolkit.bundle.repository"], "MOST_ROWS", 4
    )  # less than it prefers
    with pytest.raises(CheckFailedError, match="preferred batch size"):
        bundle(package.path, target="triton", output=tmp_path / "out")
    assert not (tmp_path / "out").exists()
