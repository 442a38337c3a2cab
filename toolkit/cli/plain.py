"""A plain run of `toolkit profile`: measure, then print and write what was found."""

from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any

import typer

from toolkit.cli import details, profiled
from toolkit.errors import ToolkitError
from toolkit.progress import Progress

if TYPE_CHECKING:
    from toolkit.cli.comparison import Asked


def run(
    source: Path,
    typed: dict[str, Any],
    *,
    asked: "Asked",
    more: details.Details,
    as_json: bool,
    progress: Progress,
) -> None:
    """Profile once.

    What was measured is printed and written whatever fails after it.

    Args:
        source: The model.
        typed: Arguments of `profiling.profile`.
        asked: Baseline and result to repeat.
        more: Operators, resources, report and trace.
        as_json: Print the document.
        progress: Called with a line for each process.

    Raises:
        ToolkitError: See `profiling.profile`.
    """
    from toolkit import profiling

    asked.read_baseline()
    arguments = asked.replayed(profiling.profile, typed, source)
    more = asked.repeated(more)
    try:
        report = profiling.profile(source, **arguments, progress=progress)
    except profiling.MeasuredError as stopped:
        profiled.show(stopped.report, as_json=as_json)
        more.write(stopped.report.as_json(), latency=stopped.report.latency)
        raise
    if not as_json:
        profiled.show(report, as_json=False)
    p50 = details.plain_p50_ms(report)
    parts: dict[str, Any] = asked.replay_part(report.as_json())
    found, beside, failure = None, None, None
    try:
        beside = asked.beside(report.as_json())
        parts |= {"baseline": beside.as_json()} if beside else {}
        found = more.measure(source, arguments, report, progress=progress)
        parts |= found.as_json(plain_p50_ms=p50)
    except ToolkitError as error:
        failure = error
    if as_json:
        profiled.show(report, as_json=True, more=parts)
    else:
        profiled.show_replay(parts)
        if found is not None:
            found.show(plain_p50_ms=p50)
    more.write({**report.as_json(), **parts}, found, latency=report.latency)
    asked.judge(beside, as_json=as_json)
    if failure is not None:
        raise failure


def run_points(
    source: Path,
    typed: Mapping[str, Any],
    points: Sequence[Mapping[str, int]],
    *,
    as_json: bool,
    progress: Progress,
) -> None:
    """Profile at each point of a sweep, and print all of them together.

    Raises:
        ToolkitError: See `profiling.profile`.
    """
    from toolkit import profiling

    reports: list[profiling.ProfileReport] = []
    try:
        for point in points:
            progress(", ".join(f"{name}={size}" for name, size in point.items()))
            reports.append(
                profiling.profile(source, **{**typed, "sizes": point}, progress=progress)
            )
    except ToolkitError as stopped:
        if isinstance(stopped, profiling.MeasuredError):
            reports.append(stopped.report)
        if reports:
            profiled.show_points(points, reports, as_json=as_json)
        raise
    profiled.show_points(points, reports, as_json=as_json)


def check_points(
    points: Sequence[Mapping[str, int]], asked: "Asked", more: details.Details
) -> None:
    """Refuse beside a sweep what is about one size.

    Raises:
        typer.BadParameter: It was asked for.
    """
    if len(points) < 2:
        return
    given = {
        asked.doing: bool(asked.doing),
        "--baseline": asked.baseline is not None,
        "--operators": more.operators,
        "--resources": more.resources,
        "--report": more.report is not None,
        "--chrome-trace": more.trace is not None,
    }
    for name, is_given in given.items():
        if is_given:
            raise typer.BadParameter(
                f"it is about one size, and --shape gives {len(points)}", param_hint=name
            )
