"""Labels and calibration data of bare files."""

import json
from collections.abc import Callable, Mapping
from dataclasses import replace
from pathlib import Path

import numpy as np
import onnx
import pytest
from onnx import TensorProto, helper, numpy_helper

from tests.quantize import foreign
from tests.quantize.foreign import WIDTH, rows
from toolkit.cli.main import main
from toolkit.errors import InputError
from toolkit.evaluate.agreement import LARGEST_NOISE
from toolkit.evaluate.samples import SampleOptions
from toolkit.npz import write_npz
from toolkit.quantize import (
    WITHOUT_LABELS,
    Limits,
    QuantizeFailedError,
    SearchOptions,
    methods,
    quantize,
)
from toolkit.quantize.context import Context, Method
from toolkit.quantize.labels import with_labels
from toolkit.quantize.layout import read_runs
from toolkit.quantize.methods import METHODS
from toolkit.runtime import SessionOptions, open_session
from toolkit.tensors import Array

CLASSES = 5
COUNT = 80
NAMED = SampleOptions(label_column="answer")


def classifier(file: Path) -> Path:
    """float32[batch, 64] to the logits of five classes, one value, and a copy of the input."""
    graph = helper.make_graph(
        [
            helper.make_node("MatMul", ["x", "w"], ["h"]),
            helper.make_node("Relu", ["h"], ["r"]),
            helper.make_node("Identity", ["x"], ["copy"]),
            helper.make_node("MatMul", ["r", "heads"], ["logits"], name="last"),
            helper.make_node("MatMul", ["r", "line"], ["value"]),
        ],
        "classifier",
        [helper.make_tensor_value_info("x", TensorProto.FLOAT, ["batch", WIDTH])],
        [
            helper.make_tensor_value_info("value", TensorProto.FLOAT, ["batch", 1]),
            helper.make_tensor_value_info("logits", TensorProto.FLOAT, ["batch", CLASSES]),
            helper.make_tensor_value_info("copy", TensorProto.FLOAT, ["batch", WIDTH]),
        ],
        [
            foreign.weight("w", WIDTH, WIDTH),
            foreign.weight("heads", WIDTH, CLASSES, seed=1),
            foreign.weight("line", WIDTH, 1, seed=2),
        ],
    )
    opsets = [helper.make_opsetid("", 20)]
    onnx.save(helper.make_model(graph, ir_version=10, opset_imports=opsets), file)
    return file


def outputs(model: Path) -> Mapping[str, Array]:
    return open_session(model, SessionOptions()).run({"x": rows(COUNT)})


def write(file: Path, **arrays: Array) -> Path:
    file.write_bytes(write_npz({"x": rows(COUNT), **arrays}))
    return file


def shifted(source: Path, target: Path, context: Context) -> int:
    """A quantizer after which the first class wins, and the value is another one."""
    proto = onnx.load(source)
    for tensor in proto.graph.initializer:
        if tensor.name in {"heads", "line"}:
            moved = numpy_helper.to_array(tensor).copy()
            moved[:, 0] += 2
            tensor.CopyFrom(numpy_helper.from_array(moved, tensor.name))
    onnx.save(proto, target)
    return weight_only().apply(target, target, context)


