"""What `optimize` keeps, what it refuses and why, and what it leaves behind."""

import json
import math
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import onnx
import pytest
from onnx import numpy_helper

from tests.optimize.graphs import WIDTH
from tests.optimize.packages import add_copy, write_layer_package
from tests.package.two_components import write_two_components
from toolkit import load
from toolkit.cli.main import main
from toolkit.errors import InputError
from toolkit.evaluate.validation import reference_feeds, validate
from toolkit.optimize import rewriters, step
from toolkit.optimize.report import Candidate, Float16FailedError
from toolkit.optimize.rewriters import FUSIONS, RewriterError
from toolkit.optimize.step import ROUNDS, optimize
from toolkit.package import ModelPackage
from toolkit.package.integrity import file_hashes
from toolkit.profiling.paired import PairedLatency


@pytest.fixture
def package(tmp_path: Path) -> ModelPackage:
    return write_layer_package(tmp_path / "layer.ortpackage")


def took(ratio: float, low: float, high: float) -> PairedLatency:
    return PairedLatency(reference_ms=1.0, candidate_ms=ratio, ratio=ratio, ratio_95=(low, high))


def measured(*found: PairedLatency, again: PairedLatency | None = None) -> Any:
    """Answers in turn, one a size; what decides may be another."""
    asked: list[int] = []

    def measure(*_: object, rounds: int, pairs: int) -> PairedLatency:
        asked.append(rounds)
        if again is not None and rounds == ROUNDS:
            return again
        return found[(len(asked) - 1) % len(found)]

    return measure


FASTER = measured(took(0.8, 0.78, 0.82))


def unexpected(*_: object, **__: object) -> PairedLatency:
    raise AssertionError("nothing is to be timed")


never: Any = unexpected


def test_a_faster_graph_is_added_in_front_and_validates(package: ModelPackage) -> None:
    before = load(package.path).run(reference_feeds(package))["y"]
    report = optimize(package.path, methods=["fused"], measure=FASTER)
    assert (report.variants, report.preferred) == (("fp32-fused",), "fp32-fused")
    (candidate,) = report.candidates
    assert (candidate.kept, candidate.why) == (True, "faster")
    assert candidate.latency_ratio == pytest.approx(0.8)
    assert len(candidate.shapes) == 5
    after = ModelPackage.open(package.path)
    assert [variant.name for variant in after.variants] == ["fp32-fused", "fp32"]
    added = after.variant("fp32-fused").contents
    assert (added.parent, added.precision, added.method) == ("fp32", "fp32", "fused")
    assert added.parity["limit"] == 1e-4
    operators = [node.op_type for node in onnx.load(after.variant("fp32-fused").model).graph.node]
    assert "FusedMatMul" in operators  # masked attention: its scale is part of the product
    assert validate(package.path).passed
    answers = load(package.path).run(reference_feeds(after))["y"]
    np.testing.assert_allclose(before, answers, rtol=0, atol=2e-6)


@pytest.mark.parametrize(
    "measure, why",
    [
        (measured(took(1.2, 1.1, 1.3)), "slower: 1.200"),
        (measured(took(0.99, 0.97, 1.01)), "cannot tell: 0.990"),
        # Faster over all sizes, but not at each.
        (
            measured(took(0.5, 0.49, 0.51), took(1.1, 1.08, 1.12), took(0.5, 0.49, 0.51)),
            "slower at batch 1, sequence 8: 1.100",
        ),
        (
            measured(took(0.5, 0.49, 0.51), took(1.03, 0.97, 1.09), took(0.5, 0.49, 0.51)),
            "cannot tell at batch 1, sequence 8: 1.030",
        ),
        (measured(took(math.nan, math.nan, math.nan)), "cannot tell: nan"),
        # The best of several looks better than it is: what is measured again decides.
        (measured(took(0.8, 0.7, 0.9), again=took(0.99, 0.95, 1.03)), "cannot tell: 0.990"),
    ],
)
def test_what_is_not_faster_for_certain_is_not_kept(
    package: ModelPackage, measure: Any, why: str
) -> None:
    before = file_hashes(package.path)
    report = optimize(package.path, methods=["fused"], measure=measure)
    (candidate,) = report.candidates
    assert not candidate.kept
    assert candidate.why.startswith(why)
    assert report.variants == ()
    assert file_hashes(package.path) == before


def renaming(name: str) -> rewriters.Method:
    """`fused` under another name."""
    return replace(FUSIONS[0], name=name)


