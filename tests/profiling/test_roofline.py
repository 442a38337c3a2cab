"""Nodes below peaks that are made up, and peaks that are measured."""

from pathlib import Path

import pytest
from msgspec import to_builtins

from tests.builders import mlp
from toolkit.profiling.counts import Tensor
from toolkit.profiling.operators import NodeTime
from toolkit.profiling.optimized import NodeFacts, packed_away, read_optimized
from toolkit.profiling.peaks import MATMUL, MATMUL_INTEGER, Peaks, measure_peaks
from toolkit.profiling.queries import Given
from toolkit.profiling.recorded import record_run
from toolkit.profiling.roofline import Roofline, roofline
from toolkit.profiling.specification import open_model
from toolkit.runtime import SessionOptions

PEAKS = Peaks(
    threads=1,
    float32_gops=100.0,
    int8_gops=400.0,
    copy_gb_s=((10_000, 50.0), (1_000_000, 10.0)),
    node_ms=0.001,
)


def node(op: str, ms: float, inputs: list[Tensor], outputs: list[Tensor]) -> NodeTime:
    return NodeTime(
        name="n",
        op=op,
        provider="CPUExecutionProvider",
        calls=1,
        ms=ms,
        share=1.0,
        inputs=inputs,
        outputs=outputs,
        activation_bytes=None,
        parameter_bytes=None,
        output_bytes=None,
    )


def float32(*shape: int) -> Tensor:
    return Tensor(dtype="float", shape=shape)


def under(
    *nodes: NodeTime, facts: dict[str, NodeFacts] | None = None, no_facts: str = ""
) -> Roofline:
    return roofline(nodes, one_thread=PEAKS, all_threads=PEAKS, facts=facts, no_facts=no_facts)


def facts(op: str, *weights: Tensor) -> dict[str, NodeFacts]:
    return {"n": NodeFacts(op=op, weights=weights, attributes={})}


def test_a_wide_product_is_bound_by_arithmetic() -> None:
    square = float32(500, 500)
    found = under(node("MatMul", 5.0, [square], [square]), facts=facts("MatMul", square))
    (roof,) = found.nodes
    assert roof.work.operations == 2 * 500**3
    assert roof.least_ms == pytest.approx(2 * 500**3 / 100e9 * 1e3)
    assert roof.bound == "compute"
    assert roof.percent == pytest.approx(50.0)
    assert roof.gops == pytest.approx(50.0)
    assert found.by_bound == {"compute": 1.0}
    assert found.percent == pytest.approx(50.0)


def test_one_row_through_a_large_weight_is_bound_by_memory() -> None:
    weight = float32(1000, 1000)
    found = under(
        node("MatMul", 1.0, [float32(1, 1000)], [float32(1, 1000)]),
        facts=facts("MatMul", weight),
    )
    (roof,) = found.nodes
    assert roof.bound == "memory"
    assert roof.least_ms == pytest.approx(4 * (1_000_000 + 2000) / 10e9 * 1e3)


def test_small_tensors_are_held_against_the_cache() -> None:
    (roof,) = under(node("Relu", 0.01, [float32(1000)], [float32(1000)])).nodes
    assert roof.least_ms == pytest.approx(8000 / 50e9 * 1e3)
    assert (roof.bound, roof.gops, roof.intensity) == ("memory", None, None)


def test_a_node_that_takes_no_longer_than_any_other_is_bound_by_overhead() -> None:
    (short,) = under(node("Relu", 0.0015, [float32(1000)], [float32(1000)])).nodes
    assert short.bound == "overhead"
    assert short.percent is not None


def test_a_weight_of_unknown_size_has_no_roof_and_says_why() -> None:
    found = under(
        node("Gemm", 1.0, [float32(3, 5)], [float32(3, 7)]), no_facts="onnx is not installed"
    )
    (roof,) = found.nodes
    assert (roof.bound, roof.percent) == (None, None)
    assert roof.gops is not None
    assert (found.counted_share, found.percent) == (0, None)
    assert any("onnx is not installed" in note for note in found.notes)


