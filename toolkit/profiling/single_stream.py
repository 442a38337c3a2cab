"""The single-stream scenario: one run after another, as an app with one user makes them."""

import warnings
from collections.abc import Mapping, Sequence
from dataclasses import asdict
from datetime import UTC, datetime
from pathlib import Path
from statistics import median
from typing import Any

import msgspec

from toolkit import __version__
from toolkit.errors import InputError, ToolkitWarning
from toolkit.machine import this_machine
from toolkit.package import ModelPackage
from toolkit.package.integrity import file_sha256
from toolkit.profiling.child import Answer, Request
from toolkit.profiling.report import (
    Environment,
    FreshTimes,
    ProfileReport,
    RunFailedError,
    Settings,
)
from toolkit.profiling.statistics import check_counts, summarize
from toolkit.progress import Progress, silent
from toolkit.runtime import SessionOptions
from toolkit.runtime.fresh import call_fresh, revive

CHILD = "toolkit.profiling.child"
RUNS = 400
"""Enough for the 95 % interval of p99, which needs 368."""


def profile(
    source: str | Path,
    *,
    options: SessionOptions | None = None,
    variant: str | None = None,
    runs: int = RUNS,
    warmup: int = 20,
    processes: int = 3,
    sizes: Mapping[str, int] | None = None,
    seed: int = 0,
    progress: Progress = silent,
) -> ProfileReport:
    """Latency of a package or a bare `.onnx` file, measured in fresh processes.

    The inputs are the package's reference inputs, repeated or cut to the sizes asked for, and
    otherwise random. The first axis is 1 when nothing says its size.

    Args:
        source: A model package, or an `.onnx` file.
        options: Provider, threads and the like; the CPU when not given.
        variant: The package's variant; the preferred one when not given.
        runs: Timed runs.
        warmup: Runs made and discarded before them, after the first run.
        processes: Fresh processes in which session creation and the first run are measured.
        sizes: Sizes by dimension name, or by `input:axis`.
        seed: Seed of random feeds.
        progress: Called with a line for each process.

    Raises:
        RunFailedError: The model failed on a run; the report holds what was measured until then.
        InputError: The source is missing or damaged, a size is missing, or `runs` is not positive.
        SetupError: The provider cannot run here.
    """
    check_counts(warmup=warmup, runs=runs)
    if processes < 1:
        raise InputError(f"{processes} processes measure nothing", expected="one or more")
    options = options or SessionOptions()
    name, model, variant_name, config, reference = _opened(Path(source), variant)
    given = {**asdict(options), "provider": str(options.provider)}
    request = Request(
        model=str(model),
        options={**given, "provider_options": dict(options.provider_options)},
        config=config,
        reference=str(reference or ""),
        sizes=dict(sizes or {}),
        seed=seed,
        warmup=warmup,
        runs=runs,
    )
    progress(f"{runs} runs after {warmup} of warm-up, in a fresh process")
    measured = _measured(request, doing=f"measuring {name}")
    answers = [measured]
    for position in range(1, processes if measured.first_run_ms is not None else 1):
        progress(f"session creation and first run, fresh process {position + 1} of {processes}")
        start_only = msgspec.structs.replace(request, warmup=0, runs=0)
        with warnings.catch_warnings():
            warnings.simplefilter("ignore", ToolkitWarning)  # the first process has given it
            answers.append(_measured(start_only, doing=f"starting {name}"))
    report = ProfileReport(
        scenario="single-stream",
        latency=summarize(measured.times_ns) if measured.times_ns else None,
        samples_per_run=measured.samples_per_run,
        session_creation=_fresh_times([a.creation_ms for a in answers]),
        first_run=_first_runs(answers),
        peak_rss_mb=measured.peak_rss_mb,
        provider=measured.provider,
        placement=measured.placement,
        settings=Settings(
            runs=runs,
            warmup=warmup,
            processes=processes,
            sizes=dict(sizes or {}),
            seed=seed,
            **request.options,
        ),
        environment=Environment(
            model=name,
            variant=variant_name,
            sha256=file_sha256(model),
            shapes=measured.shapes,
            inputs="reference" if measured.reference_used else "random",
            machine=this_machine(),
            toolkit=__version__,
            date=datetime.now(UTC).isoformat(timespec="seconds"),
        ),
        failure=measured.failure["problem"] if measured.failure else "",
    )
    if measured.failure:
        error = revive(measured.failure)
        made = len(measured.times_ns)
        raise RunFailedError(
            f"{error.problem}, after {made} of {runs} timed runs",
            report=report,
            expected=error.expected,
            fix=error.fix,
        )
    return report


def _opened(path: Path, variant: str | None) -> tuple[str, Path, str, dict[str, str], Path | None]:
    """Name, model file, variant, session configuration and reference inputs of a source."""
    if path.suffix == ".onnx":
        if variant is not None:
            raise InputError(
                f"{path} is a bare model: it has no variant {variant!r}",
                expected="a model package",
                fix="leave --variant out",
            )
        if not path.is_file():
            raise InputError(f"the model {path} does not exist", expected="an .onnx file")
        return path.name, path, "", {}, None
    package = ModelPackage.open(path)
    chosen = package.variant(variant)
    folder = package.asset("reference")
    file = None if folder is None else folder / "inputs.npz"
    reference = file if file is not None and file.is_file() else None
    model = package.verified(chosen)
    return path.name, model, chosen.name, chosen.session_options, reference


def _measured(request: Request, *, doing: str) -> Answer:
    document: dict[str, Any] = call_fresh(CHILD, msgspec.to_builtins(request), doing=doing)
    del document["stderr"]
    return msgspec.convert(document, Answer)


def _fresh_times(values_ms: Sequence[float]) -> FreshTimes:
    return FreshTimes(median_ms=median(values_ms), values_ms=tuple(values_ms))


def _first_runs(answers: Sequence[Answer]) -> FreshTimes | None:
    values = [a.first_run_ms for a in answers if a.first_run_ms is not None]
    return _fresh_times(values) if values else None
