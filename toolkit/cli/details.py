"""`toolkit profile`: operators, resources, report and trace, beside the latency."""

from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer

from toolkit.cli import output
from toolkit.progress import Progress

if TYPE_CHECKING:
    from toolkit.profiling import LatencyReport
    from toolkit.profiling.recorded import RecordedRun
    from toolkit.profiling.resources import Resources

OperatorsOption = Annotated[
    bool,
    typer.Option(
        "--operators",
        help="Where the time goes, by operator and node, and how close nodes come to this "
        "machine's measured peaks; from a separate, instrumented run.",
    ),
]
ResourcesOption = Annotated[
    bool,
    typer.Option("--resources", help="Memory, CPU time and energy of a separate process."),
]
ReportOption = Annotated[
    Path | None,
    typer.Option(
        "--report",
        help="Write one .html file with everything, operators and resources too.",
        show_default=False,
    ),
]
TraceOption = Annotated[
    Path | None,
    typer.Option(
        "--chrome-trace",
        help="Write the instrumented run as a .json file that ui.perfetto.dev opens.",
        show_default=False,
    ),
]

SHOWN = 12


@dataclass(frozen=True, kw_only=True)
class Details:
    """What was typed of it."""

    operators: bool
    resources: bool
    report: Path | None
    trace: Path | None
    force: bool

    def check(self, *, is_comparison: bool, is_tuning: bool) -> None:
        """Refuse what cannot be done before anything is measured.

        Raises:
            InputError: A file is there, or its folder is not.
            typer.BadParameter: A comparison cannot take it.
        """
        from toolkit.profiling.writing import check_writable

        one_model = {"--operators": self.operators, "--resources": self.resources}
        one_model["--chrome-trace"] = self.trace is not None
        one_model["--report"] = self.report is not None and is_tuning
        typed = [name for name, is_typed in one_model.items() if is_typed]
        if is_comparison and typed:
            raise typer.BadParameter(
                "it cannot be asked for together with " + ("--tune" if is_tuning else "--compare"),
                param_hint=typed[0],
            )

        for file in (self.report, self.trace):
            if file is not None:
                check_writable(file, force=self.force)

    def measure(
        self,
        source: Path,
        arguments: Mapping[str, Any],
        *,
        progress: Progress,
    ) -> "Found":
        """Measure what was asked for, each in a fresh process.

        Args:
            source: A model package, or an `.onnx` file.
            arguments: Those of `profiling.profile`.
            progress: Called with a line for each process.

        Raises:
            ToolkitError: See `record_run` and `measure_resources`.
        """
        recorded: RecordedRun | None = None
        weighed: Resources | None = None
        needs_recording = self.operators or self.report or self.trace
        needs_weighing = self.resources or self.report
        sizes, seed = arguments["sizes"], arguments["seed"]
        if needs_recording or needs_weighing:
            from toolkit.profiling.specification import open_model

            model = open_model(source, variant=arguments["variant"], options=arguments["options"])
        if needs_recording:
            from toolkit.profiling.recorded import record_run

            progress("an instrumented run, in a fresh process")
            peaks = self.operators or self.report is not None
            recorded = record_run(model, sizes=sizes, seed=seed, peaks=peaks)
        if needs_weighing:
            from toolkit.profiling.recorded import target
            from toolkit.profiling.resources import RUNS, WARMUP, measure_resources

            progress("memory and CPU time, in a fresh process")
            asked = target(model, sizes=sizes, seed=seed, runs=RUNS, warmup=WARMUP)
            weighed = measure_resources(asked, name=model.name)
        return Found(
            recorded=recorded,
            weighed=weighed,
            is_shown=self.operators or self.report is not None,
        )

    def write(
        self,
        document: Mapping[str, Any],
        found: "Found | None" = None,
        *,
        latency: "LatencyReport | None" = None,
    ) -> None:
        """Write the report and the trace that were asked for."""
        from toolkit.profiling.writing import write_text

        if self.trace is not None and found is not None and found.recorded is not None:
            import msgspec

            from toolkit.profiling.trace import chrome_trace

            run = found.recorded
            name = str(document["environment"]["model"])
            trace = chrome_trace(run.events, run.recording, name=name)
            self._say(self.trace, write_text(self.trace, msgspec.json.encode(trace).decode()))
        if self.report is not None:
            from toolkit.profiling.html import render

            page = render(document, histogram=() if latency is None else latency.histogram)
            self._say(self.report, write_text(self.report, page))

    @staticmethod
    def _say(file: Path, replaced: bool) -> None:
        output.say(f"  {'replaced' if replaced else 'wrote'} {file}")


