"""A profile as one HTML file that needs no network and no script."""

from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

from toolkit.profiling import charts, operator_sections, sections
from toolkit.profiling.drawing import number
from toolkit.profiling.markup import Content, Markup, element
from toolkit.profiling.sections import facts, section, table
from toolkit.runtime.placement import operators_text

STYLE = Path(__file__).with_name("report.css")
POLICY = "default-src 'none'; style-src 'unsafe-inline'"
"""Tells the browser to fetch nothing at all, whatever a model's names may hold."""

Document = Mapping[str, Any]


def render(
    document: Document,
    *,
    histogram: Sequence[tuple[float, float, int]] = (),
) -> str:
    """The page.

    Args:
        document: What `toolkit profile --json` prints; sections whose part is missing are left out.
        histogram: (from_ms, to_ms, runs) a bar.
    """
    where: Document = document.get("environment", {})
    title = " ".join(filter(None, [str(where.get("model", "model")), where.get("variant")]))
    parts: list[Content] = [
        _head(document, title),
        _latency(document, histogram),
        sections.comparison(document),
        operator_sections.operators(document),
        operator_sections.roofline(document),
        facts("Session", document.get("session", {})),
        _placement(document),
        sections.resources(document),
        facts("Environment", where),
        facts("Settings", document.get("settings", {})),
    ]
    return framed(f"toolkit profile: {title}", parts)


def framed(title: str, parts: Sequence[Content]) -> str:
    """A whole page of its parts, which asks for nothing beside itself."""
    head = element(
        "head",
        element("meta", charset="utf-8"),
        element("meta", http_equiv="Content-Security-Policy", content=POLICY),
        element("meta", name="viewport", content="width=device-width, initial-scale=1"),
        element("meta", name="referrer", content="no-referrer"),
        element("title", title),
        element("style", Markup(STYLE.read_text())),
    )
    page = element("html", head, element("body", element("main", parts)), lang="en")
    return f"<!doctype html>\n{page}\n"


def _head(document: Document, title: str) -> Markup:
    where: Document = document.get("environment", {})
    shapes = where.get("shapes", {})
    line = ", ".join(
        str(part)
        for part in (
            document.get("scenario"),
            document.get("provider"),
            *(f"{name} {list(shape)}" for name, shape in shapes.items()),
            where.get("date"),
        )
        if part
    )
    latency: Document = document.get("latency_ms", {})
    intervals: Document = document.get("interval_95", {})
    needs: Document = document.get("interval_needs_samples", {})
    tiles: list[Content] = [
        _tile(
            f"{number(latency[name])} ms",
            name,
            _interval(intervals.get(name), "ms") or _needs(needs.get(name)),
        )
        for name in ("p50", "p99")
        if name in latency
    ]
    passes = _interval(document.get("throughput_interval_95"), "samples")
    for key, name, unit, below in (
        ("rate_per_s", "rate of queries", "/s", "as they arrived"),
        ("throughput_per_s", "throughput", "/s", passes or "samples"),
        ("peak_rss_mb", "peak memory", "MB", "of the measuring process"),
    ):
        if document.get(key) is not None:
            tiles.append(_tile(f"{number(document[key], 3)} {unit}", name, below))
    for key, name in (("session_creation_ms", "session creation"), ("first_run_ms", "first run")):
        found = document.get(key)
        if found:
            count = len(found["values"])
            tiles.append(
                _tile(f"{number(found['median'], 3)} ms", name, f"median of {count} processes")
            )
    failure = document.get("failure")
    return element(
        "header",
        element("h1", title),
        element("p", line, class_="soft"),
        element("p", f"The runs ended early: {failure}", class_="warning") if failure else None,
        element("div", tiles, class_="tiles") if tiles else None,
    )


def _tile(value: str, name: str, below: str) -> Markup:
    return element(
        "div",
        element("span", name),
        element("b", value),
        element("span", below) if below else None,
        class_="tile",
    )


