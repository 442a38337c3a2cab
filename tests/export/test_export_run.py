"""Exporting a run directory: what training wrote travels with the model."""

from pathlib import Path

import msgspec
import pytest

from tests.training.tiny import TEXT, write
from toolkit import ModelPackage, export, load, train
from toolkit.package.integrity import file_hashes
from toolkit.training import open_run

pytestmark = [pytest.mark.torch, pytest.mark.slow]


def test_a_run_becomes_a_package_that_takes_text(tmp_path: Path) -> None:
    run = tmp_path / "run"
    train(write(tmp_path / "recipe", TEXT), run)
    report = export(run, tmp_path / "a.ortpackage")
    opened, package = open_run(run), ModelPackage.open(report.package)
    assert package.contents.task == opened.task
    assert package.contents.metrics == msgspec.json.decode(msgspec.json.encode(opened.metrics))
    assert package.contents.source.name == "tiny-text"
    assert package.contents.source.sha256 == opened.record.files["weights.safetensors"]
    preprocessing = package.asset("preprocessing")
    assert preprocessing is not None
    assert (preprocessing / "tokenizer.json").read_bytes() == (
        run / "preprocessing" / "tokenizer.json"
    ).read_bytes()
    # No text of the task is longer than 8 tokens, so that no longer sequence is tried.
    assert max(shape["sequence"] for shape in report.parity.shapes) <= 8
    result = load(report.package)("a good and lovely film")
    assert isinstance(result, dict)
    assert result["label"] in {"good", "bad"}
    export(run, tmp_path / "again" / "a.ortpackage")
    assert file_hashes(tmp_path / "again" / "a.ortpackage") == file_hashes(report.package)
