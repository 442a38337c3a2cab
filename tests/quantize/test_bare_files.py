"""Files of other makers: quantized and verified, or refused with the reason; never copied."""

import json
import os
from collections.abc import Callable, Iterator
from dataclasses import replace
from pathlib import Path

import numpy as np
import onnx
import pytest
from onnx import TensorProto

from tests.quantize import foreign
from tests.quantize.foreign import WIDTH, rows
from toolkit.cli.main import main
from toolkit.errors import InputError
from toolkit.export.graph import tensors
from toolkit.npz import write_npz
from toolkit.quantize import QuantizeFailedError, methods, preparing, quantize
from toolkit.quantize.context import Context, Method
from toolkit.quantize.dynamic import quantize_dynamic
from toolkit.quantize.methods import METHODS
from toolkit.runtime import SessionOptions, open_session
from toolkit.tensors import Array

Write = Callable[[Path], Path]

CASES: tuple[Write, ...] = (
    foreign.constants,
    foreign.branches,
    foreign.loop,
    foreign.old,
    foreign.oddly_named,
    foreign.fused,
)


def integer_bytes(file: Path) -> int:
    """Elements that are stored as bytes."""
    bytes_of = {TensorProto.INT8, TensorProto.UINT8}
    return sum(int(np.prod(t.dims)) for t in tensors(onnx.load(file)) if t.data_type in bytes_of)


@pytest.mark.parametrize("write", CASES, ids=lambda write: write.__name__)
def test_weights_are_found_wherever_they_are_stored(write: Write, tmp_path: Path) -> None:
    model, output = write(tmp_path / "model.onnx"), tmp_path / "out.onnx"
    before = open_session(model, SessionOptions())
    (name,) = (spec.name for spec in before.inputs if spec.name.endswith(("x", "x:0")))
    (tmp_path / "data.npz").write_bytes(write_npz({name: rows()}))
    report = quantize(model, tmp_path / "data.npz", output=output, methods=["weight-only"])
    after = open_session(output, SessionOptions())
    assert [spec.name for spec in after.inputs] == [name]
    assert [spec.name for spec in after.outputs] == [spec.name for spec in before.outputs]
    (candidate,) = report.candidates
    assert candidate.kept
    assert candidate.agreement == 1.0
    assert (candidate.sqnr_db or 0) > 25
    assert output.stat().st_size < 0.6 * model.stat().st_size
    assert integer_bytes(output) >= WIDTH * WIDTH
    wanted, found = (session.run({name: rows()}) for session in (before, after))
    for key, value in wanted.items():
        assert 0 < np.linalg.norm(value - found[key]) < 0.05 * np.linalg.norm(value)


@pytest.mark.parametrize("write", [foreign.branches, foreign.loop], ids=["If", "Loop"])
def test_products_inside_bodies_are_quantized_row_by_row(write: Write, tmp_path: Path) -> None:
    model, output = write(tmp_path / "model.onnx"), tmp_path / "out.onnx"
    (tmp_path / "data.npz").write_bytes(write_npz({"x": rows()}))
    report = quantize(model, tmp_path / "data.npz", output=output, methods=["rowwise"])
    (candidate,) = report.candidates
    assert not candidate.batch_flips
    assert (candidate.sqnr_db or 0) > 25
    assert integer_bytes(output) >= 2 * WIDTH * WIDTH
    operators = {node.op_type for node in walked(onnx.load(output).graph)}
    assert "MatMulIntegerToFloat" in operators
    assert "MatMul" not in operators


@pytest.mark.parametrize("method", ["dynamic", "static-minmax", "blocks8"])
def test_methods_that_look_into_no_body_say_so(method: str, tmp_path: Path) -> None:
    model = foreign.loop(tmp_path / "model.onnx")
    (tmp_path / "data.npz").write_bytes(write_npz({"x": rows()}))
    with pytest.raises(QuantizeFailedError, match="nothing was written") as failed:
        quantize(model, tmp_path / "data.npz", output=tmp_path / "out.onnx", methods=[method])
    assert "weights inside If, Loop or Scan" in failed.value.expected
    model = foreign.unweighted(tmp_path / "none.onnx")
    with pytest.raises(QuantizeFailedError) as failed:
        quantize(model, tmp_path / "data.npz", output=tmp_path / "out.onnx", methods=[method])
    assert "inside If" not in failed.value.expected


