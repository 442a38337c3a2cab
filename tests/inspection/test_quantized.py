"""QDQ graphs: an operator is taken or left with what quantizes around it."""

from typing import Any

import numpy as np
import pytest

pytest.importorskip("onnx", reason="onnx, of the extra export, is missing")

from onnx import TensorProto, helper, numpy_helper

from tests.inspection import graphs
from toolkit.inspection.coverage import openvino, qnn
from toolkit.inspection.coverage.graph import Graph, read
from toolkit.inspection.coverage.predict import predict_graph


def quantized_norm(dtype: Any) -> Graph:
    """Relu, then LayerNormalization in QDQ form with a scale of a type, then Relu."""
    nodes = [
        helper.make_node("Relu", ["x"], ["a"]),
        helper.make_node("QuantizeLinear", ["a", "s", "z"], ["q"]),
        helper.make_node("DequantizeLinear", ["q", "s", "z"], ["d"]),
        helper.make_node("DequantizeLinear", ["w", "s", "wz"], ["v"]),
        helper.make_node("LayerNormalization", ["d", "v"], ["n"]),
        helper.make_node("QuantizeLinear", ["n", "s", "z"], ["r"]),
        helper.make_node("DequantizeLinear", ["r", "s", "z"], ["e"]),
        graphs.node("Relu", "e"),
    ]
    weights = [
        numpy_helper.from_array(np.array(0.1, np.float32), "s"),
        numpy_helper.from_array(np.array(0, np.uint8), "z"),
        numpy_helper.from_array(np.array(0, dtype), "wz"),
        graphs.weight("w", 4, dtype=dtype),
    ]
    return read(graphs.model(nodes, [("x", TensorProto.FLOAT, [2, 4])], weights=weights))


def test_a_signed_scale_leaves_the_norm_and_what_quantizes_around_it() -> None:
    found = predict_graph(quantized_norm(np.int8), qnn.COVERAGE)
    left = {broken.operator: broken.nodes for broken in found.breaks}
    assert left == {"DequantizeLinear": 2, "LayerNormalization": 1, "QuantizeLinear": 1}
    assert (found.taken, found.partitions) == (4, 2)
    assert any("uint8" in change for change in found.changes)


def test_an_unsigned_scale_is_taken() -> None:
    assert predict_graph(quantized_norm(np.uint8), qnn.COVERAGE).predicted == 1.0


def test_openvino_takes_both() -> None:
    assert predict_graph(quantized_norm(np.int8), openvino.COVERAGE).predicted == 1.0


def test_the_cpu_quantizes_what_is_fed_and_dequantizes_what_is_returned() -> None:
    nodes = [
        helper.make_node("QuantizeLinear", ["x", "s", "z"], ["q"]),
        helper.make_node("DequantizeLinear", ["q", "s", "z"], ["d"]),
        helper.make_node("Relu", ["d"], ["r"]),
        helper.make_node("QuantizeLinear", ["r", "s", "z"], ["p"]),
        graphs.node("DequantizeLinear", "p", "s", "z"),
    ]
    weights = [
        numpy_helper.from_array(np.array(0.1, np.float32), "s"),
        numpy_helper.from_array(np.array(0, np.uint8), "z"),
    ]
    graph = read(graphs.model(nodes, [("x", TensorProto.FLOAT, [2, 4])], weights=weights))
    found = predict_graph(graph, qnn.COVERAGE)
    assert [broken.operator for broken in found.breaks] == ["QuantizeLinear", "DequantizeLinear"]
    assert found.taken == 3
