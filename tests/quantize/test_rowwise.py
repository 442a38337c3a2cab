"""int8 products whose activations are quantized row by row."""

from pathlib import Path
from typing import Any

import numpy as np
import onnx
import pytest
from onnx import TensorProto, helper, numpy_helper

from toolkit.quantize.rowwise import quantize_rowwise
from toolkit.runtime import SessionOptions, open_session
from toolkit.tensors import Array

K, N = 64, 48


def weight(name: str, *shape: int, seed: int = 0) -> onnx.TensorProto:
    rng = np.random.default_rng(seed)
    return numpy_helper.from_array(rng.standard_normal(shape).astype(np.float32) / 8, name)


def save(
    path: Path,
    nodes: list[onnx.NodeProto],
    weights: list[onnx.TensorProto],
    *,
    shape: tuple[str | int, ...] = ("batch", K),
    outputs: tuple[str, ...] = ("y",),
    opset: int = 20,
) -> Path:
    unknown = [None] * len(shape)
    graph = helper.make_graph(
        nodes,
        "small",
        [helper.make_tensor_value_info("x", TensorProto.FLOAT, shape)],
        [helper.make_tensor_value_info(name, TensorProto.FLOAT, unknown) for name in outputs],
        weights,
    )
    opsets = [helper.make_opsetid("", opset)]
    onnx.save(helper.make_model(graph, ir_version=10, opset_imports=opsets), path)
    return path


def run(model: Path, x: Array, *, threads: int = 1) -> dict[str, Array]:
    return open_session(model, SessionOptions(threads=threads)).run({"x": x.astype(np.float32)})


def rows(*shape: int) -> Array:
    """Rows of very different widths."""
    rng = np.random.default_rng(1)
    return rng.standard_normal(shape) * np.exp(rng.standard_normal((*shape[:-1], 1)) * 2)


def worst(reference: Array, answer: Array) -> float:
    """The largest error of a row, as a share of the row's largest value."""
    return float((np.abs(reference - answer).max(-1) / np.abs(reference).max(-1)).max())


def matmul(path: Path, **options: object) -> Path:
    nodes = [helper.make_node("MatMul", ["x", "w"], ["y"])]
    return save(path, nodes, [weight("w", K, N)], **options)  # type: ignore[arg-type]


@pytest.mark.parametrize("opset", [13, 17, 18, 20, 21])
@pytest.mark.parametrize("shape", [(9, K), (3, 5, K), (2, 3, 2, K)])
def test_every_row_stays_close_whatever_its_width(
    tmp_path: Path, shape: tuple[int, ...], opset: int
) -> None:
    names = tuple("abcd"[: len(shape) - 1])
    model = matmul(tmp_path / "float.onnx", shape=(*names, K), opset=opset)
    assert quantize_rowwise(model, tmp_path / "int8.onnx") == 1
    x = rows(*shape)
    assert worst(run(model, x)["y"], run(tmp_path / "int8.onnx", x)["y"]) < 0.02


def deep(path: Path) -> Path:
    """Two products with GELU between them, a residual and a LayerNormalization."""
    nodes = [
        helper.make_node("MatMul", ["x", "layer.0/w:0"], ["h"], name="a/b:0"),
        helper.make_node("Add", ["h", "bias"], ["hb"], name="a/b:1"),
        helper.make_node("Gelu", ["hb"], ["g"]),
        helper.make_node("MatMul", ["g", "w2"], ["r"]),
        helper.make_node("Add", ["r", "x"], ["s"], name="residual"),
        helper.make_node("LayerNormalization", ["s", "gamma"], ["y"], axis=-1),
    ]
    weights = [weight("layer.0/w:0", K, 256), weight("bias", 256), weight("w2", 256, K)]
    weights.append(numpy_helper.from_array(np.ones(K, np.float32), "gamma"))
    return save(path, nodes, weights, shape=("batch", "sequence", K))


