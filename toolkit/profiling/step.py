"""`profile`: a model in a scenario, measured in fresh processes."""

import warnings
from collections.abc import Mapping, Sequence
from dataclasses import asdict, replace
from datetime import UTC, datetime
from pathlib import Path
from statistics import median
from typing import Any

import msgspec
import numpy as np

from toolkit import __version__
from toolkit.errors import InputError, StoppedError, ToolkitWarning
from toolkit.limits import usable_cores
from toolkit.machine import this_machine
from toolkit.package import Split
from toolkit.package.integrity import file_sha256
from toolkit.profiling.child import Answer, Request
from toolkit.profiling.curve import curve
from toolkit.profiling.findings import findings
from toolkit.profiling.queries import Given
from toolkit.profiling.report import (
    Environment,
    FreshTimes,
    ProfileReport,
    Settings,
)
from toolkit.profiling.scenarios import (
    OFFLINE_BATCH,
    Effort,
    Offline,
    Scenario,
    SingleStream,
    check,
    reported,
    share,
)
from toolkit.profiling.specification import open_model
from toolkit.profiling.statistics import PERCENTILES, summarize
from toolkit.profiling.verdict import check_result
from toolkit.progress import Progress, silent
from toolkit.runtime import SessionOptions
from toolkit.runtime.fresh import call_fresh, describe, revive

CHILD = "toolkit.profiling.child"


def profile(
    source: str | Path,
    *,
    options: SessionOptions | None = None,
    component: str | None = None,
    variant: str | None = None,
    scenario: Scenario | None = None,
    runs: int | None = None,
    warmup: int | None = None,
    warmup_limit_s: float = 2.0,
    budget_s: float | None = None,
    sustained_s: float = 0.0,
    percentiles: Sequence[float] = PERCENTILES,
    must_carry: bool = False,
    processes: int = 3,
    data: str = "",
    text_column: str = "",
    where: Mapping[str, str] | None = None,
    inputs: Mapping[str, str] | None = None,
    sizes: Mapping[str, int] | None = None,
    seed: int = 0,
    progress: Progress = silent,
) -> ProfileReport:
    """Latency or throughput of a package or a bare `.onnx` file, measured in fresh processes.

    The inputs are those of the data or the files, else the package's reference inputs, repeated or
    cut to the sizes asked for, and otherwise random. The first axis is 1 when nothing says its
    size. They are prepared before the clock starts; in the offline scenario alone, encoding a data
    set is part of what is measured, and the report says so.

    Args:
        source: A model package, or an `.onnx` file.
        options: Provider, threads and the like; the CPU when not given.
        component: The package's component; the first when not given.
        variant: The component's variant; the preferred one when not given.
        scenario: How the runs follow each other; one after another when not given.
        runs: Timed runs, queries or passes; None for as many as fit into the budget.
        warmup: Runs made and discarded before them, after the first run; None for as many as it
            takes until they are steady.
        warmup_limit_s: The longest that waiting for steady runs may take.
        budget_s: The longest that the timed runs may take; None for 10 s, or for no limit where
            `runs` is given.
        sustained_s: Go on for this long, for a curve over time.
        percentiles: Those that are reported.
        must_carry: Whether it is an error when one of them gets no interval.
        processes: Fresh processes in which session creation and the first run are measured.
        data: A data file for the package's task.
        text_column: The column of its text; found by name when empty.
        where: Rows of it whose column has this value.
        inputs: A file by input name.
        sizes: Sizes by dimension name, or by `input:axis`.
        seed: Seed of random feeds, of the data's order and of arrivals.
        progress: Called with a line for each process.

    Raises:
        RunFailedError: The model failed on a run; the report holds what was measured until then.
        RunsStoppedError: The user interrupted it; likewise.
        TooFewRunsError: The budget was too short for a percentile that must be carried.
        RateMissedError: Queries came faster than they are answered, or p99 was over the bound.
        InputError: The source is missing or damaged, a size is missing, or nothing would be
            measured.
        CheckFailedError: No rate keeps the bound.
        SetupError: The provider cannot run here.
    """
    played = scenario or SingleStream()
    effort = Effort(
        runs=runs,
        warmup=warmup,
        warmup_limit_s=warmup_limit_s,
        budget_s=budget_s,
        sustained_s=sustained_s,
        percentiles=reported(played, percentiles),
        must_carry=must_carry,
    )
    check(played, effort)
    if processes < 1:
        raise InputError(f"{processes} processes measure nothing", expected="one or more")
    options = options or SessionOptions()
    opened = open_model(Path(source), component=component, variant=variant, options=options)
    played, options = _split(played, options, opened.split)
    name, model = Path(source).name, opened.file
    given = {**asdict(options), "provider": str(options.provider)}
    request = Request(
        model=str(model),
        package="" if opened.package is None else str(opened.package),
        options={**given, "provider_options": dict(options.provider_options)},
        config=dict(opened.config),
        tuned=list(opened.tuned),
        given=Given(
            reference=str(opened.reference or ""),
            data=data,
            text_column=text_column,
            where=dict(where or {}),
            files=dict(inputs or {}),
            sizes=dict(sizes or {}),
            seed=seed,
        ),
        scenario=played,
        effort=effort,
    )
    title = _title(played)
    progress(f"{title}, in a fresh process")
    measured = _measured(request, doing=f"measuring {name}")
    answers = [measured]
    try:
        for position in range(1, processes if measured.first_run_ms is not None else 1):
            _check_going_on(answers[-1])
            progress(f"session creation and first run, fresh process {position + 1} of {processes}")
            start_only = msgspec.structs.replace(request, effort=share(played, effort))
            with warnings.catch_warnings():
                warnings.simplefilter("ignore", ToolkitWarning)  # the first process has given it
                answers.append(_measured(start_only, doing=f"starting {name}"))
        _check_going_on(answers[-1])
    except StoppedError as stopped:
        measured = msgspec.structs.replace(measured, failure=describe(stopped))
    latency = (
        summarize(measured.times_ns, percentiles=_percentiles(title, effort))
        if measured.times_ns
        else None
    )
    report = ProfileReport(
        scenario=title,
        latency=latency,
        samples_per_run=measured.samples_per_run,
        session_creation=_fresh_times([a.creation_ms for a in answers]),
        first_run=_first_runs(answers),
        process_medians_ms=[float(np.median(a.times_ns)) / 1e6 for a in answers if a.times_ns],
        peak_rss_mb=measured.peak_rss_mb,
        provider=measured.provider,
        session=measured.session,
        placement=measured.placement,
        elsewhere=measured.elsewhere,
        settings=Settings(
            **msgspec.structs.asdict(effort),
            scenario=msgspec.to_builtins(played),
            processes=processes,
            data=Path(data).name if data else "",
            text_column=text_column,
            where=dict(where or {}),
            inputs={key: Path(file).name for key, file in (inputs or {}).items()},
            sizes=dict(sizes or {}),
            seed=seed,
            **request.options,
        ),
        environment=Environment(
            model=name,
            variant=opened.variant,
            sha256=file_sha256(model),
            package_sha256=opened.package_sha256,
            data_sha256=file_sha256(Path(data)) if data else "",
            inputs_sha256={key: file_sha256(Path(file)) for key, file in (inputs or {}).items()},
            shapes=measured.shapes,
            inputs=measured.inputs,
            machine=this_machine(),
            toolkit=__version__,
            date=datetime.now(UTC).isoformat(timespec="seconds"),
        ),
        failure=measured.failure["problem"] if measured.failure else "",
        warmup=measured.warmup,
        findings=(
            *measured.session.notes(usable_cores()),
            *(() if latency is None else findings(latency, measured, effort)),
        ),
        conditions=measured.conditions,
        curve=curve(measured.started_ns, measured.times_ns, percentiles=effort.percentiles),
        rate_per_s=measured.rate_per_s,
        served_per_s=measured.served_per_s,
        busy_share=measured.busy_share,
        trials=tuple(measured.trials),
        passes=measured.throughput,
    )
    check_result(report, measured, played, effort)
    return report


