"""The sections of a report on comparison, resources and environment, and what all are made of.

Each takes its part of the document that `--json` prints, so that a page can be made of a result
that was stored, and shows what is there.
"""

from collections.abc import Mapping, Sequence
from typing import Any

from toolkit.profiling import charts
from toolkit.profiling.charts import Interval
from toolkit.profiling.drawing import number
from toolkit.profiling.markup import Content, Markup, element

Document = Mapping[str, Any]


def table(
    columns: Sequence[str], rows: Sequence[Sequence[Content]], *, numbers: Sequence[int] = ()
) -> Markup:
    """A table that scrolls by itself where it is wider than the page.

    Args:
        columns: The heads.
        rows: Cells.
        numbers: Columns that stand to the right.
    """
    kinds = ["n" if i in numbers else None for i in range(len(columns))]
    head = element(
        "tr",
        [
            element("th", name, class_=k, scope="col")
            for name, k in zip(columns, kinds, strict=True)
        ],
    )
    body = [
        element(
            "tr",
            [
                element("td", cell, class_=kind or ("name" if i == 0 else None))
                for i, (cell, kind) in enumerate(zip(row, kinds, strict=True))
            ],
        )
        for row in rows
    ]
    return element(
        "div",
        element("table", element("thead", head), element("tbody", body)),
        class_="scroll",
    )


def section(title: str, *content: Content | Sequence[Content]) -> Markup:
    """A part of the page under its heading."""
    return element("section", element("h2", title), *content)


def comparison(document: Document) -> Markup | None:
    """Forest plot and sentences of a comparison."""
    found = document.get("comparisons")
    if not found:
        return None
    subject = document.get("subject", "the model")
    own = number(document.get("latency_ms", {}).get("p50"))
    medians: list[list[Content]] = [[subject, own, "", "", ""]]
    medians += [
        [
            entry["beside"],
            number(entry.get("latency_ms", {}).get("p50")),
            number(entry["ratio"]),
            _ends(entry["interval_95"]),
            entry["verdict"],
        ]
        for entry in found
    ]
    heads = ["", "median, ms", f"{subject} over it", "95 % interval", "it is"]
    rows = [
        Interval(
            name=entry["beside"],
            value=entry["ratio"],
            low=entry["interval_95"][0],
            high=entry["interval_95"][1],
            kind=entry["verdict"] if entry["verdict"] in {"faster", "slower"} else "unsure",
        )
        for entry in found
    ]
    return section(
        "Comparison",
        element(
            "p",
            f"Latency of {subject} as a multiple of each other one's, with the 95 % interval. Left "
            f"of 1, {subject} is faster; an interval that holds 1 cannot tell.",
            class_="soft",
        ),
        table(heads, medians, numbers=(1, 2, 3)),
        element("p", _measured(document), class_="soft"),
        charts.forest(rows),
        element("ul", [element("li", entry["sentence"]) for entry in found]),
        element("ul", [element("li", note) for note in document.get("notes", ())])
        if document.get("notes")
        else None,
        _contenders(document),
    )


def _measured(document: Document) -> str | None:
    if "pairs" not in document:
        return None
    return (
        f"{document['pairs']} turns of each in {document['rounds']} rounds of new processes, "
        f"{document['seconds']:.0f} s."
    )


def _contenders(document: Document) -> Markup | None:
    """What each contender said of itself: its session options above all."""
    told: Document = document.get("contenders", {})
    rows = [
        [name, _plain({key: value for key, value in facts.items() if key not in _DIGESTS})]
        for name, facts in told.items()
    ]
    if not rows:
        return None
    heading = element("h3", "What each ran with")
    return element("div", heading, table(["", ""], rows))


_DIGESTS = {"sha256", "package_sha256"}


def _ends(interval: Sequence[float | None]) -> str:
    return " to ".join(number(end) or "?" for end in interval)


def resources(document: Document) -> Markup | None:
    """Memory, CPU time and energy."""
    found = document.get("resources")
    if not found:
        return None
    why = found["why_not"]

    def cell(value: float | None, unit: str, field: str) -> str:
        return why.get(field, "not known") if value is None else f"{number(value)} {unit}"

    stages = [(name, found[name]) for name in ("empty", "loaded", "steady")]
    gpus = [
        [
            f"GPU memory, utilization: {gpu['name']}",
            f"{cell(gpu['process_mb'], 'MB', '')} of {number(gpu['used_mb'])} MB used; "
            + ("not known" if gpu["utilization"] is None else percent(gpu["utilization"])),
        ]
        for gpu in found["gpus"] or ()
    ] or [["GPU", why.get("gpus", "none")]]
    return section(
        "Resources",
        element(
            "p",
            f"Of a fresh process without instruments, over {found['runs']} runs on "
            f"{found['threads']} threads.",
            class_="soft",
        ),
        element(
            "div",
            table(
                ["memory, MB", "resident", "proportional", "unique"],
                [
                    [
                        {
                            "empty": "libraries, no model",
                            "loaded": "after session creation",
                            "steady": "after the runs",
                        }[name],
                        *(number(memory[key]) for key in ("rss_mb", "pss_mb", "uss_mb")),
                    ]
                    for name, memory in stages
                ],
                numbers=(1, 2, 3),
            ),
            table(
                ["", ""],
                [
                    ["peak resident memory", cell(found["peak_rss_mb"], "MB", "peak_rss_mb")],
                    ["added by the model", cell(found["model_load_mb"], "MB", "model_load_mb")],
                    ["model file", f"{number(found['model_file_mb'])} MB"],
                    ["CPU time of a run", f"{number(found['cpu_ms_per_run'])} ms"],
                    ["cores kept busy", number(found["cpu_utilization"], 3)],
                    [
                        "energy of a run, whole processor",
                        cell(found["energy_joules_per_run"], "J", "energy_joules_per_run"),
                    ],
                    *gpus,
                ],
            ),
            class_="columns",
        ),
    )


def facts(title: str, values: Document) -> Markup | None:
    """Names and values, as they stand in the document."""
    rows = [
        [key.replace("_", " "), _plain(value)]
        for key, value in values.items()
        if not _is_empty(value)
    ]
    return section(title, table(["", ""], rows)) if rows else None


def percent(share: float) -> str:
    """A share from 0 to 1 in percent."""
    return f"{100 * share:.1f} %"


def size_text(size: int | None) -> str:
    """A number of bytes as people say it; empty for None."""
    if size is None:
        return ""
    for unit, factor in (("GB", 1e9), ("MB", 1e6), ("kB", 1e3)):
        if size >= factor:
            return f"{size / factor:.3g} {unit}"
    return f"{size} B"


def _is_empty(value: Any) -> bool:
    if isinstance(value, Mapping):
        return all(_is_empty(entry) for entry in value.values())
    return value is None or value in ("", [], ())


def _plain(value: Any) -> str:
    if isinstance(value, Mapping):
        return ", ".join(
            f"{key} {_plain(entry)}" for key, entry in value.items() if not _is_empty(entry)
        )
    if isinstance(value, (list, tuple)):
        listed = ", ".join(_plain(entry) for entry in value)
        return f"[{listed}]" if all(isinstance(entry, int) for entry in value) else listed
    if isinstance(value, bool):
        return "yes" if value else "no"
    return number(value, 6) if isinstance(value, float) else str(value)
