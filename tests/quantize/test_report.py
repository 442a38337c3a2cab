"""What a search says: the advice of a failure, the table and the page."""

import json
from dataclasses import replace
from pathlib import Path
from typing import Any
from xml.etree import ElementTree

import numpy as np
import pytest

from tests.quantize import foreign
from tests.quantize.foreign import rows
from toolkit.cli.main import main
from toolkit.cli.quantized import _row
from toolkit.evaluate.agreement import agreement_of
from toolkit.package import ModelPackage
from toolkit.package.integrity import file_hashes
from toolkit.quantize import (
    WITHOUT_LABELS,
    Candidate,
    Limits,
    QuantizeFailedError,
    QuantizeReport,
)
from toolkit.quantize.page import render
from toolkit.tasks import TaskSpec

FEW = ("weight-only", "dynamic", "static-minmax")


def test_the_closest_candidate_is_told(
    package: ModelPackage, data: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    command = ["quantize", str(package.path), "--data", str(data), "--min-sqnr", "500"]
    assert main([*command, "--only", "weight-only", "--only", "blocks4"]) == 5
    error = capsys.readouterr().err
    assert "The closest was weight-only: SQNR" in error


def failing(**measured: object) -> QuantizeReport:
    """A report whose one candidate, "tried", passed nothing."""
    limits = measured.pop("limits", WITHOUT_LABELS)
    facts = {key: measured.pop(key) for key in ("metric", "n", "stopped") if key in measured}
    why = measured.pop("why", "it broke a promise")
    candidate = Candidate(variant="int8", method="tried", samples=40, why=why, **measured)  # type: ignore[arg-type]  # by name
    return QuantizeReport(
        package=Path("a.ortpackage"),
        parent=Candidate(variant="fp32", method="onnx", precision="fp32", size_bytes=40),
        chosen="",
        candidates=(candidate,),
        limits=limits,  # type: ignore[arg-type]  # as it is given
        data_sha256="",
        **{"n": 40, **facts},  # type: ignore[arg-type]  # by name
    )


@pytest.mark.parametrize(
    "report, helps, never",
    [
        (failing(agreement=0.91239, sqnr_db=20.0), "--min-agreement 0.9123 if", "--max-drop"),
        (failing(agreement=0.995, sqnr_db=12.37), "--min-sqnr 12.3 if", "--max-drop"),
        (failing(agreement=0.9, sqnr_db=12.0), "--min-agreement 0.9 --min-sqnr 12 ", "--max"),
        (
            failing(agreement=1.0, sqnr_db=20.0, unrolled_db=3.0),
            "--min-sqnr 3 if",
            "--min-agreement",
        ),
        (
            failing(agreement=1.0, sqnr_db=20.0, flips={"long mates": 3}),
            "--max-batch-flips 3 if",
            "--min",
        ),
        (
            failing(agreement=1.0, drop=0.01234, limits=Limits(), metric="accuracy"),
            "--max-drop 0.0124 if",
            "--min",
        ),
        (
            failing(agreement=0.9, perplexity_rise=0.1501, limits=Limits(), metric="accuracy"),
            "--max-perplexity-rise 0.151 if",
            "--max-drop",
        ),
        (failing(agreement=0.9, sqnr_db=20.0, n=80), "as 40 of 80 samples say", "--max-drop"),
        (
            failing(agreement=1.0, sqnr_db=20.0, why="neither smaller nor faster than its parent"),
            "keep fp32",
            "--",
        ),
        (failing(why="no node of this graph could be quantized"), "toolkit inspect", "--"),
        (failing(stopped="the budget ended"), "raise --budget", "--max-drop"),
        (failing(saturation={"products": 1}), "--isa native", "--max-drop"),
    ],
)
def test_a_failure_names_what_would_help(report: QuantizeReport, helps: str, never: str) -> None:
    failure = QuantizeFailedError(report)
    assert helps in failure.fix
    assert never not in failure.fix
    promised, _, tried = failure.expected.partition(". ")
    assert ("drop" in promised) == bool(report.metric and not report.is_language)
    assert report.candidates[0].why in tried


def test_the_table_and_the_page_hold_every_candidate(
    package: ModelPackage, data: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    page = tmp_path / "report.html"
    command = ["quantize", str(package.path), "--data", str(data), "--max-drop", "0.05"]
    command += ["--report", str(page)]
    for name in (*FEW, "static-minmax-symmetric"):
        command += ["--only", name]
    assert main(command) == 0
    lines = capsys.readouterr().out.splitlines()
    assert max(len(line.rstrip()) for line in lines) <= 100
    text = page.read_text()
    ElementTree.fromstring(text.partition("\n")[2])  # noqa: S314 - our own
    for name in (*FEW, "static-minmax-symmetric"):
        assert any(name in line for line in lines)
        assert name in text
    assert text.count("<circle") > len(FEW)


def test_a_page_that_cannot_be_written_is_refused_before_the_search(
    package: ModelPackage, data: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    before = file_hashes(package.path)
    page = str(tmp_path / "nowhere" / "report.html")
    assert main(["quantize", str(package.path), "--data", str(data), "--report", page]) == 3
    assert "is no folder" in capsys.readouterr().err
    assert file_hashes(package.path) == before


def test_the_table_of_a_language_model_shows_what_its_gate_looks_at() -> None:
    judged = Candidate(variant="int4", method="blockwise", drop=0.0073, perplexity_rise=0.0123)
    assert "+1.2%" in _row(judged, 1)
    assert "0.0073" not in _row(judged, 1)
    assert "0.0073" in _row(replace(judged, perplexity_rise=None), 1)


def test_without_labels_the_table_names_what_it_counts_and_shows_the_sqnr(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    model = foreign.constants(tmp_path / "model.onnx")
    np.savez(tmp_path / "data.npz", x=rows())
    page = tmp_path / "page.html"
    command = ["quantize", str(model), "--data", str(tmp_path / "data.npz"), "--only", "rowwise"]
    assert main([*command, "-o", str(tmp_path / "a.onnx"), "--report", str(page)]) == 0
    shown = capsys.readouterr().out
    head = next(line for line in shown.splitlines() if "method" in line)
    assert "within 10 %" in head
    assert "SQNR dB" in head
    assert "agree" not in head
    assert "drop" not in head
    assert "moved by at most a tenth of their norm" in shown
    text = page.read_text()
    assert "share of outputs within 10 %" in text
    assert "agreement with the parent" not in text
    assert ">agreement<" not in text
    assert main([*command, "-o", str(tmp_path / "b.onnx"), "--json"]) == 0
    document = json.loads(capsys.readouterr().out)
    assert document["agreement_of"] == "outputs within 10 %"
    (candidate,) = document["candidates"]
    assert f"{candidate['sqnr_db']:.1f}" in shown


def test_a_package_counts_labels_and_shows_the_sqnr_where_it_is_a_limit(
    package: ModelPackage, data: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    command = ["quantize", str(package.path), "--data", str(data), "--only", "weight-only"]
    assert main([*command, "--no-labels", "--min-sqnr", "3", "--min-agreement", "0.9"]) == 0
    without = next(line for line in capsys.readouterr().out.splitlines() if "method" in line)
    assert "SQNR dB" in without
    assert "drop" not in without
    assert "agree" in without
    assert main([*command, "--max-drop", "1", "--force", "--json"]) == 0
    assert json.loads(capsys.readouterr().out)["agreement_of"] == "labels"


@pytest.mark.parametrize(
    "task, counted",
    [
        (TaskSpec(name="tensors"), "outputs within 10 %"),
        (TaskSpec(name="tensors", labels=("a", "b")), "labels, and other outputs within 10 %"),
        (TaskSpec(name="feature-extraction"), "cosines of at least 0.99"),
        (TaskSpec(name="text-generation"), "likeliest tokens"),
        (TaskSpec(name="text-classification", labels=("a", "b")), "labels"),
        (TaskSpec(name="text-classification"), "values within 0.1 % of spread"),
    ],
)
def test_what_agreement_counts_is_told_for_each_task(task: TaskSpec, counted: str) -> None:
    assert agreement_of(task) == counted


def test_what_was_given_up_early_has_marks_of_its_own_on_the_page() -> None:
    timed: dict[str, Any] = {"latency_ratio": 0.5, "latency_ratio_95": (0.4, 0.6)}
    missing = failing(size_bytes=10, agreement=0.5, **timed)
    beaten = replace(
        missing.candidates[0], method="beaten", beaten_by="other", first_look=True, agreement=None
    )
    plain = render(missing)
    both = render(replace(missing, candidates=(*missing.candidates, beaten)))
    assert "node beaten glimpsed" in both
    assert "0.500 (0.400 to 0.600), first look" in both
    assert "given up: another is as small, and faster" in both
    for word in ("node beaten", 'glimpsed"', "0.600), first look"):
        assert word not in plain
