"""Graphs with weights worth quantizing, and calibration data for them."""

from pathlib import Path

import numpy as np
from onnx import TensorProto, helper, numpy_helper, save

from toolkit.quantize.calibration import Calibration
from toolkit.runtime import SessionOptions, open_session
from toolkit.tasks import Item
from toolkit.tensors import Array, TensorSpec

WIDTH = 64
ROWS = (TensorSpec(name="x", dtype="float32", shape=("batch", "sequence", WIDTH)),)


def normalized(file: Path, *, wide: float = 20.0) -> Path:
    """Write y = (LayerNorm(x) @ a) @ b + LayerNorm(x); two channels of LayerNorm's are wide.

    float32[batch, sequence, 64]; the products are called "first" and "second".
    """
    rng = np.random.default_rng(0)
    scale = np.ones(WIDTH, np.float32)
    scale[[3, 17]] = wide

    def tensor(name: str, value: Array) -> TensorProto:
        return numpy_helper.from_array(value.astype(np.float32), name)

    nodes = [
        helper.make_node("LayerNormalization", ["x", "scale", "shift"], ["n"], name="norm"),
        helper.make_node("MatMul", ["n", "a"], ["h"], name="first"),
        helper.make_node("MatMul", ["h", "b"], ["o"], name="second"),
        helper.make_node("Add", ["o", "n"], ["y"], name="sum"),
    ]
    sizes: list[str | int | None] = ["batch", "sequence", WIDTH]
    graph = helper.make_graph(
        nodes,
        "normalized",
        [helper.make_tensor_value_info("x", TensorProto.FLOAT, sizes)],
        [helper.make_tensor_value_info("y", TensorProto.FLOAT, sizes)],
        [
            tensor("scale", scale),
            tensor("shift", np.zeros(WIDTH)),
            tensor("a", rng.normal(size=(WIDTH, WIDTH)) / 8),
            tensor("b", rng.normal(size=(WIDTH, WIDTH)) / 8),
        ],
    )
    opsets = [helper.make_opsetid("", 20)]
    save(helper.make_model(graph, ir_version=10, opset_imports=opsets), file)
    return file


def convolution(file: Path) -> Path:
    """Write y = GlobalAveragePool(Relu(Conv(x))), float32[batch, 3, 8, 8] to [batch, 48, 1, 1]."""
    weight = np.random.default_rng(0).normal(size=(48, 3, 3, 3)).astype(np.float32)
    graph = helper.make_graph(
        [
            helper.make_node("Conv", ["x", "w"], ["c"], name="conv", pads=[1, 1, 1, 1]),
            helper.make_node("Relu", ["c"], ["r"], name="active"),
            helper.make_node("GlobalAveragePool", ["r"], ["y"], name="pool"),
        ],
        "convolution",
        [helper.make_tensor_value_info("x", TensorProto.FLOAT, ["batch", 3, 8, 8])],
        [helper.make_tensor_value_info("y", TensorProto.FLOAT, ["batch", 48, 1, 1])],
        [numpy_helper.from_array(weight, "w")],
    )
    opsets = [helper.make_opsetid("", 20)]
    save(helper.make_model(graph, ir_version=10, opset_imports=opsets), file)
    return file


def ragged(count: int = 12, *, seed: int = 0) -> Calibration:
    """Rows of 1 to 9 places for `normalized`, each an item; a batch is padded with zeros."""
    rng = np.random.default_rng(seed)
    items: tuple[Item, ...] = tuple(
        rng.normal(size=(int(rng.integers(1, 10)), WIDTH)).astype(np.float32) for _ in range(count)
    )

    def encode(batch: object) -> dict[str, Array]:
        rows: list[Array] = [*batch]  # type: ignore[misc]  # items are arrays here
        longest = max(len(row) for row in rows)
        padded = [np.pad(row, ((0, longest - len(row)), (0, 0))) for row in rows]
        return {"x": np.stack(padded)}

    return Calibration(
        items=items, encode=encode, inputs=ROWS, origin="a test", sha256="0" * 64, seed=seed
    )


def images(count: int = 12) -> Calibration:
    """Images for `convolution`."""
    rng = np.random.default_rng(0)
    items: tuple[Item, ...] = tuple(
        rng.normal(size=(3, 8, 8)).astype(np.float32) for _ in range(count)
    )
    return Calibration(
        items=items,
        encode=lambda batch: {"x": np.stack([*batch])},
        inputs=(TensorSpec(name="x", dtype="float32", shape=("batch", 3, 8, 8)),),
        origin="a test",
        sha256="0" * 64,
        seed=0,
    )


def noise(before: Path, after: Path, feeds: dict[str, Array]) -> float:
    """Norm of the change of "y" over the norm of "y"."""
    first, second = (
        open_session(file, SessionOptions()).run(feeds)["y"] for file in (before, after)
    )
    return float(np.linalg.norm(first - second) / np.linalg.norm(first))
