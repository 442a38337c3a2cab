"""The trace is a Trace Event Format document."""

import json

import pytest

from tests.builders import mlp
from toolkit.profiling.queries import Given
from toolkit.profiling.recorded import RecordedRun, record_run
from toolkit.profiling.specification import open_model
from toolkit.profiling.trace import chrome_trace


@pytest.fixture(scope="module")
def run(tmp_path_factory: pytest.TempPathFactory) -> RecordedRun:
    file = tmp_path_factory.mktemp("mlp") / "mlp.onnx"
    mlp(file)
    return record_run(
        open_model(file), given=Given(sizes={"batch": 2}), runs=3, warmup=1, peaks=False
    )


def test_every_event_has_what_viewers_need(run: RecordedRun) -> None:
    document = json.loads(json.dumps(chrome_trace(run.events, run.recording, name="mlp.onnx")))
    assert document["displayTimeUnit"] == "ms"
    for event in document["traceEvents"]:
        assert event["ph"] in {"X", "M"}
        assert isinstance(event["name"], str)
        assert isinstance(event["pid"], int)
        assert isinstance(event["tid"], int)
        assert event["ts"] >= 0
        if event["ph"] == "X":
            assert event["dur"] >= 0
            assert isinstance(event["args"], dict)


def test_process_and_threads_are_named(run: RecordedRun) -> None:
    events = chrome_trace(run.events, run.recording, name="mlp.onnx")["traceEvents"]
    named = {e["args"]["name"] for e in events if e["ph"] == "M"}
    assert "toolkit profile mlp.onnx" in named
    threads = {e["tid"] for e in events if e["ph"] == "X"}
    assert threads == {e["tid"] for e in events if e["name"] == "thread_name"}


def test_phases_surround_what_onnx_runtime_did_in_them(run: RecordedRun) -> None:
    events = chrome_trace(run.events, run.recording, name="x")["traceEvents"]
    spans = {e["name"]: (e["ts"], e["ts"] + e["dur"]) for e in events if e["ph"] == "X"}
    assert {"create session", "first run", "warm-up", "recorded runs"} <= spans.keys()
    created, initialized = spans["create session"], spans["optimize the graph, place and pack it"]
    slack_us = 1000  # the two clocks are read one after another
    assert created[0] - slack_us <= initialized[0] <= initialized[1] <= created[1] + slack_us
    runs = [e for e in events if e["name"] == "run"]
    assert len(runs) == 1 + 1 + 3
    nodes = [e for e in events if e["cat"] in {"FusedGemm", "MatMul"}]
    assert len(nodes) == 2 * len(runs)
    assert {"second"} <= {e["name"] for e in nodes}


def test_the_trace_says_that_it_is_no_latency(run: RecordedRun) -> None:
    document = chrome_trace(run.events, run.recording, name="x")
    assert "not latency" in document["otherData"]["meaning"]
