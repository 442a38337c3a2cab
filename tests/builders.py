"""Tiny graphs."""

from pathlib import Path

import numpy as np
import onnx
from onnx import TensorProto, helper, numpy_helper

OPSETS = [helper.make_opsetid("", 20)]


def relu(file: Path) -> None:
    """Write y = Relu(x), float32[batch, 3]."""
    graph = helper.make_graph(
        [helper.make_node("Relu", ["x"], ["y"])],
        "relu",
        [helper.make_tensor_value_info("x", TensorProto.FLOAT, ["batch", 3])],
        [helper.make_tensor_value_info("y", TensorProto.FLOAT, ["batch", 3])],
    )
    onnx.save(helper.make_model(graph, ir_version=10, opset_imports=OPSETS), file)


def matmul(file: Path, *, external: str = "") -> None:
    """Write y = x @ w, float32[batch, 3] to float32[batch, 4]; w in a file beside it if named."""
    weight = numpy_helper.from_array(np.arange(12, dtype=np.float32).reshape(3, 4), "w")
    graph = helper.make_graph(
        [helper.make_node("MatMul", ["x", "w"], ["y"])],
        "matmul",
        [helper.make_tensor_value_info("x", TensorProto.FLOAT, ["batch", 3])],
        [helper.make_tensor_value_info("y", TensorProto.FLOAT, ["batch", 4])],
        [weight],
    )
    model = helper.make_model(graph, ir_version=10, opset_imports=OPSETS)
    if external:
        onnx.save(model, file, save_as_external_data=True, location=external, size_threshold=0)
    else:
        onnx.save(model, file)


def zip_map(file: Path) -> None:
    """Write a classifier's last node as scikit-learn's converter does: a sequence of maps."""
    probabilities = helper.make_map_type_proto(
        TensorProto.INT64, helper.make_tensor_type_proto(TensorProto.FLOAT, [])
    )
    graph = helper.make_graph(
        [helper.make_node("ZipMap", ["x"], ["y"], domain="ai.onnx.ml", classlabels_int64s=[0, 1])],
        "zip_map",
        [helper.make_tensor_value_info("x", TensorProto.FLOAT, ["batch", 2])],
        [helper.make_value_info("y", helper.make_sequence_type_proto(probabilities))],
    )
    opsets = [*OPSETS, helper.make_opsetid("ai.onnx.ml", 1)]
    onnx.save(helper.make_model(graph, ir_version=10, opset_imports=opsets), file)


def identity(file: Path, *, element: int, output: str = "y") -> None:
    """Write output = Identity(x), element[batch]."""
    graph = helper.make_graph(
        [helper.make_node("Identity", ["x"], [output])],
        "identity",
        [helper.make_tensor_value_info("x", element, ["batch"])],
        [helper.make_tensor_value_info(output, element, ["batch"])],
    )
    onnx.save(helper.make_model(graph, ir_version=10, opset_imports=OPSETS), file)


def mlp(file: Path) -> None:
    """Write y = relu(x @ w + b) @ v with names, float32[batch, 16] to float32[batch, 4].

    ONNX Runtime fuses the first two nodes.
    """
    rng = np.random.default_rng(0)

    def weight(name: str, *shape: int) -> TensorProto:
        return numpy_helper.from_array(rng.normal(size=shape).astype(np.float32), name)

    graph = helper.make_graph(
        [
            helper.make_node("Gemm", ["x", "w", "b"], ["h"], name="first"),
            helper.make_node("Relu", ["h"], ["r"], name="active"),
            helper.make_node("MatMul", ["r", "v"], ["y"], name="second"),
        ],
        "mlp",
        [helper.make_tensor_value_info("x", TensorProto.FLOAT, ["batch", 16])],
        [helper.make_tensor_value_info("y", TensorProto.FLOAT, ["batch", 4])],
        [weight("w", 16, 32), weight("b", 32), weight("v", 32, 4)],
    )
    onnx.save(helper.make_model(graph, ir_version=10, opset_imports=OPSETS), file)
