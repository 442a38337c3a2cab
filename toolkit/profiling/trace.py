"""An instrumented run as a trace that ui.perfetto.dev and chrome://tracing open."""

from collections.abc import Iterable, Sequence
from typing import Any

from toolkit.profiling.instrumented import Recording
from toolkit.profiling.operators import SUFFIX, Event, node_name

SESSION_NAMES = {
    "model_loading_uri": "load the model file",
    "model_loading_array": "load the model from memory",
    "session_initialization": "optimize the graph, place and pack it",
    "model_run": "run",
}
"""ONNX Runtime's names of its phases, and ours."""

MAIN_THREAD = 1
"""Of the process's own phases; ONNX Runtime's events keep the system's number of their thread."""


def chrome_trace(events: Sequence[Event], recording: Recording, *, name: str) -> dict[str, Any]:
    """A document of the Trace Event Format: complete events in microseconds, and names.

    Two rows stand above each other: what the process did (import, session, first run, warm-up), and
    what ONNX Runtime did inside of it. Durations are those of an instrumented run, not latency.

    Args:
        events: ONNX Runtime's recording.
        recording: Of the process around it.
        name: The model's, for the process's row.

    Source: "Trace Event Format" of the Chromium project, sections "Complete Events" and "Metadata
        Events".
    """
    process = int(events[0]["pid"]) if events else 1
    # Times count from the first phase, which began before ONNX Runtime's clock did.
    first_ns = min([recording.began_ns, *(start for _, start, _ in recording.phases)])
    shift_us = (recording.began_ns - first_ns) / 1e3
    threads = sorted({int(event["tid"]) for event in events})
    names = [_name("process_name", process, 0, f"toolkit profile {name}")]
    names.append(_name("thread_name", process, MAIN_THREAD, "process"))
    names += [
        _name("thread_name", process, thread, f"ONNX Runtime, thread {thread}")
        for thread in threads
    ]
    return {
        "displayTimeUnit": "ms",
        "otherData": {
            "meaning": "an instrumented run: shares, not latency",
            "threads": recording.threads,
            "provider": recording.provider,
        },
        "traceEvents": [
            *names,
            *_phases(recording, process, first_ns),
            *(_event(event, shift_us) for event in events),
        ],
    }


def _phases(recording: Recording, process: int, first_ns: int) -> Iterable[Event]:
    for phase, start, end in recording.phases:
        yield {
            "name": phase,
            "cat": "process",
            "ph": "X",
            "ts": (start - first_ns) / 1e3,
            "dur": (end - start) / 1e3,
            "pid": process,
            "tid": MAIN_THREAD,
            "args": {},
        }


def _event(event: Event, shift_us: float) -> Event:
    is_node = event["cat"] == "Node"
    name = node_name(event) if is_node else SESSION_NAMES.get(event["name"], event["name"])
    arguments = dict(event.get("args", {}))
    arguments.pop("thread_scheduling_stats", None)  # half of the file, and about no one node
    category = event["cat"]
    if is_node and event["name"].endswith(SUFFIX):
        category = str(arguments.get("op_name", category))
    return {
        **event,
        "name": name,
        "cat": category,
        "ts": float(event["ts"]) + shift_us,
        "args": arguments,
    }


def _name(kind: str, process: int, thread: int, name: str) -> Event:
    return {
        "name": kind,
        "cat": "__metadata",
        "ph": "M",
        "ts": 0,
        "pid": process,
        "tid": thread,
        "args": {"name": name},
    }
