"""Charts as SVG elements, colored by the page's style sheet.

Written by hand: matplotlib takes some 60 MB and belongs to the extra `train`, while a profile has
to work on a device with the core alone. Of the light ones, pygal's output fetches a script from a
network unless told otherwise, and svgwrite writes elements, not charts, and is no longer developed.
Five charts of lines and boxes are what is needed.
"""

import math
from collections.abc import Sequence
from dataclasses import dataclass

from toolkit.profiling.drawing import (
    BOTTOM,
    HEIGHT,
    LEFT,
    RIGHT,
    TOP,
    WIDTH,
    Scale,
    decades,
    line,
    linear,
    logarithmic_ticks,
    number,
    ratio_ticks,
    shortened,
    svg,
    text_at,
    ticks,
    x_axis,
    y_axis,
)
from toolkit.profiling.markup import Content, Markup, element

ROW = 26
"""Height of a row of bars."""

NAMED_ROW = 40
"""Height of a row below its name."""

MOST_LETTERS = 84
"""Of a name above a row; the width of the chart."""

WIDE = 4
"""Times over time are drawn on a logarithmic axis where the slowest is so many times the fastest:
one slow run would press all lines together."""


@dataclass(frozen=True, kw_only=True)
class Point:
    """A mark in a chart of two logarithmic axes.

    Attributes:
        x: Above 0.
        y: Above 0.
        size: Area of the mark, 0 to 1.
        kind: Class in the style sheet.
        title: Shown where the pointer rests.
    """

    x: float
    y: float
    size: float
    kind: str
    title: str


@dataclass(frozen=True, kw_only=True)
class Interval:
    """A row of a forest plot.

    Attributes:
        name: Of the row.
        value: Its estimate.
        low: Lower end of the interval.
        high: Upper end; None where it has none.
        kind: Class in the style sheet.
    """

    name: str
    value: float
    low: float
    high: float | None
    kind: str


def histogram(
    bars: Sequence[tuple[float, float, int]], marks: Sequence[tuple[str, float]]
) -> Markup:
    """Runs by latency; the last bar holds every slower run, and says so where it is wider.

    Args:
        bars: (from, to, runs), of one width but for the last.
        marks: Names and places of lines across it, such as percentiles.
    """
    width = bars[0][1] - bars[0][0]
    slower = bars[-1] if len(bars) > 1 and bars[-1][1] - bars[-1][0] > 1.5 * width else None
    low = bars[0][0]
    high = slower[0] + width * 1.6 if slower else bars[-1][1]
    most = max(count for _, _, count in bars)
    x, y = linear(low, high, LEFT, WIDTH - RIGHT), linear(0, most * 1.15, HEIGHT - BOTTOM, TOP)
    body: list[Content] = [*y_axis(ticks(0, most, 4), y, "runs")]
    body += x_axis([t for t in ticks(low, high) if slower is None or t <= slower[0]], x, "ms")
    for start, end, count in bars:
        is_tail = (start, end, count) == slower
        left, right = x(start), x(start + width * 1.6 if is_tail else end)
        body.append(
            element(
                "rect",
                element("title", f"{number(start)} to {number(end)} ms: {count} runs"),
                x=f"{left + 0.5:.1f}",
                y=f"{y(count):.1f}",
                width=f"{max(right - left - 1, 1):.1f}",
                height=f"{y(0) - y(count):.1f}",
                class_="bar tail" if is_tail else "bar",
            )
        )
    if slower:
        middle = x(slower[0] + width * 0.8)
        body.append(text_at(f"to {number(slower[1], 3)}", middle, HEIGHT - BOTTOM + 15, "middle"))
    height = TOP + 4
    for name, place in marks:
        is_within = place <= (slower[0] if slower else high)
        at = x(place if is_within else high)
        body.append(line(at, TOP, at, HEIGHT - BOTTOM, "mark" if is_within else "mark beyond"))
        is_right = at > WIDTH - RIGHT - 60
        anchor, beside = ("end", at - 3) if is_right else ("start", at + 3)
        told = name if is_within else f"{name} is {number(place, 3)} ms, beyond this axis →"
        body.append(text_at(told, beside, height + 4, anchor, "strong"))
        height += 13
    return svg(body, HEIGHT, "Histogram of latency")


def over_time(lines: Sequence[tuple[str, Sequence[tuple[float, float]]]]) -> Markup:
    """Latency over time, a line for each percentile.

    Args:
        lines: Names with their (seconds, ms) in order; the first one is drawn strongest.
    """
    xs = [x for _, points in lines for x, _ in points]
    ys = [y for _, points in lines for _, y in points]
    right = WIDTH - RIGHT - 34  # room for the names
    x = linear(0, max(xs), LEFT, right)
    if min(ys) > 0 and max(ys) > WIDE * min(ys):
        low, high = min(ys) / 1.15, max(ys) * 1.15
        scale = linear(math.log(low), math.log(high), HEIGHT - BOTTOM, TOP)
        y: Scale = lambda ms: scale(math.log(ms))  # noqa: E731
        places, unit = logarithmic_ticks(low, high), "ms, logarithmic"
    else:
        space = (max(ys) - min(ys)) * 0.1 or max(ys) * 0.1 or 1.0
        low, high = max(min(ys) - space, 0), max(ys) + space
        y = linear(low, high, HEIGHT - BOTTOM, TOP)
        places, unit = ticks(low, high, 4), "ms"
    body = [*y_axis(places, y, unit), *x_axis(ticks(0, max(xs)), x, "seconds")]
    previous = math.inf
    for position, (name, points) in enumerate(lines):
        body.append(
            element(
                "polyline",
                element("title", name),
                points=" ".join(f"{x(at):.1f},{y(ms):.1f}" for at, ms in points),
                class_="line" if position == 0 else "line other",
            )
        )
        # Names stand above each other even where the lines run together.
        place = min(y(points[-1][1]) + 4, previous - 12)
        body.append(text_at(name, x(points[-1][0]) + 5, place, "start", "small"))
        previous = place
    return svg(body, HEIGHT, "Latency over time")


