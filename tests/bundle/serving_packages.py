"""Packages of a few hundred bytes for the bundles that servers take."""

import tempfile
from collections.abc import Callable, Mapping
from pathlib import Path

import numpy as np
import onnx
from onnx import TensorProto, helper

from toolkit.package import Contents, ModelPackage, Source
from toolkit.package.replacing import replacing
from toolkit.package.write import Part, write_package
from toolkit.runtime import SessionOptions, open_session
from toolkit.tasks import TaskSpec
from toolkit.tensors import Array

OPSETS = [helper.make_opsetid("", 20)]


def write_tensor_package(
    path: Path, write_graph: Callable[[Path], None], feeds: Mapping[str, Array]
) -> ModelPackage:
    """A package of the task "tensors" with what its graph answers to the feeds."""
    with tempfile.TemporaryDirectory() as folder, replacing(path, force=False) as staging:
        model, reference = Path(folder) / "model", Path(folder) / "reference"
        model.mkdir()
        reference.mkdir()
        write_graph(model / "model.onnx")
        session = open_session(model / "model.onnx", SessionOptions(threads=1))
        np.savez(reference / "inputs.npz", allow_pickle=False, **feeds)
        np.savez(reference / "outputs.npz", allow_pickle=False, **session.run(feeds))
        contents = Contents(
            task=TaskSpec(name="tensors"),
            source=Source(kind="run", name="x.onnx", sha256="0" * 64, exporter="", versions={}),
        )
        part = Part(
            model=model,
            inputs=session.inputs,
            outputs=session.outputs,
            reference=reference,
            parity={"max_abs_error": 0.0, "limit": 1e-4, "shapes": [[1, 3]]},
        )
        write_package(
            staging,
            name=path.name,
            contents=contents,
            parts=[part],
            assets={},
            variant="fp32",
            precision="fp32",
            method="onnx",
        )
    return ModelPackage.open(path)


def mixing(file: Path) -> None:
    """Write y = Relu(x) + x - mean of x over the batch: alone Relu, in company something else."""
    nodes = [
        helper.make_node("ReduceMean", ["x", "first_axis"], ["mean"], keepdims=1),
        helper.make_node("Sub", ["x", "mean"], ["apart"]),
        helper.make_node("Relu", ["x"], ["relu"]),
        helper.make_node("Add", ["relu", "apart"], ["y"]),
    ]
    graph = helper.make_graph(
        nodes,
        "mixing",
        [helper.make_tensor_value_info("x", TensorProto.FLOAT, ["batch", 3])],
        [helper.make_tensor_value_info("y", TensorProto.FLOAT, ["batch", 3])],
        [helper.make_tensor("first_axis", TensorProto.INT64, [1], [0])],
    )
    onnx.save(helper.make_model(graph, ir_version=10, opset_imports=OPSETS), file)


def fixed_rows(file: Path) -> None:
    """Write y = Relu(x), float32[2, 3]: no symbolic batch."""
    graph = helper.make_graph(
        [helper.make_node("Relu", ["x"], ["y"])],
        "fixed",
        [helper.make_tensor_value_info("x", TensorProto.FLOAT, [2, 3])],
        [helper.make_tensor_value_info("y", TensorProto.FLOAT, [2, 3])],
    )
    onnx.save(helper.make_model(graph, ir_version=10, opset_imports=OPSETS), file)


def flip_byte(file: Path, *, at: int | None = None) -> None:
    """Change one byte of a file; the middle one when not said."""
    content = bytearray(file.read_bytes())
    content[len(content) // 2 if at is None else at] ^= 1
    file.write_bytes(content)
