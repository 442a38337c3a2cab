"""Options that nothing would read beside others are refused before anything is measured."""

import json
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from tests.tiny_package import GRAPH, write_tiny_package
from toolkit.cli.main import main
from toolkit.errors import InputError
from toolkit.profiling import profile
from toolkit.profiling.scenarios import MultiStream, Offline, Server

COMPARE = ("--compare", "threads=1")


@pytest.mark.parametrize(
    "typed, option",
    [
        ((*COMPARE, "--runs", "9"), "--runs"),
        ((*COMPARE, "--warmup", "9"), "--warmup"),
        ((*COMPARE, "--sustained", "1m"), "--sustained"),
        ((*COMPARE, "--percentile", "99"), "--percentile"),
        ((*COMPARE, "--scenario", "single-stream"), "--scenario"),
        ((*COMPARE, "--data", "x.csv"), "--data"),
        ((*COMPARE, "--input", "x=x.npy"), "--input"),
        ((*COMPARE, "--tune"), "--tune"),
        ((*COMPARE, "--baseline", "x.json"), "--baseline"),
        ((*COMPARE, "--chrome-trace", "x.json"), "--chrome-trace"),
        (("--tune", "--runs", "9"), "--runs"),
        (("--tune", "--threads", "1"), "--threads"),
        (("--tune", "--tolerance", "1"), "--tolerance"),
        (("--tune", "--report", "x.html"), "--report"),
        (("--tolerance", "0.001"), "--tolerance"),
        (("--fail-if-slower", "2"), "--fail-if-slower"),
        (("--where", "split=test"), "--where"),
        (("--force",), "--force"),
        (("--shape", "batch=1,2", "--report", "x.html"), "--report"),
        (("--shape", "batch=1,2", "--resources"), "--resources"),
        (("--shape", "batch=1,2", "--baseline", "x.json"), "--baseline"),
        (("--runs", "-3"), "--runs"),
        (("--warmup", "-1"), "--warmup"),
        (("--budget", "0s"), "--budget"),
        (("--sustained", "0s"), "--sustained"),
        (("--percentile", "100"), "--percentile"),
        (("--scenario", "server", "--rate", "0"), "--rate"),
        (("--scenario", "server", "--rate", "nan"), "--rate"),
        (("--scenario", "server", "--find-rate", "--latency-bound", "5"), "--latency-bound"),
        ((*COMPARE, "--fail-if-slower", "0"), "--fail-if-slower"),
        (("--compare", "threads=x"), "--compare"),
        (("--compare", "peer:tvm"), "--compare"),
        (("--text-column", "text"), "--text-column"),
        (("--scenario", "offline", "--batch-tokens", "64"), "--batch-tokens"),
        (("--scenario", "offline", "--percentile", "99"), "--percentile"),
        (("--scenario", "offline", "--latency-bound", "5ms"), "--latency-bound"),
        (("--scenario", "multi-stream", "--rate", "5"), "--rate"),
    ],
)
def test_it_is_named_and_exits_2(
    typed: tuple[str, ...], option: str, capsys: pytest.CaptureFixture[str]
) -> None:
    assert main(["profile", str(GRAPH), "--shape", "sequence=3", *typed]) == 2
    assert option in capsys.readouterr().err


@pytest.mark.parametrize("scenario", ["single-stream", "comparison"])
def test_a_replay_takes_no_other_settings(
    scenario: str, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    environment = {"model": GRAPH.name, "cpu": "", "cores": 1, "os": "", "date": ""}
    file = tmp_path / "result.json"
    file.write_text(json.dumps({"scenario": scenario, "environment": environment, "settings": {}}))
    assert main(["profile", str(GRAPH), "--replay", str(file), "--runs", "1"]) == 2
    assert "--runs" in capsys.readouterr().err


@pytest.mark.parametrize(
    "asked",
    [
        {"sustained_s": 1.0, "runs": 5},
        {"sustained_s": 1.0, "budget_s": 5.0},
        {"sustained_s": 1.0, "scenario": Server(latency_bound_ms=5)},
        {"inputs": {"input_ids": "x.npy"}, "sizes": {"sequence": 3}},
        {"inputs": {"input_ids": "x.npy"}, "scenario": MultiStream(streams=2)},
        {"data": "data.csv", "sizes": {"batch": 3}, "scenario": Offline()},
    ],
)
def test_what_excludes_each_other_is_an_input_error(
    asked: dict[str, Any], tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    package = write_tiny_package(tmp_path / "tiny.ortpackage")
    np.save(tmp_path / "x.npy", np.zeros((3, 2), np.int64))
    (tmp_path / "data.csv").write_text("text\ngood film\nbad\n")
    monkeypatch.chdir(tmp_path)
    with pytest.raises(InputError, match=r"both given|hold a batch of 3|not read"):
        profile(package.path, processes=1, **asked)


def test_offline_warms_up_as_often_as_asked() -> None:
    report = profile(
        GRAPH, scenario=Offline(), sizes={"sequence": 3}, runs=2, warmup=3, processes=1
    )
    assert report.warmup is not None
    assert report.warmup.runs == 3
