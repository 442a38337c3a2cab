"""examples/python_sensor: a loop over bytes on a Python bundle."""

import os
import subprocess
import sys
from pathlib import Path

import numpy as np
import onnx
import pytest
from onnx import TensorProto, helper, numpy_helper

from tests.builders import OPSETS
from tests.bundle.serving_packages import write_tensor_package
from toolkit.bundle import bundle

pytestmark = pytest.mark.slow

WATCH = Path(__file__).parents[2] / "examples" / "python_sensor" / "watch.py"
TEXT, NOISE, SILENCE = b"the pump runs at 40 rpm\n" * 200, bytes(range(128, 256)) * 40, b"\0" * 5000


def kinds(file: Path) -> None:
    """Write a classifier of bytes: shares of letters, of large values and of zeros, times ten."""
    edges = {"thirty": 30, "half": 128, "none": 256, "one": 1}
    nodes = [
        helper.make_node("GreaterOrEqual", ["bytes", "thirty"], ["printed"]),
        helper.make_node("Less", ["bytes", "half"], ["low"]),
        helper.make_node("And", ["printed", "low"], ["is_text"]),
        helper.make_node("GreaterOrEqual", ["bytes", "half"], ["high"]),
        helper.make_node("Less", ["bytes", "none"], ["there"]),
        helper.make_node("And", ["high", "there"], ["is_noise"]),
        helper.make_node("Less", ["bytes", "one"], ["is_silence"]),
    ]
    for name in ("text", "noise", "silence"):
        nodes += [
            helper.make_node("Cast", [f"is_{name}"], [f"{name}_f"], to=TensorProto.FLOAT),
            helper.make_node("ReduceMean", [f"{name}_f", "last_axis"], [name], keepdims=1),
        ]
    nodes += [
        helper.make_node("Concat", ["text", "noise", "silence"], ["shares"], axis=1),
        helper.make_node("Mul", ["shares", "ten"], ["logits"]),
    ]
    initializers = [
        *(numpy_helper.from_array(np.array(at, np.int32), name) for name, at in edges.items()),
        helper.make_tensor("last_axis", TensorProto.INT64, [1], [1]),
        helper.make_tensor("ten", TensorProto.FLOAT, [], [10.0]),
    ]
    graph = helper.make_graph(
        nodes,
        "kinds",
        [helper.make_tensor_value_info("bytes", TensorProto.INT32, ["batch", 2048])],
        [helper.make_tensor_value_info("logits", TensorProto.FLOAT, ["batch", 3])],
        initializers,
    )
    model = helper.make_model(graph, ir_version=10, opset_imports=OPSETS)
    onnx.checker.check_model(model, full_check=True)
    onnx.save(model, file)


@pytest.fixture(scope="module")
def made(tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("sensor")
    windows = np.random.default_rng(0).integers(0, 257, (3, 2048), np.int32)
    package = write_tensor_package(folder / "bytes.ortpackage", kinds, {"bytes": windows})
    (folder / "labels.txt").write_text("text\nnoise\nsilence\n")
    return bundle(package.path, target="python", output=folder / "bundle").path


def watch(made: Path, *arguments: str, stream: bytes = b"") -> subprocess.CompletedProcess[bytes]:
    return subprocess.run(
        [sys.executable, str(WATCH), str(made), *arguments],
        input=stream,
        capture_output=True,
        check=False,
        timeout=120,
        env={**os.environ, "PYTHONPATH": "", "PYTHONDONTWRITEBYTECODE": "1"},
    )


def test_changes_of_a_stream_are_told_and_nothing_between(made: Path) -> None:
    labels = str(made.parent / "labels.txt")
    done = watch(made, "--labels", labels, stream=TEXT + NOISE + SILENCE)
    assert done.returncode == 0, done.stderr
    lines = done.stdout.decode().splitlines()
    assert [line.split(": ")[1] for line in lines] == ["text", "noise", "silence"]
    at = [int(line.split()[1].rstrip(":")) for line in lines]
    # Each is told after its bytes began, and at most four hops later.
    for told, begins in zip(at, (0, len(TEXT), len(TEXT) + len(NOISE)), strict=True):
        assert begins < told <= begins + 4 * 1024


def test_one_odd_window_changes_nothing(made: Path) -> None:
    blip = TEXT[:4096] + NOISE[:500] + TEXT[:4096]
    done = watch(made, stream=blip)
    assert done.stdout.decode().splitlines() == ["byte 1024: kind 0"]


def test_a_folder_of_captures_is_read_in_the_order_of_names(made: Path, tmp_path: Path) -> None:
    contents = [TEXT, TEXT, NOISE, NOISE, NOISE, b"short text", SILENCE, SILENCE, SILENCE]
    for number, content in enumerate(contents):
        (tmp_path / f"{number}.bin").write_bytes(content)
    done = watch(made, str(tmp_path), "--labels", str(made.parent / "labels.txt"))
    assert done.returncode == 0, done.stderr
    told = dict(line.split(": ") for line in done.stdout.decode().splitlines())
    assert list(told.values()) == ["text", "noise", "silence"]
    assert next(iter(told)) == "0.bin"


def test_a_folder_that_is_no_bundle_is_said(made: Path, tmp_path: Path) -> None:
    done = watch(tmp_path)
    assert done.returncode == 1
    assert b"no bundle" in done.stderr


def test_captures_or_labels_that_are_not_there_are_said(made: Path, tmp_path: Path) -> None:
    nowhere = str(tmp_path / "nowhere")
    for arguments, problem in (([nowhere], "no folder"), (["--labels", nowhere], "no file")):
        done = watch(made, *arguments)
        assert (done.returncode, done.stdout) == (1, b"")
        assert done.stderr.decode().startswith(f"error: {nowhere} is {problem}")