@pytest.mark.parametrize("threads", [1, 2])
def test_batch_mates_and_threads_change_nothing(tmp_path: Path, threads: int) -> None:
    model = deep(tmp_path / "float.onnx")
    assert quantize_rowwise(model, tmp_path / "int8.onnx") == 2
    x = rows(16, 40, K)
    together = run(tmp_path / "int8.onnx", x, threads=threads)["y"]
    alone = np.concatenate([run(tmp_path / "int8.onnx", x[i : i + 1])["y"] for i in range(16)])
    np.testing.assert_allclose(alone, together, rtol=0, atol=1e-5)
    x = np.random.default_rng(3).standard_normal((4, 9, K)) * 2
    assert worst(run(model, x)["y"], run(tmp_path / "int8.onnx", x)["y"]) < 0.03


def test_additions_are_not_fused_into_the_slow_kernels(tmp_path: Path) -> None:
    quantize_rowwise(deep(tmp_path / "float.onnx"), tmp_path / "int8.onnx")
    graph = onnx.load(tmp_path / "int8.onnx").graph
    operators = [node.op_type for node in graph.node]
    assert operators.count("Sum") == 2
    assert operators.count("Add") == 0
    stored = {tensor.name for tensor in graph.initializer}
    assert {v.name for v in graph.value_info} <= stored  # other shapes make the plan worse


@pytest.mark.parametrize("transposed", [0, 1])
def test_gemm_is_a_product_and_a_bias(tmp_path: Path, transposed: int) -> None:
    shape = (N, K) if transposed else (K, N)
    node = helper.make_node("Gemm", ["x", "w", "b"], ["y"], transB=transposed)
    model = save(tmp_path / "float.onnx", [node], [weight("w", *shape), weight("b", N, seed=5)])
    assert quantize_rowwise(model, tmp_path / "int8.onnx") == 1
    x = rows(7, K)
    assert worst(run(model, x)["y"], run(tmp_path / "int8.onnx", x)["y"]) < 0.02


@pytest.mark.parametrize("option", [{"alpha": 0.5}, {"beta": 2.0}, {"transA": 1}])
def test_a_gemm_that_is_more_than_that_is_left_alone(
    tmp_path: Path, option: dict[str, Any]
) -> None:
    node = helper.make_node("Gemm", ["x", "w", "b"], ["y"], **option)
    model = save(tmp_path / "float.onnx", [node], [weight("w", K, N), weight("b", N)], shape=(K, K))
    assert quantize_rowwise(model, tmp_path / "int8.onnx") == 0
    assert (tmp_path / "int8.onnx").read_bytes() == model.read_bytes()


def test_products_share_their_weight_and_their_rows(tmp_path: Path) -> None:
    nodes = [
        helper.make_node("MatMul", ["x", "w"], ["y"]),
        helper.make_node("MatMul", ["x", "v"], ["z"]),
        helper.make_node("Neg", ["x"], ["n"]),
        helper.make_node("MatMul", ["n", "w"], ["m"]),
    ]
    weights = [weight("w", K, N), weight("v", K, N, seed=3)]
    model = save(tmp_path / "float.onnx", nodes, weights, outputs=("y", "z", "m"))
    assert quantize_rowwise(model, tmp_path / "int8.onnx") == 3
    graph = onnx.load(tmp_path / "int8.onnx").graph
    assert sum(node.op_type == "QuantizeLinear" for node in graph.node) == 2
    assert sum(len(tensor.dims) == 2 for tensor in graph.initializer) == 2
    x = rows(7, K)
    before, after = run(model, x), run(tmp_path / "int8.onnx", x)
    assert max(worst(before[name], after[name]) for name in before) < 0.02


