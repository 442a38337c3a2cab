"""Supported nodes become partitions as ONNX Runtime groups them."""

import pytest

pytest.importorskip("onnx", reason="onnx, of the extra export, is missing")

from onnx import TensorProto, helper

from tests.inspection import graphs
from toolkit.inspection.coverage import nnapi, openvino
from toolkit.inspection.coverage.graph import Graph, read
from toolkit.inspection.coverage.partitions import clusters, waves
from toolkit.inspection.coverage.predict import predict_graph


def chained(*operators: str) -> Graph:
    """One after another, x to y."""
    last = len(operators) - 1
    nodes = [
        helper.make_node(op, [f"h{i}" if i else "x"], ["y" if i == last else f"h{i + 1}"])
        for i, op in enumerate(operators)
    ]
    return read(graphs.model(nodes, [("x", TensorProto.FLOAT, [2, 4])]))


def branched() -> Graph:
    """Relu, then Erf on one way and Exp on the other, then Add."""
    nodes = [
        helper.make_node("Relu", ["x"], ["a"]),
        helper.make_node("Erf", ["a"], ["b"]),
        helper.make_node("Exp", ["a"], ["c"]),
        graphs.node("Add", "b", "c"),
    ]
    return read(graphs.model(nodes, [("x", TensorProto.FLOAT, [2, 4])]))


def test_a_refused_node_between_splits_in_two() -> None:
    graph = chained("Relu", "Erf", "Relu")
    assert waves(graph.nodes, [True, False, True]) == [[0], [2]]


def test_a_way_around_the_refused_node_stays_in_the_first_group() -> None:
    assert waves(branched().nodes, [True, False, True, True]) == [[0, 2], [3]]


def test_nodes_of_one_wave_need_not_be_connected() -> None:
    nodes = [
        helper.make_node("Relu", ["x"], ["a"]),
        helper.make_node("Exp", ["z"], ["b"]),
        graphs.node("Erf", "b"),
    ]
    fed = (("x", TensorProto.FLOAT, [2]), ("z", TensorProto.FLOAT, [2]))
    graph = read(graphs.model(nodes, fed))
    assert waves(graph.nodes, [True, True, False]) == [[0, 1]]
    assert clusters(graph.nodes, [True, True, False]) == [[0], [1]]


def test_clusters_end_at_every_refused_node_in_topological_order() -> None:
    assert clusters(branched().nodes, [True, False, True, True]) == [[0], [2, 3]]


def test_openvino_takes_no_piece_of_fewer_than_three_nodes() -> None:
    found = predict_graph(chained("Relu", "Exp", "Abs", "IsNaN"), openvino.COVERAGE)
    assert (found.taken, found.partitions) == (3, 1)
    small = predict_graph(chained("Relu", "Abs", "IsNaN"), openvino.COVERAGE)
    assert (small.taken, small.partitions) == (0, 0)
    assert "fewer than 3" in small.breaks[0].reason


def test_a_graph_that_is_taken_whole_may_be_smaller() -> None:
    assert predict_graph(chained("Relu"), openvino.COVERAGE).predicted == 1.0


def test_partitions_are_counted() -> None:
    assert predict_graph(chained("Relu", "Erf", "Relu", "Erf"), nnapi.COVERAGE).partitions == 2
