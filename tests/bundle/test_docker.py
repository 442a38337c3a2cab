"""`toolkit bundle --target docker`: the server and its self-test."""

import os
import shutil
import socket
import subprocess
import sys
from collections.abc import Callable, Iterator
from pathlib import Path

import numpy as np
import pytest

from tests.builders import relu
from tests.bundle.packages import picture_package, table_package, text_package
from tests.bundle.served import Server, write_wheels
from tests.bundle.serving_packages import flip_byte, write_tensor_package
from tests.tiny_package import write_tiny_package
from toolkit import load
from toolkit.bundle import BundleOptions, BundleReport, bundle
from toolkit.bundle.runtimes import installed
from toolkit.bundle.testing import verdict
from toolkit.package import ModelPackage
from toolkit.tasks import ImageSpec

pytestmark = pytest.mark.slow
CUT = pytest.mark.filterwarnings("ignore:.*was cut to:toolkit.errors.ToolkitWarning")


@pytest.fixture(scope="module")
def wheels(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return write_wheels(tmp_path_factory.mktemp("wheels"))


@pytest.fixture(scope="module")
def made(tmp_path_factory: pytest.TempPathFactory, wheels: Path) -> BundleReport:
    folder = tmp_path_factory.mktemp("docker")
    package = write_tiny_package(folder / "tiny.ortpackage")
    return bundle(
        package.path,
        target="docker",
        output=folder / "out",
        options=BundleOptions(runtime=wheels),
    )


@pytest.fixture(scope="module")
def server(made: BundleReport) -> Iterator[Server]:
    started = Server(made.path, MAX_BODY_MB="0.01")
    yield started
    assert started.end() == 0  # SIGTERM is a good end


def texts(*values: object, name: str = "text") -> dict[str, object]:
    return {
        "inputs": [{"name": name, "shape": [len(values)], "datatype": "BYTES", "data": [*values]}]
    }


def test_the_self_test_ran_over_http_and_gave_the_same_answers(made: BundleReport) -> None:
    assert made.self_test.ran
    assert made.self_test.cases == 2
    assert made.self_test.largest_difference == 0
    assert "uvicorn" in made.self_test.where


def test_libraries_that_are_smaller_in_the_image_are_told(made: BundleReport) -> None:
    (note,) = [note for note in made.notes if "leaves out" in note]
    kept = {one.name: one.size_bytes or 0 for one in made.runtime}["onnxruntime"]
    whole = installed("onnxruntime", "MIT").size_bytes or 0
    assert f"onnxruntime {kept / 1e6:.1f} of {whole / 1e6:.1f} MB" in note
    assert kept < whole


def test_texts_are_answered_one_by_one(server: Server) -> None:
    status, answer = server.ask("/v2/models/tiny/infer", texts("good film", "bad", "film film x"))
    assert status == 200
    read = {one["name"]: one for one in answer["outputs"]}
    assert read["label"]["data"] == ["positive", "negative", "negative"]
    assert read["scores"]["shape"] == [3, 2]
    sure = 1 / (1 + np.exp(-(9 - 5)))
    assert read["score"]["data"][0] == pytest.approx(sure)


def test_tensors_are_answered_as_the_graph_does(server: Server) -> None:
    ids = {"name": "input_ids", "shape": [2, 2], "datatype": "INT64", "data": [1, 9, 2, 0]}
    status, answer = server.ask("/v2/models/tiny/versions/1/infer", {"id": "a", "inputs": [ids]})
    assert (status, answer["id"]) == (200, "a")
    assert answer["outputs"] == [
        {"name": "logits", "shape": [2, 1], "datatype": "FP32", "data": [4.0, -3.0]}
    ]


def test_health_and_metadata_are_those_of_the_protocol(server: Server) -> None:
    assert server.ask("/v2/health/live") == (200, {"live": True})
    assert server.ask("/v2/health/ready") == (200, {"ready": True})
    assert server.ask("/v2/models/tiny/ready")[0] == 200
    status, told = server.ask("/v2/models/tiny")
    assert status == 200
    assert told["inputs"] == [{"name": "input_ids", "datatype": "INT64", "shape": [-1, -1]}]
    assert told["outputs"] == [{"name": "logits", "datatype": "FP32", "shape": [-1, 1]}]


IDS = {"name": "input_ids", "shape": [1, 2], "datatype": "INT64", "data": [1, 2]}


@pytest.mark.parametrize(
    "body, status, told",
    [
        (b"{", 400, "no JSON"),
        (b"\xff", 400, "no JSON"),
        ([], 400, "inputs"),
        ({"inputs": [{"name": "text"}]}, 400, "shape"),
        (texts("a", name="words"), 400, "words"),
        (texts(3), 400, "3 is no text"),
        (texts(), 400, "items"),
        (texts(*["a"] * 300), 400, "256"),
        ({**texts("a"), "outputs": [{"name": "odds"}]}, 400, "odds"),
        ({"inputs": [{**IDS, "shape": [3]}]}, 400, "reshape"),
        ({"inputs": [{**IDS, "shape": [2]}]}, 400, "int64[batch, sequence]"),
        ({"inputs": [{**IDS, "data": [1.5, 2]}]}, 400, "INT64"),
        ({"inputs": [{**IDS, "datatype": "FP32"}]}, 400, "float32"),
        ({"inputs": [{**IDS, "data": [2**64, 1]}]}, 400, "input_ids"),
        ({"inputs": [{**IDS, "datatype": "INT32", "data": [2**40, 1]}]}, 400, "fit"),
        ({"inputs": [{**IDS, "shape": [-1, 2]}]}, 400, "sizes"),
        ({"inputs": [IDS, IDS]}, 400, "twice"),
        (texts("a" * 20_000), 413, "10000"),
        ({"inputs": [{**IDS, "shape": [300, 2], "data": [1] * 600}]}, 400, "at most 256"),
        ({"inputs": [{**IDS, "shape": [1, 600], "data": [1] * 600}]}, 400, "at most"),
        ({"inputs": [{**IDS, "datatype": []}]}, 400, "none of"),
        ({"inputs": [{**IDS, "name": "\ud800"}]}, 400, "no text"),
        ({**texts("a"), "id": "\ud800"}, 400, "id"),
        ({**texts("a"), "id": 3}, 400, "id"),
        ({**texts("a"), "outputs": [{"name": "\udfff"}]}, 400, "outputs"),
        (texts("\ud800"), 400, "item 1"),
    ],
)
def test_a_wrong_request_is_refused_with_its_reason(
    server: Server, body: object, status: int, told: str
) -> None:
    got, answer = server.ask("/v2/models/tiny/infer", body)
    assert got == status, answer
    assert told in answer["error"]
    assert server.ask("/v2/models/tiny/infer", texts("good"))[0] == 200  # and it goes on


POST = b"POST /v2/models/tiny/infer HTTP/1.1\r\nHost: x\r\nContent-Length: 900\r\n\r\n{"


def test_clients_that_send_nothing_are_dropped_and_never_hide_the_health(
    made: BundleReport,
) -> None:
    started = Server(made.path, READ_TIMEOUT_S="2")
    address = ("127.0.0.1", int(started.url.rsplit(":", 1)[1]))
    idle = [socket.create_connection(address, timeout=20) for _ in range(70)]
    begun = [socket.create_connection(address, timeout=20) for _ in range(65)]
    try:
        idle[0].sendall(b"GET /v2")  # a head that never ends
        assert started.ask("/v2/health/ready")[0] == 200
        assert started.ask("/v2/models/tiny/infer", texts("good"))[0] == 200
        for one in begun:
            one.sendall(POST)  # and a body that never does
        ended = [one.makefile("rb").read() for one in begun]  # to the end: they are closed
        said = sorted(one.split(b" ")[1] for one in ended)
        assert said == [b"408"] * 64 + [b"503"]
        assert started.ask("/v2/models/tiny/infer", texts("good"))[0] == 200
        assert [one.recv(1) for one in idle] == [b""] * 70
    finally:
        for one in (*idle, *begun):
            one.close()
        assert started.end() == 0


def test_other_models_and_methods_are_refused(server: Server) -> None:
    assert server.ask("/v2/models/other/infer", texts("a"))[0] == 404
    assert server.ask("/v2/models/tiny/versions/2/infer", texts("a"))[0] == 404
    assert server.ask("/v2/models/tiny/infer")[0] == 405
    assert server.ask("/v3")[0] == 404


@CUT
def test_a_vector_a_token_is_told_without_those_of_padding(tmp_path: Path, wheels: Path) -> None:
    package = text_package(
        tmp_path / "tokens.ortpackage",
        items=["good film", "film"],
        output="last_hidden_state",
        name="feature-extraction",
        labels=(),
    )
    options = BundleOptions(runtime=wheels, fix_shapes={"batch": 1, "sequence": 12})
    report = bundle(package.path, target="docker", output=tmp_path / "out", options=options)
    started = Server(report.path)
    try:
        status, answer = started.ask("/v2/models/tokens/infer", texts("good film"))
        assert status == 200
        expected = np.array(load(package.path)("good film")["embedding"])
        (told,) = answer["outputs"]
        assert told["shape"] == [1, *expected.shape] == [1, 4, 3]
        assert np.array(told["data"]).reshape(4, 3) == pytest.approx(expected, abs=1e-5)
        assert started.ask("/v2/models/tokens/infer", texts("a", "b"))[0] == 200
        for outputs in ({}, {"outputs": [{"name": "last_hidden_state"}]}):
            body = {**texts("good film", "film"), **outputs}
            status, answer = started.ask("/v2/models/tokens/infer", body)
            if outputs:  # the graph's own tensor, which is padded
                assert (status, answer["outputs"][0]["shape"]) == (200, [2, 12, 3])
            else:
                assert status == 400
                assert "one item a request" in answer["error"]
    finally:
        assert started.end() == 0


def self_test(folder: Path) -> subprocess.CompletedProcess[str]:
    return subprocess.run(
        [sys.executable, "self_test.py"],
        cwd=folder,
        capture_output=True,
        text=True,
        check=False,
        timeout=120,
        env={**os.environ, "PYTHONDONTWRITEBYTECODE": "1"},
    )


@pytest.mark.parametrize("place", [0, -1])  # with another first byte, nothing opens the file
def test_one_changed_byte_fails_the_self_test(
    made: BundleReport, wheels: Path, tmp_path: Path, place: int
) -> None:
    folder = tmp_path / "copy"
    shutil.copytree(made.path, folder)
    graph = folder / "model" / "model.onnx"
    flip_byte(graph, at=place % graph.stat().st_size)
    done = self_test(folder)
    assert done.returncode == 1
    said = verdict(done.stdout)
    assert said is not None
    assert said["passed"] is False
    assert "model.onnx was changed" in done.stderr
    document = folder / "model" / "model.json"
    document.write_text("?", encoding="utf-8")
    done = self_test(folder)
    assert (done.returncode, done.stdout) == (1, "")
    assert done.stderr.startswith("model.json is no JSON")


def several_labels(path: Path) -> ModelPackage:
    return text_package(path, activation="sigmoid", multi_label=True)


def vectors(path: Path) -> ModelPackage:
    return text_package(path, name="feature-extraction", labels=())


def values(path: Path) -> ModelPackage:
    row = {"area": "", "roof": "gable", "rooms": 4}
    return table_package(path, rows=[row], name="tabular-regression", value_transform="exp")


def pictures(path: Path) -> ModelPackage:
    image = ImageSpec(height=4, width=5, mode="L", scale=1 / 255)
    return picture_package(path, image=image, pictures=[np.full((4, 5), 90, np.uint8)])


@pytest.mark.parametrize("package", [several_labels, vectors, values, pictures])
def test_the_self_test_takes_every_kind_of_result(
    package: Callable[[Path], ModelPackage], wheels: Path, tmp_path: Path
) -> None:
    made = package(tmp_path / "a.ortpackage")
    options = BundleOptions(runtime=wheels)
    report = bundle(made.path, target="docker", output=tmp_path / "out", options=options)
    assert report.self_test.ran


@pytest.mark.parametrize("what", ["the app's result", "the server's result"])
def test_another_result_of_the_same_tensors_fails_the_self_test(
    made: BundleReport, tmp_path: Path, what: str
) -> None:
    folder = tmp_path / "copy"
    shutil.copytree(made.path, folder)
    name, old, new = {
        "the app's result": ("app.py", '"score": scores[label]', '"score": 0.5'),
        "the server's result": ("service.py", "cells = [list(one.values())", "cells = [[0.5, 0.5]"),
    }[what]
    file = folder / name
    text = file.read_text(encoding="utf-8")
    assert old in text
    file.write_text(text.replace(old, new), encoding="utf-8")
    done = self_test(folder)
    assert done.returncode == 1
    told = {"the app's result": "postprocessing makes", "the server's result": "the server makes"}
    assert f"case 1: {told[what]} another result" in done.stderr


def test_a_bundle_of_plain_tensors_serves_them(tmp_path: Path, wheels: Path) -> None:
    rows = np.array([[1, -2, 3], [-4, 5, -6]], np.float32)
    package = write_tensor_package(tmp_path / "Relu Net.ortpackage", relu, {"x": rows})
    report = bundle(
        package.path,
        target="docker",
        output=tmp_path / "out",
        options=BundleOptions(runtime=wheels),
    )
    assert report.self_test.cases == 2
    assert [one.name for one in report.runtime if one.name == "tokenizers"] == []
    assert "docker build -t relu-net ." in (report.path / "README.md").read_text()
