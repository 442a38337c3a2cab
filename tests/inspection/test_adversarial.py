"""What a list of operator names takes for granted is judged by its types, shapes and constants."""

from collections.abc import Callable

import pytest

pytest.importorskip("onnx", reason="onnx, of the extra export, is missing")

from onnx import ModelProto, TensorProto, helper

from tests.inspection import graphs
from toolkit.inspection.coverage import coreml, nnapi
from toolkit.inspection.coverage.graph import read
from toolkit.inspection.coverage.predict import predict_graph
from toolkit.inspection.coverage.rules import Coverage

TARGETS = (nnapi.COVERAGE, coreml.NEURAL_NETWORK, coreml.ML_PROGRAM)
# A graph; whether NNAPI, CoreML NeuralNetwork and CoreML MLProgram take its last node; and what
# stands in the reason of the first that does not. MLProgram does take weights that are computed:
# core/providers/coreml/builders/impl/conv_op_builder.cc.
CASES: dict[str, tuple[Callable[[], ModelProto], tuple[bool, bool, bool], str]] = {
    "conv, fed weights": (graphs.conv_with_fed_weights, (False, False, True), "not a constant"),
    "conv, 3-D": (graphs.conv_3d, (False, False, False), "5 dimensions"),
    "conv, no attributes": (graphs.conv_without_attributes, (True, True, True), ""),
    "conv, symbolic batch": (graphs.conv_of_symbolic_batch, (False, True, True), "not fixed"),
    "float64": (graphs.add(TensorProto.DOUBLE), (False, False, False), "float64"),
    "float16": (graphs.add(TensorProto.FLOAT16), (False, False, True), "float16"),
    "int64": (graphs.add(TensorProto.INT64), (False, False, False), "int64"),
    "float32": (graphs.add(TensorProto.FLOAT), (True, True, True), ""),
    "opset 6": (graphs.add(TensorProto.FLOAT, opset=6), (False, False, False), "Add-6"),
    "transpose, no perm": (graphs.transpose(3), (True, True, True), ""),
    "transpose, 5-D": (graphs.transpose(5), (False, True, True), "5 dimensions"),
    "reshape, symbolic": (graphs.reshape_of_symbolic_batch, (False, False, False), "not fixed"),
    "gather, int64": (graphs.gather(TensorProto.INT64), (False, True, False), "not a constant"),
    "gather, int32": (graphs.gather(TensorProto.INT32), (True, True, False), "no such operator"),
    "gelu, opset 20": (graphs.unary("Gelu"), (False, False, True), "no such operator"),
    "erf": (graphs.unary("Erf"), (False, False, True), "no such operator"),
    "softmax, no axis": (graphs.unary("Softmax"), (True, True, True), ""),
    "matmul, 3-D": (graphs.product_of_3_dimensions, (False, False, True), "3 by 2 dimensions"),
    "einsum": (graphs.einsum, (False, False, False), "no such operator"),
    "mod": (graphs.mod, (False, False, False), "no such operator"),
    "nonzero": (graphs.nonzero, (False, False, False), "no such operator"),
    "if": (graphs.choice, (False, False, False), "no such operator"),
}


@pytest.mark.parametrize("name", CASES)
def test_it_is_judged_right(name: str) -> None:
    build, expected, fragment = CASES[name]
    found = [predict_graph(read(build()), target) for target in TARGETS]
    assert tuple(one.predicted == 1.0 for one in found) == expected
    reasons = [one.breaks[0].reason for one in found if one.breaks]
    assert fragment in (reasons[0] if reasons else "")
    assert all(broken.source for one in found for broken in one.breaks)


@pytest.mark.parametrize("target", TARGETS, ids=lambda target: target.name)
def test_a_weight_of_4_bits_is_left_to_the_cpu(target: Coverage) -> None:
    found = predict_graph(read(graphs.int4_weight()), target)
    assert "DequantizeLinear" in {broken.operator for broken in found.breaks}


def test_every_node_of_a_branch_counts_where_the_if_is_refused() -> None:
    found = predict_graph(read(graphs.choice()), nnapi.COVERAGE)
    assert (found.taken, found.nodes) == (0, 3)


def test_the_share_of_the_work_is_not_that_of_the_nodes() -> None:
    nodes = [
        helper.make_node("MatMul", ["x", "w"], ["h"]),
        helper.make_node("NonZero", ["h"], ["n"]),
        graphs.node("Cast", "n", to=TensorProto.FLOAT),
    ]
    built = graphs.model(
        nodes, [("x", TensorProto.FLOAT, [3, 4])], weights=[graphs.weight("w", 4, 5)]
    )
    found = predict_graph(read(built), nnapi.COVERAGE)
    assert (found.predicted, found.predicted_work) == (1 / 3, 1.0)
    assert [broken.operator for broken in found.breaks] == ["NonZero", "Cast"]
