"""The report of a search as one HTML file: the front of size, latency and metric, and the table."""

import math
from collections.abc import Callable, Sequence
from pathlib import Path

from toolkit.errors import InputError
from toolkit.profiling.drawing import (
    BOTTOM,
    LEFT,
    RIGHT,
    TOP,
    WIDTH,
    line,
    linear,
    number,
    svg,
    text_at,
    ticks,
    x_axis,
    y_axis,
)
from toolkit.profiling.html import framed
from toolkit.profiling.markup import Content, Markup, element
from toolkit.profiling.sections import facts, section, table
from toolkit.quantize.report import Candidate, QuantizeReport

HEIGHT = 330
LETTER = 6.2
"""Width of a letter of a name in a chart, about."""

TIME = "time, of the parent's"

Value = Callable[[Candidate], float | None]


def render(report: QuantizeReport) -> str:
    """The page of a search, whether it kept a candidate or not."""
    title = f"{report.package.name}: quantized variants"
    measured = [c for c in (report.parent, *report.candidates) if _time(c) is not None]
    drawn: list[Content] = []
    if len(measured) > 1:
        drawn = [
            section(
                "What each costs",
                element("p", _legend(), class_="soft"),
                element(
                    "div",
                    element(
                        "div",
                        element("h3", "Size and latency"),
                        _scatter(measured, _megabytes, "MB", _time, TIME),
                    ),
                    element(
                        "div",
                        element("h3", _quality_name(report)),
                        _scatter(
                            [c for c in measured if _quality(report)(c) is not None],
                            _time,
                            TIME,
                            _quality(report),
                            _quality_name(report),
                            upwards=True,
                        ),
                    ),
                    class_="columns",
                ),
            )
        ]
    parts: list[Content] = [
        element("header", element("h1", title), element("p", _summary(report))),
        *drawn,
        section("Candidates", _table(report), _reasons(report)),
        facts("Limits", {name: getattr(report.limits, name) for name in _LIMITS}),
        facts("Calibration", report.calibration),
        facts("Environment", report.environment),
    ]
    return framed(f"toolkit quantize: {report.package.name}", parts)


def write(report: QuantizeReport, target: Path) -> None:
    """Write the page; until it is complete it has another name."""
    staged = target.with_name(f".{target.name}.new")
    try:
        staged.write_text(render(report), encoding="utf-8")
        staged.replace(target)
    finally:
        staged.unlink(missing_ok=True)


def check_target(target: Path) -> None:
    """Refuse a place where no page can be written, before a search of minutes.

    Raises:
        InputError: Its folder is missing, or it is a folder itself.
    """
    if target.is_dir() or not target.parent.is_dir():
        raise InputError(
            f"{target} is a folder" if target.is_dir() else f"{target.parent} is no folder",
            expected="a file in a folder that exists",
            fix="--report report.html",
        )


_LIMITS = ("max_drop", "min_agreement", "max_batch_flips", "max_perplexity_rise", "min_sqnr_db")


def _summary(report: QuantizeReport) -> str:
    if report.chosen:
        done = f"{report.chosen} was added"
    else:
        done = "No candidate kept every promise; nothing was added"
    early = f", ended early: {report.stopped}" if report.stopped else ""
    return (
        f"{done}. {len(report.candidates)} candidates in {report.seconds:.0f} s{early}; "
        f"{report.n} samples; best by {report.objective}."
    )


def _legend() -> list[Content]:
    return [
        element("span", "", class_="key compute"),
        "kept every promise",
        element("span", "", class_="key"),
        "missed a limit",
        element("span", "", class_="key beaten"),
        "given up: another is as small, and faster",
        element("span", "", class_="key memory"),
        "the parent",
        "; the line joins those of them that no other one beats in both. ",
        "A dashed edge: the time is that of a first, short look.",
    ]


def _megabytes(candidate: Candidate) -> float | None:
    return candidate.size_bytes / 1e6 or None


def _time(candidate: Candidate) -> float | None:
    """Of the parent's: medians of different candidates were measured under different load."""
    return 1.0 if candidate.precision == "fp32" else candidate.latency_ratio


def _quality(report: QuantizeReport) -> Value:
    if report.metric:
        return lambda c: None if c.metric is None else c.metric.value
    return lambda c: 1.0 if c.variant == report.parent.variant else c.agreement


def _quality_name(report: QuantizeReport) -> str:
    return report.metric.replace("_", " ") or (
        f"share of {report.agreement_of}" if report.is_of_outputs else "agreement with the parent"
    )