def test_a_method_that_looks_into_bodies_does_not_say_that_it_would_not(tmp_path: Path) -> None:
    model = foreign.branches(tmp_path / "model.onnx", columns=2)  # too narrow to be worth it
    (tmp_path / "data.npz").write_bytes(write_npz({"x": rows()}))
    with pytest.raises(QuantizeFailedError) as failed:
        quantize(model, tmp_path / "data.npz", output=tmp_path / "out.onnx", methods=["rowwise"])
    (candidate,) = failed.value.report.candidates
    assert candidate.why == "no node of this graph could be quantized"


@pytest.mark.parametrize("write", [foreign.branches, foreign.loop], ids=["If", "Loop"])
@pytest.mark.parametrize(
    "method", [m for m in METHODS if not m.needs_data], ids=lambda method: method.name
)
def test_methods_say_truly_whether_they_look_into_bodies(
    write: Write, method: Method, tmp_path: Path
) -> None:
    prepared = tmp_path / "prepared.onnx"
    preparing.prepare(write(tmp_path / "model.onnx"), prepared)
    changed = method.apply(prepared, tmp_path / "out.onnx", Context())
    assert bool(changed) == method.reads_bodies


def walked(graph: onnx.GraphProto) -> Iterator[onnx.NodeProto]:
    """The nodes of a graph and of what is inside them."""
    for node in graph.node:
        yield node
        for attribute in node.attribute:
            if attribute.HasField("g"):
                yield from walked(attribute.g)


