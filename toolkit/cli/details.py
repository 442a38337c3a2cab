"""`toolkit profile`: operators, resources, report and trace, beside the latency."""

from collections.abc import Mapping
from dataclasses import dataclass, replace
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer

from toolkit.cli import output
from toolkit.cli.details_shown import show_operators, show_resources
from toolkit.progress import Progress

if TYPE_CHECKING:
    from toolkit.profiling import LatencyReport, ProfileReport
    from toolkit.profiling.queries import Given
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


@dataclass(frozen=True, kw_only=True)
class Details:
    """What was typed of it."""

    operators: bool
    resources: bool
    report: Path | None
    trace: Path | None
    force: bool

    def check(self) -> None:
        """Refuse what cannot be written before anything is measured.

        Raises:
            typer.BadParameter: A name has not the ending of what is written.
            InputError: A file is there, or its folder is not.
        """
        from toolkit.profiling.writing import check_writable

        endings = (("--report", self.report, ".html"), ("--chrome-trace", self.trace, ".json"))
        for name, file, ending in endings:
            if file is not None and file.suffix.lower() != ending:
                raise typer.BadParameter(
                    f"{file} does not end in {ending}, which it is", param_hint=name
                )
        for file in (self.report, self.trace):
            if file is not None:
                check_writable(file, force=self.force)

    def measure(
        self,
        source: Path,
        arguments: Mapping[str, Any],
        report: "ProfileReport",
        *,
        progress: Progress,
    ) -> "Found":
        """Measure what was asked for, each in a fresh process.

        Args:
            source: A model package, or an `.onnx` file.
            arguments: Those of `profiling.profile`.
            report: What it found: a run here is one of the same size, on as many threads.
            progress: Called with a line for each process.

        Raises:
            ToolkitError: See `record_run` and `measure_resources`.
        """
        recorded: RecordedRun | None = None
        weighed: Resources | None = None
        needs_recording = self.operators or self.report or self.trace
        needs_weighing = self.resources or self.report
        if needs_recording or needs_weighing:
            from toolkit.profiling.scenarios import scenario_of
            from toolkit.profiling.specification import open_model

            given = _given(arguments)
            options = arguments["options"]
            if report.scenario == "offline":  # whose sessions share the cores
                options = replace(options, threads=report.session.threads)
            model = open_model(
                source,
                component=arguments["component"],
                variant=arguments["variant"],
                options=options,
            )
            scenario = scenario_of(report.settings.scenario)
        if needs_recording:
            from toolkit.profiling.recorded import record_run

            progress("an instrumented run, in a fresh process")
            peaks = self.operators or self.report is not None
            recorded = record_run(model, given=given, scenario=scenario, peaks=peaks)
        if needs_weighing:
            from toolkit.profiling.recorded import target
            from toolkit.profiling.resources import RUNS, WARMUP, measure_resources

            progress("memory and CPU time, in a fresh process")
            asked = target(model, given, scenario, runs=RUNS, warmup=WARMUP)
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

            is_drawn = latency is not None and document["scenario"] != "offline"
            page = render(document, histogram=latency.histogram if latency and is_drawn else ())
            self._say(self.report, write_text(self.report, page))

    @staticmethod
    def _say(file: Path, replaced: bool) -> None:
        output.say(f"  {'replaced' if replaced else 'wrote'} {file}")


def plain_p50_ms(report: "ProfileReport") -> float | None:
    """The median that may stand beside a recorded run: that of runs one after another."""
    if report.latency is None or report.scenario != "single-stream":
        return None
    return report.latency.percentiles_ms[50]


def _given(arguments: Mapping[str, Any]) -> "Given":
    """What the profile is fed with, for the other processes."""
    from toolkit.profiling.queries import Given

    return Given(
        data=str(arguments["data"]),
        text_column=arguments["text_column"],
        where=dict(arguments["where"]),
        files={name: str(file) for name, file in arguments["inputs"].items()},
        sizes=dict(arguments["sizes"]),
        seed=arguments["seed"],
    )


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
            show_operators(self.recorded, plain_p50_ms)
        if self.weighed is not None:
            show_resources(self.weighed)
