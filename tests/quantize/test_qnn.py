"""Graphs in the form that QNN takes: pairs of quantization everywhere, masks within reach."""

from pathlib import Path

import numpy as np
import onnx
import pytest
from onnx import TensorProto, helper, numpy_helper

from toolkit.errors import InputError
from toolkit.quantize.qnn import LEAST, quantize_for_qnn
from toolkit.runtime import SessionOptions, open_session

ROWS = [
    {"x": np.random.default_rng(i).standard_normal((1, 8)).astype(np.float32)} for i in range(8)
]


def masked(file: Path) -> Path:
    """Write y = Softmax(x w + mask), whose mask is -3.4e38 at the last of eight places."""
    rng = np.random.default_rng(0)
    mask = np.zeros(8, np.float32)
    mask[-1] = np.finfo(np.float32).min
    graph = helper.make_graph(
        [
            helper.make_node("MatMul", ["x", "w"], ["scores"], name="product"),
            helper.make_node("Add", ["scores", "mask"], ["masked"], name="sum"),
            helper.make_node("Softmax", ["masked"], ["y"], name="softmax"),
        ],
        "masked",
        [helper.make_tensor_value_info("x", TensorProto.FLOAT, [1, 8])],
        [helper.make_tensor_value_info("y", TensorProto.FLOAT, [1, 8])],
        [
            numpy_helper.from_array(rng.standard_normal((8, 8)).astype(np.float32), "w"),
            numpy_helper.from_array(mask, "mask"),
        ],
    )
    model = helper.make_model(graph, ir_version=10, opset_imports=[helper.make_opsetid("", 20)])
    onnx.checker.check_model(model, full_check=True)
    onnx.save(model, file)
    return file


def answers(file: Path) -> np.ndarray:
    session = open_session(file, SessionOptions())
    return np.concatenate([session.run(row)["y"] for row in ROWS])


def test_a_mask_leaves_the_numbers_their_range(tmp_path: Path) -> None:
    model, target = masked(tmp_path / "model.onnx"), tmp_path / "quantized.onnx"
    quantize_for_qnn(model, target, ROWS, bits=16)
    made = onnx.load(target)
    kinds = {node.op_type for node in made.graph.node}
    assert {"QuantizeLinear", "DequantizeLinear"} <= kinds
    scales = [
        float(numpy_helper.to_array(tensor))
        for tensor in made.graph.initializer
        if "masked" in tensor.name and "scale" in tensor.name
    ]
    assert scales
    assert max(scales) < 4 * abs(LEAST) / 2**16
    expected, found = answers(model), answers(target)
    np.testing.assert_allclose(found, expected, atol=0.05)
    assert (found[:, -1] < 1e-3).all()


def test_16_bits_are_closer_than_8(tmp_path: Path) -> None:
    model = masked(tmp_path / "model.onnx")
    expected = answers(model)
    errors = []
    for bits in (8, 16):
        quantize_for_qnn(model, tmp_path / "quantized.onnx", ROWS, bits=bits)
        errors.append(float(np.abs(answers(tmp_path / "quantized.onnx") - expected).max()))
    assert errors[1] < errors[0]


def test_a_graph_may_be_quantized_in_place_and_no_file_is_left_beside_it(tmp_path: Path) -> None:
    model = masked(tmp_path / "model.onnx")
    before = model.read_bytes()
    quantize_for_qnn(model, model, ROWS, bits=8)
    assert model.read_bytes() != before
    assert [file.name for file in tmp_path.iterdir()] == ["model.onnx"]


def test_what_cannot_be_quantized_says_what_can_be_done(tmp_path: Path) -> None:
    model = masked(tmp_path / "model.onnx")
    with pytest.raises(InputError, match="cannot be quantized for QNN") as caught:
        quantize_for_qnn(model, model, [{"x": np.zeros((3, 3), np.float32)}], bits=8)
    assert caught.value.fix == "--precision fp16"
