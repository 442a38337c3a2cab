"""What the optimized graph says of its nodes: packed weights and attributes."""

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING

from toolkit.profiling.counts import Tensor

if TYPE_CHECKING:
    from onnx import GraphProto, NodeProto, TensorProto


@dataclass(frozen=True, kw_only=True)
class NodeFacts:
    """A node of the optimized graph.

    Attributes:
        op: Its operator type.
        weights: The initializers among its inputs, in order.
        attributes: Its whole-number attributes.
    """

    op: str
    weights: Sequence[Tensor]
    attributes: Mapping[str, int]


def read_optimized(file: Path) -> dict[str, NodeFacts]:
    """Facts by node name; a name that stands twice is left out, since it tells nothing.

    Args:
        file: The graph as ONNX Runtime wrote it after its optimizations.

    Raises:
        ImportError: onnx is not installed.
    """
    import onnx

    graph = onnx.load(file, load_external_data=False).graph
    facts: dict[str, NodeFacts] = {}
    twice: set[str] = set()
    for node, weights in _nodes(graph, {}):
        if node.name in facts:
            twice.add(node.name)
        facts[node.name] = NodeFacts(
            op=node.op_type,
            weights=tuple(weights[name] for name in node.input if name in weights),
            attributes={a.name: a.i for a in node.attribute if a.type == onnx.AttributeProto.INT},
        )
    return {name: fact for name, fact in facts.items() if name and name not in twice}


def packed_away(facts: NodeFacts, seen: Sequence[Tensor]) -> tuple[Tensor, ...]:
    """Weights of a node that its run did not read as tensors: ONNX Runtime holds them repacked.

    Args:
        facts: The node in the graph.
        seen: The inputs that the recording lists.
    """
    remaining = [*seen]
    packed: list[Tensor] = []
    for weight in facts.weights:
        if weight in remaining:
            remaining.remove(weight)
        else:
            packed.append(weight)
    return tuple(packed)


def _nodes(
    graph: "GraphProto", outer: Mapping[str, Tensor]
) -> Iterator[tuple["NodeProto", Mapping[str, Tensor]]]:
    """Every node, with the weights that it can see; those of subgraphs see the outer ones too."""
    weights = {**outer, **{weight.name: _tensor(weight) for weight in graph.initializer}}
    for node in graph.node:
        yield node, weights
        for attribute in node.attribute:
            subgraphs = (*attribute.graphs, *((attribute.g,) if attribute.HasField("g") else ()))
            for subgraph in subgraphs:
                yield from _nodes(subgraph, weights)


def _tensor(weight: "TensorProto") -> Tensor:
    from onnx import TensorProto

    name = str(TensorProto.DataType.Name(weight.data_type)).lower()
    return Tensor(dtype=name, shape=tuple(weight.dims))
