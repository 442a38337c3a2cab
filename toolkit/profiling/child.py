"""What runs in the fresh process of a profile: `python -m toolkit.profiling.child`."""

from pathlib import Path
from typing import TYPE_CHECKING, Any

import msgspec

from toolkit.profiling.conditions import Conditions
from toolkit.profiling.in_force import InForce, in_force
from toolkit.profiling.loop import WarmUp
from toolkit.profiling.memory import peak_rss_mb
from toolkit.profiling.queries import Given, InputKind
from toolkit.profiling.rate import Trial
from toolkit.profiling.scenarios import Effort, Offline, Scenario, Server
from toolkit.profiling.throughput import Throughput
from toolkit.runtime.fresh import answer, describe

if TYPE_CHECKING:
    from toolkit.runtime import Session, SessionOptions
    from toolkit.tasks import Task


class Request(msgspec.Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """What the child shall measure.

    Attributes:
        model: The `.onnx` file.
        package: The package that it belongs to; empty for a bare file.
        options: Fields of `SessionOptions`.
        config: The variant's session configuration.
        tuned: Names of those entries that were tuned.
        given: What the runs are fed with.
        scenario: How they follow each other.
        effort: How many; None measures session creation and the first run alone.
    """

    model: str
    package: str
    options: dict[str, Any]
    config: dict[str, str]
    tuned: list[str] = []
    given: Given
    scenario: Scenario
    effort: Effort | None


class Answer(msgspec.Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """What the child measured.

    Attributes:
        provider: The execution provider that the session runs on.
        session: The session options that it ran with.
        placement: Graph nodes by ONNX Runtime's provider name.
        elsewhere: Nodes by operator type that another provider than `provider` runs.
        creation_ms: Session creation.
        first_run_ms: The first run; None when it failed.
        shapes: Shape by input, of the first query.
        inputs: Where the inputs come from.
        samples_per_run: Data items in one timed run.
        warmup: What came before the timed runs; None when it was not reached.
        times_ns: The timed runs, queries or passes, in order.
        started_ns: When each began, by the same clock.
        made: How many were made; more than are listed where they were thinned.
        conditions: What the machine did meanwhile.
        busy_share: Of the server's sessions.
        rate_per_s: At which queries arrived, or that was found.
        served_per_s: Queries that were answered a second.
        trials: Of the search for a rate.
        remarks: What a reader must know, in words.
        throughput: Of the offline scenario.
        peak_rss_mb: Peak memory of the process in 10^6 bytes; None where it cannot be read.
        failure: The error that ended the runs, as data; None when all were made.
    """

    provider: str
    session: InForce
    placement: dict[str, int]
    elsewhere: dict[str, int] = {}
    creation_ms: float
    first_run_ms: float | None
    shapes: dict[str, list[int]]
    inputs: InputKind
    samples_per_run: int
    warmup: WarmUp | None = None
    times_ns: list[int] = []
    started_ns: list[int] = []
    made: int = 0
    conditions: Conditions = Conditions()
    busy_share: float | None = None
    rate_per_s: float | None = None
    served_per_s: float | None = None
    trials: list[Trial] = []
    remarks: list[str] = []
    throughput: Throughput | None = None
    peak_rss_mb: float | None = None
    failure: dict[str, str] | None = None


def measure(document: dict[str, Any]) -> dict[str, Any]:
    """Measure one session; see `Request` and `Answer`.

    Raises:
        InputError: The model cannot be loaded, or its inputs cannot be guessed.
        SetupError: The provider cannot run here.
        CheckFailedError: No rate keeps the bound.
    """
    from toolkit.profiling.graph_inputs import GraphInputs
    from toolkit.profiling.measuring import Measuring, first_run
    from toolkit.profiling.queries import prepare
    from toolkit.profiling.stopping import Stop
    from toolkit.runtime import open_session

    stop = Stop()
    stop.listen()
    request = msgspec.convert(document, Request)
    options = _options(request)
    count = _sessions(request.scenario)
    effective = in_force(options, request.config, sessions=count, tuned=request.tuned)
    session = open_session(Path(request.model), options, config=request.config)
    task = _task(request, session)
    known = GraphInputs.of(Path(request.model), session.inputs)
    queries = prepare(session.inputs, task, request.given, request.scenario, known)
    first_ns, failure = first_run(session.run, queries.feeds[0])
    found: dict[str, Any] = {}
    if failure is None and request.effort is not None:
        opened = [
            open_session(Path(request.model), options, config=request.config)
            for _ in range(count - 1)
        ]
        measuring = Measuring(
            runs=[one.run for one in (session, *opened)],
            queries=queries,
            task=task,
            effort=request.effort,
            seed=request.given.seed,
            threads=effective.threads,
            is_batchable=is_batchable_session(session),
            stop=stop,
        )
        found, failure = measuring.measure(request.scenario)
    measured = Answer(
        provider=session.provider,
        session=effective,
        placement=session.placement,
        elsewhere=session.elsewhere,
        creation_ms=session.creation_ms,
        first_run_ms=None if first_ns is None else first_ns / 1e6,
        shapes={name: [*array.shape] for name, array in queries.feeds[0].items()},
        inputs=queries.kind,
        samples_per_run=found.pop("samples_per_run", queries.samples),
        peak_rss_mb=peak_rss_mb(),
        failure=None if failure is None else describe(failure),
        **found,
    )
    result: dict[str, Any] = msgspec.to_builtins(measured)
    return result


def is_batchable_session(session: "Session") -> bool:
    """Whether several samples go into one run of it."""
    from toolkit.profiling.queries import is_batchable

    return is_batchable(session.inputs)


def _options(request: Request) -> "SessionOptions":
    from dataclasses import replace

    from toolkit.runtime import SessionOptions
    from toolkit.runtime.providers import Provider

    provider = Provider(request.options["provider"])
    options = SessionOptions(**{**request.options, "provider": provider})
    if isinstance(request.scenario, Offline) and not options.threads:
        options = replace(options, threads=1)
    if _sessions(request.scenario) > 1:  # idle threads that spin take the other sessions' cores
        options = replace(options, spinning=False)
    return options


def _sessions(scenario: Scenario) -> int:
    from toolkit.limits import default_threads

    match scenario:
        case Server(sessions=sessions):
            return sessions
        case Offline(sessions=sessions):
            return sessions or default_threads()
        case _:
            return 1


def _task(request: Request, session: "Session") -> "Task | None":
    if not (request.package and request.given.data):
        return None
    from toolkit.package import ModelPackage
    from toolkit.tasks import open_task

    package = ModelPackage.open(Path(request.package))
    return open_task(package.contents.task, package.asset("preprocessing"), session.inputs)


if __name__ == "__main__":
    answer(measure)
