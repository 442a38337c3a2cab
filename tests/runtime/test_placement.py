"""How the placement of nodes reads, and what it counts."""

from pathlib import Path
from types import SimpleNamespace

import pytest

from tests.tiny_package import GRAPH
from toolkit.errors import CheckFailedError
from toolkit.profiling.html import render
from toolkit.profiling.specification import open_model, with_settings
from toolkit.runtime import Provider, SessionOptions, open_session
from toolkit.runtime.placement import Placement, operators_text, placement_of, placement_text

PLACED = Placement(
    operators={
        "QNNExecutionProvider": {"MatMul": 6, "Add": 3},
        "CPUExecutionProvider": {"Erf": 2, "com.microsoft.Gelu": 1},
    }
)


def test_nodes_are_counted_by_provider_and_operator() -> None:
    def graph(name: str, *nodes: tuple[str, str]) -> SimpleNamespace:
        listed = [SimpleNamespace(domain=domain, op_type=kind) for domain, kind in nodes]
        return SimpleNamespace(ep_name=name, get_nodes=lambda: listed)

    graphs = [
        graph("QNNExecutionProvider", ("", "MatMul"), ("", "Add")),
        graph("CPUExecutionProvider", ("com.microsoft", "Gelu")),
        graph("QNNExecutionProvider", ("", "MatMul")),
    ]
    placed = placement_of(SimpleNamespace(get_provider_graph_assignment_info=lambda: graphs))
    assert placed.nodes == {"QNNExecutionProvider": 3, "CPUExecutionProvider": 1}
    assert placed.operators["QNNExecutionProvider"] == {"MatMul": 2, "Add": 1}
    assert placed.elsewhere(Provider.QNN) == {"com.microsoft.Gelu": 1}


def test_the_share_and_the_rest_are_those_of_the_provider() -> None:
    assert PLACED.share(Provider.QNN) == 0.75
    assert PLACED.elsewhere(Provider.QNN) == {"Erf": 2, "com.microsoft.Gelu": 1}
    assert PLACED.share(Provider.CUDA) == 0.0
    assert Placement(operators={}).share(Provider.QNN) is None


def test_a_share_of_a_graph_without_nodes_is_refused_by_its_reason(tmp_path: Path) -> None:
    import onnx
    from onnx import TensorProto, helper

    x, y = (helper.make_tensor_value_info(name, TensorProto.FLOAT, [2]) for name in "xy")
    node = helper.make_node("Constant", [], ["y"], value_floats=[1.0, 2.0])
    model = helper.make_model(
        helper.make_graph([node], "folded", [x], [y]),
        ir_version=10,
        opset_imports=[helper.make_opsetid("", 20)],
    )
    file = tmp_path / "folded.onnx"
    onnx.save(model, file)
    with pytest.raises(CheckFailedError, match="none is left of the graph") as caught:
        open_session(file, SessionOptions(require={"cpu": 1.0}))
    assert "--require cpu" in caught.value.fix
    assert open_session(file, SessionOptions()).placement == {}


def test_the_share_elsewhere_stands_beside_the_operators() -> None:
    text = placement_text("qnn", PLACED.nodes, PLACED.elsewhere(Provider.QNN))
    assert text == (
        "qnn: 9 nodes on QNNExecutionProvider, 3 nodes on CPUExecutionProvider; "
        "25.0% elsewhere: Erf 2, com.microsoft.Gelu 1"
    )
    assert placement_text("cpu", {"CPUExecutionProvider": 1}, {}) == (
        "cpu: 1 node on CPUExecutionProvider"
    )
    assert operators_text({f"Op{i}": 1 for i in range(10)}).endswith("Op7 1 and 2 more types")


def test_the_report_names_them_too() -> None:
    document = {"placement": PLACED.nodes, "elsewhere": PLACED.elsewhere(Provider.QNN)}
    assert "Elsewhere: Erf 2, com.microsoft.Gelu 1." in render(document)


def test_a_contender_on_another_provider_leaves_the_options_of_the_first() -> None:
    options = SessionOptions(
        provider=Provider.QNN,
        provider_options={"soc_model": "57"},
        require={"qnn": 0.9},
        fix_shapes={"batch": 1},
    )
    subject = open_model(GRAPH, options=options)
    other = with_settings(subject, {"provider": "cpu"})
    assert other.options == SessionOptions(fix_shapes={"batch": 1})
    assert with_settings(subject, {"provider": "qnn"}).options == options
