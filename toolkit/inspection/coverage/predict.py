"""How much of a graph each provider would take: predicted from rules, without the provider.

Predicted is never placed: a session alone shows where nodes run.
"""

from collections.abc import Mapping, Sequence
from dataclasses import asdict, dataclass, replace
from pathlib import Path
from typing import Any

from toolkit.inspection.coverage import coreml, nnapi, openvino, qnn, webgpu, xnnpack
from toolkit.inspection.coverage.graph import Graph, Node, Tensor
from toolkit.inspection.coverage.partitions import clusters, waves
from toolkit.inspection.coverage.prepared import prepared
from toolkit.inspection.coverage.rules import COMPILED, SIZES, Coverage, Refusal, refusal
from toolkit.profiling.counts import UNKNOWN, NodeShapes, count
from toolkit.profiling.counts import Tensor as Counted
from toolkit.runtime.dimensions import UNNAMED, proposal

COVERAGES = (
    nnapi.COVERAGE,
    coreml.NEURAL_NETWORK,
    coreml.ML_PROGRAM,
    xnnpack.COVERAGE,
    qnn.COVERAGE,
    webgpu.COVERAGE,
    openvino.COVERAGE,
)
_ORT_DTYPES = {"float32": "float", "float64": "double"}


@dataclass(frozen=True, kw_only=True)
class Break:
    """An operator that a provider would leave to the CPU.

    Attributes:
        operator: Its type.
        nodes: How many of them, for this reason.
        reason: Why.
        source: Where that is written.
        change: What to change in the model; empty where nothing helps.
    """

    operator: str
    nodes: int
    reason: str
    source: str
    change: str


@dataclass(frozen=True, kw_only=True)
class Prediction:
    """What a provider would take of a graph.

    Attributes:
        provider: The word that `--provider` takes.
        model_format: The provider's own format, where it has several.
        predicted: Share of the nodes, 0 to 1; None for a graph without nodes.
        predicted_work: Share of the multiplications and additions of matrix products; None where
            sizes are not fixed or the graph has none.
        taken: Nodes that it would take.
        nodes: Nodes in all, those of subgraphs too unless their owner is taken.
        unknown: Those of them with a tensor whose type or sizes nobody could infer: rules about it
            count as met.
        partitions: How many pieces it would take them in.
        breaks: What it would leave, the most frequent first.
        changes: What to change in the model, without repetition.
    """

    provider: str
    model_format: str
    predicted: float | None
    predicted_work: float | None
    taken: int
    nodes: int
    unknown: int
    partitions: int
    breaks: tuple[Break, ...]
    changes: tuple[str, ...]

    @property
    def name(self) -> str:
        """What reports call it."""
        return f"{self.provider} {self.model_format}".strip()

    def as_json(self) -> dict[str, Any]:
        """Its entry in `--json`, without the provider, which is the key."""
        document = asdict(self)
        del document["provider"]
        return document


def predict(model: Path, sizes: Mapping[str, int] | None = None) -> tuple[Prediction, ...]:
    """What each provider would take.

    Args:
        model: An `.onnx` file that onnx can read.
        sizes: Symbolic dimensions to fix first, by name.
    """
    graph = prepared(model, sizes or {})
    return tuple(predict_graph(graph, coverage) for coverage in COVERAGES)


def predict_graph(graph: Graph, coverage: Coverage) -> Prediction:
    """What one provider would take of a graph that is already optimized.

    Args:
        graph: Its nodes.
        coverage: The provider's rules.
    """
    refusals = {
        node.index: found
        for node in graph.nodes
        if (found := _unloaded(graph) or refusal(coverage, node)) is not None
    }
    if coverage.takes_units:
        refusals |= _units_left(graph.nodes, refusals)
    groups = _groups(graph, coverage, refusals)
    taken = {index for group in groups for index in group}
    for node in graph.nodes:
        if node.index not in taken and node.index not in refusals:
            refusals[node.index] = _left_over(node, coverage)
    total = sum(1 if node.index in taken else 1 + node.nested for node in graph.nodes)
    breaks = _breaks(graph.nodes, refusals)
    changes = dict.fromkeys(found.change for found in breaks if found.change)
    return Prediction(
        provider=coverage.provider,
        model_format=coverage.model_format,
        predicted=len(taken) / total if total else None,
        predicted_work=_work_share(graph.nodes, taken),
        taken=len(taken),
        nodes=total,
        unknown=sum(graph.nodes[index].is_unknown for index in taken),
        partitions=len(groups),
        breaks=breaks,
        changes=tuple(_with_names(change, graph) for change in changes),
    )


