"""What was measured is shown whatever fails after it, and data is found beside a result."""

import json
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest

from tests.profiling.test_replay import FEW, printed
from tests.tiny_package import GRAPH, write_tiny_package
from toolkit.cli.main import main
from toolkit.cli.profiled import show
from toolkit.errors import InputError
from toolkit.profiling import profile
from toolkit.profiling.rate import Trial
from toolkit.profiling.scenarios import Server
from toolkit.profiling.statistics import summarize


@pytest.mark.parametrize(
    "option, function",
    [
        ("--operators", "toolkit.profiling.recorded.record_run"),
        ("--resources", "toolkit.profiling.resources.measure_resources"),
    ],
)
def test_latency_is_shown_though_what_comes_after_it_fails(
    option: str,
    function: str,
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
    capsys: pytest.CaptureFixture[str],
) -> None:
    def failing(*_: object, **__: object) -> None:
        raise InputError("it broke", expected="luck", fix="try again")

    monkeypatch.setattr(function, failing)
    report = tmp_path / "report.html"
    arguments = ["profile", str(GRAPH), "--shape", "sequence=2", option, "--report", str(report)]
    assert main([*arguments, *FEW]) == 3
    captured = capsys.readouterr()
    assert json.loads(captured.out)["latency_ms"]["p50"] > 0
    assert "it broke" in captured.err
    assert "Latency" in report.read_text()


def test_data_is_found_beside_the_result_and_must_be_the_same(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    package = write_tiny_package(tmp_path / "tiny.ortpackage")
    (tmp_path / "far").mkdir()
    data = tmp_path / "far" / "texts.csv"
    data.write_text("text\nfunny good film\nbad\n")
    first = printed([str(package.path), "--data", str(data), *FEW], capsys)
    assert first["settings"]["data"] == "texts.csv"
    result = tmp_path / "result.json"
    result.write_text(json.dumps(first))
    replay = ["profile", str(package.path), "--replay", str(result), "--json", "-q"]
    assert main(replay) == 3
    assert "texts.csv" in capsys.readouterr().err
    data.rename(tmp_path / "texts.csv")
    assert main(replay) == 0
    again = json.loads(capsys.readouterr().out)
    assert again["environment"]["inputs"] == "data"
    assert again["environment"]["data_sha256"] == first["environment"]["data_sha256"]
    (tmp_path / "texts.csv").write_text("text\nanother\n")
    assert main(replay) == 3
    assert "not what was measured" in capsys.readouterr().err


def test_a_sweep_says_where_it_was_measured_and_keeps_the_sizes_before_a_failure(
    capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    from toolkit import profiling

    arguments = ["profile", str(GRAPH), "--shape", "sequence=2,3", "--runs", "2", "--warmup", "0"]
    assert main([*arguments, "-q"]) == 0
    shown = capsys.readouterr().out
    for name in ("inputs", "provider", "session", "machine", "model"):
        assert f"{name}  " in shown
    assert "seed 0" in shown
    whole = profiling.profile

    def failing(*given: object, **more: object) -> object:
        if more["sizes"] == {"sequence": 3}:
            raise InputError("it broke")
        return whole(*given, **more)  # type: ignore[arg-type]  # what the command gave

    monkeypatch.setattr(profiling, "profile", failing)
    assert main([*arguments, "--json", "-q"]) == 3
    captured = capsys.readouterr()
    (point,) = json.loads(captured.out)["points"]
    assert point["shape"] == {"sequence": 2}
    assert "it broke" in captured.err


def test_a_rate_that_does_not_hold_is_not_called_the_highest(
    capsys: pytest.CaptureFixture[str],
) -> None:
    server = Server(rate_per_s=50)
    report = profile(GRAPH, scenario=server, sizes={"sequence": 2}, runs=5, processes=1)

    def shown(*, passed: bool, busy: float) -> str:
        trial = Trial(rate_per_s=50, queries=9, p99_ms=1, long_p99_ms=1, passed=passed)
        show(replace(report, trials=(trial,), busy_share=busy), as_json=False)
        return capsys.readouterr().out

    assert "(the highest found)" in shown(passed=True, busy=0.5)
    assert "did not hold again" in shown(passed=False, busy=0.5)
    assert "highest" not in shown(passed=True, busy=1.2)


def test_the_terminal_says_what_intervals_and_bounds_are_of(
    capsys: pytest.CaptureFixture[str],
) -> None:
    report = profile(GRAPH, sizes={"sequence": 2}, runs=5, warmup=0, processes=2)
    times = (1e6 * np.random.default_rng(0).lognormal(size=2000)).astype(int).tolist()
    show(replace(report, latency=summarize(times)), as_json=False)
    shown = capsys.readouterr().out
    assert "of this process and period; p50 by process: " in shown
    assert "p99 at most" in shown
    assert shown.count("independent runs)") == 2
