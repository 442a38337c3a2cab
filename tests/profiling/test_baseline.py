"""A fresh profile beside a stored one, and repeating a stored one."""

import copy
import json
import math
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from msgspec import convert

from tests.tiny_package import GRAPH, write_tiny_package
from toolkit.cli.main import main
from toolkit.errors import CheckFailedError, InputError
from toolkit.profiling import profile
from toolkit.profiling.baseline import LEFT_OUT, beside_baseline, check_comparable
from toolkit.profiling.replay import replayed, replayed_source
from toolkit.profiling.stored import Stored, read_result

RUN = ["profile", str(GRAPH), "--shape", "batch=2,sequence=3", "--runs", "60", "--seed", "7"]


@pytest.fixture(scope="module")
def result() -> dict[str, Any]:
    report = profile(GRAPH, runs=60, sizes={"batch": 2, "sequence": 3}, seed=7)
    document: dict[str, Any] = json.loads(json.dumps(report.as_json()))
    return document


def stored(tmp_path: Path, document: dict[str, Any]) -> Path:
    file = tmp_path / "result.json"
    file.write_text(json.dumps({"schema_version": "1", **document}))
    return file


def timed(result: dict[str, Any], p50: float, *, spread: float = 0.01) -> dict[str, Any]:
    changed = copy.deepcopy(result)
    changed["latency_ms"]["p50"] = p50
    changed["p50_by_process"] = [p50, p50 * math.exp(spread), p50 * math.exp(-spread)]
    return changed


def read(tmp_path: Path, document: dict[str, Any]) -> Stored:
    return read_result(stored(tmp_path, document))


@pytest.mark.parametrize(
    "now, word", [(1.0, "cannot tell"), (1.02, "cannot tell"), (1.2, "slower"), (0.8, "faster")]
)
def test_only_what_two_processes_cannot_explain_is_told(
    now: float, word: str, result: dict[str, Any], tmp_path: Path
) -> None:
    found = beside_baseline(timed(result, now), read(tmp_path, timed(result, 1.0)))
    assert found.interval.word == word
    assert word in found.sentence
    # Student's t with four degrees of freedom; each three have a standard deviation of 1 %.
    half = 2.7764 * 0.01 * math.sqrt(2 / 3)
    assert math.log(found.interval.high) == pytest.approx(math.log(now) + half, rel=1e-3)


def test_a_run_that_is_too_slow_for_certain_fails(result: dict[str, Any], tmp_path: Path) -> None:
    baseline = read(tmp_path, timed(result, 1.0))
    with pytest.raises(CheckFailedError, match="slower"):
        beside_baseline(timed(result, 1.3), baseline).check(1.05)
    beside_baseline(timed(result, 1.06), baseline).check(1.05)  # not for certain


@pytest.mark.parametrize(
    "key, value", [("cpu", "Another CPU"), ("cores", 512), ("cpu_quota", 0.5), ("os", "Plan 9 vax")]
)
def test_another_machine_is_refused_by_what_differs(
    key: str, value: object, result: dict[str, Any], tmp_path: Path
) -> None:
    elsewhere = copy.deepcopy(result)
    elsewhere["environment"][key] = value
    with pytest.raises(InputError, match="another machine") as caught:
        beside_baseline(result, read(tmp_path, elsewhere))
    assert "--compare" in caught.value.fix


def test_other_shapes_are_refused(result: dict[str, Any], tmp_path: Path) -> None:
    other = copy.deepcopy(result)
    other["environment"]["shapes"] = {"input_ids": [1, 3]}
    with pytest.raises(InputError, match="input shapes"):
        beside_baseline(result, read(tmp_path, other))


@pytest.mark.parametrize(
    "key, value",
    [
        ("threads", 7),
        ("spinning", False),
        ("data", "films.csv"),
        ("seed", 8),
        ("scenario", {"name": "multi-stream", "streams": 4}),
    ],
)
def test_other_settings_are_refused_by_name(
    key: str, value: object, result: dict[str, Any], tmp_path: Path
) -> None:
    other = copy.deepcopy(result)
    other["settings"][key] = value
    with pytest.raises(InputError, match=f"measured something else: its {key}"):
        beside_baseline(result, read(tmp_path, other))


@pytest.mark.parametrize("scenario", ["offline", "server"])
def test_a_baseline_from_one_process_is_refused_before_anything_is_measured(
    scenario: str, result: dict[str, Any], tmp_path: Path
) -> None:
    with pytest.raises(InputError, match=scenario):
        check_comparable(read(tmp_path, {**result, "scenario": scenario}))


