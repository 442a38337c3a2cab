"""Ctrl-C: what was measured until then is told, and the command exits 130."""

import json
import os
import signal
import subprocess
import sys
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import pytest

from tests.builders import mlp
from tests.profiling.contenders import counting
from tests.profiling.test_compare import contender
from toolkit.cli.comparison_shown import show_so_far
from toolkit.errors import StoppedError
from toolkit.profiling.compare import ComparisonStoppedError, Measured
from toolkit.profiling.measuring import Measuring
from toolkit.profiling.queries import Queries
from toolkit.profiling.scenarios import Effort, Offline, Scenario, Server, SingleStream
from toolkit.runtime import fresh

DELAYS_S = (4, 12, 30)
"""A busy machine takes its time to start what is to be interrupted."""

TOOLKIT = (
    "import signal, sys; from toolkit.cli.main import main; "
    "signal.signal(signal.SIGINT, signal.default_int_handler); sys.exit(main())"
)
"""A job in the background ignores Ctrl-C, and so would what it starts."""


def stopped_at(call: int, scenario: Scenario, effort: Effort) -> tuple[dict[str, Any], object]:
    calls = 0

    def run(_: object) -> object:
        nonlocal calls
        calls += 1
        measuring.stop.is_asked = calls >= call
        return {}

    measuring = Measuring(
        runs=[run],
        queries=Queries(feeds=[{}], kind="random", samples=1),
        task=None,
        effort=effort,
    )
    return measuring.measure(scenario)


@pytest.mark.parametrize(
    "scenario, effort",
    [
        (SingleStream(), Effort(runs=10**9, warmup=5)),
        (Server(rate_per_s=5000.0), Effort(runs=10**6, warmup=5)),
        (Offline(sessions=1, batch=1), Effort(runs=10**6, warmup=1)),
    ],
)
def test_runs_that_were_made_survive(scenario: Scenario, effort: Effort) -> None:
    found, failure = stopped_at(300, scenario, effort)
    assert isinstance(failure, StoppedError)
    assert found["times_ns"]
    assert found["made"] < 10**6


def test_it_ends_in_the_warm_up_too() -> None:
    found, failure = stopped_at(3, SingleStream(), Effort(runs=5, warmup=10**9))
    assert isinstance(failure, StoppedError)
    assert found["warmup"].runs == 3


def test_trials_of_a_search_survive() -> None:
    server = Server(latency_bound_ms=50.0)
    found, failure = stopped_at(1000, server, Effort(warmup=5, budget_s=60.0))
    assert isinstance(failure, StoppedError)
    assert "trials" in found


def test_a_comparison_tells_the_turns_that_were_made(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    counted = 0

    def interrupted(line: str) -> None:
        nonlocal counted
        counted += 1
        if counted == 2:
            raise KeyboardInterrupt

    with pytest.raises(ComparisonStoppedError, match="interrupted, after 5 turns") as stopped:
        Measured.of(
            [contender(counting.__name__, "a", to=9), contender(counting.__name__, "b", to=9)],
            budget_s=0.1,
            folder=tmp_path,
            progress=interrupted,
        )
    assert stopped.value.exit_code == 130
    show_so_far(stopped.value, as_json=True)
    assert json.loads(capsys.readouterr().out)["measured"]["a"]["turns"] == 5


def test_a_process_with_nothing_to_tell_is_ended(monkeypatch: pytest.MonkeyPatch) -> None:
    told: list[float] = []

    class Interrupted(subprocess.Popen[bytes]):
        def communicate(self, *_: object, timeout: float | None = None) -> tuple[bytes, bytes]:
            if timeout is None:
                raise KeyboardInterrupt
            told.append(timeout)
            return super().communicate(timeout=timeout)

    monkeypatch.setattr(fresh, "GRACE_S", 0.2)
    monkeypatch.setattr("toolkit.runtime.fresh.subprocess.Popen", Interrupted)
    with pytest.raises(StoppedError, match="nothing was changed"):
        fresh.call_fresh("tests.profiling.ends_badly", {"act": "none"}, doing="waiting")
    assert told == [0.2]


def interrupted(arguments: Sequence[str], after_s: float) -> tuple[int, str, str]:
    process = subprocess.Popen(
        [sys.executable, "-c", TOOLKIT, *arguments],
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        text=True,
        start_new_session=True,
    )
    try:
        process.communicate(timeout=after_s)
    except subprocess.TimeoutExpired:
        os.killpg(process.pid, signal.SIGINT)  # as a terminal does
    out, err = process.communicate(timeout=120)
    return process.returncode, out, err


@pytest.mark.slow
@pytest.mark.skipif(sys.platform == "win32", reason="sends a signal to a group of processes")
def test_the_command_prints_what_was_measured_and_exits_130(tmp_path: Path) -> None:
    mlp(tmp_path / "mlp.onnx")
    arguments = ["profile", str(tmp_path / "mlp.onnx"), "--sustained", "100s", "--json"]
    for delay in DELAYS_S:
        code, out, err = interrupted(arguments, delay)
        assert code == 130
        assert "interrupted" in err
        assert "Traceback" not in err
        if out and json.loads(out)["samples"]:
            break
    document = json.loads(out)
    assert document["samples"] > 0
    assert document["latency_ms"]["p50"] > 0
    assert document["failure"] == "interrupted"
