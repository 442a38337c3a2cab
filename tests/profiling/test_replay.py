"""A repetition is of the same files and says what is otherwise; what was measured is kept."""

import json
import shutil
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from tests.profiling import contenders
from tests.tiny_package import GRAPH, add_preferred_variant, write_tiny_package
from toolkit.cli.main import main
from toolkit.errors import InputError
from toolkit.package.tuned import machine_class
from toolkit.package.write_tuned import write_tuned
from toolkit.profiling.compare import ComparisonFailedError, Measured
from toolkit.profiling.processes import Contender
from toolkit.profiling.stored import read_result
from toolkit.runtime.entries import THREADS_KEY

LATE = {"on": 400, "sleep_s": 0.001}
"""After the warm-up of 250 ms, in one of the turns."""

FEW = ("--runs", "2", "--warmup", "0", "--json", "-q")


def printed(arguments: list[str], capsys: pytest.CaptureFixture[str]) -> dict[str, Any]:
    assert main(["profile", *arguments]) == 0
    document: dict[str, Any] = json.loads(capsys.readouterr().out)
    return document


@pytest.mark.slow
def test_packages_of_one_name_are_told_apart_and_repeated_as_two(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    one, two = (
        write_tiny_package(tmp_path / folder / "tiny.ortpackage").path for folder in ("v1", "v2")
    )
    shutil.rmtree(two)
    add_preferred_variant(write_tiny_package(two), name="other", threshold=3, limit=9)
    arguments = [str(one), "--compare", f"{two}@other", "--budget", "0.1", "--json", "-q"]
    first = printed(arguments, capsys)
    assert first["subject"] == "v1/tiny.ortpackage@fp32"
    assert [*first["contenders"]] == [first["subject"], "v2/tiny.ortpackage@other"]
    digests = [facts["sha256"] for facts in first["contenders"].values()]
    assert digests[0] != digests[1]
    assert str(tmp_path) not in json.dumps(first)
    result = tmp_path / "result.json"
    result.write_text(json.dumps(first))
    again = printed(["--replay", str(result), "--json", "-q"], capsys)
    assert [facts["sha256"] for facts in again["contenders"].values()] == digests
    shutil.rmtree(two)
    shutil.copytree(one, two)
    assert main(["profile", str(one), "--replay", str(result), "-q"]) == 3
    capsys.readouterr()


def test_input_files_are_found_beside_the_result_and_must_be_the_same(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    file = tmp_path / "ids.npy"
    np.save(file, np.ones((1, 4), np.int64))
    first = printed([str(GRAPH), "--input", f"input_ids={file}", *FEW], capsys)
    result = tmp_path / "result.json"
    result.write_text(json.dumps(first))
    again = printed([str(GRAPH), "--replay", str(result), "--json", "-q"], capsys)
    assert again["environment"]["shapes"] == {"input_ids": [1, 4]}
    assert again["replay"]["notes"] == []
    np.save(file, np.zeros((1, 4), np.int64))
    assert main(["profile", str(GRAPH), "--replay", str(result), "-q"]) == 3
    assert "not what was measured" in capsys.readouterr().err


def test_other_session_options_are_said(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    package = write_tiny_package(tmp_path / "tiny.ortpackage")
    first = printed([str(package.path), *FEW], capsys)
    (tmp_path / "result.json").write_text(json.dumps(first))
    options = {THREADS_KEY: "3"}
    write_tuned(package, "fp32", session_options=options, machine=machine_class(), evidence={})
    again = printed(["--replay", str(tmp_path / "result.json"), "--json", "-q"], capsys)
    (note,) = again["replay"]["notes"]
    assert "threads 3" in note


def test_a_bare_file_repeats_the_settings_of_a_variant(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    package = write_tiny_package(tmp_path / "tiny.ortpackage")
    first = printed([str(package.path), "--shape", "sequence=3", *FEW], capsys)
    result = tmp_path / "result.json"
    result.write_text(json.dumps(first))
    again = printed([str(GRAPH), "--replay", str(result), "--json", "-q"], capsys)
    assert again["environment"]["variant"] == ""


@pytest.mark.parametrize(
    "document, told",
    [
        ({"scenario": "single-stream", "points": [{}, {}]}, "2 profiles, one a size"),
        ({"scenario": "tuning"}, "what --tune found"),
    ],
)
def test_a_result_of_no_single_run_is_named(
    document: dict[str, Any], told: str, tmp_path: Path
) -> None:
    file = tmp_path / "result.json"
    file.write_text(json.dumps(document))
    with pytest.raises(InputError, match=told):
        read_result(file)


def test_a_baseline_that_is_missing_is_found_before_measuring(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    gone = str(tmp_path / "gone.json")
    assert main(["profile", str(GRAPH), "--shape", "sequence=2", "--baseline", gone]) == 3
    captured = capsys.readouterr()
    assert (captured.out, "fresh process" in captured.err) == ("", False)


def test_latency_is_shown_though_the_baseline_is_of_another_machine(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    sized = [str(GRAPH), "--shape", "sequence=2"]
    first = printed([*sized, "--runs", "60", "--warmup", "0", "--json", "-q"], capsys)
    first["environment"]["cpu"] = "another"
    (tmp_path / "base.json").write_text(json.dumps(first))
    baseline = ["--baseline", str(tmp_path / "base.json")]
    assert main(["profile", *sized, *baseline, *FEW]) == 3
    captured = capsys.readouterr()
    assert json.loads(captured.out)["samples"] == 2
    assert "another machine" in captured.err


def test_turns_before_a_contender_fails_are_kept(tmp_path: Path) -> None:
    both = [
        Contender(name="A", factory=f"{contenders.__name__}:counting", arguments={"to": 2000}),
        Contender(name="B", factory=f"{contenders.__name__}:failing", arguments=LATE),
    ]
    with pytest.raises(ComparisonFailedError, match="turns of each") as caught:
        Measured.of(both, budget_s=240.0, folder=tmp_path)  # a round is long enough to fail in
    assert caught.value.measured["A"]["turns"] >= 1
    assert caught.value.measured["A"]["p50_ms"] > 0
    assert caught.value.fix