def forest(rows: Sequence[Interval]) -> Markup:
    """Ratios with their intervals around the line of no difference."""
    ends = [end for row in rows for end in (row.low, row.value, row.high) if end is not None]
    # Ratios are symmetric on a logarithmic axis: twice as fast is as far as twice as slow.
    low, high = min([*ends, 0.95]) / 1.05, max([*ends, 1.05]) * 1.05
    scale = linear(math.log(low), math.log(high), LEFT, WIDTH - RIGHT - 10)
    height = TOP + NAMED_ROW * len(rows) + BOTTOM

    def x(ratio: float) -> float:
        return scale(math.log(ratio))

    bottom = TOP + NAMED_ROW * len(rows)
    body: list[Content] = [*x_axis(ratio_ticks(low, high), x, "times its latency", bottom)]
    body.append(line(x(1), TOP - 4, x(1), bottom, "one"))
    for position, row in enumerate(rows):
        top = TOP + NAMED_ROW * position
        y = top + 0.7 * NAMED_ROW
        end = high if row.high is None else row.high
        told = f"{row.value:.3f} ({row.low:.3f} to {'?' if row.high is None else f'{end:.3f}'})"
        body += [
            text_at(shortened(row.name, MOST_LETTERS), LEFT, top + 12, "start", "strong"),
            line(x(row.low), y, x(end), y, f"interval {row.kind}"),
            line(x(row.low), y - 5, x(row.low), y + 5, f"interval {row.kind}"),
            None
            if row.high is None
            else line(x(end), y - 5, x(end), y + 5, f"interval {row.kind}"),
            element(
                "rect",
                element("title", f"{row.name}: {told}"),
                x=f"{x(row.value) - 4.5:.1f}",
                y=f"{y - 4.5:.1f}",
                width=9,
                height=9,
                class_=f"estimate {row.kind}",
            ),
        ]
    return svg(body, height, "Ratios with 95 % intervals")


def shares(rows: Sequence[tuple[str, float, str]]) -> Markup:
    """Horizontal bars of shares of one whole.

    Args:
        rows: (name, share from 0 to 1, what stands behind the bar).
    """
    most = max((share for _, share, _ in rows), default=1.0) or 1.0
    left, right = 180, 120
    height = TOP + ROW * len(rows) + 6
    x = linear(0, most, left, WIDTH - right)
    body: list[Content] = []
    for position, (name, share, text) in enumerate(rows):
        y = TOP + ROW * position
        body += [
            text_at(shortened(name, 25), left - 8, y + ROW / 2 + 2, "end"),
            element(
                "rect",
                element("title", f"{name}: {text}"),
                x=left,
                y=f"{y + 3:.1f}",
                width=f"{max(x(share) - left, 1):.1f}",
                height=ROW - 9,
                class_="bar",
            ),
            text_at(text, x(share) + 6, y + ROW / 2 + 2, "start"),
        ]
    return svg(body, height, "Shares of the time")


def roofs(
    points: Sequence[Point],
    *,
    compute: Sequence[tuple[str, float]],
    memory: Sequence[tuple[str, float]],
) -> Markup:
    """Operations a second over operations a byte, both logarithmic, below the machine's roofs.

    Args:
        points: Nodes: x is operations a byte, y 10^9 operations a second.
        compute: (name, 10^9 operations a second).
        memory: (name, 10^9 bytes a second).
    """
    height = 340
    xs = [p.x for p in points] or [1.0]
    ys = [p.y for p in points] or [1.0]
    top = max(peak for _, peak in compute) * 1.8
    x_low, x_high = min([*xs, 0.25]) / 2, max([*xs, compute[0][1] / memory[-1][1]]) * 4
    y_low = min([*ys, top / 1e4]) / 2
    to_x = linear(math.log10(x_low), math.log10(x_high), LEFT, WIDTH - RIGHT)
    to_y = linear(math.log10(y_low), math.log10(top), height - BOTTOM, TOP)

    def x(value: float) -> float:
        return to_x(math.log10(value))

    def y(value: float) -> float:
        return to_y(math.log10(value))

    body: list[Content] = [
        *y_axis(decades(y_low, top), y, "10⁹ op/s", height),
        *x_axis(decades(x_low, x_high), x, "operations a byte", height - BOTTOM),
    ]
    highest = max(peak for _, peak in compute)
    for name, speed in memory:
        end = min(highest / speed, x_high)
        start = max(x_low, y_low / speed)
        body.append(line(x(start), y(start * speed), x(end), y(end * speed), "roof memory"))
        middle = math.sqrt(start * end)
        body.append(text_at(name, x(middle) - 4, y(middle * speed) - 5, "end", "small"))
    fastest = max(speed for _, speed in memory)
    for name, peak in compute:
        start = max(peak / fastest, x_low)
        body.append(line(x(start), y(peak), x(x_high), y(peak), "roof"))
        body.append(text_at(name, WIDTH - RIGHT, y(peak) - 5, "end", "small"))
    body += [
        element(
            "circle",
            element("title", point.title),
            cx=f"{x(point.x):.1f}",
            cy=f"{y(point.y):.1f}",
            r=f"{3 + 9 * math.sqrt(point.size):.1f}",
            class_=f"node {point.kind}",
        )
        for point in points
    ]
    return svg(body, height, "Roofline")
