"""Profiles of real sessions in fresh processes, and what a failing model leaves."""

import json
import math
from pathlib import Path
from typing import Any

import pytest

from tests.tiny_package import GRAPH, write_tiny_package
from toolkit.cli.main import main
from toolkit.errors import InputError, SetupError, ToolkitWarning
from toolkit.package import ModelPackage
from toolkit.profiling import ProfileReport, RunFailedError, profile
from toolkit.runtime import Provider, SessionOptions
from toolkit.runtime.fresh import call_fresh


@pytest.fixture
def package(tmp_path: Path) -> ModelPackage:
    return write_tiny_package(tmp_path / "tiny.ortpackage")


@pytest.fixture(scope="module")
def report() -> ProfileReport:
    return profile(GRAPH, runs=40, warmup=2, sizes={"batch": 4, "sequence": 8}, seed=3)


def test_session_creation_and_first_run_come_from_three_processes(report: ProfileReport) -> None:
    assert report.first_run is not None
    assert len(report.session_creation.values_ms) == len(report.first_run.values_ms) == 3
    assert report.session_creation.median_ms == sorted(report.session_creation.values_ms)[1]


def test_only_what_the_runs_support_is_reported(report: ProfileReport) -> None:
    document = report.as_json()
    assert document["samples"] == 40
    assert "p50" in document["latency_ms"]
    assert not {"p95", "p99"} & document["latency_ms"].keys()
    assert "p95" not in document["interval_95"]
    assert document["interval_needs_samples"]["p95"] >= 72  # more where runs depend on each other
    assert document["interval_needs_samples"]["p99"] >= 368
    # Forty runs that a busy machine disturbs together may not even carry that of the median.
    low, high = document["interval_95"].get("p50", (0.0, math.inf))
    assert low <= document["latency_ms"]["p50"] <= high


def test_throughput_counts_the_samples_of_a_batch(report: ProfileReport) -> None:
    assert report.latency is not None
    assert report.samples_per_run == 4
    assert report.throughput_per_s == pytest.approx(4000 / report.latency.mean_ms)


def test_the_report_says_where_and_how_it_was_measured(report: ProfileReport) -> None:
    document = report.as_json()
    assert document["scenario"] == "single-stream"
    assert document["provider"] == "cpu"
    assert document["placement"] == {"CPUExecutionProvider": 3}
    where = document["environment"]
    assert where["shapes"] == {"input_ids": [4, 8]}
    assert where["inputs"] == "random"
    assert where["model"] == GRAPH.name
    assert len(where["sha256"]) == 64
    assert where["versions"]
    assert document["settings"]["seed"] == 3
    assert str(GRAPH.parent) not in json.dumps(document)


def test_a_package_is_fed_its_reference_inputs(package: ModelPackage) -> None:
    report = profile(package.path, runs=1, warmup=0, processes=1, sizes={"batch": 5})
    assert report.environment.inputs == "reference"
    assert report.environment.shapes == {"input_ids": [5, 3]}
    assert report.environment.variant == "fp32"


def test_a_bare_model_says_which_shape_is_missing(capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["profile", str(GRAPH), "-q"]) == 3
    assert "--shape sequence=SIZE" in capsys.readouterr().err


@pytest.mark.parametrize("runs", ["0", "-5"])
def test_no_runs_are_an_error(runs: str, capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["profile", str(GRAPH), "--shape", "sequence=2", "--runs", runs]) == 2
    assert f"{runs} is not in the range" in capsys.readouterr().err
    with pytest.raises(InputError, match=f"{runs} runs"):
        profile(GRAPH, sizes={"sequence": 2}, runs=int(runs))


def test_a_size_that_is_no_number_is_typed_wrongly(capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["profile", str(GRAPH), "--shape", "sequence=long"]) == 2
    assert "sequence=long" in capsys.readouterr().err


def test_an_unknown_provider_is_typed_wrongly(capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["profile", str(GRAPH), "--provider", "tpu"]) == 2
    error = capsys.readouterr().err
    assert all(provider in error for provider in Provider)


def test_a_provider_that_is_not_built_in_ends_the_profile() -> None:
    with pytest.raises(SetupError, match="NnapiExecutionProvider"):
        profile(GRAPH, options=SessionOptions(provider=Provider.NNAPI), sizes={"sequence": 2})


def test_a_fallback_that_was_allowed_is_warned_of_once_and_shown() -> None:
    options = SessionOptions(provider=Provider.NNAPI, allow_fallback=True)
    with pytest.warns(ToolkitWarning, match="NnapiExecutionProvider") as caught:
        report = profile(GRAPH, options=options, runs=1, sizes={"sequence": 2})
    assert len(caught) == 1
    assert (report.provider, report.settings.provider) == ("cpu", "nnapi")


def test_a_missing_file_is_named(tmp_path: Path) -> None:
    with pytest.raises(InputError, match=r"gone\.onnx"):
        profile(tmp_path / "gone.onnx")


def test_json_is_one_document_on_stdout(capsys: pytest.CaptureFixture[str]) -> None:
    arguments = ["profile", str(GRAPH), "--shape", "batch=2,sequence=3", "--runs", "5", "--json"]
    assert main(arguments) == 0
    document = json.loads(capsys.readouterr().out)
    assert document["schema_version"] == "1"
    assert {
        "scenario",
        "samples",
        "latency_ms",
        "interval_95",
        "throughput_per_s",
        "session_creation_ms",
        "first_run_ms",
        "peak_rss_mb",
        "placement",
        "environment",
    } <= document.keys()


def test_the_table_names_placement_and_machine(capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["profile", str(GRAPH), "--shape", "sequence=3", "--runs", "100", "-q"]) == 0
    shown = capsys.readouterr().out
    assert "3 nodes on CPUExecutionProvider" in shown
    assert "p99" in shown
    assert "needs" in shown
    assert "input_ids [1, 3]" in shown


@pytest.fixture
def model_that_stops(monkeypatch: pytest.MonkeyPatch) -> None:
    def stopping(module: str, request: dict[str, Any], *, doing: str) -> dict[str, Any]:
        answer = call_fresh(module, request, doing=doing)
        failure = {"kind": "InputError", "problem": "it broke", "expected": "", "fix": ""}
        return {
            **answer,
            "times_ns": answer["times_ns"][:6],
            "started_ns": answer["started_ns"][:6],
            "made": 6,
            "failure": failure,
        }

    monkeypatch.setattr("toolkit.profiling.step.call_fresh", stopping)


@pytest.mark.usefixtures("model_that_stops")
def test_the_error_holds_what_was_measured() -> None:
    with pytest.raises(RunFailedError, match="6 of 40") as caught:
        profile(GRAPH, runs=40, sizes={"sequence": 2})
    assert caught.value.report.as_json()["samples"] == 6


@pytest.mark.usefixtures("model_that_stops")
def test_a_model_that_fails_midway_is_reported_and_exits_3(
    capsys: pytest.CaptureFixture[str],
) -> None:
    arguments = ["profile", str(GRAPH), "--shape", "sequence=2", "--runs", "40", "--json"]
    assert main(arguments) == 3
    printed = capsys.readouterr()
    document = json.loads(printed.out)
    assert (document["samples"], document["failure"]) == (6, "it broke")
    assert "p50" in document["latency_ms"]
    assert "it broke" in printed.err
