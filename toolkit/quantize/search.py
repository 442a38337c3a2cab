"""Quantized candidates against the promises: metric, agreement, batch mates, size, latency."""

import tempfile
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field, replace
from pathlib import Path

import numpy as np

from toolkit.errors import InputError
from toolkit.evaluate.agreement import agreement, batch_invariance
from toolkit.evaluate.decisions import Decisions
from toolkit.evaluate.metrics import Estimate, main_metric
from toolkit.evaluate.parity import compare_outputs
from toolkit.evaluate.reading import next_step
from toolkit.evaluate.samples import SampleOptions, Samples, read_samples
from toolkit.evaluate.scoring import Answers, answer_all, score
from toolkit.evaluate.tokens import perplexity
from toolkit.evaluate.validation import (
    BATCH_LIMIT,
    FLOAT_LIMIT,
    batch_change,
    reference_feeds,
    reference_outputs,
)
from toolkit.inference import Model
from toolkit.package import ModelPackage, Variant
from toolkit.package.write import (
    MODEL_FILE,
    add_variant,
    check_variant_name,
    staging_directory,
)
from toolkit.profiling.paired import PairedLatency, paired_latency
from toolkit.progress import Progress, silent
from toolkit.quantize.methods import LANGUAGE_METHODS, METHODS, Method, QuantizerError
from toolkit.quantize.report import Candidate, Limits, QuantizeFailedError, QuantizeReport
from toolkit.runtime import SessionOptions, open_session
from toolkit.tasks import TaskSpec, open_task

LATENCY_SAMPLES = 32
SLOWER = 1.1
"""A smaller variant that takes this many times the parent's time stands behind it."""

PARITY_SLACK = 2.0
"""Another processor rounds int8 differently: `validate` allows so many times what was measured."""


def quantize(
    source: str | Path,
    data: str | Path,
    *,
    limits: Limits | None = None,
    reading: SampleOptions | None = None,
    methods: Sequence[str] = (),
    component: str | None = None,
    variant: str | None = None,
    name: str | None = None,
    options: SessionOptions | None = None,
    force: bool = False,
    progress: Progress = silent,
) -> QuantizeReport:
    """Add the best quantized variant that keeps its promises on the user's data.

    Args:
        source: The package.
        data: Labeled data; see `read_samples`.
        limits: What a candidate must keep.
        reading: Which columns and rows of the data count.
        methods: Names of the methods to try; all that suit the task when empty.
        component: The component to quantize; the first when not given.
        variant: The variant to start from; the first that is fp32 as exported when not given.
        name: The new variant's name; its precision when not given.
        options: Threads and the like.
        force: Replace a variant of that name.
        progress: Called with a line for each thing that begins.

    Raises:
        InputError: The source is no package or has no such component, the data does not fit, a
            method is unknown, or the name is taken or the parent's.
        CheckFailedError: No candidate kept its promises; the package is as it was.
    """
    package = ModelPackage.open(Path(source), component)
    chosen_methods = _methods(methods, package.contents.task)
    name = name or chosen_methods[0].precision
    parent = package.variant(variant) if variant else _float_variant(package)
    check_variant_name(package, name, parent=parent.name, force=force)
    samples = read_samples(Path(data), package.contents.task, reading)
    search = _Search(
        package=package,
        parent=parent,
        samples=samples,
        limits=limits or Limits(),
        options=replace(options or SessionOptions(), spinning=False),
        name=name,
        progress=progress,
    )
    with tempfile.TemporaryDirectory() as folder:
        search.start()
        found = [search.try_method(method, Path(folder)) for method in chosen_methods]
        return search.finish(found, force=force)


def _methods(names: Sequence[str], task: TaskSpec) -> list[Method]:
    known = {method.name: method for method in (*METHODS, *LANGUAGE_METHODS)}
    for name in names:
        if name not in known:
            raise InputError(f"there is no method {name!r}", expected=f"one of {', '.join(known)}")
    if names:
        return [known[name] for name in names]
    return [*(LANGUAGE_METHODS if task.name == "text-generation" else METHODS)]


def _float_variant(package: ModelPackage) -> Variant:
    floats = [variant for variant in package.variants if variant.contents.precision == "fp32"]
    # The one as exported: `optimize`'s have operators in it that quantizers do not look into.
    if floats:
        return min(floats, key=lambda found: bool(found.contents.parent))
    raise InputError(
        f"{package.path} has no fp32 variant to start from",
        expected="a variant of precision fp32",
        fix="name one with --variant",
    )


