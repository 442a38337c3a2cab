"""What a search says: the advice of a failure, the table and the page."""

from dataclasses import replace
from pathlib import Path
from xml.etree import ElementTree

import pytest

from toolkit.cli.main import main
from toolkit.cli.quantized import _row
from toolkit.package import ModelPackage
from toolkit.package.integrity import file_hashes
from toolkit.quantize import (
    WITHOUT_LABELS,
    Candidate,
    Limits,
    QuantizeFailedError,
    QuantizeReport,
)

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
        parent=Candidate(variant="fp32", method="onnx"),
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
