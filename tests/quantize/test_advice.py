"""What is said of limits and data that cannot be as they are."""

import logging
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest

from tests.quantize import foreign
from tests.quantize.foreign import rows
from tests.quantize.packages import ruin
from toolkit.cli import promises
from toolkit.cli.main import main
from toolkit.package import ModelPackage
from toolkit.quantize import Limits, choosing, methods, quantize
from toolkit.quantize.context import Context
from toolkit.quantize.methods import METHODS
from toolkit.quantize.report import Candidate


def test_a_limit_that_nothing_reads_is_refused(
    package: ModelPackage,
    data: Path,
    tmp_path: Path,
    capsys: pytest.CaptureFixture[str],
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    model = foreign.constants(tmp_path / "model.onnx")
    np.savez(tmp_path / "data.npz", x=rows())
    bare = ["quantize", str(model), "--data", str(tmp_path / "data.npz")]
    ours = ["quantize", str(package.path), "--data", str(data), "--only", "weight-only"]
    for command in ([*bare, "-o", str(tmp_path / "o.onnx")], [*ours, "--no-labels"]):
        assert main([*command, "--max-drop", "0.005"]) == 2
        assert "without labels no metric" in " ".join(capsys.readouterr().err.split())
    assert main([*ours, "--max-perplexity-rise", "0.1"]) == 2
    assert "only a language model" in " ".join(capsys.readouterr().err.split())
    assert main([*ours, "--max-drop", "1"]) == 0
    capsys.readouterr()
    monkeypatch.setattr(promises, "_is_language", lambda source: True)
    assert main([*ours, "--max-drop", "1", "--force"]) == 2
    assert "held to --max-perplexity-rise" in " ".join(capsys.readouterr().err.split())


def test_data_without_labels_may_be_looked_at_without(
    package: ModelPackage, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    (tmp_path / "texts.csv").write_text("text\nw1 w2\n")
    assert main(["quantize", str(package.path), "--data", str(tmp_path / "texts.csv")]) == 3
    said = " ".join(capsys.readouterr().err.split())
    assert "--label-column" in said
    assert "--no-labels" in said


def test_no_option_is_named_that_the_command_lacks(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    model, values = foreign.constants(tmp_path / "model.onnx"), rows()
    values[3, 5] = np.nan
    np.savez(tmp_path / "data.npz", x=values)
    command = ["quantize", str(model), "--data", str(tmp_path / "data.npz")]
    assert main([*command, "-o", str(tmp_path / "o.onnx")]) == 3
    said = " ".join(capsys.readouterr().err.split())
    assert "NaN or infinity" in said
    assert "toolkit infer takes them with --allow-non-finite" in said


@pytest.mark.parametrize(
    "drop, words",
    [
        (0.00500001, "drops by 0.00500001, more than 0.005"),
        (0.0051, "drops by 0.0051, more"),
        (0.2, "drops by 0.2000, more"),
        (float("nan"), "drops by nan, more"),
    ],
)
def test_a_number_that_misses_its_limit_does_not_read_as_the_limit(drop: float, words: str) -> None:
    candidate = Candidate(variant="int8", method="tried", drop=drop)
    (reason,) = choosing.quality_missed(candidate, Limits(max_drop=0.005))
    assert words in reason


def test_what_libraries_log_while_sensitive_nodes_are_sought_is_contained(
    package: ModelPackage,
    data: Path,
    monkeypatch: pytest.MonkeyPatch,
    caplog: pytest.LogCaptureFixture,
) -> None:
    def rough(model: Path, target: Path, context: Context) -> int:
        count = weights.apply(model, target, context)
        return count if context.keep else ruin(target, target, context)

    weights = next(method for method in METHODS if method.name == "weight-only")
    monkeypatch.setattr(methods, "METHODS", (replace(weights, name="rough", apply=rough),))
    with caplog.at_level(logging.INFO):
        report = quantize(package.path, data, limits=Limits(max_drop=0.05))
    assert len(report.candidates) == 2
    assert not [record for record in caplog.records if record.name.startswith("onnx_ir")]
