"""One layer of attention as exporters write it, with what a test wants to differ."""

from collections.abc import Mapping
from pathlib import Path
from typing import Any

import numpy as np
import onnx
import onnx_ir as ir
from onnx import TensorProto, helper, numpy_helper

from toolkit.optimize import load_with_shapes
from toolkit.runtime import SessionOptions, open_session
from toolkit.tensors import Array

HEADS, SIZE = 4, 8
WIDTH = HEADS * SIZE
LOWEST = float(np.finfo(np.float32).min)


class Layer:
    """Nodes and constants of `x, keep -> y`, changed by name before they are written."""

    def __init__(self, *, lowest: float = LOWEST, guard: bool = True) -> None:
        """Self-attention, a residual and a normalization, of which token 0 is taken."""
        rng = np.random.default_rng(0)
        self.constants: dict[str, Array] = {
            "zero": np.array(0, np.float32),
            "lowest": np.array(lowest, np.float32),
            "scale": np.array(SIZE**-0.5, np.float32),
            "split": np.array([0, 0, HEADS, SIZE], np.int64),
            "join": np.array([0, 0, WIDTH], np.int64),
            "gamma": np.ones(WIDTH, np.float32),
            "token": np.array(0, np.int64),
            "axes": np.array([1, 2], np.int64),
            **{
                f"w{part}": rng.standard_normal((WIDTH, WIDTH)).astype(np.float32) / 4
                for part in "qkvo"
            },
        }
        self.nodes: dict[str, onnx.NodeProto] = {}
        for part in "qkv":
            self.add("MatMul", ["x", f"w{part}"], part)
            self.add("Reshape", [part, "split"], f"{part}4")
            axes = [0, 2, 3, 1] if part == "k" else [0, 2, 1, 3]
            self.add("Transpose", [f"{part}4"], f"{part}t", perm=axes)
        self.add("Unsqueeze", ["keep", "axes"], "keep4")
        self.add("Where", ["keep4", "zero", "lowest"], "mask")
        self.add("MatMul", ["qt", "kt"], "product")
        self.add("Mul", ["product", "scale"], "scaled")
        self.add("Add", ["scaled", "mask"], "scores")
        self.add("Softmax", ["scores"], "p", axis=-1)
        if guard:
            self.add("IsNaN", ["p"], "nan")
            self.add("Where", ["nan", "zero", "p"], "weights")
        self.add("MatMul", ["weights" if guard else "p", "vt"], "mixed")
        self.add("Transpose", ["mixed"], "back", perm=[0, 2, 1, 3])
        self.add("Reshape", ["back", "join"], "joined")
        self.add("MatMul", ["joined", "wo"], "out")
        self.add("Add", ["out", "x"], "sum")
        self.add("LayerNormalization", ["sum", "gamma"], "normal", axis=-1)
        self.add("Gather", ["normal", "token"], "y", axis=1)

    def add(self, operator: str, inputs: list[str], output: str, **attributes: Any) -> None:
        """Append a node, or replace the one that makes this output."""
        self.nodes[output] = helper.make_node(operator, inputs, [output], **attributes)

    def write(
        self,
        file: Path,
        *,
        outputs: tuple[str, ...] = ("y",),
        sizes: tuple[str, str] = ("b", "s"),
    ) -> Path:
        """Write the model; the sizes are the names of its symbolic dimensions."""
        known = [onnx.ValueInfoProto(name=name) for name in outputs]
        for value in known:
            value.type.tensor_type.elem_type = TensorProto.FLOAT
        graph = helper.make_graph(
            [*self.nodes.values()],
            "layer",
            [
                helper.make_tensor_value_info("x", TensorProto.FLOAT, [*sizes, WIDTH]),
                helper.make_tensor_value_info("keep", TensorProto.BOOL, [*sizes]),
            ],
            known,
            [numpy_helper.from_array(value, name) for name, value in self.constants.items()],
        )
        opsets = [helper.make_opsetid("", 20)]
        onnx.save(helper.make_model(graph, ir_version=10, opset_imports=opsets), file)
        return file

    def load(self, folder: Path, *, outputs: tuple[str, ...] = ("y",)) -> ir.Model:
        """The model with its shapes."""
        return load_with_shapes(self.write(folder / "layer.onnx", outputs=outputs))


def operators(model: ir.Model) -> list[str]:
    """The operator types, in order."""
    return [node.op_type for node in model.graph]


def feeds(batch: int = 3, sequence: int = 6) -> Mapping[str, Array]:
    """Rows of which the later ones are padded."""
    rng = np.random.default_rng(1)
    keep = np.arange(sequence)[None] < np.array([[sequence - i] for i in range(batch)])
    return {"x": rng.standard_normal((batch, sequence, WIDTH)).astype(np.float32), "keep": keep}


def run(model: ir.Model | Path, folder: Path, given: Mapping[str, Array]) -> dict[str, Array]:
    """What a model answers."""
    if not isinstance(model, Path):
        proto = ir.to_proto(model)
        onnx.checker.check_model(proto, full_check=True)
        model, written = folder / "changed.onnx", proto.SerializeToString()
        model.write_bytes(written)
    return open_session(model, SessionOptions(threads=1)).run(given)