def test_a_baseline_that_does_not_say_how_far_processes_are_apart_is_refused(
    result: dict[str, Any], tmp_path: Path
) -> None:
    older = {**result, "p50_by_process": [1.0]}
    with pytest.raises(InputError, match="fewer than two processes"):
        beside_baseline(result, read(tmp_path, older))


def test_processes_of_one_model_are_told_apart_as_often_as_chance_allows(
    result: dict[str, Any],
) -> None:
    rng = np.random.default_rng(1)
    told = 0
    for _ in range(400):
        now, then = (copy.deepcopy(result) for _ in range(2))
        for one in (now, then):
            one["p50_by_process"] = np.exp(rng.normal(0.0, 0.03, 3)).tolist()
        told += beside_baseline(now, convert(then, Stored)).interval.word != "cannot tell"
    assert told <= 0.07 * 400


def test_what_the_interval_leaves_out_is_said(result: dict[str, Any], tmp_path: Path) -> None:
    found = beside_baseline(result, read(tmp_path, result))
    assert LEFT_OUT in found.sentence
    assert found.as_json()["interval_leaves_out"] == LEFT_OUT
    assert "95 %" not in found.sentence


def test_another_release_of_onnxruntime_is_a_remark(result: dict[str, Any], tmp_path: Path) -> None:
    older = copy.deepcopy(result)
    older["environment"]["versions"] = {"onnxruntime": "1.2.3"}
    older["environment"]["sha256"] = "0" * 64
    found = beside_baseline(result, read(tmp_path, older))
    assert "was 1.2.3" in found.sentence
    assert "another file" in found.sentence


def test_the_command_fails_beside_a_baseline_that_was_much_faster(
    result: dict[str, Any], tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    fast = stored(tmp_path, timed(result, 1e-6))
    limits = ["--baseline", str(fast), "--fail-if-slower", "1.05"]
    assert main([*RUN, *limits, "--json", "-q"]) == 5
    printed = capsys.readouterr()
    assert json.loads(printed.out)["baseline"]["verdict"] == "slower"
    assert "slower than the baseline" in printed.err
    assert main([*RUN, "--baseline", str(fast), "-q"]) == 0
    assert "slower than the baseline" in capsys.readouterr().out


def test_a_replay_has_the_settings_of_the_result(
    result: dict[str, Any], tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    file = stored(tmp_path, result)
    assert main(["profile", str(GRAPH), "--replay", str(file), "--json", "-q"]) == 0
    again = json.loads(capsys.readouterr().out)
    assert again["settings"] == result["settings"]
    assert again["environment"]["shapes"] == result["environment"]["shapes"]
    assert again["samples"] == 60


def test_a_replay_finds_the_package_beside_the_result_and_its_variant(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    package = write_tiny_package(tmp_path / "tiny.ortpackage")
    first = profile(package.path, runs=2, processes=1).as_json()
    assert main(["profile", "--replay", str(stored(tmp_path, first)), "--json", "-q"]) == 0
    again = json.loads(capsys.readouterr().out)
    assert again["environment"]["model"] == "tiny.ortpackage"
    assert again["environment"]["variant"] == "fp32"


def test_a_model_that_is_nowhere_is_asked_for(result: dict[str, Any], tmp_path: Path) -> None:
    file = stored(tmp_path, result)
    with pytest.raises(InputError, match=GRAPH.name) as caught:
        replayed_source(read_result(file), file, None)
    assert "--replay" in caught.value.fix


def test_settings_that_nothing_here_takes_are_not_dropped(
    result: dict[str, Any], tmp_path: Path
) -> None:
    newer = copy.deepcopy(result)
    newer["settings"]["moon_phase"] = "full"
    with pytest.raises(InputError, match="moon_phase"):
        replayed(read(tmp_path, newer), profile)


@pytest.mark.parametrize("content", ["", "{}", '{"scenario": 3}', "[1]"])
def test_what_is_no_result_is_refused(
    content: str, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    file = tmp_path / "odd.json"
    file.write_text(content)
    assert main(["profile", str(GRAPH), "--replay", str(file)]) == 3
    assert "odd.json" in capsys.readouterr().err
    assert main([*RUN, "--baseline", str(tmp_path / "gone.json")]) == 3
