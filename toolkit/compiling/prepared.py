"""The graph as it is compiled: shapes fixed, constants folded, GatherND in operators chips have."""

import tempfile
from collections.abc import Mapping
from pathlib import Path
from typing import TYPE_CHECKING

import numpy as np

from toolkit.errors import InputError
from toolkit.export import graph
from toolkit.export.libraries import export_extra
from toolkit.runtime import SessionOptions, open_session
from toolkit.tensors import Array

if TYPE_CHECKING:
    from onnx import ModelProto, NodeProto

LARGEST_BYTES = 2**31 - 2**20
"""protobuf holds no message above 2 GiB, and what is compiled is one."""


def prepare(model: Path, target: Path, sizes: Mapping[str, int]) -> int:
    """Write the graph that is compiled.

    ONNX Runtime folds at its level basic what the sizes make constant: of transformers, how the
    mask is gathered. GatherND with constant indices then becomes Reshape, where it takes all there
    is in order, or Reshape and Gather; both compute the same, and QNN (2.7.0) has no GatherND of
    truth values.

    Args:
        model: The `.onnx` file.
        target: Where the new one is written.
        sizes: Sizes by name of symbolic dimensions.

    Returns:
        How many GatherND were replaced.

    Raises:
        InputError: The graph cannot be loaded, or is too large to be compiled into one file.
        SetupError: The extra `export` is not installed.
    """
    with export_extra("compiling"):
        import onnx
    with tempfile.TemporaryDirectory() as folder:
        folded = Path(folder) / "folded.onnx"
        options = SessionOptions(threads=1, graph_level="basic", fix_shapes=sizes)
        open_session(model, options, graph=folded)
        proto = onnx.load(folded)
    if proto.ByteSize() > LARGEST_BYTES:
        raise InputError(
            f"{model} has {proto.ByteSize() / 1e9:.1f} GB, too much for one compiled file",
            expected=f"at most {LARGEST_BYTES / 1e9:.1f} GB",
        )
    count = without_gather_nd(proto)
    graph.strip(proto)
    graph.drop_operator_sets(proto)
    graph.write(proto, target)
    return count


def without_gather_nd(model: "ModelProto") -> int:
    """Replace every GatherND whose indices and shape are known, in place; says how many.

    Args:
        model: A graph with fixed shapes.
    """
    import onnx

    stored = {tensor.name: tensor for tensor in model.graph.initializer}
    found = [
        node
        for node in model.graph.node
        if node.op_type == "GatherND"
        and node.input[1] in stored
        and all(attribute.i == 0 for attribute in node.attribute)  # batch_dims, its only one
    ]
    if not found:
        return 0
    shapes = _shapes(model)
    count = 0
    for node in found:
        shape = shapes.get(node.input[0])
        if shape is None:
            continue
        indices = onnx.numpy_helper.to_array(stored[node.input[1]])
        nodes = _instead(model, node, indices, shape)
        position = list(model.graph.node).index(node)
        model.graph.node.remove(node)
        for offset, one in enumerate(nodes):
            model.graph.node.insert(position + offset, one)
        count += 1
    return count


def _instead(
    model: "ModelProto", node: "NodeProto", indices: Array, shape: tuple[int, ...]
) -> list["NodeProto"]:
    """What computes the same as an operator GatherND.

    Args:
        model: Where the constants go.
        node: The operator.
        indices: int64[..., depth]: it walks the first `depth` axes.
        shape: Of what it gathers from.
    """
    from onnx import helper, numpy_helper

    data, output = node.input[0], node.output[0]
    depth = indices.shape[-1]
    walked, rest = np.array(shape[:depth], np.int64), shape[depth:]
    strides = np.append(np.cumprod(walked[:0:-1])[::-1], 1)
    positive = np.where(indices < 0, indices + walked, indices)
    places = np.asarray((positive * strides).sum(axis=-1), np.int64)

    def constant(name: str, values: Array) -> str:
        full = f"{output}.{name}"
        model.graph.initializer.append(numpy_helper.from_array(values, full))
        return full

    if np.array_equal(places.reshape(-1), np.arange(walked.prod())):
        same = constant("shape", np.array([*places.shape, *rest], np.int64))
        return [helper.make_node("Reshape", [data, same], [output], name=f"{output}.reshape")]
    flat = constant("shape", np.array([walked.prod(), *rest], np.int64))
    rows, picked = f"{output}.rows", constant("places", places)
    return [
        helper.make_node("Reshape", [data, flat], [rows], name=rows),
        helper.make_node("Gather", [rows, picked], [output], name=f"{output}.gather", axis=0),
    ]


def _shapes(model: "ModelProto") -> dict[str, tuple[int, ...]]:
    """Shapes by name, of the values whose sizes are all known."""
    import onnx

    inferred = onnx.shape_inference.infer_shapes(model).graph
    found: dict[str, tuple[int, ...]] = {}
    for value in (*inferred.input, *inferred.value_info, *inferred.output):
        dims = value.type.tensor_type.shape.dim
        if value.type.tensor_type.HasField("shape") and all(d.HasField("dim_value") for d in dims):
            found[value.name] = tuple(d.dim_value for d in dims)
    return found
