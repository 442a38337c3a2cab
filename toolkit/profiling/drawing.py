"""What charts are drawn of: numbers, scales, axes and lines of SVG."""

import math
from collections.abc import Callable, Iterable, Sequence
from itertools import pairwise

from toolkit.profiling.markup import Content, Markup, element

WIDTH, HEIGHT = 560, 240
LEFT, RIGHT, TOP, BOTTOM = 58, 16, 18, 40

Scale = Callable[[float], float]


def number(value: float | None, digits: int = 4) -> str:
    """A number with some significant digits, without an exponent where it can be read so."""
    if value is None:
        return ""
    if value == 0 or not math.isfinite(value):
        return f"{value:g}"
    decimals = max(0, digits - 1 - math.floor(math.log10(abs(value))))
    return f"{value:,.{min(decimals, 6)}f}"


def ticks(low: float, high: float, about: int = 6) -> list[float]:
    """Round numbers that divide a range.

    Source: P. Heckbert, "Nice numbers for graph labels", Graphics Gems, 1990.
    """
    if high <= low:
        return [low]
    rough = (high - low) / about
    power = 10.0 ** math.floor(math.log10(rough))
    step = power * min((1, 2, 5, 10), key=lambda nice: abs(nice - rough / power))
    first = math.ceil(low / step - 1e-9)
    return [i * step for i in range(first, math.floor(high / step + 1e-9) + 1)]


def svg(body: Iterable[Content], height: float, label: str) -> Markup:
    """A drawing that scrolls by itself where the page is too narrow to read it."""
    return element(
        "div",
        element(
            "svg",
            list(body),
            viewBox=f"0 0 {WIDTH} {height:.0f}",
            role="img",
            aria_label=label,
        ),
        class_="chart",
    )


def x_axis(
    places: Sequence[float], x: Scale, name: str, y: float = HEIGHT - BOTTOM
) -> list[Content]:
    """The horizontal axis with its numbers and its name."""
    body: list[Content] = [line(LEFT, y, WIDTH - RIGHT, y, "axis")]
    for place in places:
        body.append(line(x(place), y, x(place), y + 4, "axis"))
        body.append(text_at(_tick(place, places), x(place), y + 15, "middle"))
    body.append(text_at(name, WIDTH - RIGHT, y + 31, "end", "name"))
    return body


def y_axis(places: Sequence[float], y: Scale, name: str, height: float = HEIGHT) -> list[Content]:
    """The vertical axis with its numbers, its name and lines across."""
    body: list[Content] = [line(LEFT, TOP, LEFT, height - BOTTOM, "axis")]
    for place in places:
        body.append(line(LEFT, y(place), WIDTH - RIGHT, y(place), "grid"))
        body.append(text_at(_tick(place, places), LEFT - 7, y(place) + 4, "end"))
    body.append(text_at(name, 4, TOP - 6, "start", "name"))
    return body


def _tick(value: float, places: Sequence[float]) -> str:
    """Decimals that tell the places apart; on a logarithmic axis, those of the value."""
    if value and (abs(value) >= 1e6 or abs(value) < 1e-3):
        return f"{value:.0e}".replace("e+0", "e").replace("e-0", "e-")
    steps = [b - a for a, b in pairwise(places)]
    if not steps or max(steps) > 1.5 * min(steps):
        return f"{value:,.6g}"
    return f"{value:,.{max(0, -math.floor(math.log10(steps[0]) + 1e-9))}f}"


def decades(low: float, high: float) -> list[float]:
    """Powers of ten within a range."""
    return [10.0**i for i in range(math.ceil(math.log10(low)), math.floor(math.log10(high)) + 1)]


def ratio_ticks(low: float, high: float) -> list[float]:
    """Places of ratios: of equal steps where they are close, and else 1, 2, 5, 10."""
    if high / low < 3:
        return ticks(low, high)
    nice = [m * 10.0**e for e in range(-4, 5) for m in (1, 2, 5)]
    return [value for value in nice if low <= value <= high]


def logarithmic_ticks(low: float, high: float) -> list[float]:
    """Places on a logarithmic axis: 1, 2, 5, 10, or powers of ten alone where those are many."""
    lowest, highest = math.floor(math.log10(low)), math.ceil(math.log10(high))
    factors = (1, 2, 5) if highest - lowest <= 3 else (1,)
    nice = [factor * 10.0**e for e in range(lowest, highest + 1) for factor in factors]
    return [value for value in nice if low <= value <= high]


def linear(low: float, high: float, start: float, end: float) -> Scale:
    """A scale that takes one range to another."""
    span = (high - low) or 1.0
    return lambda value: start + (value - low) / span * (end - start)


def line(x1: float, y1: float, x2: float, y2: float, kind: str) -> Markup:
    """A line of a class of the style sheet."""
    ends = {"x1": x1, "y1": y1, "x2": x2, "y2": y2}
    return element("line", **{key: f"{at:.1f}" for key, at in ends.items()}, class_=kind)


def text_at(text: str, x: float, y: float, anchor: str, kind: str = "") -> Markup:
    """A text at a place."""
    return element(
        "text", text, x=f"{x:.1f}", y=f"{y:.1f}", text_anchor=anchor, class_=kind or None
    )


def shortened(text: str, most: int) -> str:
    """A text of so many letters at most, its middle left out: names differ at their ends."""
    if len(text) <= most:
        return text
    half = (most - 1) // 2
    return f"{text[: most - 1 - half]}…{text[-half:]}"
