"""Reading an `.onnx` file for what it holds: inputs, operators, parameters, sizes."""

from collections import Counter
from collections.abc import Iterable, Iterator, Mapping
from dataclasses import dataclass
from math import prod
from pathlib import Path
from typing import TYPE_CHECKING

from toolkit.errors import InputError, SetupError
from toolkit.package.integrity import portable
from toolkit.tensors import TensorSpec

if TYPE_CHECKING:
    from onnx import (
        AttributeProto,
        FunctionProto,
        GraphProto,
        ModelProto,
        NodeProto,
        TensorProto,
        ValueInfoProto,
    )

Functions = Mapping[tuple[str, str], "FunctionProto"]
_DTYPES = {"float": "float32", "double": "float64"}
_DEFAULT_DOMAINS = {"", "ai.onnx"}


@dataclass(frozen=True, kw_only=True)
class GraphFacts:
    """What an `.onnx` file says of itself.

    Attributes:
        inputs: The graph inputs, without initializers that old files list among them.
        outputs: The graph outputs.
        opsets: Opset by domain; "" is ONNX's own.
        ir_version: Version of the file format.
        producer: Name and version of what wrote it.
        parameters: Elements of all initializers and Constant tensors by dtype, in subgraphs and
            functions too.
        operators: Nodes by type, the most frequent first, in subgraphs too; a call of a function
            counts as the nodes of its body. Other domains than ONNX's stand before a colon.
        files: Size in bytes by file name: the model and its external data.
        missing_files: External data that is named and not there.
    """

    inputs: tuple[TensorSpec, ...]
    outputs: tuple[TensorSpec, ...]
    opsets: dict[str, int]
    ir_version: int
    producer: str
    parameters: dict[str, int]
    operators: dict[str, int]
    files: dict[str, int]
    missing_files: tuple[str, ...]


def read_graph(model: Path) -> GraphFacts:
    """Read an `.onnx` file without its external data.

    Args:
        model: The file.

    Raises:
        InputError: The file is missing, empty or no model, or names external data outside of its
            folder.
        SetupError: onnx is not installed.
    """
    proto = _load(model)
    graph = proto.graph
    functions = {(f.domain, f.name): f for f in proto.functions}
    operators: Counter[str] = Counter()
    _count_operators(graph.node, functions, operators)
    weights = {tensor.name for tensor in graph.initializer}
    weights |= {sparse.values.name for sparse in graph.sparse_initializer}
    parameters: Counter[str] = Counter()
    locations: dict[str, None] = {}
    for tensor in _tensors(proto):
        parameters[_dtype(tensor.data_type)] += prod(tensor.dims)
        for entry in tensor.external_data:
            if entry.key == "location":
                locations[entry.value] = None
    external = {name: model.parent / portable(name, named_in=model) for name in locations}
    present = {name: file.stat().st_size for name, file in external.items() if file.is_file()}
    return GraphFacts(
        inputs=tuple(_spec(value) for value in graph.input if value.name not in weights),
        outputs=tuple(_spec(value) for value in graph.output),
        opsets={_domain(entry.domain): entry.version for entry in proto.opset_import},
        ir_version=proto.ir_version,
        producer=f"{proto.producer_name} {proto.producer_version}".strip(),
        parameters=dict(parameters.most_common()),
        operators=dict(operators.most_common()),
        files={model.name: model.stat().st_size, **present},
        missing_files=tuple(name for name in external if name not in present),
    )


def _load(model: Path) -> "ModelProto":
    try:
        import onnx
        from google.protobuf.message import DecodeError  # type: ignore[import-untyped]  # no stubs
    except ImportError as error:
        raise SetupError(
            f"onnx cannot be imported: {error}",
            expected="the package onnx, which reads a graph",
            fix="pip install 'onnx-edge-toolkit[export]'",
        ) from error
    try:
        proto = onnx.load(model, load_external_data=False)
    except OSError as error:
        raise InputError(
            f"{model} cannot be read: {error.strerror}", expected="an .onnx file"
        ) from error
    except DecodeError as error:
        raise InputError(
            f"{model} is no ONNX model, or a damaged one: {error}", expected="an .onnx file"
        ) from error
    if not proto.ir_version or not proto.HasField("graph"):
        state = "is empty" if not model.stat().st_size else "holds no graph"
        raise InputError(f"{model} {state}", expected="an .onnx file with a graph")
    return proto


def _nested(nodes: Iterable["NodeProto"]) -> Iterator["NodeProto"]:
    """Every node, with those of subgraphs."""
    for node in nodes:
        yield node
        for attribute in node.attribute:
            for graph in _subgraphs(attribute):
                yield from _nested(graph.node)


def _subgraphs(attribute: "AttributeProto") -> Iterator["GraphProto"]:
    if attribute.HasField("g"):
        yield attribute.g
    yield from attribute.graphs


def _count_operators(
    nodes: Iterable["NodeProto"], functions: Functions, operators: Counter[str]
) -> None:
    for node in _nested(nodes):
        body = functions.get((node.domain, node.op_type))
        if body is not None:
            _count_operators(body.node, functions, operators)
            continue
        domain = _domain(node.domain)
        operators[f"{domain}:{node.op_type}" if domain else node.op_type] += 1


def _tensors(proto: "ModelProto") -> Iterator["TensorProto"]:
    """Every stored weight: initializers and Constant nodes, wherever they stand."""
    yield from _graph_tensors(proto.graph)
    for function in proto.functions:
        yield from _node_tensors(function.node)


def _graph_tensors(graph: "GraphProto") -> Iterator["TensorProto"]:
    yield from graph.initializer
    for sparse in graph.sparse_initializer:
        yield sparse.values
    yield from _node_tensors(graph.node)


def _node_tensors(nodes: Iterable["NodeProto"]) -> Iterator["TensorProto"]:
    for node in nodes:
        for attribute in node.attribute:
            if node.op_type == "Constant" and attribute.HasField("t"):
                yield attribute.t
            if node.op_type == "Constant" and attribute.HasField("sparse_tensor"):
                yield attribute.sparse_tensor.values
            for graph in _subgraphs(attribute):
                yield from _graph_tensors(graph)


def _spec(value: "ValueInfoProto") -> TensorSpec:
    kind = value.type.WhichOneof("value")
    if kind != "tensor_type":
        word = str(kind or "unknown").removesuffix("_type")
        return TensorSpec(name=value.name, dtype=word, shape=())
    tensor = value.type.tensor_type
    shape = tuple(
        dim.dim_value if dim.HasField("dim_value") else dim.dim_param or "?"
        for dim in tensor.shape.dim
    )
    return TensorSpec(name=value.name, dtype=_dtype(tensor.elem_type), shape=shape)


def _dtype(element: int) -> str:
    from onnx import TensorProto

    name = str(TensorProto.DataType.Name(element)).lower()
    return _DTYPES.get(name, name)


def _domain(domain: str) -> str:
    return "" if domain in _DEFAULT_DOMAINS else domain
