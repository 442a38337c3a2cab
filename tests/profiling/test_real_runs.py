"""What runs on a simulated clock elsewhere, on the real one: structure, never milliseconds."""

import json
from pathlib import Path

import numpy as np
import onnx
import pytest
from onnx import TensorProto, helper, numpy_helper

from tests.builders import OPSETS
from tests.tiny_package import GRAPH
from toolkit.cli.main import main
from toolkit.profiling import profile
from toolkit.profiling.scenarios import MultiStream


def one_row(file: Path) -> None:
    """Write y = Relu(x), float32[1, 3]: a graph that takes one sample a run."""
    graph = helper.make_graph(
        [helper.make_node("Relu", ["x"], ["y"])],
        "one_row",
        [helper.make_tensor_value_info("x", TensorProto.FLOAT, [1, 3])],
        [helper.make_tensor_value_info("y", TensorProto.FLOAT, [1, 3])],
    )
    onnx.save(helper.make_model(graph, ir_version=10, opset_imports=OPSETS), file)


def fails_sometimes(file: Path) -> None:
    """Write a graph that draws a number below 10.5 each run and fails from 10: one run in 21."""
    nodes = [
        helper.make_node("RandomUniform", [], ["drawn"], shape=[1], low=0.0, high=10.5, seed=3.0),
        helper.make_node("Cast", ["drawn"], ["place"], to=TensorProto.INT64),
        helper.make_node("Gather", ["table", "place"], ["found"]),
        helper.make_node("Add", ["x", "found"], ["y"]),
    ]
    graph = helper.make_graph(
        nodes,
        "fails_sometimes",
        [helper.make_tensor_value_info("x", TensorProto.FLOAT, [1])],
        [helper.make_tensor_value_info("y", TensorProto.FLOAT, [1])],
        [numpy_helper.from_array(np.zeros(10, np.float32), "table")],
    )
    onnx.save(helper.make_model(graph, ir_version=10, opset_imports=OPSETS), file)


def takes_only_zeros(file: Path) -> None:
    """Write y = table[x] with a table of one entry: random whole numbers do not fit."""
    graph = helper.make_graph(
        [helper.make_node("Gather", ["table", "x"], ["y"])],
        "takes_only_zeros",
        [helper.make_tensor_value_info("x", TensorProto.INT64, [64])],
        [helper.make_tensor_value_info("y", TensorProto.FLOAT, [64])],
        [numpy_helper.from_array(np.zeros(1, np.float32), "table")],
    )
    onnx.save(helper.make_model(graph, ir_version=10, opset_imports=OPSETS), file)


def test_inputs_that_were_guessed_wrongly_say_what_to_give(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    model = tmp_path / "zeros.onnx"
    takes_only_zeros(model)
    np.save(tmp_path / "x.npy", np.zeros(64, np.int64))
    typed = ["profile", str(model), "--runs", "5", "--warmup", "0", "-q"]
    assert main(typed) == 3
    printed = capsys.readouterr().err
    assert "in the first run" in printed
    assert "--input x=FILE.npy" in printed
    assert main([*typed, "--input", f"x={tmp_path / 'x.npy'}"]) == 0


def test_streams_of_a_fixed_graph_run_from_as_many_threads(tmp_path: Path) -> None:
    one_row(tmp_path / "row.onnx")
    report = profile(
        tmp_path / "row.onnx", scenario=MultiStream(streams=3), runs=30, warmup=2, processes=1
    )
    assert report.latency is not None
    assert report.latency.runs == 30
    assert report.samples_per_run == 3
    assert report.environment.shapes == {"x": [1, 3]}
    seconds = report.latency.mean_ms * 30 / 1e3
    assert report.throughput_per_s == pytest.approx(90 / seconds)


@pytest.mark.slow
def test_sustained_runs_go_on_for_the_whole_time_with_a_curve(
    capsys: pytest.CaptureFixture[str],
) -> None:
    typed = ["--shape", "sequence=3", "--sustained", "2s", "--warmup", "5", "--json", "-q"]
    assert main(["profile", str(GRAPH), *typed]) == 0
    document = json.loads(capsys.readouterr().out)
    curve = document["curve"]
    assert len(curve) > 10
    assert curve[0]["from_s"] == 0
    assert [part["to_s"] for part in curve[:-1]] == [part["from_s"] for part in curve[1:]]
    assert curve[-1]["to_s"] >= 1.9  # the last chunk of runs may begin a little before the end
    assert sum(part["runs"] for part in curve) == document["samples"]
    assert document["settings"]["sustained_s"] == 2


def test_a_model_that_fails_on_a_timed_run_is_reported_until_then(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    model = tmp_path / "fails.onnx"
    fails_sometimes(model)
    typed = ["profile", str(model), "--runs", "400", "--json", "-q"]
    assert main([*typed, "--warmup", "0"]) == 3
    printed = capsys.readouterr()
    document = json.loads(printed.out)
    assert 0 < document["samples"] < 400
    assert document["latency_ms"]["min"] > 0
    assert "out of data bounds" in document["failure"]
    assert f"after {document['samples']} of 400 timed runs" in printed.err


def test_a_model_that_fails_in_the_warm_up_says_how_far_it_came(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    model = tmp_path / "fails.onnx"
    fails_sometimes(model)
    assert main(["profile", str(model), "--json", "-q"]) == 3
    printed = capsys.readouterr()
    warmup = json.loads(printed.out)["warmup"]
    assert warmup["ended"] == "failed"
    assert warmup["runs"] > 0
    assert f"after {warmup['runs']} runs of the warm-up" in printed.err
