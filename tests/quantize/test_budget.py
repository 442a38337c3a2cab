"""Searches that end early: by the budget, an interrupt or a full disk."""

import itertools
import json
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path

import pytest

from tests.builders import matmul
from tests.quantize.packages import ruin
from toolkit.cli.main import main
from toolkit.package import ModelPackage
from toolkit.package.integrity import file_hashes
from toolkit.quantize import (
    Limits,
    QuantizeFailedError,
    SearchOptions,
    methods,
    publishing,
    quantize,
)
from toolkit.quantize.context import Context
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


def ticking(seconds: float) -> Callable[[], float]:
    """A clock that moves by so many seconds whenever it is looked at."""
    numbers = itertools.count()
    return lambda: next(numbers) * seconds


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
    search = SearchOptions(methods=FEW, budget_s=4.0, clock=ticking(1.0))
    with pytest.raises(QuantizeFailedError, match="before the budget ended"):
        quantize(package.path, data, search=search)
    assert file_hashes(package.path) == before


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