def test_the_command_writes_a_file_that_needs_no_package(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    model, output = foreign.constants(tmp_path / "model.onnx"), tmp_path / "out.onnx"
    np.savez(tmp_path / "data.npz", x=rows())
    command = ["quantize", str(model), "--data", str(tmp_path / "data.npz"), "-o", str(output)]
    command += ["--only", "rowwise", "--only", "weight-only", "-q"]
    assert main([*command, "--json"]) == 0
    document = json.loads(capsys.readouterr().out)
    assert document["schema_version"] == "1"
    assert (document["output"], document["package"]) == (str(output), str(model))
    assert sorted(file.name for file in tmp_path.iterdir()) == [
        "data.npz",
        "model.onnx",
        "out.onnx",
    ]
    first = output.read_bytes()
    assert main(command) == 3
    assert "exists already" in capsys.readouterr().err
    assert output.read_bytes() == first
    assert main([*command, "--force"]) == 0
    assert f"replaced {output}" in capsys.readouterr().out.replace("\n", "")


def test_a_file_that_is_quantized_already_is_refused(tmp_path: Path) -> None:
    model = foreign.constants(tmp_path / "model.onnx")
    preparing.prepare(model, tmp_path / "prepared.onnx")
    quantize_dynamic(tmp_path / "prepared.onnx", tmp_path / "int8.onnx")
    np.savez(tmp_path / "data.npz", x=rows())
    output = tmp_path / "out.onnx"
    quantize(model, tmp_path / "data.npz", output=output, methods=["weight-only"])
    for again in (tmp_path / "int8.onnx", output):  # operators of quantizers; bytes and a Cast
        with pytest.raises(InputError, match="quantized already"):
            quantize(again, tmp_path / "data.npz", output=tmp_path / "again.onnx")
    assert not (tmp_path / "again.onnx").exists()


def test_a_graph_without_weights_is_no_success(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    model, output = foreign.unweighted(tmp_path / "model.onnx"), tmp_path / "out.onnx"
    np.savez(tmp_path / "data.npz", x=rows())
    command = ["quantize", str(model), "--data", str(tmp_path / "data.npz"), "-o", str(output)]
    assert main([*command, "--only", "rowwise", "--only", "weight-only", "--only", "dynamic"]) == 5
    assert "no node of this graph could be quantized" in capsys.readouterr().err
    assert not output.exists()


def test_a_state_is_carried_from_step_to_step(tmp_path: Path) -> None:
    model = foreign.recurrent(tmp_path / "model.onnx")
    count = 32
    np.savez(
        tmp_path / "data.npz",
        x=rows(count)[:, None],
        state=rows(count, seed=5)[:, None, None],
        gain=np.ones(count, np.float32),
    )
    report = quantize(
        model, tmp_path / "data.npz", output=tmp_path / "out.onnx", methods=["weight-only"]
    )
    (candidate,) = report.candidates
    assert report.n == count
    assert candidate.batch_flips is None  # every sample is a run of its own
    assert candidate.unrolled_db is not None
    assert candidate.sqnr_db is not None
    assert 15 < candidate.unrolled_db < 60


def test_a_state_that_drifts_is_refused(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    def drifting(source: Path, target: Path, context: Context) -> int:
        """A quantizer that rounds a decay of 0.98 up: each run is close, a hundred are not."""
        proto = onnx.load(source)
        for tensor in proto.graph.initializer:
            if tensor.name == "decay":
                tensor.CopyFrom(onnx.numpy_helper.from_array(np.array(1.03, np.float32), "decay"))
        onnx.save(proto, target)
        return weights.apply(target, target, context)

    weights = next(method for method in METHODS if method.name == "weight-only")
    monkeypatch.setattr(methods, "METHODS", (replace(weights, name="drift", apply=drifting),))
    model = foreign.recurrent(tmp_path / "model.onnx", decay=0.98)
    count = 48
    np.savez(
        tmp_path / "data.npz",
        x=np.abs(rows(count))[:, None],
        state=rows(count, seed=5)[:, None, None],
        gain=np.ones(count, np.float32),
    )
    with pytest.raises(QuantizeFailedError) as failed:
        quantize(model, tmp_path / "data.npz", output=tmp_path / "out.onnx")
    (candidate, *_) = failed.value.report.candidates
    assert (candidate.sqnr_db or 0) > 15
    assert candidate.why.endswith("when it gets its own state back")
    assert not (tmp_path / "out.onnx").exists()


def test_random_inputs_are_asked_for_and_told(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    model, output = foreign.constants(tmp_path / "model.onnx"), tmp_path / "out.onnx"
    command = ["quantize", str(model), "-o", str(output), "--only", "weight-only"]
    assert main(command) == 3
    assert "has to be judged on data" in capsys.readouterr().err
    assert main([*command, "--random-inputs", "--seed", "7", "--json"]) == 0
    (note,) = json.loads(capsys.readouterr().out)["notes"]
    assert "random inputs of seed 7" in note
    assert main([*command, "--force", "--random-inputs", "--data", "data.npz"]) == 3


@pytest.mark.parametrize(
    "arrays, problem",
    [
        ({"y": rows()}, "has no array 'x'"),
        ({"x": rows()[:, :8]}, "is float32"),
        ({"x": rows().astype(np.float64)}, "is float64"),
        ({"x": rows()[None, None]}, "holds x: float32"),
        ({"x": rows()[:0]}, "holds no sample"),
    ],
)
def test_data_that_do_not_fit_are_refused(
    arrays: dict[str, Array], problem: str, tmp_path: Path
) -> None:
    model = foreign.constants(tmp_path / "model.onnx")
    (tmp_path / "data.npz").write_bytes(write_npz(arrays))
    with pytest.raises(InputError, match=problem):
        quantize(model, tmp_path / "data.npz", output=tmp_path / "out.onnx")
    assert not (tmp_path / "out.onnx").exists()


@pytest.mark.parametrize(
    "output, problem",
    [(None, "nothing says where"), ("out.bin", "no name for"), ("model.onnx", "made from")],
)
def test_an_output_that_cannot_be_is_refused(
    output: str | None, problem: str, tmp_path: Path
) -> None:
    model = foreign.constants(tmp_path / "model.onnx")
    before = model.read_bytes()
    with pytest.raises(InputError, match=problem):
        quantize(model, None, output=None if output is None else tmp_path / output, force=True)
    assert model.read_bytes() == before


def test_an_interrupt_keeps_what_had_passed(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    def interrupted(source: Path, target: Path, context: Context) -> int:
        raise KeyboardInterrupt

    weights = next(method for method in METHODS if method.name == "weight-only")
    later = replace(weights, name="later", apply=interrupted, rank=12)
    monkeypatch.setattr(methods, "METHODS", (weights, later))
    model, output = foreign.constants(tmp_path / "model.onnx"), tmp_path / "out.onnx"
    np.savez(tmp_path / "data.npz", x=rows())
    command = ["quantize", str(model), "--data", str(tmp_path / "data.npz"), "-o", str(output)]
    assert main(command) == 130
    assert f"{output} was written" in capsys.readouterr().err.replace("\n", " ")
    assert integer_bytes(output) == 2 * WIDTH * WIDTH


def test_a_full_disk_leaves_what_stood_there(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    model, output = foreign.constants(tmp_path / "model.onnx"), tmp_path / "out.onnx"
    output.write_bytes(b"before")
    np.savez(tmp_path / "data.npz", x=rows())

    def full(*arguments: object, **keywords: object) -> None:
        raise OSError(28, "No space left on device")

    monkeypatch.setattr(os, "fdopen", full)
    with pytest.raises(InputError, match="No space left"):
        quantize(model, tmp_path / "data.npz", output=output, methods=["weight-only"], force=True)
    assert output.read_bytes() == b"before"
    assert sorted(file.name for file in tmp_path.iterdir()) == [
        "data.npz",
        "model.onnx",
        "out.onnx",
    ]
