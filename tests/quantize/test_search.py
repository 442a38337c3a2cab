"""The gate: what is kept, what is refused, and what a failure leaves behind."""

import json
import math
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest

from tests.quantize.graphs import WIDTH, normalized
from tests.quantize.packages import ruin
from toolkit.cli.main import main
from toolkit.errors import InputError
from toolkit.evaluate.samples import SampleOptions
from toolkit.evaluate.validation import FLOAT_LIMIT, validate
from toolkit.machine import instruction_set, this_machine
from toolkit.package import ModelPackage
from toolkit.package.integrity import file_hashes
from toolkit.profiling.paired import PairedLatency
from toolkit.quantize import (
    WITHOUT_LABELS,
    Limits,
    QuantizeFailedError,
    SearchOptions,
    choosing,
    measuring,
    methods,
    quantize,
)
from toolkit.quantize.context import Context
from toolkit.quantize.methods import METHODS
from toolkit.quantize.outputs import SQNR
from toolkit.tensors import Array

FEW = ("weight-only", "dynamic", "static-minmax")


def test_a_variant_that_keeps_its_promises_comes_first(
    package: ModelPackage, data: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    even = PairedLatency(reference_ms=1.0, candidate_ms=1.0, ratio=1.0, ratio_95=(0.9, 1.1))
    monkeypatch.setattr(measuring, "paired_latency", lambda *_, **__: even)
    report = quantize(package.path, data, methods=FEW, limits=Limits(max_drop=0.05))
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
    monkeypatch.setattr(methods, "METHODS", (replace(METHODS[0], apply=ruin, keeps_nodes=False),))
    code = main(["quantize", str(package.path), "--data", str(data), "--json"])
    captured = capsys.readouterr()
    assert code == 5
    assert "the metric drops" in captured.err
    document = json.loads(captured.out)
    assert document["chosen"] is None
    assert document["candidates"][0]["drop"] > 0.1
    assert file_hashes(package.path) == before


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


def test_an_existing_name_needs_force(package: ModelPackage, data: Path) -> None:
    limits = Limits(max_drop=0.05)
    quantize(package.path, data, methods=FEW, limits=limits)
    with pytest.raises(InputError, match="already has a variant 'int8'"):
        quantize(package.path, data, methods=FEW, limits=limits)
    assert quantize(package.path, data, methods=FEW, limits=limits, force=True).replaced
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


def test_without_labels_agreement_and_sqnr_are_held(
    package: ModelPackage, data: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    reading = SampleOptions(labels=False)
    report = quantize(package.path, data, methods=["weight-only"], reading=reading)
    (candidate,) = report.candidates
    assert (candidate.metric, candidate.drop, report.metric) == (None, None, "")
    assert report.limits == WITHOUT_LABELS
    assert candidate.sqnr_db is not None
    assert candidate.sqnr_db > 30
    monkeypatch.setattr(methods, "METHODS", (replace(METHODS[0], apply=ruin, keeps_nodes=False),))
    with pytest.raises(QuantizeFailedError) as failed:
        quantize(package.path, data, reading=reading, name="other")
    (ruined,) = failed.value.report.candidates
    assert "agreement" in ruined.why
    assert "SQNR" in ruined.why


@pytest.mark.filterwarnings("ignore:2 samples prove little")
def test_a_single_label_is_refused(package: ModelPackage, tmp_path: Path) -> None:
    (tmp_path / "one.csv").write_text("text,label\nw1,yes\nw2,yes\n")
    with pytest.raises(InputError, match="has the label 'yes'"):
        quantize(package.path, tmp_path / "one.csv")
    report = quantize(
        package.path,
        tmp_path / "one.csv",
        methods=["weight-only"],
        reading=SampleOptions(labels=False),
    )
    assert report.chosen == "int8"


def test_kept_nodes_are_recorded(package: ModelPackage, data: Path) -> None:
    search = SearchOptions(methods=["weight-only"], keep=["MatMul_2"])
    report = quantize(package.path, data, search=search, limits=Limits(max_drop=0.05))
    details = ModelPackage.open(package.path).variant("int8").contents.details
    assert details["kept_nodes"] == ["MatMul_2"]
    assert report.candidates[0].kept_nodes == ("MatMul_2",)
    assert details["instruction_set"] == instruction_set(this_machine().cpu_features)
    assert details["calibration"]["seed"] == 0
    assert details["calibration"]["sha256"] == report.data_sha256
    assert details["flips"].keys() >= {"short mates", "long mates", "one thread", "two threads"}


def test_an_unknown_node_cannot_be_kept(package: ModelPackage, data: Path) -> None:
    with pytest.raises(InputError, match="no node 'MatMul_9'"):
        quantize(package.path, data, search=SearchOptions(keep=["MatMul_9"]))


def test_calibration_data_that_do_not_fit_are_refused(
    package: ModelPackage, data: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    (tmp_path / "words.csv").write_text("words\nw1\n")
    command = ["quantize", str(package.path), "--data", str(data)]
    assert main([*command, "--calibration", str(tmp_path / "words.csv")]) == 3
    assert "no text column" in capsys.readouterr().err
    assert main([*command, "--budget", "soon"]) == 2


def test_a_search_of_plain_tensors_is_held_by_agreement(tmp_path: Path) -> None:
    model = normalized(tmp_path / "float.onnx", wide=1.0)
    path = tmp_path / "tensors.ortpackage"
    assert main(["export", str(model), "-o", str(path)]) == 0
    rows = np.random.default_rng(3).normal(size=(40, 5, WIDTH)).astype(np.float32)
    np.savez(tmp_path / "data.npz", x=rows)
    report = quantize(
        path,
        tmp_path / "data.npz",
        methods=["rowwise", "static-minmax"],
        reading=SampleOptions(labels=False),
    )
    assert {candidate.agreement for candidate in report.candidates} == {1.0}
    assert all((candidate.sqnr_db or 0) > 25 for candidate in report.candidates)
    assert report.candidates[0].flips == {
        **dict.fromkeys(("short mates", "long mates", "one thread", "two threads"), 0)
    }


@pytest.mark.parametrize(
    "method, sensitive", [("static-minmax", "first"), ("static-minmax-smooth", "second")]
)
def test_nodes_are_as_sensitive_as_they_are_in_the_graph_that_is_rounded(
    tmp_path: Path, method: str, sensitive: str
) -> None:
    """Wide channels make "first" suffer, until their scales are migrated."""
    model = normalized(tmp_path / "float.onnx")
    path = tmp_path / "tensors.ortpackage"
    assert main(["export", str(model), "-o", str(path)]) == 0
    rows = np.random.default_rng(3).normal(size=(40, 5, WIDTH)).astype(np.float32)
    np.savez(tmp_path / "data.npz", x=rows)
    with pytest.raises(QuantizeFailedError) as failed:
        quantize(
            path,
            tmp_path / "data.npz",
            methods=[method],
            limits=Limits(min_sqnr_db=300),
            reading=SampleOptions(labels=False),
        )
    tried = {one.method: one for one in failed.value.report.candidates}
    assert tried[f"{method}-keep1"].kept_nodes == (sensitive,)


def test_a_method_that_cannot_run_the_graph_does_not_end_the_search(
    package: ModelPackage, data: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    def fail(model: Path, target: Path, context: Context) -> int:
        raise InputError("ONNX Runtime refused the graph")

    first = next(method for method in METHODS if method.name == "weight-only")
    broken = replace(first, name="broken", rank=1, apply=fail)
    monkeypatch.setattr(methods, "METHODS", (broken, first))
    report = quantize(package.path, data, limits=Limits(max_drop=0.05))
    assert report.chosen == "int8"
    assert "ONNX Runtime refused the graph" in report.candidates[0].why


@pytest.mark.parametrize(
    "before, after, wanted",
    [
        (np.ones((1, 2)), np.ones((1, 2)), math.inf),
        (np.ones((1, 2)), np.full((1, 2), 1.1), 20.0),
        (np.zeros((1, 2)), np.ones((1, 2)), -math.inf),
        (np.ones((1, 2)), np.ones((1, 3)), -math.inf),
    ],
)
def test_noise_without_signal_is_no_equality(before: Array, after: Array, wanted: float) -> None:
    found = SQNR()
    found.add({"logits": before}, {"logits": after})
    assert found.together_db == pytest.approx(wanted)
    assert found.worst_db == pytest.approx(wanted)