def _unloaded(graph: Graph) -> Refusal | None:
    """Why no provider is asked at all."""
    if not graph.unloadable:
        return None
    return Refusal(
        reason=graph.unloadable,
        source="measured: onnxruntime 1.31",
        change="export with --opset 18 or later",
    )


def _units_left(nodes: Sequence[Node], refusals: Mapping[int, Refusal]) -> dict[int, Refusal]:
    """What dequantizes for refused operators alone, and what quantizes their results."""
    found: dict[int, Refusal] = {}
    for node in nodes:
        why = refusals.get(node.index)
        if why is None or not node.is_quantized:
            continue
        around = [i for i in node.parents if set(nodes[i].children) <= refusals.keys()]
        for index in (*around, *node.children):
            if index not in refusals:
                reason = f"belongs to a quantized {node.op}, which is left"
                found[index] = replace(why, reason=reason)
    return found


def _groups(graph: Graph, coverage: Coverage, refusals: Mapping[int, Refusal]) -> list[list[int]]:
    nodes = graph.nodes
    supported = [node.index not in refusals for node in nodes]
    if coverage.grouping == "clusters":
        if all(supported):
            whole = [node.index for node in nodes]
            return [whole] if graph.has_inputs and not _is_alone(nodes, whole, coverage) else []
        # Source: core/providers/openvino/ov_versions/data_ops.cc, InsertNode.
        supported = [s and nodes[i].op not in {"TopK", "NonZero"} for i, s in enumerate(supported)]
        groups = clusters(nodes, supported)
    else:
        groups = waves(nodes, supported)
    return [
        group
        for group in groups
        if (len(group) >= coverage.smallest or any(nodes[i].op == COMPILED for i in group))
        and not _is_alone(nodes, group, coverage)
    ]


def _is_alone(nodes: Sequence[Node], group: Sequence[int], coverage: Coverage) -> bool:
    return len(group) == 1 and nodes[group[0]].op in coverage.alone


def _left_over(node: Node, coverage: Coverage) -> Refusal:
    reason = f"stands in a partition of fewer than {coverage.smallest} nodes"
    if node.op in coverage.alone and coverage.smallest == 1:
        reason = "is not taken by itself"
    return Refusal(reason=reason, source=coverage.source, change="")


def _breaks(nodes: Sequence[Node], refusals: Mapping[int, Refusal]) -> tuple[Break, ...]:
    counted: dict[tuple[str, str], list[int]] = {}
    for node in nodes:
        if node.index in refusals:
            found = refusals[node.index]
            counted.setdefault((node.op, _kind(found)), []).append(node.index)
    breaks = [
        Break(
            operator=op,
            nodes=len(indices),
            reason=refusals[indices[0]].reason,
            source=refusals[indices[0]].source,
            change=refusals[indices[0]].change,
        )
        for (op, _), indices in counted.items()
    ]
    return tuple(sorted(breaks, key=lambda found: -found.nodes))


def _kind(found: Refusal) -> str:
    """Refusals that differ in the name of a tensor alone are one kind."""
    return "'".join(found.reason.split("'")[::2]) + found.source


def _with_names(change: str, graph: Graph) -> str:
    names = [name for name in graph.open_dimensions if name != UNNAMED]
    return change.replace(SIZES, proposal(names)) if names else change


def _work_share(nodes: Sequence[Node], taken: set[int]) -> float | None:
    counted = {node.index: _operations(node) for node in nodes}
    known = [index for index, operations in counted.items() if operations]
    total = sum(counted[index] or 0 for index in known)
    if not total or any(operations is None for operations in counted.values()):
        return None
    return sum(counted[index] or 0 for index in known if index in taken) / total


def _operations(node: Node) -> int | None:
    """0 for a node without matrix products, None where its sizes are not known."""
    op = node.op.rpartition(":")[2]
    whole = {k: v for k, v in node.attributes.items() if isinstance(v, int)}
    known = all(tensor.is_static for tensor in (*node.present(), *node.written()))
    shapes = NodeShapes(
        op=op,
        inputs=[_counted(tensor) for tensor in node.present()] if known else [],
        outputs=[_counted(tensor) for tensor in node.written()] if known else [],
        weights=(),
        attributes=whole,
    )
    work = count(shapes)
    if work.operations is not None:
        return work.operations
    return None if work.why_not in UNKNOWN else 0


def _counted(tensor: Tensor) -> Counted:
    shape = tuple(size for size in tensor.shape or () if size is not None)
    return Counted(dtype=_ORT_DTYPES.get(tensor.dtype, tensor.dtype), shape=shape)
