"""The instrumented run, seen from outside: time by operator, roofline and trace of one session."""

import json
import tempfile
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import msgspec

from toolkit.errors import InputError
from toolkit.profiling.instrumented import Recording, Request, Target
from toolkit.profiling.operators import Event, GroupTime, OperatorTimes, operator_times
from toolkit.profiling.optimized import NodeFacts, read_optimized
from toolkit.profiling.peaks import Peaks
from toolkit.profiling.queries import Given
from toolkit.profiling.roofline import NodeRoof, Roofline, roofline
from toolkit.profiling.scenarios import Scenario, SingleStream
from toolkit.profiling.specification import Model, options_document
from toolkit.runtime.fresh import call_fresh

CHILD = "toolkit.profiling.instrumented"
RUNS = 30
WARMUP = 5


@dataclass(frozen=True, kw_only=True)
class RecordedRun:
    """What an instrumented run showed. Its times are shares of a run, never latency.

    Attributes:
        times: By node, operator type and provider.
        roofline: Operations and bytes against this machine's peaks; None when it was not asked for.
        recording: Phases, threads and shapes of the process that was recorded.
        events: ONNX Runtime's trace events, for `trace.chrome_trace`.
    """

    times: OperatorTimes
    roofline: Roofline | None
    recording: Recording
    events: tuple[Event, ...]

    def as_json(self, *, plain_p50_ms: float | None = None) -> dict[str, Any]:
        """The part `operators` of the document of `--json`.

        Args:
            plain_p50_ms: Median latency without instruments, to stand beside the recorded time.
        """
        times = self.times
        roofs = {} if self.roofline is None else {id(r.node): r for r in self.roofline.nodes}
        return {
            "instrumented": {
                "runs": times.runs,
                "run_ms": times.run_ms,
                "nodes_ms": times.nodes_ms,
                "plain_p50_ms": plain_p50_ms,
                "threads": self.recording.threads,
                "shapes": self.recording.shapes,
                "meaning": "shares of an instrumented run; its time is not latency",
            },
            "by_operator": [_group(group, "op") for group in times.operators],
            "by_provider": [_group(group, "provider") for group in times.providers],
            "arena_peak_bytes": times.arena_peak_bytes,
            "nodes": [
                {
                    "name": node.name,
                    "op": node.op,
                    "provider": node.provider,
                    "calls": node.calls,
                    "ms": node.ms,
                    "share": node.share,
                    "inputs": [f"{t.dtype}{[*t.shape]}" for t in node.inputs],
                    "outputs": [f"{t.dtype}{[*t.shape]}" for t in node.outputs],
                    "activation_bytes": node.activation_bytes,
                    "parameter_bytes": node.parameter_bytes,
                    "output_bytes": node.output_bytes,
                    **(_roof(roofs[id(node)]) if id(node) in roofs else {}),
                }
                for node in times.nodes
            ],
            "roofline": None if self.roofline is None else _roofline(self.roofline, plain_p50_ms),
            "notes": [*times.notes],
        }


def record_run(
    model: Model,
    *,
    given: Given | None = None,
    scenario: Scenario | None = None,
    runs: int = RUNS,
    warmup: int = WARMUP,
    peaks: bool = True,
) -> RecordedRun:
    """Record every node of some runs, in a fresh process.

    Args:
        model: What to run, see `specification.open_model`.
        given: What to feed it with; the package's reference inputs or random ones if not given.
        scenario: Its queries or batches are what is run; single samples if not given.
        runs: Runs that count, at most; fewer where they take more than ten seconds.
        warmup: Runs before them, after the first one.
        peaks: Measure the machine's peaks too, about three seconds, for the roofline.

    Raises:
        InputError: The model cannot be loaded or run, or a size is missing.
        SetupError: The provider cannot run here.
    """
    if runs < 1:
        raise InputError(f"{runs} runs show nothing", expected="one run or more")
    with tempfile.TemporaryDirectory(prefix="toolkit-recording-") as folder:
        request = Request(
            target=target(model, given, scenario, runs=runs, warmup=warmup),
            folder=folder,
            peaks=peaks,
        )
        document = call_fresh(CHILD, msgspec.to_builtins(request), doing=f"recording {model.name}")
        del document["stderr"]
        recording = msgspec.convert(document, Recording)
        events: list[Event] = json.loads((Path(folder) / recording.events).read_bytes())
        facts, no_facts = _facts(recording, Path(folder))
    times = operator_times(events, warmup=recording.warmup)
    one, every = recording.one_thread, recording.all_threads
    roof = None
    if one is not None and every is not None:
        roof = roofline(
            times.nodes, one_thread=one, all_threads=every, facts=facts, no_facts=no_facts
        )
    return RecordedRun(times=times, roofline=roof, recording=recording, events=tuple(events))


def target(
    model: Model,
    given: Given | None,
    scenario: Scenario | None = None,
    *,
    runs: int,
    warmup: int,
) -> Target:
    """A model as a request to a fresh process, which is fed its own reference if nothing else."""
    given = given or Given()
    return Target(
        model=str(model.file),
        package=str(model.package or ""),
        options=options_document(model.options),
        config=dict(model.config),
        given=msgspec.structs.replace(given, reference=str(model.reference or "")),
        scenario=scenario or SingleStream(),
        warmup=warmup,
        runs=runs,
    )


def _facts(recording: Recording, folder: Path) -> tuple[dict[str, NodeFacts] | None, str]:
    if not recording.graph:
        return None, recording.no_graph
    try:
        return read_optimized(folder / recording.graph), ""
    except ImportError:
        return None, "onnx is not installed: pip install 'onnx-edge-toolkit[export]'"


def _group(group: GroupTime, kind: str) -> dict[str, Any]:
    return {
        kind: group.name,
        "nodes": group.nodes,
        "calls": group.calls,
        "ms": group.ms,
        "share": group.share,
    }


def _roof(roof: NodeRoof) -> dict[str, Any]:
    return {
        "operations": roof.work.operations,
        "bytes": roof.work.bytes,
        "arithmetic": roof.work.arithmetic,
        "intensity": roof.intensity,
        "gops": roof.gops,
        "gb_s": roof.gb_s,
        "least_ms": roof.least_ms,
        "percent_of_roof": roof.percent,
        "bound": roof.bound,
        "not_counted": roof.work.why_not or None,
    }


def _roofline(roof: Roofline, plain_p50_ms: float | None) -> dict[str, Any]:
    return {
        "one_thread": _peaks(roof.one_thread),
        "all_threads": _peaks(roof.all_threads),
        "operations": roof.operations,
        "bytes": roof.bytes,
        "gops_at_plain_p50": roof.operations / plain_p50_ms / 1e6 if plain_p50_ms else None,
        "counted_share": roof.counted_share,
        "percent_of_roof": roof.percent,
        "share_by_bound": dict(roof.by_bound),
        "not_counted": [
            {"op": op, "why": why, "share": share} for (op, why), share in roof.not_counted.items()
        ],
        "notes": [*roof.notes],
    }


def _peaks(peaks: Peaks) -> dict[str, Any]:
    document: dict[str, Any] = msgspec.to_builtins(peaks)
    return document
