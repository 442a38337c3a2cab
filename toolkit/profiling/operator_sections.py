"""The sections of a report on operators and on the roofline; see `sections`."""

from collections.abc import Sequence

from toolkit.profiling import charts
from toolkit.profiling.charts import Point
from toolkit.profiling.drawing import number
from toolkit.profiling.markup import Content, Markup, element, join
from toolkit.profiling.sections import Document, percent, section, size_text, table

NODES_SHOWN = 20
OPERATORS_SHOWN = 12


def operators(document: Document) -> Markup | None:
    """Shares by operator, provider and node."""
    found = document.get("operators")
    if not found:
        return None
    run = found["instrumented"]
    plain = run.get("plain_p50_ms")
    beside = f" The plain p50 is {number(plain)} ms." if plain else ""
    groups = found["by_operator"]
    rows = [
        (g["op"], g["share"], f"{percent(g['share'])}, {_counted(g['nodes'])}")
        for g in groups[:OPERATORS_SHOWN]
    ]
    rest = groups[OPERATORS_SHOWN:]
    if rest:
        share = sum(g["share"] for g in rest)
        nodes = sum(g["nodes"] for g in rest)
        rows.append((f"{len(rest)} other types", share, f"{percent(share)}, {_counted(nodes)}"))
    peak = found.get("arena_peak_bytes")
    return section(
        "Operators",
        element(
            "p",
            f"Shares of a separate, instrumented run ({run['runs']} runs, {run['threads']} "
            f"threads). Its time is not latency: a recorded run took {number(run['run_ms'])} ms, "
            f"of it {number(run['nodes_ms'])} ms inside of nodes.{beside}",
            class_="warning",
        ),
        element(
            "div",
            element("div", element("h3", "By operator type"), charts.shares(rows)),
            element(
                "div",
                element("h3", "By execution provider"),
                table(
                    ["provider", "nodes", "share"],
                    [
                        [g["provider"], g["nodes"], percent(g["share"])]
                        for g in found["by_provider"]
                    ],
                    numbers=(1, 2),
                ),
                element("p", f"Peak of the memory arena: {size_text(peak)}.") if peak else None,
                [element("p", note, class_="soft") for note in found["notes"]],
            ),
            class_="columns",
        ),
        element("h3", "By node, the slowest first"),
        _nodes(found["nodes"][:NODES_SHOWN]),
        _rest(found["nodes"][NODES_SHOWN:]),
    )


def roofline(document: Document) -> Markup | None:
    """Every node below the machine's measured peaks."""
    found = (document.get("operators") or {}).get("roofline")
    if not found:
        return None
    nodes = document["operators"]["nodes"]
    peaks, one = found["all_threads"], found["one_thread"]
    points = [
        Point(
            x=node["intensity"],
            y=node["gops"],
            size=node["share"] / max(n["share"] for n in nodes),
            kind=node["bound"] or "unknown",
            title=f"{node['name']} ({node['op']}): {number(node['intensity'], 3)} operations a "
            f"byte, {number(node['gops'], 3)} 10⁹ op/s, {percent(node['share'])} of the time",
        )
        for node in nodes
        if node.get("intensity") and node.get("gops")
    ]
    cache, memory = max(speed for _, speed in peaks["copy_gb_s"]), peaks["copy_gb_s"][-1][1]
    bounds = found["share_by_bound"]
    uncounted = found["not_counted"]
    attained = found["percent_of_roof"]
    reached = (
        "No node has a roof."
        if attained is None
        else f"Nodes with {percent(found['counted_share'])} of the time have a roof; together "
        f"they reach {attained:.0f} % of it."
    )
    return section(
        "Roofline",
        element("p", f"What nodes reach against this machine's measured peaks. {reached}"),
        element(
            "div",
            element(
                "div",
                charts.roofs(
                    points,
                    compute=[
                        (f"float32 {number(peaks['float32_gops'], 3)}", peaks["float32_gops"]),
                        (f"int8 {number(peaks['int8_gops'], 3)}", peaks["int8_gops"]),
                    ],
                    memory=[
                        (f"cache {number(cache, 3)} GB/s", cache),
                        (f"memory {number(memory, 3)} GB/s", memory),
                    ],
                ),
                element(
                    "p",
                    [
                        join([element("span", class_=f"key {kind}"), kind])
                        for kind in ("compute", "memory", "overhead")
                    ],
                    class_="soft",
                ),
            ),
            element(
                "div",
                element("h3", "What bounds the nodes"),
                table(
                    ["bound", "share of the time"],
                    [[bound, percent(share)] for bound, share in bounds.items()]
                    + [["not known", percent(max(1 - sum(bounds.values()), 0))]],
                    numbers=(1,),
                ),
                element("h3", "Measured peaks"),
                table(
                    ["", f"{peaks['threads']} threads", "1 thread"],
                    [
                        [f"{name}, {unit}", number(peaks[key], 4), number(one[key], 4)]
                        for name, key, unit in (
                            ("float32 product", "float32_gops", "10⁹ op/s"),
                            ("int8 product", "int8_gops", "10⁹ op/s"),
                        )
                    ]
                    + [
                        [
                            f"copy of {size_text(size)} a thread, GB/s",
                            number(every[1], 3),
                            number(alone[1], 3),
                        ]
                        for every, alone in zip(peaks["copy_gb_s"], one["copy_gb_s"], strict=True)
                        for size in [alone[0]]
                    ],
                    numbers=(1, 2),
                ),
            ),
            class_="columns",
        ),
        element("ul", [element("li", note) for note in found["notes"]], class_="soft"),
        element(
            "details",
            element("summary", f"What is not counted ({len(uncounted)} operator types)"),
            table(
                ["operator", "why", "share"],
                [[entry["op"], entry["why"], percent(entry["share"])] for entry in uncounted],
                numbers=(2,),
            ),
        )
        if uncounted
        else None,
    )


def _nodes(nodes: Sequence[Document]) -> Markup:
    has_roof = any("bound" in node for node in nodes)
    columns = ["node", "operator", "share", "ms", "memory of inputs", "outputs"]
    roof_columns = ["op/byte", "10⁹ op/s", "% of roof", "bound"] if has_roof else []
    rows: list[list[Content]] = []
    for node in nodes:
        calls = f" ({node['calls']} calls)" if node["calls"] > 1 else ""
        row: list[Content] = [
            f"{node['name']}{calls}",
            node["op"],
            percent(node["share"]),
            number(node["ms"], 3),
            size_text(node["activation_bytes"]),
            size_text(node["output_bytes"]),
        ]
        if has_roof:
            row += [
                number(node["intensity"], 3),
                number(node["gops"], 3),
                number(node["percent_of_roof"], 2),
                node["bound"] or node["not_counted"],
            ]
        rows.append(row)
    return table([*columns, *roof_columns], rows, numbers=range(2, 6 + 3 * has_roof))


def _rest(nodes: Sequence[Document]) -> Markup | None:
    if not nodes:
        return None
    return element("details", element("summary", f"{len(nodes)} more nodes"), _nodes(nodes))


def _counted(nodes: int) -> str:
    return f"{nodes} node{'' if nodes == 1 else 's'}"
