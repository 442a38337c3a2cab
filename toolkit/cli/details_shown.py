"""How `toolkit profile` prints operators and resources."""

from collections.abc import Iterable
from typing import TYPE_CHECKING

from toolkit.cli import output

if TYPE_CHECKING:
    from toolkit.profiling.operators import OperatorTimes
    from toolkit.profiling.recorded import RecordedRun
    from toolkit.profiling.resources import Resources
    from toolkit.profiling.roofline import NodeRoof, Roofline

SHOWN = 12
"""Rows of a table; --json and --report hold all."""


def show_operators(run: "RecordedRun", plain_p50_ms: float | None) -> None:
    times = run.times
    output.show_table(
        "operators",
        ["", "nodes", "share", "ms, instrumented"],
        [
            [group.name, group.nodes, f"{100 * group.share:.1f} %", f"{group.ms:.3f}"]
            for group in times.operators[:SHOWN]
        ],
    )
    _show_nodes(times, run.roofline)
    inside = f"of it {times.nodes_ms:.3f} ms inside of nodes: shares, not latency"
    plain = "" if plain_p50_ms is None else f"; the plain p50 is {plain_p50_ms:.3f} ms"
    lines = [("instruments", f"a recorded run took {times.run_ms:.3f} ms, {inside}{plain}")]
    for group in times.providers:
        share = f"{100 * group.share:.1f} % of the time"
        lines.append(("provider", f"{group.name}: {share}, {group.nodes} nodes"))
    if run.roofline is not None:
        lines += _roofline(run.roofline)
    _show_lines([*lines, *(("note", note) for note in times.notes)])


def show_resources(found: "Resources") -> None:
    def value(number: float | None, unit: str, field: str) -> str:
        if number is None:
            return f"not available: {found.why_not.get(field, 'the system does not tell')}"
        return f"{number:.4g} {unit}"

    gpus = "; ".join(
        f"{gpu.name}: {value(gpu.used_mb, 'MB', 'used_mb')} used"
        + ("" if gpu.utilization is None else f", {100 * gpu.utilization:.0f} % busy")
        for gpu in found.gpus or ()
    )
    busy = f"{found.cpu_utilization:.2f} cores kept busy, {found.threads} threads"
    lines = [
        ("memory", f"peak: {value(found.peak_rss_mb, 'MB', 'peak_rss_mb')}"),
        ("", f"proportional, after the runs: {value(found.steady.pss_mb, 'MB', 'pss_mb')}"),
        ("", f"added by the model: {value(found.model_load_mb, 'MB', 'model_load_mb')}"),
        ("CPU time", f"{found.cpu_ms_per_run:.4g} ms a run, {busy}"),
        ("energy", value(found.energy_joules_per_run, "J a run", "energy_joules_per_run")),
        ("GPU", gpus or value(None, "", "gpus")),
    ]
    _show_lines(lines)


def _show_nodes(times: "OperatorTimes", roof: "Roofline | None") -> None:
    from toolkit.profiling.sections import size_text

    nodes = times.nodes[:SHOWN]
    under: list[NodeRoof | None] = [None] * len(nodes) if roof is None else [*roof.nodes[:SHOWN]]
    rows = []
    for node, found in zip(nodes, under, strict=True):
        moved = (node.activation_bytes, node.output_bytes)
        memory = " / ".join(size_text(count) or "?" for count in moved)
        row = [node.name, node.op, f"{100 * node.share:.1f} %", f"{node.ms:.3f}", memory]
        if found is not None:
            row += [
                output.number(found.intensity, ".3g"),
                output.number(found.gops, ".4g"),
                output.number(found.percent, ".0f"),
                found.bound or found.work.why_not,
            ]
        rows.append(row)
    heads = ["", "operator", "share", "ms", "memory in / out"]
    if roof is not None:
        heads += ["op/byte", "10^9 op/s", "% of roof", "bound"]
    output.show_table(f"the slowest {len(rows)} of {len(times.nodes)} nodes", heads, rows)


def _roofline(roof: "Roofline") -> Iterable[tuple[str, str]]:
    peaks = roof.all_threads
    arithmetic = f"float32 {peaks.float32_gops:.4g}, int8 {peaks.int8_gops:.4g} 10^9 op/s"
    memory = f"memory {peaks.memory_gb_s:.3g} GB/s"
    yield "peaks", f"{arithmetic}, {memory}, measured on {peaks.threads} threads"
    bounds = ", ".join(f"{100 * share:.0f} % {bound}" for bound, share in roof.by_bound.items())
    reached = f"{output.number(roof.percent, '.0f') or '?'} % of the roof"
    counted = f"{100 * roof.counted_share:.0f} % of the time"
    yield "roofline", f"{reached} over {counted}; bound: {bounds or 'not known'}"
    for note in roof.notes:
        yield "note", note


def _show_lines(lines: Iterable[tuple[str, str]]) -> None:
    for name, text in lines:
        output.show_text(f"{name:>12}  {text}")
