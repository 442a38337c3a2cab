"""Searches that end early: by the budget, an interrupt or a full disk."""

import contextlib
import json
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path

import pytest

from tests.builders import matmul
from tests.quantize.packages import ruin
from toolkit.cli.main import main
from toolkit.errors import InputError
from toolkit.package import ModelPackage
from toolkit.package.integrity import file_hashes
from toolkit.quantize import (
    Limits,
    QuantizeFailedError,
    SearchOptions,
    measuring,
    methods,
    publishing,
    quantize,
)
from toolkit.quantize.context import Context, contained
from toolkit.quantize.dynamic import quantize_dynamic
from toolkit.quantize.methods import METHODS

FEW = ("weight-only", "dynamic", "static-minmax")


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
    command += ["--only", "weight-only"]
    assert main(command) == expected
    assert file_hashes(package.path) == before


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


def test_the_best_one_found_is_kept_when_the_budget_ends(package: ModelPackage, data: Path) -> None:
    now = [0.0]

    def late(line: str) -> None:
        if line.startswith("dynamic: "):
            now[0] = 31.0

    search = SearchOptions(methods=FEW, budget_s=30.0, clock=lambda: now[0])
    limits = Limits(max_drop=0.05)
    report = quantize(package.path, data, search=search, limits=limits, progress=late)
    assert report.stopped == "the budget ended"
    assert report.chosen == "int8"
    assert [candidate.method for candidate in report.candidates if candidate.kept] == [
        "weight-only"
    ]
    assert len(report.candidates) < len(FEW)
    assert ModelPackage.open(package.path).variant("int8").contents.method == "weight-only"


def test_a_budget_that_ends_before_anything_passed_changes_nothing(
    package: ModelPackage, data: Path
) -> None:
    before = file_hashes(package.path)
    now = [0.0]

    def late(line: str) -> None:
        now[0] = 31.0 if line.startswith("weight-only: ") else now[0]

    search = SearchOptions(methods=FEW, budget_s=30.0, clock=lambda: now[0])
    with pytest.raises(QuantizeFailedError, match="before the budget ended"):
        quantize(package.path, data, search=search, progress=late)
    assert file_hashes(package.path) == before


def test_a_budget_that_ends_before_the_calibration_data_is_read_is_too_short(
    package: ModelPackage, data: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    before = file_hashes(package.path)
    now, start = [0.0], measuring.Judge.start

    def slow(judge: measuring.Judge) -> None:
        start(judge)
        now[0] = 31.0

    monkeypatch.setattr(measuring.Judge, "start", slow)
    calibration = tmp_path / "calibration.csv"
    calibration.write_bytes(data.read_bytes())
    search = SearchOptions(calibration=calibration, budget_s=30.0, clock=lambda: now[0])
    with pytest.raises(InputError, match="a budget of 30 s is not enough") as refused:
        quantize(package.path, data, search=search)
    assert "--budget" in refused.value.fix
    assert file_hashes(package.path) == before


STAGES = ("paired_latency", "answer_all", "other_settings")
"""What takes time while a candidate is judged, by its name in `measuring`."""


def stages(
    package: ModelPackage, data: Path, monkeypatch: pytest.MonkeyPatch, last: int
) -> list[str]:
    """The stages that a candidate goes through where the budget ends during the one of a number."""
    now, begun, trying = [0.0], list[str](), [False]

    def telling(name: str) -> Callable[..., object]:
        stage = getattr(measuring, name)

        def told(*arguments: object, **keywords: object) -> object:
            if trying[0]:
                begun.append(name)
            found = stage(*arguments, **keywords)
            if trying[0] and len(begun) > last:
                now[0] = 31.0
            return found

        return told

    def candidates_begin(line: str) -> None:
        trying[0] = trying[0] or line.startswith("weight-only: ")

    with monkeypatch.context() as patched:
        for name in STAGES:
            patched.setattr(measuring, name, telling(name))
        search = SearchOptions(methods=["weight-only"], budget_s=30.0, clock=lambda: now[0])
        limits = Limits(max_drop=0.5)
        with contextlib.suppress(QuantizeFailedError):
            quantize(
                package.path,
                data,
                search=search,
                limits=limits,
                progress=candidates_begin,
                force=True,
            )
    return begun


def test_no_stage_of_a_candidate_begins_after_the_budget(
    package: ModelPackage, data: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    every = stages(package, data, monkeypatch, last=99)
    assert every == [
        "paired_latency",
        "answer_all",
        "answer_all",  # alone
        "other_settings",
        "paired_latency",
    ]
    for last in range(len(every) - 1):
        assert stages(package, data, monkeypatch, last=last) == every[: last + 1]


def test_no_batch_of_a_pass_over_calibration_data_begins_after_the_budget(
    package: ModelPackage, data: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    now, batches = [0.0], [0]

    def measuring_ranges(model: Path, target: Path, context: Context) -> int:
        with contained():  # as onnxruntime's quantizers are
            for _ in context.data.feeds():
                batches[0] += 1
                now[0] += 10.0
        return weights.apply(model, target, context)

    weights = next(method for method in METHODS if method.name == "weight-only")
    passing = replace(weights, name="passing", apply=measuring_ranges)
    monkeypatch.setattr(methods, "METHODS", (passing,))
    search = SearchOptions(budget_s=25.0, clock=lambda: now[0])
    with pytest.raises(QuantizeFailedError, match="before the budget ended") as failed:
        quantize(package.path, data, search=search)
    assert batches[0] == 3
    assert [found.why for found in failed.value.report.candidates] == [
        "the budget ended before it was measured"
    ]


def interrupting(model: Path, target: Path, context: Context) -> int:
    raise KeyboardInterrupt


@pytest.mark.parametrize("passing", [True, False])
def test_an_interrupt_keeps_the_best_so_far_only_if_it_passed(
    package: ModelPackage,
    data: Path,
    monkeypatch: pytest.MonkeyPatch,
    capsys: pytest.CaptureFixture[str],
    passing: bool,
) -> None:
    before = file_hashes(package.path)
    first = next(method for method in METHODS if method.name == "weight-only")
    if not passing:
        first = replace(first, apply=ruin)
    stopped = replace(first, name="stopped", rank=99, apply=interrupting)
    monkeypatch.setattr(methods, "METHODS", (first, stopped))
    command = ["quantize", str(package.path), "--data", str(data), "--max-drop", "0.05", "--json"]
    assert main(command) == 130
    captured = capsys.readouterr()
    if passing:
        assert json.loads(captured.out)["stopped"] == "it was interrupted"
        assert "int8 was added" in captured.err
        assert "int8" in ModelPackage.open(package.path).component.variants
    else:
        assert file_hashes(package.path) == before
