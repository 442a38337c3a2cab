"""Time by operator and node, from an instrumented run: shares, never latency."""

from collections import defaultdict
from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from statistics import median
from typing import Any

from toolkit.errors import InputError
from toolkit.profiling.counts import Tensor

Event = dict[str, Any]
"""One of ONNX Runtime's trace events."""

SUFFIX = "_kernel_time"
RUN = "model_run"
_ASYNCHRONOUS = {
    "CUDAExecutionProvider",
    "TensorrtExecutionProvider",
    "DmlExecutionProvider",
    "WebGpuExecutionProvider",
}


@dataclass(frozen=True, kw_only=True)
class NodeTime:
    """One node of the optimized graph.

    Attributes:
        name: The graph's name of it; a fused node has the name that the fusion gave it.
        op: Operator type.
        provider: ONNX Runtime's name of the provider that ran it.
        calls: Calls in one run; more than one in the body of a loop.
        ms: Median over the runs of its time in one run, without nodes inside of it.
        share: Of all nodes' time, 0 to 1.
        inputs: What it read, without weights that ONNX Runtime packed away.
        outputs: What it wrote.
        activation_bytes: Memory of its inputs, as ONNX Runtime counts it; None where it does not.
        parameter_bytes: Memory of its weights, without those packed away; None likewise.
        output_bytes: Memory of its outputs; None likewise.
    """

    name: str
    op: str
    provider: str
    calls: int
    ms: float
    share: float
    inputs: Sequence[Tensor]
    outputs: Sequence[Tensor]
    activation_bytes: int | None
    parameter_bytes: int | None
    output_bytes: int | None


@dataclass(frozen=True, kw_only=True)
class GroupTime:
    """All nodes of one operator type, or of one provider.

    Attributes:
        name: The operator type, or ONNX Runtime's name of the provider.
        nodes: Nodes.
        calls: Their calls in one run.
        ms: Their time in one run.
        share: Of all nodes' time, 0 to 1.
    """

    name: str
    nodes: int
    calls: int
    ms: float
    share: float


@dataclass(frozen=True, kw_only=True)
class OperatorTimes:
    """Where the time of a run goes.

    Attributes:
        runs: Recorded runs that count.
        run_ms: Median time of a recorded run, which the recording itself makes longer.
        nodes_ms: The part of it that is spent inside of nodes.
        nodes: Every node, the slowest first.
        operators: By operator type, the slowest first.
        providers: By execution provider, the slowest first.
        arena_peak_bytes: The most that the session's memory arena had in use; None where ONNX
            Runtime does not tell.
        notes: What the figures do not say.
    """

    runs: int
    run_ms: float
    nodes_ms: float
    nodes: Sequence[NodeTime]
    operators: Sequence[GroupTime]
    providers: Sequence[GroupTime]
    arena_peak_bytes: int | None
    notes: Sequence[str]


def operator_times(events: Sequence[Event], *, warmup: int) -> OperatorTimes:
    """Times by node, operator type and provider.

    Args:
        events: ONNX Runtime's recording.
        warmup: Runs at its start that count for nothing.

    Raises:
        InputError: The recording holds no run after the warm-up, or no node.
    """
    runs = sorted((e for e in events if e["name"] == RUN), key=lambda e: float(e["ts"]))[warmup:]
    nodes = [e for e in events if e["cat"] == "Node" and e["name"].endswith(SUFFIX)]
    if not runs or not nodes:
        raise InputError("ONNX Runtime's recording holds no run of a node", expected="one or more")
    per_node: dict[tuple[str, str, str], list[list[tuple[Event, float]]]] = defaultdict(
        lambda: [[] for _ in runs]
    )
    for position, run in enumerate(runs):
        for event, own_us in own_times(inside(nodes, run)):
            per_node[_key(event)][position].append((event, own_us))
    # The median over the runs: one that was interrupted would shift every share.
    times = {
        key: median(sum(own_us for _, own_us in calls) for calls in in_runs) / 1e3
        for key, in_runs in per_node.items()
    }
    total = sum(times.values())
    found = [_node(in_runs, times[key], total) for key, in_runs in per_node.items()]
    found.sort(key=lambda node: -node.ms)
    peaks = [peak for e in nodes if (peak := _whole(e, "mem_in_use_peak")) is not None]
    return OperatorTimes(
        runs=len(runs),
        run_ms=median(float(run["dur"]) for run in runs) / 1e3,
        nodes_ms=total,
        nodes=tuple(found),
        operators=_grouped((node.op, node) for node in found),
        providers=_grouped((node.provider, node) for node in found),
        arena_peak_bytes=max(peaks, default=None),
        notes=tuple(_notes(found)),
    )


