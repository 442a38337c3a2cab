"""How close each node comes to what the machine can do, and what holds it back.

A node needs at least operations / peak and bytes / bandwidth; the larger of the two is its bound,
and its percentage says how much of its time that explains. A node whose time is hardly more than
what any node costs is bound by that overhead instead. The bandwidth is that of the cache which
could hold all of the node's tensors, so that a node whose weights come from further away stays
below 100 %, and one that finds its input in a nearer cache may go above.

Source: S. Williams, A. Waterman, D. Patterson, "Roofline: an insightful visual performance model
    for multicore architectures", Communications of the ACM 52 (4), 2009; for the caches see
    `peaks.Peaks.bandwidth_gb_s`.
"""

from collections import defaultdict
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Literal

from toolkit.profiling.counts import NodeShapes, Work, count
from toolkit.profiling.operators import NodeTime
from toolkit.profiling.optimized import NodeFacts, packed_away
from toolkit.profiling.peaks import Peaks

Bound = Literal["compute", "memory", "overhead"]

CPU = "CPUExecutionProvider"
NOTES = (
    "operations are those of matrix products and convolutions; all else counts as bytes",
    "each tensor's bytes count once, from the cache that could hold the node's tensors",
)
"""What a reader must know of every roofline."""


@dataclass(frozen=True, kw_only=True)
class NodeRoof:
    """One node under the roof.

    Attributes:
        node: Its time.
        work: Its operations and bytes.
        intensity: Operations a byte; None where one of them is not known.
        gops: 10^9 operations a second that it reached; None without operations.
        gb_s: 10^9 bytes a second that it moved; None without bytes.
        least_ms: The least time that operations and bytes allow; None where neither is known, or
            their peak is not.
        percent: least_ms in percent of the node's time; may pass 100, see the module.
        bound: What its least time comes from, or "overhead" where half of its time or more is what
            a node costs that computes one element.
    """

    node: NodeTime
    work: Work
    intensity: float | None
    gops: float | None
    gb_s: float | None
    least_ms: float | None
    percent: float | None
    bound: Bound | None


@dataclass(frozen=True, kw_only=True)
class Roofline:
    """The whole graph under the roof.

    Attributes:
        one_thread: Peaks on one thread.
        all_threads: Peaks on the session's threads, which the nodes are held against.
        nodes: Every node, the slowest first.
        operations: Counted in one run.
        bytes: Counted in one run.
        counted_share: Of all nodes' time, that of nodes with a roof; 0 to 1.
        percent: Least time of those nodes in percent of their time.
        by_bound: Share of all nodes' time by what bounds them.
        not_counted: Share of all nodes' time by (operator type, why).
        graph_read: Whether weights that ONNX Runtime packs away could be read from the graph.
        notes: What is left out.
    """

    one_thread: Peaks
    all_threads: Peaks
    nodes: Sequence[NodeRoof]
    operations: int
    bytes: int
    counted_share: float
    percent: float | None
    by_bound: Mapping[Bound, float]
    not_counted: Mapping[tuple[str, str], float]
    graph_read: bool
    notes: Sequence[str]


def roofline(
    nodes: Sequence[NodeTime],
    *,
    one_thread: Peaks,
    all_threads: Peaks,
    facts: Mapping[str, NodeFacts] | None,
    no_facts: str = "",
) -> Roofline:
    """Operations and bytes of each node, against measured peaks.

    Args:
        nodes: Times by node, of the CPU: the peaks are the processor's.
        one_thread: Peaks on one thread.
        all_threads: Peaks on the session's threads.
        facts: The optimized graph's nodes by name; None when it could not be read.
        no_facts: Why not.
    """
    under = [_node_roof(node, all_threads, facts) for node in nodes]
    counted = [roof for roof in under if roof.least_ms is not None]
    time = sum(roof.node.ms for roof in counted)
    least = sum(roof.least_ms or 0.0 for roof in counted)
    by_bound: dict[Bound, float] = defaultdict(float)
    not_counted: dict[tuple[str, str], float] = defaultdict(float)
    for roof in under:
        if roof.bound is not None:
            by_bound[roof.bound] += roof.node.share
        if roof.work.why_not:
            not_counted[roof.node.op, roof.work.why_not] += roof.node.share
    notes = [*NOTES]
    if all_threads.threads > 1 and all_threads.float32_gops < 1.1 * one_thread.float32_gops:
        notes.append(
            f"{all_threads.threads} threads reached no more than one when the peaks were measured: "
            "something else had the cores, so that the percentages are too high"
        )
    if facts is None:
        notes.append(f"weights that ONNX Runtime packs away could not be read: {no_facts}")
    return Roofline(
        one_thread=one_thread,
        all_threads=all_threads,
        nodes=tuple(under),
        operations=sum(roof.work.operations or 0 for roof in under),
        bytes=sum(roof.work.bytes or 0 for roof in under),
        counted_share=sum(roof.node.share for roof in counted),
        percent=100 * least / time if time else None,
        by_bound=dict(by_bound),
        not_counted=dict(sorted(not_counted.items(), key=lambda entry: -entry[1])),
        graph_read=facts is not None,
        notes=tuple(notes),
    )


def _node_roof(node: NodeTime, peaks: Peaks, facts: Mapping[str, NodeFacts] | None) -> NodeRoof:
    work = _work(node, facts)
    operations = None if work.operations is None else work.operations * node.calls
    moved = None if work.bytes is None else work.bytes * node.calls
    seconds = node.ms / 1e3
    compute_ms = memory_ms = None
    if operations is not None and work.arithmetic is not None:
        compute_ms = operations / peaks.gops(work.arithmetic) / 1e6
    if moved is not None and work.bytes is not None:
        memory_ms = moved / peaks.bandwidth_gb_s(work.bytes) / 1e6
    known = [ms for ms in (compute_ms, memory_ms) if ms is not None]
    # With operations of unknown peak, or weights of unknown size, the least time is not known.
    is_whole = (operations is None or compute_ms is not None) and memory_ms is not None
    least_ms = max(known) if known and is_whole else None
    bound: Bound | None = None
    if least_ms is not None:
        bound = "compute" if compute_ms is not None and compute_ms == least_ms else "memory"
        if node.ms <= 2 * peaks.node_ms * node.calls:
            bound = "overhead"
    return NodeRoof(
        node=node,
        work=Work(
            operations=operations, bytes=moved, arithmetic=work.arithmetic, why_not=work.why_not
        ),
        intensity=operations / moved if operations is not None and moved else None,
        gops=operations / seconds / 1e9 if operations is not None and seconds else None,
        gb_s=moved / seconds / 1e9 if moved is not None and seconds else None,
        least_ms=least_ms,
        percent=100 * least_ms / node.ms if least_ms is not None and node.ms else None,
        bound=bound,
    )


def _work(node: NodeTime, facts: Mapping[str, NodeFacts] | None) -> Work:
    if node.provider != CPU:
        return Work(why_not=f"the peaks of {node.provider} are not measured")
    fact = (facts or {}).get(node.name)
    if fact is None or fact.op != node.op:
        return count(NodeShapes(op=node.op, inputs=node.inputs, outputs=node.outputs))
    return count(
        NodeShapes(
            op=node.op,
            inputs=node.inputs,
            outputs=node.outputs,
            weights=packed_away(fact, node.inputs),
            attributes=fact.attributes,
        )
    )
