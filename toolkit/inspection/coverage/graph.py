"""A graph as the rules see it: each node with its types, shapes, constants and neighbors."""

from collections.abc import Collection, Mapping, Sequence
from contextlib import suppress
from dataclasses import dataclass, replace
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from onnx import GraphProto, ModelProto, NodeProto, TensorProto

Shape = tuple[int | None, ...]

_DTYPES = {"float": "float32", "double": "float64"}
_SMALL = 4096
"""Elements of a constant whose values rules may ask for; weights are larger, and stay unread."""


@dataclass(frozen=True, kw_only=True)
class Tensor:
    """What is known of a tensor before anything runs.

    Attributes:
        name: Its name in the graph.
        dtype: "float32", "int64", "int4" and so on; empty where it is not known.
        shape: None stands for a size that is not fixed; None altogether where the shape is not
            known.
        is_constant: Whether it is an initializer that no caller can replace.
        values: Those of a small constant, flat; None otherwise.
        is_external: Whether its values stand in another file than the model.
        is_unranked: Whether it follows from a graph input without a shape, so that ONNX Runtime
            does not know its shape either.
    """

    name: str
    dtype: str = ""
    shape: Shape | None = None
    is_constant: bool = False
    values: tuple[float, ...] | None = None
    is_external: bool = False
    is_unranked: bool = False

    @property
    def is_static(self) -> bool:
        """Whether every size is fixed."""
        return self.shape is not None and None not in self.shape

    @property
    def rank(self) -> int | None:
        """How many dimensions it has; None where it is not known."""
        return None if self.shape is None else len(self.shape)


@dataclass(frozen=True, kw_only=True)
class Node:
    """A node of the graph.

    Attributes:
        index: Its place among the nodes, in topological order.
        op: Operator type; other domains than ONNX's stand before a colon.
        since: Version of the operator: the opset that it last changed in; 0 where it is unknown.
        inputs: None where an optional input is left out.
        outputs: The same of outputs.
        attributes: Numbers, texts and lists of them; a subgraph is left out.
        parents: Indices of the nodes that it reads from.
        children: Indices of the nodes that read from it.
        producer: Operator that writes its input 0; empty for graph inputs and constants.
        consumers: Operators that read from it.
        dequantized: Of each input, the type that a DequantizeLinear made it from; empty for others.
        nested: Nodes in its subgraphs, at any depth.
    """

    index: int
    op: str
    since: int
    inputs: tuple[Tensor | None, ...]
    outputs: tuple[Tensor | None, ...]
    attributes: Mapping[str, Any]
    parents: tuple[int, ...]
    children: tuple[int, ...]
    producer: str = ""
    consumers: tuple[str, ...] = ()
    dequantized: tuple[str, ...] = ()
    nested: int = 0

    def input(self, position: int) -> Tensor | None:
        """An input; None where it is left out."""
        return self.inputs[position] if position < len(self.inputs) else None

    @property
    def is_quantized(self) -> bool:
        """Whether it stands between DequantizeLinear and QuantizeLinear."""
        every = bool(self.dequantized) and all(self.dequantized)
        return every and set(self.consumers) == {"QuantizeLinear"}

    def present(self) -> tuple[Tensor, ...]:
        """The inputs that are there."""
        return tuple(tensor for tensor in self.inputs if tensor is not None)

    def written(self) -> tuple[Tensor, ...]:
        """The outputs that are there."""
        return tuple(tensor for tensor in self.outputs if tensor is not None)

    @property
    def is_unknown(self) -> bool:
        """Whether the type or the shape of one of its tensors is not known at all."""
        return any(not t.dtype or t.shape is None for t in (*self.present(), *self.written()))


@dataclass(frozen=True, kw_only=True)
class Graph:
    """The main graph of a model; nodes of subgraphs count as their owner's `nested`.

    Attributes:
        nodes: In topological order.
        open_dimensions: Sizes of graph inputs that are not fixed, by name; "?" for those without.
        has_inputs: Whether a caller feeds anything.
        unloadable: Why ONNX Runtime does not load it with any provider; empty where nothing is
            known against it.
    """

    nodes: tuple[Node, ...]
    open_dimensions: tuple[str, ...]
    has_inputs: bool
    unloadable: str = ""

    @property
    def size(self) -> int:
        """All nodes, those of subgraphs too: what ONNX Runtime's assignment information lists."""
        return sum(1 + node.nested for node in self.nodes)