def node_name(event: Event) -> str:
    """The node that an event of a node is about."""
    return str(event["name"]).removesuffix(SUFFIX)


def tensors(listed: Iterable[Mapping[str, Sequence[int]]]) -> tuple[Tensor, ...]:
    """Types and shapes from a list such as `[{"float": [1, 3]}, {"int64": []}]`."""
    return tuple(
        Tensor(dtype=dtype, shape=tuple(shape))
        for entry in listed
        for dtype, shape in entry.items()
    )


def inside(events: Iterable[Event], outer: Event) -> list[Event]:
    """Those events that lie within another one's time."""
    start = float(outer["ts"])
    end = start + float(outer["dur"])
    return [e for e in events if start <= float(e["ts"]) <= end]


def own_times(events: Sequence[Event]) -> Iterator[tuple[Event, float]]:
    """Each event with its microseconds, without those of events inside of it on its thread.

    The time of an `If` or a `Loop` holds the nodes of its body, which have events of their own.
    """
    by_thread: dict[Any, list[Event]] = defaultdict(list)
    for event in events:
        by_thread[event["tid"]].append(event)
    for on_thread in by_thread.values():
        open_events: list[list[Any]] = []  # [event, end, own], the innermost last
        for event in sorted(on_thread, key=lambda e: (float(e["ts"]), -float(e["dur"]))):
            start, length = float(event["ts"]), float(event["dur"])
            while open_events and start >= open_events[-1][1]:
                done, _, own_us = open_events.pop()
                yield done, max(own_us, 0.0)
            if open_events:
                open_events[-1][2] -= length
            open_events.append([event, start + length, length])
        for done, _, own_us in open_events:
            yield done, max(own_us, 0.0)


def _key(event: Event) -> tuple[str, str, str]:
    """Names may repeat and node indexes do in subgraphs; both together seldom."""
    arguments = event["args"]
    return node_name(event), str(arguments.get("op_name")), str(arguments.get("node_index"))


def _node(in_runs: Sequence[Sequence[tuple[Event, float]]], ms: float, total: float) -> NodeTime:
    calls = next(calls for calls in reversed(in_runs) if calls)
    event = calls[-1][0]
    arguments = event["args"]
    return NodeTime(
        name=node_name(event),
        op=str(arguments.get("op_name", "")),
        provider=str(arguments.get("provider", "")),
        calls=len(calls),
        ms=ms,
        share=ms / total if total else 0.0,
        inputs=tensors(arguments.get("input_type_shape", ())),
        outputs=tensors(arguments.get("output_type_shape", ())),
        activation_bytes=_whole(event, "activation_size"),
        parameter_bytes=_whole(event, "parameter_size"),
        output_bytes=_whole(event, "output_size"),
    )


def _whole(event: Event, name: str) -> int | None:
    value = event["args"].get(name)
    return None if value is None else int(value)


def _grouped(named: Iterable[tuple[str, NodeTime]]) -> tuple[GroupTime, ...]:
    groups: dict[str, list[NodeTime]] = defaultdict(list)
    for name, node in named:
        groups[name].append(node)
    found = [
        GroupTime(
            name=name,
            nodes=len(nodes),
            calls=sum(node.calls for node in nodes),
            ms=sum(node.ms for node in nodes),
            share=sum(node.share for node in nodes),
        )
        for name, nodes in groups.items()
    ]
    return tuple(sorted(found, key=lambda group: -group.ms))


def _notes(nodes: Sequence[NodeTime]) -> Iterator[str]:
    waits = sorted({node.provider for node in nodes} & _ASYNCHRONOUS)
    if waits:
        yield (
            f"nodes on {', '.join(waits)} are timed until they are handed over, not until the "
            "device has done them"
        )
