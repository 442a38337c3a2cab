"""What `toolkit profile` does beside profiling: --compare, --tune, --baseline and --replay."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from functools import cached_property
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer

from toolkit.cli import output
from toolkit.cli.scenario import seconds

if TYPE_CHECKING:
    from toolkit.cli.details import Details
    from toolkit.profiling.baseline import BesideBaseline
    from toolkit.profiling.comparison_report import ComparisonReport
    from toolkit.profiling.stored import Stored
    from toolkit.profiling.tuning_report import TuneReport
    from toolkit.runtime import SessionOptions

CompareOption = Annotated[
    list[str] | None,
    typer.Option(
        "--compare",
        help=(
            "Compare with this, by turns in new processes; may be repeated. A package or .onnx "
            "file, PKG@VARIANT, @VARIANT of the same package (COMPONENT/VARIANT where it has "
            "several components), or a peer: peer:onnxruntime, "
            "peer:torch,source=CHECKPOINT-OR-RUN, peer:optimum,source=CHECKPOINT. Settings follow "
            "after commas, or stand alone for the same model: threads=1, provider=openvino, "
            "spinning=off, graph=basic, arena=off, memory-pattern=off; for peers also compile=on "
            "and python=INTERPRETER."
        ),
        metavar="OTHER",
        show_default=False,
    ),
]
BudgetOption = Annotated[
    float | None,
    typer.Option(
        "--budget",
        parser=seconds,
        metavar="DURATION",
        help="The longest that it may take, such as 30s or 2m.",
        show_default="10s, 60s to compare, 120s to find a rate, 180s to tune",
    ),
]
ToleranceOption = Annotated[
    float,
    typer.Option(
        "--tolerance",
        min=0,
        help="With --compare: by how much outputs may differ, as a share of the largest.",
    ),
]
FailIfSlowerOption = Annotated[
    float | None,
    typer.Option(
        "--fail-if-slower",
        help=(
            "With --compare or --baseline: exit 5 if the model takes more than this many times as "
            "long as the other, for certain; such as 1.05."
        ),
        metavar="FACTOR",
        show_default=False,
    ),
]
BaselineOption = Annotated[
    Path | None,
    typer.Option(
        "--baseline",
        help="Set the profile beside a stored one (--json) of the same class of machine.",
        metavar="RESULT.json",
        show_default=False,
    ),
]
ReplayOption = Annotated[
    Path | None,
    typer.Option(
        "--replay",
        help=(
            "Repeat a stored profile or comparison (--json) with its settings; the models are "
            "looked for beside it and here if none is named."
        ),
        metavar="RESULT.json",
        show_default=False,
    ),
]
TuneOption = Annotated[
    bool,
    typer.Option(
        "--tune",
        help=(
            "Search threads, spinning, graph level, arena, batch and sessions, and write the "
            "what is faster for certain into the variant, for machines of this class."
        ),
    ),
]


@dataclass(frozen=True, kw_only=True)
class Asked:
    """What was typed of it."""

    compare: Sequence[str] | None
    tune: bool
    budget: float | None
    tolerance: float
    fail_if_slower: float | None
    baseline: Path | None
    replay: Path | None

    def model(self, source: Path | None) -> Path:
        """The model that was named, or that of the result to repeat.

        Raises:
            typer.BadParameter: It is missing.
        """
        if source is None and self.replay is not None and self._stored is not None:
            from toolkit.profiling.replay import replayed_source

            return replayed_source(self._stored, self.replay, None)
        if source is None:
            raise typer.BadParameter("a model package or an .onnx file is missing")
        return source

    @property
    def doing(self) -> str:
        """What it does instead of a plain profile, as it is typed; empty for a plain profile."""
        if self.compare:
            return "--compare"
        if self.tune:
            return "--tune"
        if self._is_stored_comparison:
            return "--replay of a comparison"
        return "--replay" if self.replay else ""

    @property
    def is_comparison(self) -> bool:
        """Whether `run` does all that was asked for."""
        return bool(self.compare) or self.tune or self._is_stored_comparison

    @property
    def _is_stored_comparison(self) -> bool:
        return self._stored is not None and self._stored.scenario == "comparison"

    @cached_property
    def _stored(self) -> "Stored | None":
        if self.replay is None:
            return None
        from toolkit.profiling.stored import read_result

        return read_result(self.replay)

    def run(
        self,
        source: Path,
        *,
        component: str | None,
        variant: str | None,
        options: "SessionOptions",
        sizes: Mapping[str, int],
        seed: int,
        as_json: bool,
        quiet: bool,
        more: "Details",
    ) -> None:
        """Compare or tune, and print what was found.

        Raises:
            ToolkitError: See `compare` and `tune`; `CheckFailedError` for --fail-if-slower.
        """
        from toolkit.profiling import compare as comparing
        from toolkit.profiling import tune as tuning

        shared: dict[str, Any] = {
            "component": component,
            "variant": variant,
            "options": options,
            "sizes": sizes,
            "seed": seed,
            "progress": output.progress(quiet=quiet),
        }
        if self.tune:
            budget_s = tuning.BUDGET_S if self.budget is None else self.budget
            _show_tuning(tuning.tune(source, budget_s=budget_s, **shared), as_json=as_json)
            return
        against: Sequence[str] = self.compare or ()
        asked: dict[str, Any] = {
            "budget_s": comparing.BUDGET_S if self.budget is None else self.budget,
            "factor": self.fail_if_slower,
            "tolerance": self.tolerance,
        }
        if self._stored is not None and self.replay is not None:
            from toolkit.profiling.replay import replayed_comparison

            against, asked = replayed_comparison(self._stored, self.replay, source)
        report = comparing.compare(source, against, **{**shared, **asked})
        _show_comparison(report, as_json=as_json)
        more.write(report.as_json())
        if self.fail_if_slower is not None:
            report.check(self.fail_if_slower)

    def replayed(self, call: Any, arguments: dict[str, Any]) -> dict[str, Any]:
        """Arguments of the profile: as typed, or those of the result to repeat."""
        if self._stored is None:
            return arguments
        from toolkit.profiling.replay import replayed

        return {**arguments, **replayed(self._stored, call)}

    def beside(self, document: Mapping[str, Any]) -> "BesideBaseline | None":
        """The profile beside the baseline, if one was named."""
        if self.baseline is None:
            return None
        from toolkit.profiling.baseline import beside_baseline
        from toolkit.profiling.stored import read_result

        return beside_baseline(document, read_result(self.baseline))

    def judge(self, found: "BesideBaseline | None", *, as_json: bool) -> None:
        """Print the verdict, which --json has printed already, and fail if it is too slow."""
        if found is None:
            return
        if not as_json:
            output.show_text(f"{'baseline':>12}  {found.sentence}")
        if self.fail_if_slower is not None:
            found.check(self.fail_if_slower)


def _show_comparison(report: "ComparisonReport", *, as_json: bool) -> None:
    if as_json:
        output.show_json(report.as_json())
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


def _show_tuning(report: "TuneReport", *, as_json: bool) -> None:
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