def read(model: "ModelProto", external: Collection[str] | None = None) -> Graph:
    """The main graph, with every type and shape that onnx infers.

    Args:
        model: The model; external data need not be loaded.
        external: Names of the initializers that another file holds; those that the model itself
            says so of when not given.
    """
    import onnx

    # onnx refuses strange graphs with whatever they lead to; then the file's own shapes have to do.
    with suppress(Exception):
        model = onnx.shape_inference.infer_shapes(model, data_prop=True)
    graph = model.graph
    stored = external_names(model) if external is None else external
    tensors = _tensors(graph, model.ir_version)
    for name in stored:
        if name in tensors:
            tensors[name] = replace(tensors[name], is_external=True)
    _mark_unranked(graph, tensors)
    opsets = {entry.domain: entry.version for entry in model.opset_import}
    # A Constant is an initializer in another place: ONNX Runtime folds it before it asks.
    listed = [node for node in graph.node if _operator(node) != "Constant"]
    producers = {name: i for i, node in enumerate(listed) for name in node.output if name}
    parents = [_parents(node, producers) for node in listed]
    children: list[list[int]] = [[] for _ in listed]
    for i, found in enumerate(parents):
        for parent in found:
            children[parent].append(i)
    nodes = tuple(
        Node(
            index=i,
            op=_operator(node),
            since=_since(node, opsets),
            inputs=tuple(_named(name, tensors) for name in node.input),
            outputs=tuple(_named(name, tensors) for name in node.output),
            attributes=_attributes(node),
            parents=parents[i],
            children=tuple(children[i]),
            producer=_producer(node, listed, producers),
            consumers=tuple(_operator(listed[child]) for child in children[i]),
            dequantized=tuple(
                _dequantized(name, listed, producers, tensors) for name in node.input
            ),
            nested=sum(_count(inner) for inner in _subgraphs(node)),
        )
        for i, node in enumerate(listed)
    )
    weights = {tensor.name for tensor in graph.initializer}
    fed = [value for value in graph.input if value.name not in weights]
    open_ = dict.fromkeys(
        dim.dim_param or "?"
        for value in fed
        for dim in value.type.tensor_type.shape.dim
        if not dim.HasField("dim_value")
    )
    return Graph(nodes=nodes, open_dimensions=tuple(open_), has_inputs=bool(fed))


def external_names(model: "ModelProto") -> set[str]:
    """Initializers of the main graph whose values stand in another file."""
    return {tensor.name for tensor in model.graph.initializer if tensor.external_data}


def _mark_unranked(graph: "GraphProto", tensors: dict[str, Tensor]) -> None:
    """Mark inputs without a shape and what follows from them without one."""
    marked = {value.name for value in graph.input if tensors[value.name].shape is None}
    for node in graph.node:
        if marked & set(node.input):
            marked |= {
                name
                for name in node.output
                if name and tensors.get(name, Tensor(name=name)).shape is None
            }
    for name in marked:
        tensors[name] = replace(tensors.get(name, Tensor(name=name)), is_unranked=True)


def _named(name: str, tensors: Mapping[str, Tensor]) -> Tensor | None:
    return None if not name else tensors.get(name) or Tensor(name=name)