def test_another_provider_has_no_measured_roof() -> None:
    elsewhere = NodeTime(
        **{
            **vars(node("Relu", 1.0, [float32(3)], [float32(3)])),
            "provider": "QNNExecutionProvider",
        }
    )
    found = under(elsewhere)
    assert found.nodes[0].bound is None
    assert [why for _, why in found.not_counted] == [
        "the peaks of QNNExecutionProvider are not measured"
    ]


def test_a_packed_weight_is_what_the_run_did_not_read() -> None:
    one, two = float32(3, 3), float32(3)
    both = NodeFacts(op="Gemm", weights=(one, two), attributes={})
    assert packed_away(both, [float32(1, 3), two]) == (one,)
    assert packed_away(both, [float32(1, 3), one, two]) == ()


def test_more_threads_are_never_held_against_less_than_one() -> None:
    busy = Peaks(
        threads=2,
        float32_gops=60.0,
        int8_gops=500.0,
        copy_gb_s=((20_000, 40.0), (2_000_000, 12.0)),
        node_ms=0.002,
    )
    raised = busy.no_less_than(PEAKS)
    assert (raised.threads, raised.float32_gops, raised.int8_gops) == (2, 100.0, 500.0)
    assert raised.copy_gb_s == ((20_000, 40.0), (2_000_000, 12.0))


def test_a_busy_machine_is_told_from_its_peaks() -> None:
    two = Peaks(**{**to_builtins(PEAKS), "threads": 2})
    nodes = [node("Relu", 0.01, [float32(1000)], [float32(1000)])]
    busy = roofline(nodes, one_thread=PEAKS, all_threads=two, facts={})
    assert any("something else had the cores" in note for note in busy.notes)
    assert not any("something else" in note for note in under(*nodes).notes)


def test_peaks_are_measured() -> None:
    peaks = measure_peaks(threads=1, seconds=0.01)
    assert peaks.float32_gops > 0
    assert peaks.int8_gops > 0
    assert [size for size, _ in peaks.copy_gb_s] == sorted(size for size, _ in peaks.copy_gb_s)
    assert all(speed > 0 for _, speed in peaks.copy_gb_s)


@pytest.mark.parametrize(
    "written,op,types", [(MATMUL, "MatMul", "11 1"), (MATMUL_INTEGER, "MatMulInteger", "23 6")]
)
def test_the_written_products_are_what_they_say(written: bytes, op: str, types: str) -> None:
    import onnx

    graph = onnx.load_from_string(written).graph
    assert [node.op_type for node in graph.node] == [op]
    inputs = "".join(str(value.type.tensor_type.elem_type) for value in graph.input)
    assert f"{inputs} {graph.output[0].type.tensor_type.elem_type}" == types


def test_a_real_graph_is_counted_with_its_packed_weights(tmp_path: Path) -> None:
    file = tmp_path / "mlp.onnx"
    mlp(file)
    options = SessionOptions(threads=1)
    found = record_run(
        open_model(file, options=options), given=Given(sizes={"batch": 8}), runs=3, warmup=1
    ).roofline
    assert found is not None
    assert found.operations == 2 * 8 * 32 * 16 + 2 * 8 * 4 * 32
    assert found.bytes == 4 * (8 * 16 + 16 * 32 + 32 + 8 * 32) + 4 * (8 * 32 + 32 * 4 + 8 * 4)
    assert found.counted_share == pytest.approx(1)
    assert found.all_threads == found.one_thread
    assert found.all_threads.node_ms >= 0


def test_a_name_that_stands_twice_tells_nothing(tmp_path: Path) -> None:
    import onnx
    from onnx import TensorProto, helper

    graph = helper.make_graph(
        [
            helper.make_node("Relu", ["x"], ["a"], name="same"),
            helper.make_node("Relu", ["a"], ["b"], name="same"),
            helper.make_node("Relu", ["b"], ["c"]),
            helper.make_node("Relu", ["c"], ["y"], name="own"),
        ],
        "g",
        [helper.make_tensor_value_info("x", TensorProto.FLOAT, [1])],
        [helper.make_tensor_value_info("y", TensorProto.FLOAT, [1])],
    )
    onnx.save(helper.make_model(graph), tmp_path / "g.onnx")
    assert [*read_optimized(tmp_path / "g.onnx")] == ["own"]
