from pathlib import Path

import numpy as np
import onnx
import pytest
from onnx import TensorProto, helper, numpy_helper

from toolkit.quantize.blockwise import BLOCK, four_bits, quantize_blocks
from toolkit.runtime import SessionOptions, open_session
from toolkit.tensors import Array

VOCABULARY, WIDTH, HIDDEN = 90, 96, 70  # 70 is no multiple of the block


def unpacked(weights: Array) -> Array:
    """What kernel and rest make of packed weights."""
    packed, scales, rest = four_bits(weights)
    outputs, blocks, _ = packed.shape
    values = np.stack([packed & 15, packed >> 4], axis=-1).reshape(outputs, blocks, BLOCK)
    floats = (values.astype(np.float32) - 8) * scales.reshape(outputs, blocks, 1)
    whole = (floats + rest.T[:, :, None]).reshape(outputs, -1)
    return np.asarray(whole[:, : weights.shape[1]])


def test_every_weight_is_within_half_a_step() -> None:
    weights = np.random.default_rng(0).standard_normal((5, 70)).astype(np.float32)
    step = (weights.max() - weights.min()) / 15
    assert np.abs(unpacked(weights) - weights).max() <= step / 2 + 1e-6


def test_weights_on_sixteen_even_steps_stay_what_they_are() -> None:
    steps = np.random.default_rng(0).permuted(np.arange(BLOCK) % 16).astype(np.float32)
    weights = steps.reshape(1, -1) * 0.25 - 0.9  # no whole zero point would do
    assert np.allclose(unpacked(weights), weights, atol=1e-6)
    assert np.allclose(unpacked(np.full((1, BLOCK), 0.3, np.float32)), 0.3, atol=1e-6)


@pytest.fixture
def model(tmp_path: Path) -> Path:
    rng = np.random.default_rng(1)

    def weight(name: str, *shape: int) -> onnx.TensorProto:
        return numpy_helper.from_array(rng.standard_normal(shape).astype(np.float32), name)

    nodes = [
        helper.make_node("Gather", ["table", "ids"], ["states"], name="look_up"),
        helper.make_node("MatMul", ["states", "first"], ["hidden"], name="up"),
        helper.make_node("Reshape", ["hidden", "flat"], ["rows"], name="flatten"),
        helper.make_node("Gemm", ["rows", "second", "bias"], ["logits"], name="down", transB=1),
    ]
    graph = helper.make_graph(
        nodes,
        "net",
        [helper.make_tensor_value_info("ids", TensorProto.INT64, ["batch", "sequence"])],
        [helper.make_tensor_value_info("logits", TensorProto.FLOAT, ["rows", VOCABULARY])],
        [
            weight("table", VOCABULARY, WIDTH),
            weight("first", WIDTH, HIDDEN),
            weight("second", VOCABULARY, HIDDEN),
            weight("bias", VOCABULARY),
            numpy_helper.from_array(np.array([-1, HIDDEN]), "flat"),
        ],
    )
    made = helper.make_model(graph, ir_version=10, opset_imports=[helper.make_opsetid("", 20)])
    file = tmp_path / "float.onnx"
    onnx.save(made, file)
    return file


def test_matrices_and_tables_shrink_and_answers_stay_close(model: Path, tmp_path: Path) -> None:
    target = tmp_path / "int4.onnx"
    assert quantize_blocks(model, target) == 3
    kinds = [node.op_type for node in onnx.load(target).graph.node]
    assert kinds.count("MatMulNBits") == 2
    assert "Gemm" not in kinds
    assert target.stat().st_size < 0.4 * model.stat().st_size
    options = SessionOptions(threads=1)
    feeds = {"ids": np.random.default_rng(2).integers(0, VOCABULARY, (4, 9))}
    wanted = open_session(model, options).run(feeds)["logits"]
    session = open_session(target, options)
    found = session.run(feeds)["logits"]
    noise = np.square(found - wanted).mean() / np.square(wanted).mean()
    assert 1e-5 < noise < 0.02
    alone = session.run({"ids": feeds["ids"][:1]})["logits"]
    assert np.array_equal(alone, found[:9])


def test_a_head_that_shares_the_token_table_is_quantized_too(tmp_path: Path) -> None:
    table = np.random.default_rng(3).standard_normal((VOCABULARY, WIDTH)).astype(np.float32)
    nodes = [
        helper.make_node("Gather", ["table", "ids"], ["states"]),
        helper.make_node("Transpose", ["table"], ["turned"], perm=[1, 0]),
        helper.make_node("MatMul", ["states", "turned"], ["logits"], name="head"),
    ]
    graph = helper.make_graph(
        nodes,
        "net",
        [helper.make_tensor_value_info("ids", TensorProto.INT64, ["batch"])],
        [helper.make_tensor_value_info("logits", TensorProto.FLOAT, ["batch", VOCABULARY])],
        [numpy_helper.from_array(table, "table")],
        value_info=[
            helper.make_tensor_value_info("turned", TensorProto.FLOAT, [WIDTH, VOCABULARY])
        ],
    )
    made = helper.make_model(graph, ir_version=10, opset_imports=[helper.make_opsetid("", 20)])
    source, target = tmp_path / "float.onnx", tmp_path / "int4.onnx"
    onnx.save(made, source)
    assert quantize_blocks(source, target) == 2
    found = onnx.load(target).graph
    assert "Transpose" not in {node.op_type for node in found.node}
    assert "table" not in {constant.name for constant in found.initializer}
    feeds = {"ids": np.arange(5)}
    logits = open_session(target, SessionOptions(threads=1)).run(feeds)["logits"]
    assert logits.argmax(axis=1).tolist() == [0, 1, 2, 3, 4]  # each row is most like itself
