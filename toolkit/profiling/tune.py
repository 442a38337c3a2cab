"""`toolkit profile --tune`: the session options that are faster here, written where measured so.

One setting after another is screened against the defaults. What looked best is then measured again
beside the defaults, with new processes, and only that second comparison decides: the best of many
noisy screenings looks better than it is. J. P. A. Ioannidis, "Why most discovered true associations
are inflated", Epidemiology 19, 2008.
"""

import os
import time
import warnings
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, replace
from datetime import UTC, datetime
from pathlib import Path

from toolkit.errors import InputError, ToolkitWarning
from toolkit.limits import default_threads, usable_cores
from toolkit.machine import installed_versions
from toolkit.package import ModelPackage, Split, is_bare
from toolkit.package.tuned import machine_class, untuned
from toolkit.package.write_tuned import write_tuned
from toolkit.profiling.compare import check_budget, compare_models
from toolkit.profiling.comparison_report import Beside
from toolkit.profiling.offline_tuning import offline_splits
from toolkit.profiling.sequential import OVERRUN
from toolkit.profiling.specification import Model, open_model, with_settings
from toolkit.profiling.tuning_report import Settings, Tried, TuneReport
from toolkit.progress import Progress, silent
from toolkit.runtime import SessionOptions

BUDGET_S = 180.0
SCREENING_GROUP = 3
"""Candidates that are in memory beside the defaults at once."""

PROMISING = 1.01
"""Times as fast as the defaults, as screened; less is not worth a second look."""

BUSY_SHARE = 0.25
"""Load average, as a share of the cores, from which tuning warns."""

Measure = Callable[[Model, Sequence[Model], float], Sequence[Beside]]
"""Compares a model with others within some seconds."""


def tune(
    source: str | Path,
    *,
    component: str | None = None,
    variant: str | None = None,
    options: SessionOptions | None = None,
    budget_s: float = BUDGET_S,
    sizes: Mapping[str, int] | None = None,
    seed: int = 0,
    measure: Measure | None = None,
    threads: int | None = None,
    progress: Progress = silent,
) -> TuneReport:
    """Search session options and write them into the variant where they are faster for certain.

    A package that was tuned before is tuned again from its defaults.

    Args:
        source: A model package.
        component: The package's component; the first when not given.
        variant: The component's variant; the preferred one when not given.
        options: The provider and its options.
        budget_s: Seconds for all of it, more or less: every comparison takes its least number of
            rounds.
        sizes: Sizes by dimension name, or by `input:axis`.
        seed: Seed of random feeds and of the order of turns.
        measure: What compares; `compare_models` when not given.
        threads: The default number of threads; this machine's when not given.
        progress: Called with a line for each comparison.

    Raises:
        InputError: The source is no package, or a comparison fails.
        SetupError: The provider cannot run here.
    """
    check_budget(budget_s, None)
    path = Path(source)
    if is_bare(path):
        raise InputError(
            f"{path} is a bare model: it cannot hold what tuning finds",
            expected="a model package",
            fix=f"toolkit export {path} -o NAME.ortpackage",
        )
    package = ModelPackage.open(path, component)
    chosen = package.variant(variant)
    asked = untuned(chosen.entry.executor_info.ort.session_options, chosen.contents.details)
    options = replace(options or SessionOptions(), threads=0)
    opened = open_model(path, component=component, variant=chosen.name, options=options)
    defaults = replace(opened, config=asked, name=f"{opened.name}, defaults")
    load_average = os.getloadavg()[0] if hasattr(os, "getloadavg") else None  # not on Windows
    if measure is None:
        _warn_if_busy(load_average)

        def measure(model: Model, others: Sequence[Model], seconds: float) -> Sequence[Beside]:
            found = compare_models(
                model, others, budget_s=seconds, sizes=sizes, seed=seed, progress=progress
            )
            return found.besides

    began = time.monotonic()
    search = _Search(defaults, measure, budget_s, progress)
    threads = threads or default_threads()
    best = search.best(single_settings(threads))
    alone = int(best.tried.settings.get("threads", 0)) if best else 0
    splits = offline_splits(threads, package.inputs, alone=alone or None)
    split = search.best_split(splits, best.model if best else defaults) if splits else None
    session_options = (
        {} if best is None else {k: v for k, v in best.model.config.items() if asked.get(k) != v}
    )
    seconds = time.monotonic() - began
    if seconds > OVERRUN * budget_s:
        warnings.warn(
            f"tuning took {seconds:.0f} s, over its budget of {budget_s:g} s: each comparison "
            "takes three rounds of new processes at least",
            ToolkitWarning,
            stacklevel=2,
        )
    machine = machine_class()
    report = TuneReport(
        package=path.name,
        variant=opened.variant,
        chosen={} if best is None else best.tried.settings,
        speed=None if best is None else best.tried.speed,
        interval_95=None if best is None else best.tried.interval_95,
        session_options=session_options,
        batch=None if split is None else split.batch,
        sessions=None if split is None else split.sessions,
        session_threads=None if split is None else split.threads,
        tried=search.tried,
        machine=machine,
        date=datetime.now(UTC).isoformat(timespec="seconds"),
    )
    if best is not None or split is not None:
        evidence = report.as_json()
        for key in ("package", "variant", "machine", "session_options", "scenario"):
            del evidence[key]
        write_tuned(
            package,
            chosen.name,
            session_options=session_options,
            machine=machine,
            evidence={
                **evidence,
                "provider": str(options.provider),
                "versions": installed_versions(),
                "load_average_1min": load_average,
            },
        )
    return report