@dataclass(kw_only=True)
class _Search:
    package: ModelPackage
    parent: Variant
    samples: Samples
    limits: Limits
    options: SessionOptions
    name: str
    progress: Progress
    files: dict[str, Path] = field(default_factory=dict)

    def start(self) -> None:
        """Measure the parent."""
        self.progress(f"{self.parent.name}: {len(self.samples)} samples")
        self.source = self.package.verified(self.parent)
        preprocessing = self.package.asset("preprocessing")
        session = open_session(self.source, self.options, config=self.parent.session_options)
        self.task = open_task(self.package.contents.task, preprocessing, session.inputs)
        self.model = Model(self.package.path, self.parent.name, session, self.task)
        self.answers = answer_all(self.model, self.samples)
        self.metric = self._metric(self.answers)

    @property
    def _is_language(self) -> bool:
        return self.task.specification.name == "text-generation"

    def _metric(self, answers: Answers) -> Estimate | None:
        metrics = score(answers, self.samples, self.task.specification)
        return metrics.get(main_metric(self.task.specification))

    def try_method(self, method: Method, folder: Path) -> Candidate:
        """Make one candidate and measure it."""
        self.progress(f"{method.name}: {method.summary}")
        target = folder / f"{method.name}.onnx"
        blank = Candidate(variant=self.name, method=method.name)
        try:
            changed = method.apply(self.source, target)
        except QuantizerError as error:
            return replace(blank, why=f"the quantizer failed: {error}")
        if not changed:
            return replace(blank, why="no node of this graph could be quantized")
        self.files[method.name] = target
        session = open_session(target, self.options, config=method.session_options)
        model = Model(self.package.path, method.name, session, self.task)
        answers = answer_all(model, self.samples)
        self.progress(f"{method.name}: batch mates and latency")
        close = agreement(self.task.specification, self.answers, answers)
        company = batch_invariance(model, self.samples, answers)
        metric = self._metric(answers)
        latency = self._latency(target, method)
        measured = replace(
            blank,
            size_bytes=target.stat().st_size,
            latency_ms=latency.candidate_ms,
            parent_latency_ms=latency.reference_ms,
            latency_ratio=latency.ratio,
            latency_ratio_95=latency.ratio_95,
            metric=metric,
            drop=None
            if metric is None or self.metric is None
            else self.metric.value - metric.value,
            agreement=close.share,
            batch_flips=company.flips,
            perplexity_rise=self._perplexity_rise(answers),
            largest_change=close.largest_change,
        )
        return replace(measured, why=self._missed(measured))

    def _perplexity_rise(self, answers: Answers) -> float | None:
        if not self._is_language:
            return None
        assert not isinstance(answers, Decisions)
        assert not isinstance(self.answers, Decisions)
        return perplexity(answers) / perplexity(self.answers) - 1

    def _latency(self, target: Path, method: Method) -> PairedLatency:
        rng = np.random.default_rng(0)
        count = min(LATENCY_SAMPLES, len(self.samples))
        chosen = rng.choice(len(self.samples), count, replace=False)
        feeds = [self.task.encode([self.samples.items[i]]) for i in chosen]
        if self._is_language:  # what takes the time is the steps that follow
            feeds = [next_step(self.model.session, first) for first in feeds]
        return paired_latency(
            lambda: open_session(self.source, self.options, config=self.parent.session_options),
            lambda: open_session(target, self.options, config=method.session_options),
            feeds,
        )

    def _missed(self, candidate: Candidate) -> str:
        """The first promise that a candidate breaks, or nothing."""
        limits = self.limits
        assert candidate.agreement is not None
        assert candidate.batch_flips is not None
        # Written so that a NaN, of a metric or of a limit, keeps nothing.
        rise = candidate.perplexity_rise
        if rise is not None:
            if not rise <= limits.max_perplexity_rise:
                return f"perplexity rises by {rise:.1%}, more than {limits.max_perplexity_rise:.1%}"
        elif candidate.drop is not None and not candidate.drop <= limits.max_drop:
            return f"the metric drops by {candidate.drop:.4f}, more than {limits.max_drop:g}"
        if not candidate.agreement >= limits.min_agreement:
            return f"agreement {candidate.agreement:.4f} is below {limits.min_agreement:g}"
        if candidate.batch_flips > limits.max_batch_flips:
            return (
                f"batch mates change {candidate.batch_flips} answers, "
                f"more than {limits.max_batch_flips}"
            )
        if not (self._is_smaller(candidate) or _is_faster(candidate)):
            return "neither smaller nor faster than its parent"
        return ""

    def _is_smaller(self, candidate: Candidate) -> bool:
        return candidate.size_bytes < self.parent.contents.size_bytes

    def finish(self, candidates: Sequence[Candidate], *, force: bool) -> QuantizeReport:
        """Publish the best candidate that kept its promises."""
        passed = [c for c in candidates if not c.why]
        report = QuantizeReport(
            package=self.package.path,
            parent=Candidate(
                variant=self.parent.name,
                method=self.parent.contents.method,
                size_bytes=self.parent.contents.size_bytes,
                metric=self.metric,
            ),
            chosen="",
            candidates=tuple(candidates),
            limits=self.limits,
            n=len(self.samples),
            data_sha256=self.samples.sha256,
        )
        if not passed:
            raise QuantizeFailedError(report)
        best = min(
            passed, key=lambda c: (c.size_bytes / self.parent.contents.size_bytes) * _ratio(c)
        )
        others = [c for c in candidates if c is not best]
        kept = replace(best, kept=True, why="the best of those that kept every promise")
        beaten = [replace(c, why=c.why or f"{best.method} is better") for c in others]
        self._publish(kept, force=force)
        ordered = sorted([kept, *beaten], key=lambda c: [*self.files, c.method].index(c.method))
        parent = replace(report.parent, latency_ms=best.parent_latency_ms)
        return replace(
            report,
            parent=parent,
            chosen=self.name,
            preferred=_is_preferred(best),
            candidates=tuple(ordered),
            replaced=self.name in self.package.component.variants,
        )

    def _publish(self, best: Candidate, *, force: bool) -> None:
        self.progress(f"adding {best.method} as {self.name}")
        method = _methods([best.method], self.task.specification)[0]
        with staging_directory(self.package) as folder:
            staged = folder / "variant"
            staged.mkdir()
            (staged / MODEL_FILE).write_bytes(self.files[best.method].read_bytes())
            add_variant(
                self.package,
                staged,
                name=self.name,
                precision=method.precision,
                method=method.name,
                parent=self.parent.name,
                parity=self._parity(staged / MODEL_FILE, method),
                details=self._details(best),
                step="quantize",
                preferred=_is_preferred(best),
                force=force,
                session_options=method.session_options,
            )

    def _parity(self, model: Path, method: Method) -> Mapping[str, float]:
        reference = reference_feeds(self.package)
        session = open_session(model, self.options, config=method.session_options)
        # What `validate` does: the source's outputs, not the parent's.
        error = compare_outputs(reference_outputs(self.package), session.run(reference))
        alone = batch_change(Model(self.package.path, self.name, session, self.task), reference)
        return {
            "max_abs_error": error.max_abs_error,
            "limit": _with_slack(error.max_abs_error),
            BATCH_LIMIT: _with_slack(0.0 if alone is None else alone.max_abs_error),
        }

    def _details(self, best: Candidate) -> Mapping[str, object]:
        return {
            "metric": None if best.metric is None else best.metric.value,
            "drop": best.drop,
            "agreement": best.agreement,
            "batch_flips": best.batch_flips,
            "perplexity_rise": best.perplexity_rise,
            "largest_change": best.largest_change,
            "latency_ratio": best.latency_ratio,
            "samples": len(self.samples),
            "data_sha256": self.samples.sha256,
            "max_drop": self.limits.max_drop,
            "min_agreement": self.limits.min_agreement,
            "max_batch_flips": self.limits.max_batch_flips,
            "max_perplexity_rise": self.limits.max_perplexity_rise,
        }


def _with_slack(measured: float) -> float:
    return max(FLOAT_LIMIT, PARITY_SLACK * measured)


def _ratio(candidate: Candidate) -> float:
    return candidate.latency_ratio or 1.0


def _is_preferred(candidate: Candidate) -> bool:
    """Whether the variant comes before its parent: it is smaller or faster, and not much slower."""
    low, _ = candidate.latency_ratio_95 or (1.0, 1.0)
    return low <= SLOWER


def _is_faster(candidate: Candidate) -> bool:
    return candidate.latency_ratio_95 is not None and candidate.latency_ratio_95[1] < 1.0
