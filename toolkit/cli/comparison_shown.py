"""How comparisons and tuning read on a terminal."""

from collections.abc import Mapping
from typing import TYPE_CHECKING, Any

from toolkit.cli import output, profiled

if TYPE_CHECKING:
    from toolkit.profiling.compare import ComparisonEndedError
    from toolkit.profiling.comparison_report import ComparisonReport
    from toolkit.profiling.tuning_report import TuneReport


def show_comparison(report: "ComparisonReport", parts: Mapping[str, Any], *, as_json: bool) -> None:
    """Print a comparison; `parts` go into the document beside it."""
    if as_json:
        output.show_json({**report.as_json(), **parts})
        return
    rows = [[report.subject, f"{report.latency_ms:.3f}", "", ""]]
    for beside in report.besides:
        low, high = beside.interval.low, beside.interval.high
        ratio = f"{beside.interval.ratio:.3f} ({low:.3f} to {high:.3f})"
        rows.append([beside.name, f"{beside.latency_ms:.3f}", ratio, beside.word])
    heads = ["", "median, ms", f"{report.subject} over it (95 % interval)", "it is"]
    output.show_table(f"{report.subject}, comparison", heads, rows)
    for beside in report.besides:
        output.show_text(beside.sentence)
    shapes = ", ".join(f"{name} {list(shape)}" for name, shape in report.shapes.items())
    load = "" if report.load_average is None else f", load {report.load_average:.1f} before"
    for name, text in (
        ("measured", f"{report.pairs} pairs in {report.rounds} rounds of new processes, "),
        ("inputs", f"{shapes} ({report.inputs}, seed {report.settings['seed']})"),
        ("machine", report.machine.as_line() + load),
        ("model", f"sha256 {report.sha256[:16]}, {report.date}"),
    ):
        told = f"{text}{report.seconds:.0f} s" if name == "measured" else text
        output.show_text(f"{name:>12}  {told}")
    for name, facts in report.facts.items():
        if "session" in facts:
            output.show_text(f"{'session':>12}  {name}: {session_line(facts['session'])}")
    for note in report.notes:
        output.show_text(f"{'note':>12}  {note}")
    profiled.show_replay(parts)


def show_so_far(stopped: "ComparisonEndedError", *, as_json: bool) -> None:
    """Print what was measured until it ended."""
    if as_json:
        output.show_json(
            {
                "scenario": "comparison",
                "comparisons": [],
                "measured": dict(stopped.measured),
                "failure": stopped.problem,
            }
        )
        return
    rows = [
        [name, entry["turns"], f"{entry['p50_ms']:.3f}"] for name, entry in stopped.measured.items()
    ]
    heads = ["", "turns", "median, ms"]
    output.show_table("comparison, until it ended: no verdict", heads, rows)


def session_line(document: Mapping[str, Any]) -> str:
    """Session options in force, from a document."""
    import msgspec

    from toolkit.profiling.in_force import InForce

    return msgspec.convert(document, InForce).as_line()


def show_tuning(report: "TuneReport", *, as_json: bool) -> None:
    """Print what tuning found."""
    if as_json:
        output.show_json(report.as_json())
        return
    rows = [
        [
            tried.stage,
            ", ".join(f"{key}={value}" for key, value in tried.settings.items()),
            f"{tried.speed:.3f} ({tried.interval_95[0]:.3f} to {tried.interval_95[1]:.3f})",
        ]
        for tried in report.tried
    ]
    heads = ["", "settings", "defaults over it (95 % interval)"]
    output.show_table(f"{report.package} {report.variant}, tuning", heads, rows)
    output.show_text(report.sentence)
    if report.batch is not None:
        output.show_text(
            f"most throughput: batches of {report.batch}, sessions: {report.sessions}, threads of "
            f"each: {report.session_threads}; infer, Model.batch and --scenario offline take them"
        )