def _latency(document: Document, histogram: Sequence[tuple[float, float, int]]) -> Markup | None:
    latency: Document = document.get("latency_ms", {})
    findings = document.get("findings", ())
    if "comparisons" in document or not (latency or findings):  # told beside the other ones
        return None
    intervals: Document = document.get("interval_95", {})
    needs: Document = document.get("interval_needs_samples", {})
    names = [n for n in dict.fromkeys([*latency, *needs]) if n.startswith("p")]
    rows: list[list[Content]] = [
        [
            name,
            number(latency.get(name)) or "not supported",
            _interval(intervals.get(name), "") or _needs(needs.get(name)),
        ]
        for name in [*names, "mean", "min", "max"]
        if name in latency or name in needs
    ]
    bounds = _bounds(document)
    whose = [document.get("interval_is_of"), _by_process(document.get("p50_by_process", ()))]
    drawn: list[Content] = []
    if histogram:
        marks = [(name, latency[name]) for name in ("p50", "p99") if name in latency]
        drawn += [element("h3", "Histogram"), charts.histogram(histogram, marks)]
    lines = _lines(document.get("curve", ()))
    if lines:
        drawn += [element("h3", "Over time"), charts.over_time(lines)]
    samples = document.get("samples")
    return section(
        "Latency" if latency else "Runs",
        element("p", f"{samples} runs after the warm-up.", class_="soft") if samples else None,
        element(
            "div",
            element(
                "div",
                table(["", "ms", "95 % interval"], rows, numbers=(1, 2)) if rows else None,
                table(["", "ms", "with 99 % confidence, of"], bounds, numbers=(1,))
                if bounds
                else None,
                element("p", f"The intervals are of {'; '.join(filter(None, whose))}.")
                if latency and any(whose)
                else None,
                element("ul", [element("li", text) for text in findings]) if findings else None,
            ),
            element("div", drawn) if drawn else None,
            class_="columns",
        ),
    )


def _bounds(document: Document) -> list[list[Content]]:
    """What p90 and p99 are at most, as MLPerf's early stopping states it."""
    bounds: Document = document.get("upper_bound_99", {})
    needs: Document = document.get("upper_bound_needs_samples", {})
    worth: Document = document.get("independent_samples", {})
    return [
        [
            f"{name} at most (early stopping)",
            number(bounds.get(name)) or "not supported",
            f"{worth.get(name, '')} independent runs"
            if name in bounds
            else f"needs {needs[name]} runs",
        ]
        for name in ("p90", "p99")
        if name in bounds or name in needs
    ]


def _by_process(medians_ms: Sequence[float]) -> str:
    if not medians_ms:
        return ""
    return "p50 by process: " + ", ".join(number(ms) for ms in medians_ms) + " ms"


def _lines(slices: Sequence[Document]) -> list[tuple[str, list[tuple[float, float]]]]:
    """A line for each percentile that any stretch of time supports, and one for the slowest run."""
    names = list(dict.fromkeys(name for part in slices for name in part["percentiles_ms"]))
    middles = [(part["from_s"] + part["to_s"]) / 2 for part in slices]
    lines = [
        (
            name,
            [
                (at, part["percentiles_ms"][name])
                for at, part in zip(middles, slices, strict=True)
                if name in part["percentiles_ms"]
            ],
        )
        for name in names
    ]
    if slices:
        slowest = [(at, part["max_ms"]) for at, part in zip(middles, slices, strict=True)]
        lines.append(("max", slowest))
    return lines


def _placement(document: Document) -> Markup | None:
    placed: Document = document.get("placement", {})
    if not placed:
        return None
    total = sum(placed.values()) or 1
    elsewhere: Document = document.get("elsewhere", {})
    return section(
        "Placement",
        element(
            "p",
            "Graph nodes by execution provider, as the session assigned them before its last "
            "fusions.",
            class_="soft",
        ),
        table(
            ["provider", "nodes", "share of the nodes"],
            [[name, count, f"{100 * count / total:.1f} %"] for name, count in placed.items()],
            numbers=(1, 2),
        ),
        element("p", f"Elsewhere: {operators_text(elsewhere)}.") if elsewhere else None,
    )


def _interval(interval: Sequence[float] | None, unit: str) -> str:
    if interval is None:
        return ""
    return f"{number(interval[0])} to {number(interval[1])} {unit}".strip()


def _needs(runs: int | None) -> str:
    return "" if runs is None else f"its interval needs {runs} runs"
