"""The gate: what is kept, what is refused, and what a failure leaves behind."""

import json
from dataclasses import replace
from pathlib import Path

import pytest

from tests.builders import matmul
from tests.quantize.packages import write_data, write_words_package
from toolkit.cli.main import main
from toolkit.errors import InputError
from toolkit.evaluate.validation import FLOAT_LIMIT, validate
from toolkit.package import ModelPackage
from toolkit.package.integrity import file_hashes
from toolkit.profiling.paired import PairedLatency
from toolkit.quantize import (
    Limits,
    QuantizeFailedError,
    QuantizeStoppedError,
    SearchOptions,
    choosing,
    measuring,
    methods,
    publishing,
    quantize,
)
from toolkit.quantize.context import Context
from toolkit.quantize.dynamic import quantize_dynamic
from toolkit.quantize.methods import METHODS


@pytest.fixture
def package(tmp_path: Path) -> ModelPackage:
    return write_words_package(tmp_path / "words.ortpackage")


@pytest.fixture
def data(package: ModelPackage, tmp_path: Path) -> Path:
    return write_data(tmp_path / "data.csv", package.path)


def test_a_variant_that_keeps_its_promises_comes_first(
    package: ModelPackage, data: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    even = PairedLatency(reference_ms=1.0, candidate_ms=1.0, ratio=1.0, ratio_95=(0.9, 1.1))
    monkeypatch.setattr(measuring, "paired_latency", lambda *_, **__: even)
    report = quantize(package.path, data, limits=Limits(max_drop=0.05))
    after = ModelPackage.open(package.path)
    assert report.chosen == "int8"
    assert [variant.name for variant in after.variants] == ["int8", "fp32"]
    added = after.variant("int8").contents
    assert added.size_bytes * 3 < after.variant("fp32").contents.size_bytes
    assert (added.parent, added.precision) == ("fp32", "int8")
    kept = [candidate for candidate in report.candidates if candidate.kept]
    assert [candidate.method for candidate in kept] == [added.method]
    assert added.details["data_sha256"] == report.data_sha256
    checks = validate(package.path, data=data).checks
    assert [check for check in checks if not check.passed] == []


def test_weight_only_answers_do_not_depend_on_batch_mates(
    package: ModelPackage, data: Path
) -> None:
    report = quantize(package.path, data, methods=["weight-only"], limits=Limits(max_drop=0.05))
    (candidate,) = report.candidates
    assert candidate.batch_flips == 0
    assert candidate.agreement is not None
    assert candidate.agreement > 0.95


def test_a_metric_that_drops_too_far_ends_with_5_and_changes_nothing(
    package: ModelPackage,
    data: Path,
    monkeypatch: pytest.MonkeyPatch,
    capsys: pytest.CaptureFixture[str],
) -> None:
    before = file_hashes(package.path)
    monkeypatch.setattr(methods, "METHODS", (replace(METHODS[0], apply=ruin),))
    code = main(["quantize", str(package.path), "--data", str(data), "--json"])
    captured = capsys.readouterr()
    assert code == 5
    assert "the metric drops" in captured.err
    document = json.loads(captured.out)
    assert document["chosen"] is None
    assert document["candidates"][0]["drop"] > 0.1
    assert file_hashes(package.path) == before


def ruin(model: Path, target: Path, context: Context) -> int:
    """A quantizer that turns every answer into the first label."""
    import onnx
    from onnx import numpy_helper

    proto = onnx.load(model)
    for tensor in proto.graph.initializer:
        if tensor.name == "bias":
            bias = numpy_helper.to_array(tensor).copy()
            bias[0] += 1e6
            tensor.CopyFrom(numpy_helper.from_array(bias, "bias"))
    onnx.save(proto, target)
    return 1


def test_a_copy_that_is_neither_smaller_nor_faster_is_refused(
    package: ModelPackage, data: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    def copy(model: Path, target: Path, context: Context) -> int:
        target.write_bytes(model.read_bytes())
        return 1

    monkeypatch.setattr(methods, "METHODS", (replace(METHODS[0], apply=copy),))
    monkeypatch.setattr(choosing, "is_faster", lambda candidate: False)
    with pytest.raises(QuantizeFailedError) as failed:
        quantize(package.path, data)
    assert failed.value.report.candidates[0].why == "neither smaller nor faster than its parent"


def test_a_smaller_but_slower_variant_stands_behind_its_parent(
    package: ModelPackage, data: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    slow = PairedLatency(reference_ms=1.0, candidate_ms=2.0, ratio=2.0, ratio_95=(1.9, 2.1))
    monkeypatch.setattr(measuring, "paired_latency", lambda *_, **__: slow)
    report = quantize(package.path, data, methods=["weight-only"], limits=Limits(max_drop=0.05))
    assert not report.preferred
    after = ModelPackage.open(package.path)
    assert [variant.name for variant in after.variants] == ["fp32", "int8"]


@pytest.mark.parametrize("failure", [KeyboardInterrupt(), OSError(28, "No space left on device")])
def test_an_interrupt_or_a_full_disk_leaves_the_package_as_it_was(
    package: ModelPackage, data: Path, monkeypatch: pytest.MonkeyPatch, failure: BaseException
) -> None:
    before = file_hashes(package.path)

    def fail(*arguments: object, **keywords: object) -> None:
        raise failure

    monkeypatch.setattr(publishing, "add_variant", fail)
    expected = 130 if isinstance(failure, KeyboardInterrupt) else 3
    command = ["quantize", str(package.path), "--data", str(data), "--max-drop", "0.05"]
    assert main(command) == expected
    assert file_hashes(package.path) == before


def test_an_existing_name_needs_force(package: ModelPackage, data: Path) -> None:
    limits = Limits(max_drop=0.05)
    quantize(package.path, data, limits=limits)
    with pytest.raises(InputError, match="already has a variant 'int8'"):
        quantize(package.path, data, limits=limits)
    assert quantize(package.path, data, limits=limits, force=True).replaced
    assert len(ModelPackage.open(package.path).variants) == 2


@pytest.mark.parametrize(
    "content, fact",
    [
        ("", "no row"),
        ("text,label\n", "no row"),
        ("text\nw1\n", "no label column"),
        ("words,label\nw1,yes\n", "no text column"),
        ("text,label\nw1,maybe\n", "'maybe'"),
        ("text,label\nw1,yes,more\n", "another number of fields"),
    ],
)
def test_data_that_does_not_fit_is_described(
    package: ModelPackage, tmp_path: Path, content: str, fact: str
) -> None:
    (tmp_path / "bad.csv").write_text(content)
    with pytest.raises(InputError) as refused:
        quantize(package.path, tmp_path / "bad.csv")
    assert fact in refused.value.problem


def test_a_limit_that_is_no_number_keeps_nothing(package: ModelPackage, data: Path) -> None:
    before = file_hashes(package.path)
    limits = Limits(max_drop=float("nan"))
    with pytest.raises(QuantizeFailedError, match="kept its promises"):
        quantize(package.path, data, methods=["weight-only"], limits=limits)
    assert file_hashes(package.path) == before


def test_an_unknown_method_lists_the_known_ones(package: ModelPackage, data: Path) -> None:
    with pytest.raises(InputError) as refused:
        quantize(package.path, data, methods=["magic"])
    assert "weight-only" in refused.value.expected


def test_a_full_disk_in_the_quantizer_is_not_the_graphs_fault(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    import onnxruntime.quantization

    def fail(*arguments: object, **keywords: object) -> None:
        raise OSError(28, "No space left on device")

    monkeypatch.setattr(onnxruntime.quantization, "quantize_dynamic", fail)
    matmul(tmp_path / "m.onnx")
    with pytest.raises(OSError, match="No space left"):
        quantize_dynamic(tmp_path / "m.onnx", tmp_path / "target.onnx")


def test_what_quantize_keeps_validate_passes(package: ModelPackage, data: Path) -> None:
    limits = Limits(max_drop=0.5, max_batch_flips=1000)
    quantize(package.path, data, methods=["dynamic"], limits=limits)
    contents = ModelPackage.open(package.path).variant("int8").contents
    (change,) = [
        check.value
        for check in validate(package.path).checks
        if (check.name, check.variant) == ("batch invariance", "int8")
    ]
    assert change > FLOAT_LIMIT  # else this tests nothing
    assert contents.parity["batch_limit"] == pytest.approx(2 * change)
    assert [check for check in validate(package.path).checks if not check.passed] == []