def _scatter(
    candidates: Sequence[Candidate],
    x_of: Value,
    x_name: str,
    y_of: Value,
    y_name: str,
    *,
    upwards: bool = False,
) -> Markup:
    """Candidates by two numbers, with the front of those that no other one beats in both."""
    points = [(x_of(c) or 0.0, y_of(c) or 0.0, c) for c in candidates]
    xs, ys = [p[0] for p in points], [p[1] for p in points]
    ends = [e for c in candidates if upwards and c.metric is not None for e in c.metric.interval_95]
    x_low, x_high = _room(xs)
    y_low, y_high = _room([*ys, *ends])
    x = linear(x_low, x_high, LEFT, WIDTH - RIGHT)
    y = linear(y_low, y_high, HEIGHT - BOTTOM, TOP)
    body: list[Content] = [
        *y_axis(ticks(y_low, y_high), y, y_name, HEIGHT),
        *x_axis(ticks(x_low, x_high), x, x_name, HEIGHT - BOTTOM),
    ]
    good = [point for point in points if _kind(point[2]) in {"compute", "memory"}]
    front = _front(good, upwards=upwards)
    body.append(
        element(
            "polyline", points=" ".join(f"{x(a):.1f},{y(b):.1f}" for a, b in front), class_="line"
        )
    )
    boxes: list[tuple[float, float, float]] = []
    for at, value, candidate in sorted(points, key=lambda p: p[1]):
        if upwards and candidate.metric is not None:
            low, high = candidate.metric.interval_95
            body.append(line(x(at), y(low), x(at), y(high), "axis"))
        body.append(
            element(
                "circle",
                element("title", f"{_name(candidate)}: {number(at)} {x_name}, {number(value)}"),
                cx=f"{x(at):.1f}",
                cy=f"{y(value):.1f}",
                r=6 if candidate.kept else 4.5,
                class_=f"node {_kind(candidate)}{' glimpsed' if candidate.first_look else ''}",
            )
        )
    for at, value, candidate in sorted(points, key=lambda p: (not p[2].kept, p[1])):
        body.append(_label(x(at), y(value), _name(candidate), candidate.kept, boxes))
    return svg(body, HEIGHT, f"{y_name} over {x_name}")


def _room(values: Sequence[float]) -> tuple[float, float]:
    low, high = min(values), max(values)
    space = (high - low) * 0.12 or abs(high) * 0.1 or 1.0
    return low - space, high + space


def _front(
    points: Sequence[tuple[float, float, Candidate]], *, upwards: bool
) -> list[tuple[float, float]]:
    """The points that no other one beats in both, from left to right."""
    found: list[tuple[float, float]] = []
    reached = -math.inf if upwards else math.inf
    for at, value, _ in sorted(points, key=lambda p: (p[0], -p[1] if upwards else p[1])):
        if value > reached if upwards else value < reached:
            found.append((at, value))
            reached = value
    return found


def _label(
    at: float, height: float, name: str, strong: bool, boxes: list[tuple[float, float, float]]
) -> Markup | None:
    """A name beside its point where it covers no other one; the rest are told on hovering."""
    width = len(name) * LETTER
    for left, base, anchor in (
        (at + 8, height + 4, "start"),
        (at - 8 - width, height + 4, "end"),
        (at + 4, height - 9, "start"),
        (at + 4, height + 16, "start"),
    ):
        is_inside = left >= LEFT and left + width <= WIDTH - 2
        is_free = all(
            abs(base - other) > 11 or left + width < start or left > end
            for start, end, other in boxes
        )
        if is_inside and is_free:
            boxes.append((left, left + width, base))
            place = left + width if anchor == "end" else left
            return text_at(name, place, base, anchor, "strong" if strong else "small")
    return None


def _name(candidate: Candidate) -> str:
    return candidate.method if candidate.kept or _kind(candidate) != "memory" else candidate.variant


def _kind(candidate: Candidate) -> str:
    """Its class in the style sheet."""
    if candidate.precision == "fp32":
        return "memory"
    if candidate.beaten_by:
        return "beaten"
    is_good = candidate.kept or candidate.why.endswith(" is better")
    return "compute" if is_good else ""


def _table(report: QuantizeReport) -> Markup:
    heads = [
        *("method", "MB", "p50, ms", "time / parent (95 %)", report.metric or "metric"),
        *("drop", _share_name(report), "flips", "change", "SQNR, dB"),
    ]
    rows: list[list[Content]] = [_row(c) for c in (report.parent, *report.candidates)]
    return table(heads, rows, numbers=range(1, 10))


def _share_name(report: QuantizeReport) -> str:
    return "within 10 %" if report.is_of_outputs else "agreement"


def _row(candidate: Candidate) -> list[Content]:
    interval = candidate.latency_ratio_95
    times = (
        f"{candidate.latency_ratio:.3f} ({interval[0]:.3f} to {interval[1]:.3f})"
        + (", first look" if candidate.first_look else "")
        if interval is not None and candidate.latency_ratio is not None
        else ""
    )
    return [
        element("b", _name(candidate), ", kept") if candidate.kept else _name(candidate),
        number(_megabytes(candidate)),
        number(candidate.latency_ms),
        times,
        "" if candidate.metric is None else str(candidate.metric),
        "" if candidate.drop is None else f"{candidate.drop:.4f}",
        "" if candidate.agreement is None else f"{candidate.agreement:.4f}",
        "" if candidate.most_flips is None else candidate.most_flips[1],
        number(candidate.largest_change, 2),
        number(candidate.sqnr_db, 3),
    ]


def _reasons(report: QuantizeReport) -> Markup:
    """Why each was kept or not, and what was left in float."""
    told = []
    for candidate in report.candidates:
        nodes = f" In float: {', '.join(candidate.kept_nodes)}." if candidate.kept_nodes else ""
        told.append(element("li", element("b", candidate.method), f": {candidate.why}.{nodes}"))
    return element("ul", told)