def test_only_the_best_is_kept(package: ModelPackage, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(rewriters, "FUSIONS", (renaming("one"), renaming("two")))
    three = [took(0.9, 0.88, 0.92)] * 2 + [took(0.7, 0.68, 0.72)] * 4
    report = optimize(package.path, precision="fp32", measure=measured(*three))
    assert [(c.method, c.kept, c.why) for c in report.candidates] == [
        ("one", False, "two is better"),
        ("two", True, "faster"),
    ]
    assert ModelPackage.open(package.path).variant("fp32-fused").contents.method == "two"


def changing(change: Callable[[onnx.ModelProto], None]) -> rewriters.Method:
    def rewrite(model: onnx.ModelProto, provider: object) -> onnx.ModelProto:
        change(model)
        return model

    return replace(FUSIONS[0], name="changed", rewrite=rewrite)


def other_weights(model: onnx.ModelProto) -> None:
    model.graph.node.append(onnx.helper.make_node("Identity", ["y"], ["unused"]))
    shape = model.graph.output[0].type.tensor_type.shape  # the checker wants one
    shape.dim.add().dim_param, shape.dim.add().dim_value = "batch", WIDTH
    for tensor in model.graph.initializer:
        if tensor.name == "wv":
            tensor.CopyFrom(numpy_helper.from_array(numpy_helper.to_array(tensor) * 1.01, "wv"))


def no_such_operator(model: onnx.ModelProto) -> None:
    model.graph.node[0].op_type = "NoSuchOperator"


def missing_library(model: onnx.ModelProto) -> None:
    raise ModuleNotFoundError("No module named 'fusions'", name="fusions")


def bad_library(model: onnx.ModelProto) -> None:
    raise KeyError("nothing of ours")


@pytest.mark.parametrize(
    "change, why",
    [
        (other_weights, "parity at batch 3, sequence 6: max abs error"),
        (no_such_operator, "it failed: the rewritten graph is no valid ONNX model"),
        (missing_library, "it failed: it needs fusions, which is not installed"),
        (bad_library, "it failed: KeyError"),
        (lambda model: None, "nothing to do"),
    ],
)
def test_what_cannot_be_trusted_is_refused_before_it_is_timed(
    package: ModelPackage, monkeypatch: pytest.MonkeyPatch, change: Any, why: str
) -> None:
    before = file_hashes(package.path)
    monkeypatch.setattr(rewriters, "FUSIONS", (changing(change),))
    report = optimize(package.path, precision="fp32", measure=never)
    (candidate,) = report.candidates
    assert candidate.why.startswith(why)
    assert report.variants == ()
    assert file_hashes(package.path) == before


def test_a_graph_that_is_fused_already_has_nothing_to_do(package: ModelPackage) -> None:
    optimize(package.path, methods=["fused"], measure=FASTER)
    report = optimize(
        package.path, variant="fp32-fused", methods=["fused"], name="again", measure=never
    )
    assert report.candidates[0].why == "nothing to do: it changes no node of this graph"


def test_a_graph_that_is_too_large_is_left_alone(
    package: ModelPackage, monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    monkeypatch.setattr(rewriters, "LARGEST_BYTES", 100)
    report = optimize(package.path, methods=["fused"], measure=never)
    assert "GB are rewritten" in report.candidates[0].why


def test_a_fused_variant_does_not_pass_a_quantized_one(package: ModelPackage) -> None:
    add_copy(package, "int8", "int8")
    report = optimize(package.path, methods=["fused"], measure=FASTER)
    assert (report.parent, report.preferred) == ("fp32", "")
    names = [variant.name for variant in ModelPackage.open(package.path).variants]
    assert names == ["int8", "fp32", "fp32-fused"]


def test_both_steps_start_from_fp32_as_exported(package: ModelPackage) -> None:
    optimize(package.path, methods=["fused"], measure=FASTER)
    after = ModelPackage.open(package.path)
    assert after.variant().name == "fp32-fused"
    assert after.float_variant().name == "fp32"
    assert optimize(package.path, methods=["fused"], name="b", measure=FASTER).parent == "fp32"


def test_a_quantized_parent_is_refused(package: ModelPackage) -> None:
    add_copy(package, "int8", "int8")
    with pytest.raises(InputError) as refused:
        optimize(package.path, variant="int8")
    assert "'int8' is int8" in refused.value.problem


def test_a_taken_name_needs_force(package: ModelPackage) -> None:
    optimize(package.path, methods=["fused"], measure=FASTER)
    with pytest.raises(InputError, match="already has a variant 'fp32-fused'"):
        optimize(package.path, methods=["fused"], measure=never)
    report = optimize(package.path, methods=["fused"], measure=FASTER, force=True)
    assert (report.replaced, report.preferred) == (("fp32-fused",), "fp32-fused")


def test_fp16_waits_for_a_gpu_or_to_be_asked_for(package: ModelPackage) -> None:
    report = optimize(package.path, methods=["fp16"], measure=never)
    assert report.variants == ()
    assert report.candidates[0].why.startswith("not tried: it is for GPUs")
    report = optimize(package.path, precision="fp16", measure=never)
    (candidate,) = report.candidates
    assert (report.variants, report.preferred, candidate.timings) == (("fp16",), "", ())
    assert "its speed was not measured" in candidate.why
    assert candidate.sqnr_db is not None
    assert 40 < candidate.sqnr_db < 100
    after = ModelPackage.open(package.path)
    assert [variant.name for variant in after.variants] == ["fp32", "fp16"]
    added = after.variant("fp16").contents
    assert added.size_bytes < 0.6 * after.variant("fp32").contents.size_bytes
    assert added.parity["max_abs_error"] > 0
    assert added.parity["limit"] == max(1e-4, 2 * added.parity["max_abs_error"])
    assert validate(package.path).passed


def test_fp16_that_overflows_ends_with_5_and_adds_nothing(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    package = write_layer_package(tmp_path / "wide.ortpackage", scale=1e6)
    before = file_hashes(package.path)
    with pytest.raises(Float16FailedError, match="signal to noise"):
        optimize(package.path, precision="fp16")
    assert main(["optimize", str(package.path), "--precision", "fp16", "--json", "-q"]) == 5
    assert json.loads(capsys.readouterr().out)["variants"] == []
    assert file_hashes(package.path) == before


def test_one_component_of_several_is_optimized(tmp_path: Path) -> None:
    package = write_two_components(tmp_path / "two.ortpackage")
    report = optimize(package.path, component="decoder", precision="fp16", measure=never)
    assert (report.component, report.variants) == ("decoder", ("fp16",))
    after = ModelPackage.open(package.path)
    assert [variant.name for variant in after.focused("decoder").variants] == ["fp32", "fp16"]
    assert [variant.name for variant in after.focused("encoder").variants] == ["fp32"]
    assert validate(package.path).passed


def test_the_document_has_the_keys_that_are_promised(
    package: ModelPackage, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(step, "paired_latency", FASTER)
    command = ["optimize", str(package.path), "--only", "fused", "--only", "fp16"]
    assert main([*command, "--json"]) == 0
    captured = capsys.readouterr()
    document = json.loads(captured.out)
    assert next(iter(document)) == "schema_version"
    assert document["variants"] == ["fp32-fused"]
    assert [found["method"] for found in document["candidates"]] == ["fused", "fp16"]
    assert document["candidates"][0]["latency_ratio_95"][1] < 1
    assert "fused: latency again" in captured.err
    assert main([*command, "--force", "-q"]) == 0
    captured = capsys.readouterr()
    assert "replaced fp32-fused in" in captured.out
    assert captured.err == ""


@pytest.mark.parametrize(
    "arguments, fact",
    [
        (["bare.onnx"], "is a bare model"),
        (["missing.ortpackage"], "does not exist"),
        (["layer.ortpackage", "--only", "magic"], "no method 'magic'"),
        (["layer.ortpackage", "--only", "fused", "--precision", "fp16"], "precision fp16"),
        (["layer.ortpackage", "--component", "decoder"], "no component 'decoder'"),
        (["layer.ortpackage", "--variant", "int8"], "no variant 'int8'"),
    ],
)
def test_what_is_asked_wrongly_ends_with_3(
    package: ModelPackage,
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
    capsys: pytest.CaptureFixture[str],
    arguments: list[str],
    fact: str,
) -> None:
    monkeypatch.chdir(tmp_path)
    assert main(["optimize", *arguments]) == 3
    captured = capsys.readouterr()
    assert fact in captured.err
    assert captured.out == ""


def test_an_interrupt_leaves_the_package_as_it_was(
    package: ModelPackage, monkeypatch: pytest.MonkeyPatch
) -> None:
    before = file_hashes(package.path)

    def interrupt(*arguments: object, **keywords: object) -> None:
        raise KeyboardInterrupt

    monkeypatch.setattr(step, "paired_latency", FASTER)
    monkeypatch.setattr(step, "add_variant", interrupt)
    assert main(["optimize", str(package.path), "--only", "fused"]) == 130
    assert file_hashes(package.path) == before


def test_a_full_disk_in_a_rewriter_is_not_the_graphs_fault(
    package: ModelPackage, monkeypatch: pytest.MonkeyPatch
) -> None:
    def fail(model: onnx.ModelProto) -> None:
        raise OSError(28, "No space left on device")

    monkeypatch.setattr(rewriters, "FUSIONS", (changing(fail),))
    with pytest.raises(OSError, match="No space left"):
        optimize(package.path, precision="fp32", measure=never)


def test_a_rewriter_says_itself_why_it_gave_up(
    package: ModelPackage, monkeypatch: pytest.MonkeyPatch
) -> None:
    def give_up(model: onnx.ModelProto) -> None:
        raise RewriterError("no such provider")

    monkeypatch.setattr(rewriters, "FUSIONS", (changing(give_up),))
    report = optimize(package.path, precision="fp32", measure=never)
    assert report.candidates == (
        Candidate(variant="fp32-fused", method="changed", why="it failed: no such provider"),
    )
