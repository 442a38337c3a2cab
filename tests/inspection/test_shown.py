"""What `toolkit inspect` says of sizes that were fixed, and of sessions that fail."""

import json
from pathlib import Path

import pytest

pytest.importorskip("onnx", reason="onnx, of the extra export, is missing")

import onnx

from tests.inspection import graphs
from toolkit.cli.main import main
from toolkit.errors import SetupError
from toolkit.inspection import inspect
from toolkit.runtime.fresh import ChildCrashedError


def test_the_sizes_are_echoed(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    file = tmp_path / "conv.onnx"
    onnx.save(graphs.conv_of_symbolic_batch(), file)
    assert main(["inspect", str(file), "--fix-shapes", "batch=2"]) == 0
    assert "fixed at  batch=2" in capsys.readouterr().out
    assert main(["inspect", str(file), "--fix-shapes", "batch=2", "--json"]) == 0
    assert json.loads(capsys.readouterr().out)["fix_shapes"] == {"batch": 2}
    assert main(["inspect", str(file)]) == 0
    assert "fixed at" not in capsys.readouterr().out


@pytest.mark.parametrize(
    "error",
    [
        ChildCrashedError("opening it: the process was ended by SIGFPE", stderr="2026 [W:onnx]\nx"),
        SetupError("opening it: the process was ended by SIGFPE\n2026-01-01 [E:onnxruntime:] x"),
    ],
)
def test_a_session_that_fails_leaves_one_line(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, error: Exception
) -> None:
    def fails(*_: object, **__: object) -> None:
        raise error

    monkeypatch.setattr(inspect, "call_fresh", fails)
    shares = inspect.provider_shares(tmp_path / "m.onnx", {}, {})
    assert shares["cpu"].why == "opening it: the process was ended by SIGFPE"


def test_what_the_session_itself_said_is_one_line(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    answer = {
        "built_in": ["CPUExecutionProvider"],
        "placement": {},
        "why": "\nfailed while loading m.onnx: no such kernel\n2026-01-01 [W:onnxruntime:] x",
    }
    monkeypatch.setattr(inspect, "call_fresh", lambda *_, **__: answer)
    shares = inspect.provider_shares(tmp_path / "m.onnx", {}, {})
    assert shares["cpu"].why == "failed while loading m.onnx: no such kernel"
