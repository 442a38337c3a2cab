"""What `toolkit profile` does beside profiling: --compare, --tune, --baseline and --replay."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from functools import cached_property
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer

from toolkit.cli import comparison_shown as shown
from toolkit.cli import output
from toolkit.cli.scenario import positive, some_seconds

if TYPE_CHECKING:
    from toolkit.cli.details import Details
    from toolkit.profiling.baseline import BesideBaseline
    from toolkit.profiling.stored import Stored
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
        parser=some_seconds,
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
        parser=positive,
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
            "Search threads, spinning, graph level, arena, batch and sessions, and write "
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
        from toolkit.profiling.specification import SettingError

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
            shown.show_tuning(tuning.tune(source, budget_s=budget_s, **shared), as_json=as_json)
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
        try:
            report = comparing.compare(source, against, **{**shared, **asked})
        except SettingError as error:
            raise typer.BadParameter(
                f"{error.problem} (expected: {error.expected or error.fix})", param_hint="--compare"
            ) from error
        except comparing.ComparisonEndedError as stopped:
            shown.show_so_far(stopped, as_json=as_json)
            raise
        parts = self.replay_part(report.as_json())
        shown.show_comparison(report, parts, as_json=as_json)
        more.write({**report.as_json(), **parts})
        if self.fail_if_slower is not None:
            report.check(self.fail_if_slower)

    def replayed(self, call: Any, arguments: dict[str, Any], source: Path) -> dict[str, Any]:
        """Arguments of the profile: as typed, or those of the result to repeat."""
        if self._stored is None or self.replay is None:
            return arguments
        from toolkit.package import is_bare
        from toolkit.profiling.replay import located, replayed

        again = {**arguments, **replayed(self._stored, call), **located(self._stored, self.replay)}
        return {**again, "variant": None} if is_bare(source) else again

    def repeated(self, more: "Details") -> "Details":
        """Operators and resources too, where the result to repeat holds them."""
        if self._stored is None:
            return more
        return replace(
            more,
            operators=more.operators or self._stored.operators is not None,
            resources=more.resources or self._stored.resources is not None,
        )

    def replay_part(self, document: Mapping[str, Any]) -> dict[str, Any]:
        """The part `replay` of the document: what is otherwise than then."""
        if self._stored is None:
            return {}
        from toolkit.profiling.replay import differences

        notes = differences(self._stored, document)
        return {"replay": {"date": self._stored.environment.date, "notes": notes}}

    def read_baseline(self) -> None:
        """Refuse a baseline that cannot be read before anything is measured.

        Raises:
            InputError: It is missing, or no result.
        """
        from toolkit.profiling.baseline import check_comparable

        if self._stored_baseline is not None:
            check_comparable(self._stored_baseline)

    @cached_property
    def _stored_baseline(self) -> "Stored | None":
        if self.baseline is None:
            return None
        from toolkit.profiling.stored import read_result

        return read_result(self.baseline)

    def beside(self, document: Mapping[str, Any]) -> "BesideBaseline | None":
        """The profile beside the baseline, if one was named."""
        if self._stored_baseline is None:
            return None
        from toolkit.profiling.baseline import beside_baseline

        return beside_baseline(document, self._stored_baseline)

    def judge(self, found: "BesideBaseline | None", *, as_json: bool) -> None:
        """Print the verdict, which --json has printed already, and fail if it is too slow."""
        if found is None:
            return
        if not as_json:
            output.show_text(f"{'baseline':>12}  {found.sentence}")
        if self.fail_if_slower is not None:
            found.check(self.fail_if_slower)
