"""Scenarios from the command line, in fresh processes, and what cannot be asked for."""

import json
import math
from pathlib import Path
from typing import Any

import pytest
import typer

from tests.tiny_package import GRAPH, write_tiny_package
from toolkit.cli.main import main
from toolkit.cli.scenario import seconds, shape_points
from toolkit.errors import InputError
from toolkit.package import ModelPackage
from toolkit.profiling import profile
from toolkit.profiling.report import RateMissedError, TooFewRunsError
from toolkit.profiling.scenarios import MultiStream, Offline, Server, scenario_of
from toolkit.runtime.fresh import call_fresh

KEYS = {
    *("scenario", "samples", "latency_ms", "interval_95", "throughput_per_s"),
    *("session_creation_ms", "first_run_ms", "peak_rss_mb", "placement", "environment"),
}
"""Of design.md, section 5."""


@pytest.fixture
def package(tmp_path: Path) -> ModelPackage:
    return write_tiny_package(tmp_path / "tiny.ortpackage")


def printed(capsys: pytest.CaptureFixture[str], *typed: str, code: int = 0) -> dict[str, Any]:
    assert main(["profile", str(GRAPH), *typed, "--json", "-q"]) == code
    document: dict[str, Any] = json.loads(capsys.readouterr().out)
    return document


SIZES = ("--shape", "sequence=3", "--warmup", "5")


@pytest.mark.parametrize(
    "typed",
    [
        ("--scenario", "single-stream", "--runs", "30"),
        ("--scenario", "multi-stream", "--streams", "4", "--runs", "30"),
        ("--scenario", "server", "--rate", "2000", "--runs", "100"),
        ("--scenario", "offline", "--runs", "2"),
    ],
)
def test_every_scenario_has_the_keys_of_the_contract(
    typed: tuple[str, ...], capsys: pytest.CaptureFixture[str]
) -> None:
    document = printed(capsys, *typed, *SIZES)
    assert document.keys() >= KEYS
    assert document["scenario"] == typed[1]
    assert document["samples"] == int(typed[-1])
    assert document["settings"]["scenario"]["name"] == typed[1]


def test_the_streams_of_a_query_are_one_batch() -> None:
    report = profile(
        GRAPH, scenario=MultiStream(streams=5), sizes={"sequence": 3}, runs=20, processes=1
    )
    assert report.samples_per_run == 5
    assert report.environment.shapes == {"input_ids": [5, 3]}


def test_a_batch_beside_streams_is_refused() -> None:
    with pytest.raises(InputError, match="--streams for 5"):
        profile(GRAPH, scenario=MultiStream(streams=5), sizes={"batch": 2, "sequence": 3})


def test_a_rate_that_cannot_be_sustained_is_reported_and_exits_5(
    capsys: pytest.CaptureFixture[str],
) -> None:
    typed = ("--scenario", "server", "--rate", "100000000", "--runs", "500", *SIZES)
    document = printed(capsys, *typed, code=5)
    assert document["samples"] == 500
    assert document["busy_share"] > 1
    assert any("grew without end" in finding for finding in document["findings"])


def test_a_bound_that_is_missed_is_an_error_that_holds_the_report() -> None:
    server = Server(rate_per_s=2000, latency_bound_ms=1e-6)
    with pytest.raises(RateMissedError, match="queries a second") as caught:
        profile(
            GRAPH,
            scenario=server,
            sizes={"sequence": 3},
            runs=400,
            percentiles=[50.0],  # a bound is about p99 whatever is reported
            processes=1,
        )
    assert caught.value.report.rate_per_s == 2000


def test_a_bound_that_the_queries_cannot_tell_of_is_not_passed_over() -> None:
    server = Server(rate_per_s=500, latency_bound_ms=1e3)
    with pytest.raises(TooFewRunsError, match="bound") as caught:
        profile(GRAPH, scenario=server, sizes={"sequence": 3}, runs=100, processes=1)
    assert caught.value.fix.startswith("--runs ")