@pytest.mark.parametrize("kind", ["classes", "a column", "values"])
def test_labels_hold_the_metric(kind: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    model = classifier(tmp_path / "model.onnx")
    found = outputs(model)
    truth = found["value"][:, 0] if kind == "values" else found["logits"].argmax(axis=1)
    labels = truth[:, None] if kind == "a column" else truth
    data = write(tmp_path / "data.npz", answer=labels)
    output = tmp_path / "out.onnx"
    report = quantize(model, data, output=output, methods=["weight-only"], reading=NAMED)
    (candidate,) = report.candidates
    assert report.limits == Limits()
    assert report.metric == ("r2" if kind == "values" else "accuracy")
    assert report.parent.metric is not None
    assert report.parent.metric.value == 1.0
    assert candidate.drop is not None
    assert -1e-9 <= candidate.drop <= 0.05
    (note,) = report.notes
    assert ("'value'" if kind == "values" else "'logits'") in note
    bad = replace(weight_only(), apply=shifted, keeps_nodes=False)
    monkeypatch.setattr(methods, "METHODS", (bad,))
    with pytest.raises(QuantizeFailedError) as failed:
        quantize(model, data, output=tmp_path / "bad.onnx", reading=NAMED)
    assert "the metric drops" in failed.value.report.candidates[0].why
    assert "--max-drop" in failed.value.fix
    assert not (tmp_path / "bad.onnx").exists()


def scaled(tensor: str, factor: float) -> Callable[[Path, Path, Context], int]:
    """A quantizer after which the second half of a stored tensor's columns is larger."""

    def apply(source: Path, target: Path, context: Context) -> int:
        proto = onnx.load(source)
        (stored,) = (one for one in proto.graph.initializer if one.name == tensor)
        values = numpy_helper.to_array(stored).copy()
        values[:, values.shape[1] // 2 :] *= factor
        stored.CopyFrom(numpy_helper.from_array(values, tensor))
        onnx.save(proto, target)
        return weight_only().apply(target, target, context)

    return apply


def weight_only() -> Method:
    return next(method for method in METHODS if method.name == "weight-only")


@pytest.mark.parametrize("tensor", ["heads", "line"])
def test_agreement_is_of_classes_and_of_how_far_other_outputs_moved(
    tensor: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    model, output = classifier(tmp_path / "model.onnx"), tmp_path / "out.onnx"
    before = outputs(model)
    classes = before["logits"].argmax(axis=1)
    data = write(tmp_path / "data.npz", answer=classes)
    method = replace(weight_only(), apply=scaled(tensor, 2.5), keeps_nodes=False)
    monkeypatch.setattr(methods, "METHODS", (method,))
    anything = Limits(max_drop=1.0)
    report = quantize(model, data, output=output, reading=NAMED, limits=anything)
    (candidate,) = report.candidates
    after = outputs(output)
    same = after["logits"].argmax(axis=1) == classes
    rest, moved = (np.hstack([one["value"], one["copy"]]) for one in (before, after))
    own = np.linalg.norm(rest, axis=1)
    usual = np.sqrt(np.mean(own**2))
    still = np.linalg.norm(rest - moved, axis=1) <= LARGEST_NOISE * np.maximum(own, usual)
    wrong, shifted_rows = int((~same).sum()), int((~still).sum())
    assert (wrong > 5, shifted_rows > 5) == (tensor == "heads", tensor == "line")
    assert candidate.drop == pytest.approx(1 - same.mean())
    assert candidate.agreement == pytest.approx((same & still).mean())


@pytest.mark.parametrize(
    "labels, problem, fix",
    [
        (np.arange(COUNT) % 7, "has the class 6 .sample 6., for which 'logits'", "leave such"),
        (np.arange(COUNT) % 3 - 1, "has the class -1", "number the classes as 'logits'"),
        (np.arange(9), "holds 9 labels for 80 samples", "store 'answer' with 80 labels"),
        (np.zeros(COUNT, np.int64), "every label of .* is 0", "leave --label-column out"),
        (np.zeros((COUNT, 2), np.int64), r"is int64\[80, 2\]", "store 'answer' with one axis"),
        (np.full(COUNT, np.nan, np.float32), r"has the value nan .sample 0.", "without a label"),
        (np.array(["a", "b"] * (COUNT // 2)), "is ", "classes as their numbers"),
    ],
)
def test_labels_that_do_not_fit_are_refused(
    labels: Array, problem: str, fix: str, tmp_path: Path
) -> None:
    model = classifier(tmp_path / "model.onnx")
    np.savez(tmp_path / "data.npz", x=rows(COUNT), answer=labels)
    with pytest.raises(InputError, match=problem) as refused:
        quantize(model, tmp_path / "data.npz", output=tmp_path / "out.onnx", reading=NAMED)
    assert fix in refused.value.fix
    assert not (tmp_path / "out.onnx").exists()


@pytest.mark.parametrize(
    "column, labels, problem",
    [
        ("other", np.arange(COUNT), "no array 'other' of labels"),
        ("x", np.arange(COUNT), "'x' is a graph input"),
        ("answer", np.linspace(0, 1, COUNT), "no output one value a sample"),
    ],
)
def test_an_array_that_can_be_no_label_is_refused(
    column: str, labels: Array, problem: str, tmp_path: Path
) -> None:
    model = foreign.constants(tmp_path / "model.onnx")
    np.savez(tmp_path / "data.npz", x=rows(COUNT), answer=labels)
    reading = SampleOptions(label_column=column)
    with pytest.raises(InputError, match=problem):
        quantize(model, tmp_path / "data.npz", output=tmp_path / "out.onnx", reading=reading)


def test_labels_that_nobody_named_are_told_of(tmp_path: Path) -> None:
    model = classifier(tmp_path / "model.onnx")
    data = write(tmp_path / "data.npz", label=np.arange(COUNT) % CLASSES)
    report = quantize(model, data, output=tmp_path / "out.onnx", methods=["weight-only"])
    assert report.metric == ""
    (note,) = report.notes
    assert "--label-column label" in note


def test_labels_of_samples_that_were_read_already_are_never_dropped_in_silence(
    tmp_path: Path,
) -> None:
    model, output = classifier(tmp_path / "model.onnx"), tmp_path / "out.onnx"
    session = open_session(model, SessionOptions())
    plain, arrays = read_runs(write(tmp_path / "data.npz", answer=np.arange(COUNT) % 5), session)
    samples, _ = with_labels(plain, arrays, "answer", session, origin="data")
    with pytest.raises(InputError, match="labels 'answer' were named") as refused:
        quantize(model, samples, output=output, reading=NAMED)
    assert ".npz" in refused.value.fix
    with pytest.raises(InputError, match="beside data"):
        quantize(model, samples, output=output, random_inputs=True)
    report = quantize(model, samples, output=output, methods=["weight-only"])
    assert (report.metric, report.limits) == ("", WITHOUT_LABELS)
    (note,) = report.notes
    assert "labels were not looked at" in note
    assert quantize(model, plain, output=output, methods=["weight-only"], force=True).notes == ()


def test_the_command_takes_labels_and_calibration_data(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    model = classifier(tmp_path / "model.onnx")
    data = write(tmp_path / "data.npz", answer=outputs(model)["logits"].argmax(axis=1))
    np.savez(tmp_path / "more.npz", x=rows(24, seed=9))
    command = ["quantize", str(model), "--data", str(data), "-o", str(tmp_path / "out.onnx")]
    command += ["--only", "static-minmax", "--max-drop", "0.2"]
    assert main([*command, "--label-column", "answer", "--no-labels"]) == 3
    assert "not to be looked at" in capsys.readouterr().err
    command += ["--label-column", "answer"]
    assert main([*command, "--calibration", str(tmp_path / "more.npz"), "--json"]) == 0
    document = json.loads(capsys.readouterr().out)
    assert document["limits"]["min_agreement"] == 0.0
    assert document["calibration"]["origin"] == "24 of 24 samples of more.npz"
    assert document["candidates"][0]["metric"]["n"] == COUNT


@pytest.mark.parametrize(
    "arrays, problem",
    [
        ({"y": rows()}, "has no array 'x'"),
        ({"x": rows()[:, :8]}, "is float32"),
        ({"x": rows().astype(np.float64)}, "is float64"),
        ({"x": rows()[:0]}, "holds no sample"),
    ],
)
def test_calibration_data_of_a_bare_file_must_fit(
    arrays: dict[str, Array], problem: str, tmp_path: Path
) -> None:
    model = classifier(tmp_path / "model.onnx")
    data = write(tmp_path / "data.npz")
    (tmp_path / "more.npz").write_bytes(write_npz(arrays))
    search = SearchOptions(calibration=tmp_path / "more.npz", methods=["static-minmax"])
    with pytest.raises(InputError, match=problem):
        quantize(model, data, output=tmp_path / "out.onnx", search=search)
    text = SearchOptions(calibration=tmp_path / "more.csv")
    with pytest.raises(InputError, match=r"is no \.npz file"):
        quantize(model, data, output=tmp_path / "out.onnx", search=text)