def _split(
    scenario: Scenario, options: SessionOptions, tuned: Split | None
) -> tuple[Scenario, SessionOptions]:
    """The offline scenario with what was not asked for filled in: as tuned, or as usual."""
    if not isinstance(scenario, Offline):
        return scenario, options
    changed: dict[str, int] = {}
    if not scenario.batch:
        changed["batch"] = OFFLINE_BATCH if tuned is None else tuned.batch
    if tuned is not None and not (scenario.sessions or options.threads):  # they belong together
        changed["sessions"] = tuned.sessions
        options = replace(options, threads=tuned.threads)
    return msgspec.structs.replace(scenario, **changed), options


def _title(scenario: Scenario) -> Any:
    return msgspec.to_builtins(scenario)["name"]


def _percentiles(title: str, effort: Effort) -> tuple[float, ...]:
    # Passes are few: their median is what throughput is said of.
    return (50.0,) if title == "offline" else effort.percentiles


def _measured(request: Request, *, doing: str) -> Answer:
    document: dict[str, Any] = call_fresh(CHILD, msgspec.to_builtins(request), doing=doing)
    del document["stderr"]
    return msgspec.convert(document, Answer)


def _check_going_on(answer: Answer) -> None:
    if answer.failure is not None:
        error = revive(answer.failure)
        if isinstance(error, StoppedError):
            raise error


def _fresh_times(values_ms: Sequence[float]) -> FreshTimes:
    return FreshTimes(median_ms=median(values_ms), values_ms=tuple(values_ms))


def _first_runs(answers: Sequence[Answer]) -> FreshTimes | None:
    values = [a.first_run_ms for a in answers if a.first_run_ms is not None]
    return _fresh_times(values) if values else None
