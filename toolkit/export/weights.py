"""Large weights kept out of a graph while it is worked on, and written behind it without a copy."""

from __future__ import annotations

from collections.abc import Container, Mapping
from dataclasses import dataclass, field
from functools import partial
from pathlib import Path
from typing import TYPE_CHECKING, BinaryIO

import numpy as np

if TYPE_CHECKING:
    from onnx import ModelProto, TensorProto
    from onnx_ir import Model, TensorProtocol

Weights = Mapping[str, "TensorProtocol"]

LARGE_BYTES = 2**16
"""Initializers above this are set aside."""
EXTERNAL_ABOVE_BYTES = 2**31 - 2**20
"""protobuf holds no message above 2 GiB; a MiB is left for what is not weights."""
_ALIGNMENT = 4096
"""Where a tensor may begin in an external file, so that it can be mapped."""

_MODEL_GRAPH, _GRAPH_INITIALIZER, _TENSOR_RAW_DATA = 7, 5, 9
"""Field numbers of onnx.proto."""


@dataclass(kw_only=True)
class Traced:
    """A graph as an exporter wrote it, its large weights apart.

    Attributes:
        model: The graph, with an input of its name for each weight.
        weights: The weights; they may still be the module's own memory.
    """

    model: ModelProto
    weights: dict[str, TensorProtocol] = field(default_factory=dict)


def set_aside(model: Model) -> Traced:
    """A graph and its large weights, which are not copied.

    Args:
        model: onnx_ir's; changed.
    """
    import onnx_ir as ir

    weights: dict[str, TensorProtocol] = {}
    for name, value in [*model.graph.initializers.items()]:
        tensor = value.const_value
        if tensor is None or tensor.nbytes <= LARGE_BYTES or not _is_whole(tensor):
            continue
        weights[name] = tensor
        del model.graph.initializers[name]
        value.const_value = None
        value.dtype, value.shape = tensor.dtype, ir.Shape(tensor.shape.numpy())
        if not value.is_graph_input():
            model.graph.inputs.append(value)
    return Traced(model=ir.to_proto(model), weights=weights)


def put_back(traced: Traced) -> ModelProto:
    """The graph with its weights in it."""
    model = traced.model
    drop_inputs(model, traced.weights)
    for name, tensor in traced.weights.items():
        entry = model.graph.initializer.add()
        entry.CopyFrom(_described(tensor, name))
        entry.raw_data = tensor.tobytes()
    return model


def drop_inputs(model: ModelProto, names: Container[str]) -> None:
    """Take inputs out of the signature."""
    kept = [value for value in model.graph.input if value.name not in names]
    del model.graph.input[:]
    model.graph.input.extend(kept)


def write(model: ModelProto, file: Path, weights: Weights | None = None) -> None:
    """Write the model; weights go beside it, as `<file>.data`, only above 2 GiB.

    protobuf encodes a message as a whole. Here the bytes of each weight go from where they lie to
    the file, as the last initializers of the graph.

    Args:
        model: The graph.
        file: Where to.
        weights: Those that were set aside and have no input in the graph any more.
    """
    weights = weights or {}
    inside = sum(len(tensor.raw_data) for tensor in model.graph.initializer)
    if inside + sum(tensor.nbytes for tensor in weights.values()) <= EXTERNAL_ABOVE_BYTES:
        _write_one_file(model, file, weights)
    elif inside <= EXTERNAL_ABOVE_BYTES:
        _write_beside(model, file, weights)
    else:
        import onnx

        name = f"{file.name}.data"
        model = put_back(Traced(model=model, weights=dict(weights)))
        onnx.save_model(model, file, save_as_external_data=True, location=name, size_threshold=1024)


def _write_one_file(model: ModelProto, file: Path, weights: Weights) -> None:
    import onnx

    graph = model.graph.SerializeToString(deterministic=True)
    rest = onnx.ModelProto()
    for field_, content in model.ListFields():
        if field_.name in {"opset_import", "functions", "metadata_props", "training_info"}:
            getattr(rest, field_.name).extend(content)
        elif field_.name != "graph":
            setattr(rest, field_.name, content)
    heads = {name: _head(tensor, name) for name, tensor in weights.items()}
    sizes = {name: len(head) + weights[name].nbytes for name, head in heads.items()}
    length = len(graph) + sum(
        len(_delimited(_GRAPH_INITIALIZER, size)) + size for size in sizes.values()
    )
    with file.open("wb") as stream:
        stream.write(rest.SerializeToString(deterministic=True))
        stream.write(_delimited(_MODEL_GRAPH, length))
        stream.write(graph)
        for name, head in heads.items():
            stream.write(_delimited(_GRAPH_INITIALIZER, sizes[name]))
            stream.write(head)
            _write_content(weights[name], stream)