def _tensors(graph: "GraphProto", ir_version: int) -> dict[str, Tensor]:
    found: dict[str, Tensor] = {}
    for value in (*graph.value_info, *graph.output, *graph.input):
        kind = value.type.tensor_type
        shape = tuple(
            dim.dim_value if dim.HasField("dim_value") else None for dim in kind.shape.dim
        )
        found[value.name] = Tensor(
            name=value.name,
            dtype=_dtype(kind.elem_type),
            shape=shape if kind.HasField("shape") else None,
        )
    # Before IR version 4 every initializer is also listed as an input, which a caller could feed.
    fed = {value.name for value in graph.input} if ir_version >= 4 else set()
    for tensor in graph.initializer:
        found[tensor.name] = _constant(tensor, tensor.name, is_fixed=tensor.name not in fed)
    for node in graph.node:
        if node.op_type == "Constant":
            known = found.get(node.output[0], Tensor(name=node.output[0]))
            found[known.name] = replace(known, is_constant=True)
            for attribute in node.attribute:
                if attribute.HasField("t"):
                    found[node.output[0]] = _constant(attribute.t, node.output[0], is_fixed=True)
    return found


def _constant(tensor: "TensorProto", name: str, *, is_fixed: bool) -> Tensor:
    from onnx import numpy_helper

    shape = tuple(tensor.dims)
    count = 1
    for size in shape:
        count *= size
    dtype = _dtype(tensor.data_type)
    values = None
    if count <= _SMALL and not tensor.external_data and dtype not in {"", "string"}:
        values = tuple(float(v) for v in numpy_helper.to_array(tensor).astype(float).ravel())
    return Tensor(name=name, dtype=dtype, shape=shape, is_constant=is_fixed, values=values)


def _dtype(element: int) -> str:
    from onnx import TensorProto

    if not element:
        return ""
    name = str(TensorProto.DataType.Name(element)).lower()
    return _DTYPES.get(name, name)


def _operator(node: "NodeProto") -> str:
    return node.op_type if node.domain in {"", "ai.onnx"} else f"{node.domain}:{node.op_type}"


def _since(node: "NodeProto", opsets: Mapping[str, int]) -> int:
    import onnx

    if node.domain not in {"", "ai.onnx"}:
        return 0
    opset = opsets.get("", opsets.get("ai.onnx", 0))
    try:
        return int(onnx.defs.get_schema(node.op_type, opset, "").since_version)
    except onnx.defs.SchemaError:
        return 0


def _attributes(node: "NodeProto") -> dict[str, Any]:
    from onnx import AttributeProto, helper

    skipped = {AttributeProto.GRAPH, AttributeProto.GRAPHS, AttributeProto.TENSOR}
    found: dict[str, Any] = {}
    for attribute in node.attribute:
        if attribute.type not in skipped:
            value = helper.get_attribute_value(attribute)
            is_text = isinstance(value, bytes)  # or what a provider compiled
            found[attribute.name] = value.decode(errors="replace") if is_text else value
    return found


def _subgraphs(node: "NodeProto") -> list["GraphProto"]:
    return [graph for a in node.attribute for graph in ([a.g] if a.HasField("g") else a.graphs)]


def _count(graph: "GraphProto") -> int:
    return sum(1 + sum(_count(inner) for inner in _subgraphs(node)) for node in graph.node)


def _producer(
    node: "NodeProto", listed: "Sequence[NodeProto]", producers: Mapping[str, int]
) -> str:
    index = producers.get(node.input[0]) if node.input else None
    return "" if index is None else _operator(listed[index])


def _dequantized(
    name: str,
    listed: "Sequence[NodeProto]",
    producers: Mapping[str, int],
    tensors: Mapping[str, Tensor],
) -> str:
    index = producers.get(name)
    if index is None or listed[index].op_type != "DequantizeLinear":
        return ""
    source = tensors.get(listed[index].input[0])
    return "unknown" if source is None or not source.dtype else source.dtype


def _parents(node: "NodeProto", producers: Mapping[str, int]) -> tuple[int, ...]:
    read_names = [*node.input, *(name for graph in _subgraphs(node) for name in _outer(graph))]
    found = dict.fromkeys(producers[name] for name in read_names if name in producers)
    return tuple(found)


def _outer(graph: "GraphProto") -> list[str]:
    """What a subgraph may read from outside; names of its own have no producer there."""
    names = [name for node in graph.node for name in node.input]
    nested = [name for node in graph.node for inner in _subgraphs(node) for name in _outer(inner)]
    return [*names, *nested, *(value.name for value in graph.output)]