def test_rows_of_zeros_give_zeros_and_a_broken_row_hurts_no_other(tmp_path: Path) -> None:
    quantize_rowwise(matmul(tmp_path / "float.onnx"), tmp_path / "int8.onnx")
    x = rows(4, K)
    expected = run(tmp_path / "int8.onnx", x)["y"]
    x[0], x[1], x[2, 5] = 0, np.nan, np.inf
    answer = run(tmp_path / "int8.onnx", x)["y"]
    assert not answer[0].any()
    assert not np.isfinite(answer[1:3]).any()
    np.testing.assert_array_equal(answer[3], expected[3])


@pytest.mark.parametrize("activation", ["Relu", "Gelu", "Erf"])
def test_one_sided_activations_use_the_whole_byte(tmp_path: Path, activation: str) -> None:
    numbers = {"half": 0.5, "one": 1.0, "root": np.sqrt(2)}
    by_hand = [
        helper.make_node("Div", ["x", "root"], ["scaled"]),
        helper.make_node("Erf", ["scaled"], ["erf"]),
        helper.make_node("Add", ["erf", "one"], ["sum"]),
        helper.make_node("Mul", ["x", "sum"], ["twice"]),
        helper.make_node("Mul", ["twice", "half"], ["a"]),
    ]
    made = by_hand if activation == "Erf" else [helper.make_node(activation, ["x"], ["a"])]
    nodes = [*made, helper.make_node("MatMul", ["a", "w"], ["y"])]
    constants = [numpy_helper.from_array(np.array(v, np.float32), k) for k, v in numbers.items()]
    model = save(tmp_path / "float.onnx", nodes, [weight("w", K, N), *constants])
    assert quantize_rowwise(model, tmp_path / "int8.onnx") == 1
    graph = onnx.load(tmp_path / "int8.onnx").graph
    assert "Abs" not in {node.op_type for node in graph.node}
    x = np.random.default_rng(2).standard_normal((50, K)) * 2
    assert worst(run(model, x)["y"], run(tmp_path / "int8.onnx", x)["y"]) < 0.03


def test_a_small_product_is_left_alone(tmp_path: Path) -> None:
    nodes = [helper.make_node("MatMul", ["x", "small"], ["y"])]
    model = save(tmp_path / "float.onnx", nodes, [weight("small", K, 4)])
    assert quantize_rowwise(model, tmp_path / "int8.onnx") == 0


def test_branches_share_the_weight_that_they_read_from_outside(tmp_path: Path) -> None:
    def branch(name: str) -> onnx.GraphProto:
        return helper.make_graph(
            [
                helper.make_node("MatMul", ["x", "w"], [f"{name}_h"]),
                helper.make_node("Add", [f"{name}_h", name], [f"{name}_y"]),
            ],
            name,
            [],
            [helper.make_tensor_value_info(f"{name}_y", TensorProto.FLOAT, ["batch", N])],
        )

    nodes = [
        helper.make_node("ReduceSum", ["x"], ["sum"], keepdims=0),
        helper.make_node("Greater", ["sum", "zero"], ["positive"]),
        helper.make_node(
            "If", ["positive"], ["y"], then_branch=branch("one"), else_branch=branch("two")
        ),
    ]
    stored = [
        weight("w", K, N),
        weight("one", N),
        weight("two", N, seed=1),
        numpy_helper.from_array(np.array(0, np.float32), "zero"),
    ]
    model = save(tmp_path / "float.onnx", nodes, stored)
    assert quantize_rowwise(model, tmp_path / "int8.onnx") == 2
    assert 2 * (tmp_path / "int8.onnx").stat().st_size < model.stat().st_size
    for x in (rows(7, K), -rows(7, K)):
        assert worst(run(model, x)["y"], run(tmp_path / "int8.onnx", x)["y"]) < 0.02


def test_rows_are_quantized_the_same_way_twice(tmp_path: Path) -> None:
    model = deep(tmp_path / "float.onnx")
    written: list[bytes] = []
    for _ in range(2):
        quantize_rowwise(model, tmp_path / "int8.onnx")
        written.append((tmp_path / "int8.onnx").read_bytes())
    assert written[0] == written[1]