def test_a_found_rate_that_does_not_hold_afterwards_is_no_success(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    def slower_later(module: str, request: dict[str, Any], *, doing: str) -> dict[str, Any]:
        fixed = {"name": "server", "rate_per_s": 2000.0}
        answer = call_fresh(module, {**request, "scenario": fixed}, doing=doing)
        return {**answer, "busy_share": 1.4}

    monkeypatch.setattr("toolkit.profiling.step.call_fresh", slower_later)
    server = Server(latency_bound_ms=50)
    with pytest.raises(RateMissedError, match="not afterwards"):
        profile(GRAPH, scenario=server, sizes={"sequence": 3}, runs=100, warmup=2, processes=1)


def test_real_data_feeds_the_runs(package: ModelPackage, tmp_path: Path) -> None:
    file = tmp_path / "films.jsonl"
    file.write_text('"a good film"\n"a bad film"\n"film"\n')
    report = profile(
        package.path, data=str(file), sizes={"batch": 2}, runs=10, warmup=1, processes=1, seed=1
    )
    assert report.environment.inputs == "data"
    assert report.samples_per_run == 2
    assert report.settings.data == "films.jsonl"
    with pytest.raises(InputError, match="sequence=9"):
        profile(package.path, data=str(file), sizes={"sequence": 9})


def test_data_for_a_bare_model_is_refused(tmp_path: Path) -> None:
    file = tmp_path / "films.jsonl"
    file.write_text('"a good film"\n')
    with pytest.raises(InputError, match=r"bare \.onnx"):
        profile(GRAPH, data=str(file))


def test_tensors_from_files_feed_the_runs(tmp_path: Path) -> None:
    file = tmp_path / "ids.json"
    file.write_text("[[1, 2, 3, 4]]")
    report = profile(GRAPH, inputs={"input_ids": str(file)}, runs=5, warmup=1, processes=1)
    assert (report.environment.inputs, report.environment.shapes) == (
        "files",
        {"input_ids": [1, 4]},
    )
    with pytest.raises(InputError, match="'ids'"):
        profile(GRAPH, inputs={"ids": str(file)})


def test_a_sweep_is_a_list_of_reports(capsys: pytest.CaptureFixture[str]) -> None:
    document = printed(capsys, "--shape", "batch=2,sequence=3,5", "--runs", "20", "--warmup", "1")
    shapes = [point["environment"]["shapes"]["input_ids"] for point in document["points"]]
    assert shapes == [[2, 3], [2, 5]]
    assert all(point.keys() >= KEYS for point in document["points"])


def test_a_sweep_is_one_table(capsys: pytest.CaptureFixture[str]) -> None:
    typed = ["profile", str(GRAPH), "--shape", "sequence=3,5", "--runs", "20", "--warmup", "1"]
    assert main([*typed, "-q"]) == 0
    shown = capsys.readouterr().out
    assert "sequence" in shown
    assert "p50 ms (95 %)" in shown


@pytest.mark.parametrize(
    "typed, points",
    [
        ((), [{}]),
        (("batch=8,sequence=128",), [{"batch": 8, "sequence": 128}]),
        (("sequence=16,64,256",), [{"sequence": 16}, {"sequence": 64}, {"sequence": 256}]),
        (("batch=1,2", "sequence=4"), [{"batch": 1, "sequence": 4}, {"batch": 2, "sequence": 4}]),
        (("x:0=2,3",), [{"x:0": 2}, {"x:0": 3}]),
    ],
)
def test_shapes_are_points_or_sweeps(typed: tuple[str, ...], points: list[dict[str, int]]) -> None:
    assert shape_points(typed) == points


@pytest.mark.parametrize("typed", ["16", "batch=", "batch=0", "batch=1,batch=2", "batch=x"])
def test_a_shape_that_says_nothing_is_typed_wrongly(typed: str) -> None:
    with pytest.raises(typer.BadParameter):
        shape_points([typed])


@pytest.mark.parametrize(
    "text, expected", [("10m", 600), ("5ms", 0.005), ("2.5", 2.5), ("1h", 3600), ("30 s", 30)]
)
def test_durations_have_units(text: str, expected: float) -> None:
    assert seconds(text) == pytest.approx(expected)


@pytest.mark.parametrize("text", ["", "ten", "5 parsecs", "-3s"])
def test_a_text_that_is_no_duration_is_typed_wrongly(text: str) -> None:
    with pytest.raises(typer.BadParameter):
        seconds(text)


@pytest.mark.parametrize(
    "typed",
    [
        ("--streams", "2"),
        ("--rate", "5"),
        ("--scenario", "server"),
        ("--scenario", "server", "--find-rate"),
        ("--scenario", "server", "--rate", "5", "--batch-tokens", "9"),
        ("--compare", "threads=1", "--shape", "sequence=3,5"),
    ],
)
def test_options_of_another_scenario_are_typed_wrongly(
    typed: tuple[str, ...], capsys: pytest.CaptureFixture[str]
) -> None:
    assert main(["profile", str(GRAPH), *typed]) == 2


@pytest.mark.parametrize(
    "asked",
    [
        {"runs": 0},
        {"warmup": -1},
        {"budget_s": 0.0},
        {"budget_s": math.nan},
        {"scenario": Server(rate_per_s=math.nan)},
        {"scenario": Server(rate_per_s=math.inf)},
        {"scenario": Server(latency_bound_ms=math.nan)},
        {"percentiles": [100.0]},
        {"processes": 0},
        {"scenario": Server()},
        {"scenario": Server(rate_per_s=0)},
        {"scenario": Server(rate_per_s=1, sessions=0)},
        {"scenario": MultiStream(streams=0)},
        {"scenario": Offline(tokens=0)},
        {"runs": 100, "percentiles": [99.0], "must_carry": True},
    ],
)
def test_what_measures_nothing_is_an_input_error(asked: dict[str, Any]) -> None:
    with pytest.raises(InputError) as caught:
        profile(GRAPH, sizes={"sequence": 3}, **asked)
    assert caught.value.exit_code == 3


def test_a_scenario_that_is_none_is_an_input_error() -> None:
    with pytest.raises(InputError, match="guided-tour"):
        scenario_of({"name": "guided-tour"})


def test_a_percentile_that_the_budget_cannot_carry_says_what_is_needed(
    capsys: pytest.CaptureFixture[str],
) -> None:
    typed = ("--percentile", "99.99", "--budget", "2ms", "--warmup", "400", "--shape", "sequence=3")
    assert main(["profile", str(GRAPH), *typed, "-q", "--json"]) == 3
    printed = capsys.readouterr()
    assert "36887 runs" in printed.err  # 0.9999**n <= 0.025
    assert "--budget" in printed.err


@pytest.mark.slow
def test_runs_that_carry_too_little_are_reported(monkeypatch: pytest.MonkeyPatch) -> None:
    def dependent(module: str, request: dict[str, Any], *, doing: str) -> dict[str, Any]:
        times = [1_000_000] * 200 + [3_000_000] * 200 + [1_000_000] * 200
        answer = call_fresh(module, request, doing=doing)
        return {**answer, "times_ns": times, "started_ns": [*range(600)], "made": 600}

    monkeypatch.setattr("toolkit.profiling.step.call_fresh", dependent)
    with pytest.raises(TooFewRunsError, match="p99") as caught:
        profile(
            GRAPH, sizes={"sequence": 3}, percentiles=[99.0], must_carry=True, processes=1, warmup=1
        )
    assert caught.value.exit_code == 3
    assert caught.value.report.as_json()["samples"] == 600