def _warn_if_busy(load_average: float | None) -> None:
    """Other work makes fewer threads and no spinning look better than they are without it."""
    if load_average is not None and load_average > BUSY_SHARE * usable_cores():
        warnings.warn(
            f"other work wants {load_average:.1f} of {usable_cores()} cores: what is found now "
            "holds for a busy machine",
            ToolkitWarning,
            stacklevel=3,
        )


def single_settings(threads: int) -> list[Settings]:
    """One change of the defaults each.

    Args:
        threads: The default number of threads.
    """
    fewer = sorted({1, threads // 2} - {0, threads})
    return [
        *({"threads": str(count)} for count in fewer),
        {"spinning": "off"},
        {"graph": "extended"},
        {"graph": "basic"},
        {"arena": "off"},
        {"memory-pattern": "off"},
    ]


@dataclass(frozen=True, kw_only=True)
class _Found:
    model: Model
    tried: Tried


class _Search:
    """Screens, joins what is promising, and confirms."""

    def __init__(
        self, defaults: Model, measure: Measure, budget_s: float, progress: Progress
    ) -> None:
        self._defaults = defaults
        self._measure = measure
        self._budget_s = budget_s
        self._progress = progress
        self.tried: list[Tried] = []

    def best(self, singles: Sequence[Settings]) -> _Found | None:
        """The settings that are faster than the defaults for certain, if any are."""
        groups = [singles[i : i + SCREENING_GROUP] for i in range(0, len(singles), SCREENING_GROUP)]
        screened: list[_Found] = []
        for group in groups:
            models = [with_settings(self._defaults, settings) for settings in group]
            seconds = self._budget_s * 0.4 / len(groups)
            screened += self._beside(group, models, seconds, stage="screening")
        promising = [f for f in screened if f.tried.speed > PROMISING and f.tried.agrees]
        if not promising:
            return None
        promising.sort(key=lambda found: -found.tried.speed)
        joined: dict[str, str] = {}
        for found in promising:
            for key, value in found.tried.settings.items():
                joined.setdefault(key, value)
        finalists = [promising[0].tried.settings]
        if joined != finalists[0]:
            finalists.append(joined)
        models = [with_settings(self._defaults, settings) for settings in finalists]
        confirmed = self._beside(finalists, models, self._budget_s * 0.3, stage="confirmation")
        chosen: _Found | None = None
        for found in confirmed:  # the one with fewer settings first, which stays if as good
            is_faster = found.tried.interval_95[0] > 1 and found.tried.agrees
            least = 0.0 if chosen is None else chosen.tried.speed * PROMISING
            if is_faster and found.tried.speed > least:
                chosen = found
        return chosen

    def best_split(self, splits: Sequence[Split], model: Model) -> Split | None:
        """The split of offline work that is faster than the untuned one for certain, if any.

        Args:
            splits: The untuned one first.
            model: With the session options that it will have.
        """
        usual, *others = splits
        by_settings = {tuple(split.settings.items()): split for split in others}
        candidates: Sequence[Split] = others
        for stage, share in (("screening", 0.2), ("confirmation", 0.1)):
            found = self._beside(
                [split.settings for split in candidates],
                [replace(model, offline=split.document) for split in candidates],
                self._budget_s * share,
                stage=stage,
                reference=replace(model, offline=usual.document),
            )
            agreeing = [f for f in found if f.tried.agrees]
            if not agreeing:
                return None
            best = max(agreeing, key=lambda f: f.tried.speed)
            is_enough = (
                best.tried.speed > PROMISING
                if stage == "screening"
                else best.tried.interval_95[0] > 1
            )
            if not is_enough:
                return None
            candidates = [by_settings[tuple(best.tried.settings.items())]]
        return candidates[0]

    def _beside(
        self,
        settings: Sequence[Settings],
        models: Sequence[Model],
        seconds: float,
        *,
        stage: str,
        reference: Model | None = None,
    ) -> list[_Found]:
        shown = "; ".join(",".join(f"{k}={v}" for k, v in each.items()) for each in settings)
        self._progress(f"{stage}: {shown}")
        named = [
            replace(m, name=",".join(s.values())) for m, s in zip(models, settings, strict=True)
        ]
        besides = self._measure(reference or self._defaults, named, seconds)
        found = [
            _Found(
                model=model,
                tried=Tried(
                    settings=dict(each),
                    speed=beside.interval.ratio,
                    interval_95=(beside.interval.low, beside.interval.high),
                    stage=stage,
                    agrees=beside.agreement.agrees,
                ),
            )
            for model, each, beside in zip(models, settings, besides, strict=True)
        ]
        self.tried += [each.tried for each in found]
        return found
