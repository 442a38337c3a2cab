"""The instrumented run, in a fresh process: `python -m toolkit.profiling.instrumented`.

ONNX Runtime's recorder slows a small model down several times over, so nothing here is latency.
"""

import json
import time
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from pathlib import Path
from typing import TYPE_CHECKING, Any

import msgspec
import numpy as np

from toolkit.errors import InputError
from toolkit.profiling.in_force import in_force
from toolkit.profiling.peaks import Peaks
from toolkit.profiling.queries import Given
from toolkit.profiling.scenarios import Scenario, SingleStream
from toolkit.runtime.fresh import answer
from toolkit.tensors import Feeds

if TYPE_CHECKING:
    from toolkit.runtime import Session

SECONDS = 10.0
"""Recorded runs stop after this time, but not before `FEWEST_RUNS`."""
FEWEST_RUNS = 3


class Target(msgspec.Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """A model with its settings and what it is fed.

    Attributes:
        model: The `.onnx` file.
        package: The package that it belongs to; empty for a bare file.
        options: Fields of `SessionOptions`.
        config: The variant's session configuration.
        given: What the runs are fed with.
        scenario: Whose queries or batches they are.
        warmup: Runs made and left out of every figure.
        runs: Runs that count, at most.
    """

    model: str
    package: str
    options: dict[str, Any]
    config: dict[str, str]
    given: Given
    scenario: Scenario = SingleStream()
    warmup: int
    runs: int


class Request(msgspec.Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """What to record.

    Attributes:
        target: The model.
        folder: An empty directory, which receives the recording and the optimized graph.
        peaks: Whether to measure the machine's peaks too.
    """

    target: Target
    folder: str
    peaks: bool


class Recording(msgspec.Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """What was recorded.

    Attributes:
        events: File of ONNX Runtime's events, in the folder.
        began_ns: When its clock was zero, by `time.time_ns`.
        phases: What this process did meanwhile: (name, start, end), by `time.time_ns`.
        warmup: Runs that count for nothing, the first in the file.
        runs: Runs that count.
        provider: The execution provider that the session runs on.
        threads: Intra-op threads.
        shapes: Shape by input.
        graph: File of the optimized graph, in the folder; empty when it could not be written.
        no_graph: Why not.
        one_thread: Peaks on one thread; None when not asked for.
        all_threads: Peaks on the session's threads; None when not asked for.
    """

    events: str
    began_ns: int
    phases: list[tuple[str, int, int]]
    warmup: int
    runs: int
    provider: str
    threads: int
    shapes: dict[str, list[int]]
    graph: str
    no_graph: str
    one_thread: Peaks | None
    all_threads: Peaks | None


class Phases:
    """What a process did when, by the clock of `time.time_ns`."""

    def __init__(self) -> None:
        self.spans: list[tuple[str, int, int]] = []

    @contextmanager
    def __call__(self, name: str) -> Iterator[None]:
        """Note how long the block took."""
        start = time.time_ns()
        yield
        self.spans.append((name, start, time.time_ns()))


def record(document: dict[str, Any]) -> dict[str, Any]:
    """Record one session; see `Request` and `Recording`.

    Raises:
        InputError: The model cannot be loaded or run, or its inputs cannot be guessed.
        SetupError: The provider cannot run here.
    """
    from toolkit.runtime import open_session

    phases = Phases()
    request = msgspec.convert(document, Request)
    target, folder = request.target, Path(request.folder)
    model, options = Path(target.model), session_options(target.options)
    with phases("create session"):
        session = open_session(model, options, config=target.config, recording=folder / "recording")
    with phases("prepare inputs"):
        feeds = target_feeds(target, session)
    with phases("first run"):
        session.run(feeds)
    with phases("warm-up"):
        for _ in range(target.warmup):
            session.run(feeds)
    runs = 0
    with phases("recorded runs"):
        until = time.perf_counter_ns() + int(SECONDS * 1e9)
        while runs < target.runs and (runs < FEWEST_RUNS or time.perf_counter_ns() < until):
            session.run(feeds)
            runs += 1
    events, began_ns = session.recorded()
    threads = in_force(options, target.config).threads
    one_thread, all_threads = _peaks(threads, folder) if request.peaks else (None, None)
    no_graph = ""
    try:
        open_session(model, options, config=target.config, graph=folder / "graph.onnx")
    except InputError as error:  # a provider that compiles nodes cannot write them down
        no_graph = error.problem
    recording = Recording(
        events=events.name,
        began_ns=began_ns,
        phases=phases.spans,
        warmup=target.warmup + 1,
        runs=runs,
        provider=str(session.provider),
        threads=threads,
        shapes={name: [*array.shape] for name, array in feeds.items()},
        graph="" if no_graph else "graph.onnx",
        no_graph=no_graph,
        one_thread=one_thread,
        all_threads=all_threads,
    )
    result: dict[str, Any] = msgspec.to_builtins(recording)
    return result


def session_options(document: Mapping[str, Any]) -> Any:
    """`SessionOptions` from the fields that a request carries."""
    from toolkit.runtime import Provider, SessionOptions

    return SessionOptions(**{**document, "provider": Provider(document["provider"])})


def target_feeds(target: Target, session: "Session") -> Feeds:
    """What the model is fed: the first of what its latency is measured with, every time.

    One query over and over, so that the shapes of all runs are those that operations and bytes are
    counted of.

    Raises:
        InputError: A size is missing, or data or files do not fit the model.
    """
    from toolkit.profiling.graph_inputs import GraphInputs
    from toolkit.profiling.queries import prepare

    task = None
    if target.package and target.given.data:
        from toolkit.package import ModelPackage
        from toolkit.tasks import open_task

        package = ModelPackage.open(Path(target.package))
        task = open_task(package.contents.task, package.asset("preprocessing"), session.inputs)
    known = GraphInputs.of(Path(target.model), session.inputs)
    return prepare(session.inputs, task, target.given, target.scenario, known).feeds[0]


def _peaks(threads: int, folder: Path) -> tuple[Peaks, Peaks]:
    from toolkit.profiling.peaks import measure_peaks

    node_ms = _empty_node_ms(folder)
    one = measure_peaks(threads=1, node_ms=node_ms)
    if threads == 1:
        return one, one
    return one, measure_peaks(threads=threads, node_ms=node_ms).no_less_than(one)


def _empty_node_ms(folder: Path) -> float:
    """Median time that the recorder gives a node of one element."""
    from toolkit.profiling.peaks import write_single_node
    from toolkit.runtime import SessionOptions, open_session

    session = open_session(
        write_single_node(folder), SessionOptions(threads=1), recording=folder / "empty"
    )
    for _ in range(200):
        session.run({"x": np.ones(1, np.float32)})
    events = json.loads(session.recorded()[0].read_bytes())
    durations = [e["dur"] for e in events if e["cat"] == "Node"]
    return float(np.median(durations)) / 1e3


if __name__ == "__main__":
    answer(record)
