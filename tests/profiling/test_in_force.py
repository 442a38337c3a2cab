"""What a session ran with is reported, not what was asked for."""

import json
from pathlib import Path
from typing import Any

import pytest

from tests.tiny_package import GRAPH, write_tiny_package
from toolkit.cli.main import main
from toolkit.cli.profiled import show
from toolkit.limits import default_threads
from toolkit.package.tuned import machine_class
from toolkit.package.write_tuned import write_tuned
from toolkit.profiling import profile
from toolkit.profiling.compare import compare
from toolkit.profiling.in_force import in_force
from toolkit.profiling.scenarios import Offline, Server
from toolkit.runtime import SessionOptions
from toolkit.runtime.entries import ARENA_KEY, LEVEL_KEY, SPINNING_KEY, THREADS_KEY

TUNED = {THREADS_KEY: "3", SPINNING_KEY: "0"}


def tuned_package(folder: Path) -> Path:
    package = write_tiny_package(folder / "tiny.ortpackage")
    write_tuned(package, "fp32", session_options=TUNED, machine=machine_class(), evidence={})
    return package.path


def document_of(arguments: list[str], capsys: pytest.CaptureFixture[str]) -> dict[str, Any]:
    assert main(["profile", *arguments, "--runs", "2", "--warmup", "0", "--json", "-q"]) == 0
    document: dict[str, Any] = json.loads(capsys.readouterr().out)
    return document


@pytest.mark.parametrize(
    "options, config, line",
    [
        (SessionOptions(threads=1), {}, "1 thread"),
        (
            SessionOptions(),
            {THREADS_KEY: "2"},
            "2 threads; session options: intra_op_num_threads=2",
        ),
        (SessionOptions(threads=4), {THREADS_KEY: "2"}, "4 threads"),
        (SessionOptions(threads=1, spinning=False), {}, "1 thread, spinning off"),
        (
            SessionOptions(threads=1),
            {ARENA_KEY: "0"},
            "1 thread, arena off; session options: enable_cpu_mem_arena=0",
        ),
        (
            SessionOptions(threads=1, graph_level="extended"),
            {LEVEL_KEY: "enable_basic"},
            "1 thread, graph level extended",
        ),
    ],
)
def test_what_is_in_force_is_what_a_session_makes_of_both(
    options: SessionOptions, config: dict[str, str], line: str
) -> None:
    assert in_force(options, config).as_line() == line


def test_without_a_number_threads_are_those_of_this_machine() -> None:
    assert in_force(SessionOptions(), {}).threads == default_threads()


def test_tuned_options_are_reported_where_they_are_in_force(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    package = tuned_package(tmp_path)
    document = document_of([str(package)], capsys)
    assert document["threads"] == 3
    assert document["settings"]["threads"] == 0
    assert document["session"] | {"graph_level": "all"} == document["session"]
    assert (document["session"]["spinning"], document["session"]["of_package"]) == (False, TUNED)
    assert sorted(document["session"]["tuned"]) == sorted(TUNED)
    document = document_of([str(package), "--threads", "2"], capsys)
    assert document["threads"] == 2
    assert document["session"]["of_package"] == {SPINNING_KEY: "0"}
    assert main(["profile", str(package), "--runs", "2", "--warmup", "0", "-q"]) == 0
    shown = capsys.readouterr().out
    assert "3 threads, spinning off; session options, tuned for this class of machine" in shown
    assert main(["inspect", str(package)]) == 0
    shown = capsys.readouterr().out
    assert "intra_op_num_threads=3, intra_op.allow_spinning=0" in shown


def test_the_digest_of_a_package_changes_with_its_session_options(tmp_path: Path) -> None:
    package = write_tiny_package(tmp_path / "tiny.ortpackage")
    before = profile(package.path, runs=1, warmup=0, processes=1).environment
    write_tuned(package, "fp32", session_options=TUNED, machine=machine_class(), evidence={})
    after = profile(package.path, runs=1, warmup=0, processes=1).environment
    assert before.sha256 == after.sha256
    assert before.package_sha256 != after.package_sha256
    bare = profile(GRAPH, sizes={"sequence": 2}, runs=1, warmup=0, processes=1).environment
    assert bare.package_sha256 == ""


def test_sessions_beside_each_other_do_not_spin_and_offline_ones_have_one_thread(
    capsys: pytest.CaptureFixture[str],
) -> None:
    more: dict[str, Any] = {"sizes": {"sequence": 2}, "runs": 2, "warmup": 0, "processes": 1}
    offline = profile(GRAPH, scenario=Offline(sessions=2), **more)
    assert (offline.session.threads, offline.session.sessions) == (1, 2)
    assert not offline.session.spinning
    assert offline.passes is not None
    assert offline.passes.threads == 1
    show(offline, as_json=False)
    shown = capsys.readouterr().out
    assert "2 sessions of 1 thread" in shown
    assert "1 threads" not in shown
    assert "e+0" not in shown
    assert offline.as_json()["threads"] == 1
    served = profile(GRAPH, scenario=Server(rate_per_s=50, sessions=2), **more)
    assert not served.session.spinning


def test_more_threads_than_cores_are_said(capsys: pytest.CaptureFixture[str]) -> None:
    arguments = [str(GRAPH), "--shape", "sequence=2", "--threads", "99"]
    document = document_of(arguments, capsys)
    assert any("99 threads" in finding for finding in document["findings"])


def test_a_comparison_says_what_each_ran_with_and_what_a_peer_leaves_out(tmp_path: Path) -> None:
    package = tuned_package(tmp_path)
    report = compare(package, ["peer:onnxruntime", "threads=1"], budget_s=0.1)
    facts = report.facts
    assert facts["tiny.ortpackage@fp32"]["session"]["threads"] == 3
    assert facts["tiny.ortpackage@fp32,threads=1"]["session"]["threads"] == 1
    note = next(note for note in report.notes if note.startswith("peer:onnxruntime"))
    assert "intra_op_num_threads=3" in note