def _write_beside(model: ModelProto, file: Path, weights: Weights) -> None:
    """The graph with names of places in a second file, which is written piece by piece."""
    import onnx

    data = file.with_name(f"{file.name}.data")
    with data.open("wb") as stream:
        for name, tensor in weights.items():
            stream.seek(-stream.tell() % _ALIGNMENT, 1)
            place = {"location": data.name, "offset": stream.tell(), "length": tensor.nbytes}
            _write_content(tensor, stream)
            entry = model.graph.initializer.add()
            entry.CopyFrom(_described(tensor, name))
            entry.data_location = onnx.TensorProto.EXTERNAL
            entry.external_data.extend(
                onnx.StringStringEntryProto(key=key, value=str(value))
                for key, value in place.items()
            )
    file.write_bytes(model.SerializeToString(deterministic=True))


def _described(tensor: TensorProtocol, name: str) -> TensorProto:
    """A tensor without its content."""
    import onnx

    return onnx.TensorProto(name=name, data_type=tensor.dtype.value, dims=tensor.shape.numpy())


def _head(tensor: TensorProtocol, name: str) -> bytes:
    """What stands before a tensor's content."""
    described: bytes = _described(tensor, name).SerializeToString(deterministic=True)
    return described + _delimited(_TENSOR_RAW_DATA, tensor.nbytes)


def _write_content(tensor: TensorProtocol, stream: BinaryIO) -> None:
    """Little-endian, as ONNX has it, without a copy of a tensor that lies in one piece."""
    array = np.ascontiguousarray(tensor.numpy())
    stream.write(array.astype(array.dtype.newbyteorder("<"), copy=False).data)


def _is_whole(tensor: TensorProtocol) -> bool:
    """Whether its elements are those of numpy, which are not packed."""
    return tensor.dtype.name in {"FLOAT", "DOUBLE", "FLOAT16", "INT64", "INT32", "INT8", "UINT8"}


def _delimited(number: int, length: int) -> bytes:
    """The tag of a field of some length, and the length (protobuf's wire type 2)."""
    return _varint(number << 3 | 2) + _varint(length)


def _varint(value: int) -> bytes:
    """Seven bits a byte, the lowest first; all but the last have the eighth set."""
    found = bytearray()
    while value > 0x7F:
        found.append(value & 0x7F | 0x80)
        value >>= 7
    found.append(value)
    return bytes(found)


def turn_weights(model: Model) -> int:
    """Store a weight as the one Transpose that reads it hands it on; says how many.

    The content is turned when it is written, one weight at a time.

    Args:
        model: onnx_ir's; changed.
    """
    import onnx_ir as ir

    count = 0
    for node in [*model.graph]:
        weight = node.inputs[0] if node.op_type == "Transpose" else None
        tensor = None if weight is None or weight.is_graph_input() else weight.const_value
        if weight is None or tensor is None or len(weight.uses()) != 1:
            continue
        if tensor.nbytes <= LARGE_BYTES or node.outputs[0].is_graph_output():
            continue
        given = node.attributes.get("perm")
        axes = tuple(given.as_ints()) if given else tuple(reversed(range(len(tensor.shape))))
        shape = ir.Shape([tensor.shape[axis] for axis in axes])
        name = f"{weight.name}.turned"
        turned = ir.LazyTensor(partial(_turned, tensor, axes), tensor.dtype, shape, name=name)
        value = ir.val(name, const_value=turned)
        model.graph.register_initializer(value)
        ir.convenience.replace_all_uses_with(node.outputs[0], value)
        model.graph.remove(node, safe=True)
        model.graph.initializers.pop(weight.name or "")
        count += 1
    return count


def _turned(tensor: TensorProtocol, axes: tuple[int, ...]) -> TensorProtocol:
    import onnx_ir as ir

    return ir.tensor(np.ascontiguousarray(tensor.numpy().transpose(axes)))