@dataclass(frozen=True, kw_only=True)
class Found:
    """What was measured beside the latency."""

    recorded: "RecordedRun | None"
    weighed: "Resources | None"
    is_shown: bool

    def as_json(self, *, plain_p50_ms: float | None) -> dict[str, Any]:
        """What it adds to the document."""
        more: dict[str, Any] = {}
        if self.recorded is not None and self.is_shown:
            more["operators"] = self.recorded.as_json(plain_p50_ms=plain_p50_ms)
        if self.weighed is not None:
            more["resources"] = self.weighed.as_json()
        return more

    def show(self, *, plain_p50_ms: float | None) -> None:
        """Print it below the latency."""
        if self.recorded is not None and self.is_shown:
            _show_operators(self.recorded, plain_p50_ms)
        if self.weighed is not None:
            _show_resources(self.weighed)


def _show_operators(run: "RecordedRun", plain_p50_ms: float | None) -> None:
    times = run.times
    output.show_table(
        "operators",
        ["", "nodes", "share", "ms, instrumented"],
        [
            [group.name, group.nodes, f"{100 * group.share:.1f} %", f"{group.ms:.3f}"]
            for group in times.operators[:SHOWN]
        ],
    )
    roofs = {} if run.roofline is None else {id(r.node): r for r in run.roofline.nodes}
    rows = []
    for node in times.nodes[:SHOWN]:
        roof = roofs.get(id(node))
        percent = None if roof is None else roof.percent
        bound = "" if roof is None else roof.bound or roof.work.why_not
        rows.append(
            [
                node.name,
                node.op,
                f"{100 * node.share:.1f} %",
                f"{node.ms:.3f}",
                output.number(None if roof is None else roof.intensity, ".3g"),
                output.number(None if roof is None else roof.gops, ".4g"),
                output.number(percent, ".0f"),
                bound,
            ]
        )
    heads = ["", "operator", "share", "ms", "op/byte", "10^9 op/s", "% of roof", "bound"]
    output.show_table(f"the slowest {len(rows)} of {len(times.nodes)} nodes", heads, rows)
    plain = "" if plain_p50_ms is None else f"; the plain p50 is {plain_p50_ms:.3f} ms"
    lines = [
        (
            "instruments",
            (
                f"a recorded run took {times.run_ms:.3f} ms, of it {times.nodes_ms:.3f} ms inside of "
                f"nodes: shares, not latency{plain}"
            ),
        ),
        *(
            (
                "provider",
                f"{group.name}: {100 * group.share:.1f} % of the time, {group.nodes} nodes",
            )
            for group in times.providers
        ),
    ]
    if run.roofline is not None:
        roof_of, peaks = run.roofline, run.roofline.all_threads
        bounds = ", ".join(
            f"{100 * share:.0f} % {bound}" for bound, share in roof_of.by_bound.items()
        )
        lines += [
            (
                "peaks",
                (
                    f"float32 {peaks.float32_gops:.4g}, int8 {peaks.int8_gops:.4g} 10^9 op/s, memory "
                    f"{peaks.memory_gb_s:.3g} GB/s, measured on {peaks.threads} threads"
                ),
            ),
            (
                "roofline",
                (
                    f"{output.number(roof_of.percent, '.0f') or '?'} % of the roof over "
                    f"{100 * roof_of.counted_share:.0f} % of the time; bound: {bounds or 'not known'}"
                ),
            ),
            *(("note", note) for note in roof_of.notes),
        ]
    for name, text in [*lines, *(("note", note) for note in times.notes)]:
        output.show_text(f"{name:>12}  {text}")


def _show_resources(found: "Resources") -> None:
    def value(number: float | None, unit: str, field: str) -> str:
        if number is None:
            return f"not available: {found.why_not.get(field, 'the system does not tell')}"
        return f"{number:.4g} {unit}"

    steady = found.steady
    gpus = "; ".join(
        f"{gpu.name}: {gpu.used_mb:.0f} MB used"
        + ("" if gpu.utilization is None else f", {100 * gpu.utilization:.0f} % busy")
        for gpu in found.gpus or ()
    )
    for name, text in (
        ("memory", f"{value(found.peak_rss_mb, 'MB', 'peak_rss_mb')} at the peak"),
        ("", f"{value(steady.pss_mb, 'MB', 'pss_mb')} proportional after the runs"),
        ("", f"{value(found.model_load_mb, 'MB', 'model_load_mb')} added by the model"),
        (
            "CPU time",
            (
                f"{found.cpu_ms_per_run:.4g} ms a run, {found.cpu_utilization:.2f} cores kept busy, "
                f"{found.threads} threads"
            ),
        ),
        (
            "energy",
            f"{value(found.energy_joules_per_run, 'J', 'energy_joules_per_run')} a run"
            if found.energy_joules_per_run is not None
            else value(None, "", "energy_joules_per_run"),
        ),
        ("GPU", gpus or value(None, "", "gpus")),
    ):
        output.show_text(f"{name:>12}  {text}")
