"""Times by node, from recordings made by hand and from a real session."""

from pathlib import Path
from typing import Any

import onnx
import pytest
from onnx import TensorProto, helper

from tests.builders import OPSETS
from tests.builders import mlp as write_mlp
from toolkit.errors import InputError
from toolkit.profiling.counts import Tensor
from toolkit.profiling.operators import Event, operator_times, own_times
from toolkit.profiling.queries import Given
from toolkit.profiling.recorded import RecordedRun, record_run
from toolkit.profiling.specification import open_model

CPU = "CPUExecutionProvider"


def run(ts: float, dur: float) -> Event:
    return {"cat": "Session", "name": "model_run", "ts": ts, "dur": dur, "tid": 1, "args": {}}


def kernel(name: str, op: str, ts: float, dur: float, **more: Any) -> Event:
    arguments: dict[str, Any] = {"op_name": op, "provider": CPU, "node_index": name, **more}
    return {
        "cat": "Node",
        "name": f"{name}_kernel_time",
        "ts": ts,
        "dur": dur,
        "tid": 1,
        "args": arguments,
    }


def test_warm_up_runs_count_for_nothing() -> None:
    events = [run(0, 900), kernel("a", "Add", 10, 800), run(1000, 100), kernel("a", "Add", 1010, 4)]
    times = operator_times(events, warmup=1)
    assert (times.runs, times.run_ms, times.nodes_ms) == (1, 0.1, 0.004)


def test_the_median_run_decides_and_shares_add_up() -> None:
    events: list[Event] = []
    for position, slow in enumerate((30, 30, 3000)):  # the last run was interrupted
        start = position * 10_000
        events += [
            run(start, 5000),
            kernel("a", "MatMul", start + 1, slow),
            kernel("b", "Add", start + 4000, 10),
        ]
    times = operator_times(events, warmup=0)
    assert [(node.name, node.ms, node.share) for node in times.nodes] == [
        ("a", 0.03, 0.75),
        ("b", 0.01, 0.25),
    ]
    assert [(group.name, group.share) for group in times.providers] == [(CPU, 1.0)]


def test_a_loop_is_not_charged_for_its_body() -> None:
    events = [
        run(0, 200),
        kernel("loop", "Loop", 10, 100),
        kernel("body", "Add", 20, 30),
        kernel("body", "Add", 60, 30),
    ]
    times = operator_times(events, warmup=0)
    assert {node.name: (node.calls, node.ms) for node in times.nodes} == {
        "body": (2, 0.06),
        "loop": (1, 0.04),
    }
    assert times.nodes_ms == pytest.approx(0.1)


def test_nodes_of_two_threads_are_apart() -> None:
    other = {**kernel("b", "Add", 20, 30), "tid": 2}
    own = {e["name"]: us for e, us in own_times([kernel("a", "Add", 10, 100), other])}
    assert own == {"a_kernel_time": 100, "b_kernel_time": 30}


def test_a_recording_without_a_run_is_refused() -> None:
    with pytest.raises(InputError):
        operator_times([run(0, 10)], warmup=1)


def test_nodes_of_an_asynchronous_provider_carry_a_warning() -> None:
    event = kernel("a", "MatMul", 1, 5)
    event["args"]["provider"] = "CUDAExecutionProvider"
    (note,) = operator_times([run(0, 10), event], warmup=0).notes
    assert "CUDAExecutionProvider" in note


@pytest.fixture(scope="module")
def mlp(tmp_path_factory: pytest.TempPathFactory) -> Path:
    file = tmp_path_factory.mktemp("mlp") / "mlp.onnx"
    write_mlp(file)
    return file


@pytest.fixture(scope="module")
def recorded(mlp: Path) -> RecordedRun:
    return record_run(
        open_model(mlp), given=Given(sizes={"batch": 8}), runs=5, warmup=2, peaks=False
    )


def test_a_real_run_is_recorded_by_the_graph_s_names(recorded: RecordedRun) -> None:
    times = recorded.times
    assert times.runs == 5
    assert {node.op for node in times.nodes} == {"FusedGemm", "MatMul"}
    second = next(node for node in times.nodes if node.op == "MatMul")
    assert second.name == "second"
    assert second.outputs == (Tensor(dtype="float", shape=(8, 4)),)
    assert second.output_bytes == 8 * 4 * 4
    fused = next(node for node in times.nodes if node.op == "FusedGemm")
    assert "first" in fused.name
    assert sum(node.share for node in times.nodes) == pytest.approx(1)
    assert [group.name for group in times.providers] == [CPU]
    assert times.nodes_ms <= times.run_ms


def test_the_document_says_that_its_time_is_not_latency(recorded: RecordedRun) -> None:
    document = recorded.as_json(plain_p50_ms=0.25)
    assert "not latency" in document["instrumented"]["meaning"]
    assert document["instrumented"]["plain_p50_ms"] == 0.25
    assert document["roofline"] is None
    assert len(document["nodes"]) == 2


def test_no_runs_are_refused(mlp: Path) -> None:
    with pytest.raises(InputError):
        record_run(open_model(mlp), runs=0)


def test_a_missing_size_is_asked_for(tmp_path: Path) -> None:
    file = tmp_path / "sequence.onnx"
    value = helper.make_tensor_value_info("x", TensorProto.FLOAT, ["batch", "sequence"])
    result = helper.make_tensor_value_info("y", TensorProto.FLOAT, ["batch", "sequence"])
    graph = helper.make_graph([helper.make_node("Relu", ["x"], ["y"])], "g", [value], [result])
    onnx.save(helper.make_model(graph, ir_version=10, opset_imports=OPSETS), file)
    with pytest.raises(InputError) as caught:
        record_run(open_model(file), peaks=False)
    assert "sequence" in caught.value.fix
