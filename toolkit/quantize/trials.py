"""The candidates of one search: made, measured, repaired, and the best one published."""

import time
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field, replace
from pathlib import Path

from toolkit.errors import InputError
from toolkit.evaluate.agreement import agreement_of
from toolkit.evaluate.metrics import main_metric
from toolkit.evaluate.samples import SampleOptions
from toolkit.progress import Progress
from toolkit.quantize import calibration as calibrating
from toolkit.quantize.budget import OutOfTimeError
from toolkit.quantize.choosing import best, is_preferred, quality_missed, spared_by, would_win
from toolkit.quantize.context import Context, InstructionSet, Method, QuantizerError, quieted
from toolkit.quantize.ending import QuantizeFailedError, QuantizeStoppedError
from toolkit.quantize.evidence import warn_of_little
from toolkit.quantize.keeping import not_kept
from toolkit.quantize.measuring import Judge
from toolkit.quantize.naming import check_nodes, has_hidden_weights, with_names
from toolkit.quantize.publishing import Made, environment, publish, told
from toolkit.quantize.report import Candidate, Objective, QuantizeReport
from toolkit.quantize.saturation import check_saturation
from toolkit.quantize.sensitivity import Sensitivity, sensitivities
from toolkit.quantize.smoothing import is_smoothed, migrate_scales
from toolkit.tasks import TaskSpec

REPAIRED = 2
"""Candidates that missed a limit on quality and are tried again with some nodes in float."""

NEAR = 0.01
"""A limit missed by so small a share is likely to hold with some nodes in float."""

INTERRUPTED = "it was interrupted"
OUT_OF_TIME = "the budget ended"


@dataclass(frozen=True, kw_only=True)
class SearchOptions:
    """How the search goes.

    Attributes:
        methods: Names of the methods to try; all that suit the task by default when empty.
        objective: What the best of those that pass is chosen by.
        budget_s: Seconds after which nothing more is tried; None for no end.
        keep: Names of nodes that stay in float.
        calibration: Data that ranges are measured on; a sample of the data when not given.
        calibration_samples: Most of it.
        seed: Of that sample.
        isa: Whose integer products the variant is for: "portable" takes weights of 7 bits where
            sums could saturate on AVX2, and refuses what still does.
        without_config: The variant becomes a file that no session configuration goes with.
        meaning: What the outputs are, where the package does not say: for a bare file with labels.
        clock: Monotonic seconds.
    """

    methods: Sequence[str] = ()
    objective: Objective = "balanced"
    budget_s: float | None = None
    keep: Sequence[str] = ()
    calibration: Path | None = None
    calibration_samples: int = calibrating.SAMPLES
    seed: int = 0
    isa: InstructionSet = "native"
    without_config: bool = False
    meaning: TaskSpec | None = None
    clock: Callable[[], float] = time.monotonic


@dataclass(kw_only=True)
class Trials:
    """What was tried so far.

    Attributes:
        judge: Measures candidates beside their parent.
        settings: How the search goes.
        folder: Where candidates are written.
        name: The new variant's name; a candidate's precision when not given.
        reading: Which columns of the data count.
        progress: Called with a line for each thing that begins and ends.
        tried: The candidates, in order.
        made: Graphs of those that passed, by candidate. They stay in `folder` until the search
            ends: which one is the best, only all of them together say.
        repaired: Methods that were tried with nodes in float.
        ranked: Products by sensitivity, by what rounds them.
    """

    judge: Judge
    settings: SearchOptions
    folder: Path
    name: str | None
    reading: SampleOptions
    progress: Progress
    tried: list[Candidate] = field(default_factory=list)
    made: dict[str, Made] = field(default_factory=dict)
    repaired: list[str] = field(default_factory=list)
    ranked: dict[tuple[str, int, bool], tuple[Sensitivity, ...]] = field(default_factory=dict)

    def start(self) -> None:
        """Measure the parent and draw the calibration set.

        Raises:
            InputError: The budget ended before that, a node to keep is unknown, or the calibration
                data does not fit.
        """
        judge, settings = self.judge, self.settings
        self.began = settings.clock()
        self.progress(f"{judge.parent.name}: {len(judge.samples)} samples")
        try:
            judge.start()
            task = judge.task.specification
            warn_of_little(judge.samples, task, judge.metric, judge.parent.name)
            self.source = with_names(judge.source, self.folder / "named.onnx")
            check_nodes(self.source, settings.keep)
            self.calibration = calibrating.draw(
                judge.samples,
                settings.calibration,
                judge.task.specification,
                judge.encode,
                judge.model.session,
                count=settings.calibration_samples,
                seed=settings.seed,
                reading=self.reading,
                check=judge.budget.check,
            )
        except OutOfTimeError as error:
            raise InputError(
                f"a budget of {settings.budget_s:g} s is not enough to run {judge.parent.name} on "
                f"{len(judge.samples)} samples and to read the calibration data",
                expected="time for a few variants",
                fix="raise --budget, or quantize on fewer rows with --where",
            ) from error
        self.context = Context(
            calibration=self.calibration,
            keep=frozenset(settings.keep),
            instruction_set=settings.isa,
            without_config=settings.without_config,
        )

    @property
    def passed(self) -> list[Candidate]:
        """The candidates that kept their promises so far."""
        return [candidate for candidate in self.tried if not candidate.why]

    def run(self, methods: Sequence[Method]) -> str:
        """Try methods, and promising candidates with nodes in float; says why it ended early."""
        settings = self.settings
        if settings.without_config:
            methods = [replace(method, session_options={}) for method in methods]
        known = {method.name: method for method in methods}
        try:
            for method in methods:
                self.judge.budget.check()
                like = None if settings.methods else spared_by(method.name, self.tried)
                if like is not None:
                    self._spare(method, like)
                    continue
                found = self._tried(method, method.name, self.context)
                self.tried.append(found)
                if self._is_promising(found, method) and self._is_near(found):
                    self._repair(method)
            rest = [
                found
                for found in self.tried
                if found.method in known and self._is_promising(found, known[found.method])
            ]
            for found in sorted(rest, key=lambda one: -(one.agreement or 0.0)):
                self._repair(known[found.method])
        except OutOfTimeError:
            return OUT_OF_TIME
        except KeyboardInterrupt:
            if not self.passed:
                raise
            return INTERRUPTED
        return ""

    def _spare(self, method: Method, like: Candidate) -> None:
        """Take a method down that was not tried, since one like it says that it cannot win."""
        why = f"{like.method} is as small and as fast" if not like.why else like.why
        self.progress(f"{method.name}: not tried: {why}")
        self.tried.append(
            Candidate(
                variant=self.name or method.precision,
                method=method.name,
                precision=method.precision,
                why=f"not tried: {why}",
            )
        )

    def _tried(self, method: Method, label: str, context: Context) -> Candidate:
        """Make one candidate and measure it."""
        began = self.settings.clock()
        self.progress(f"{label}: {method.summary}")
        blank = Candidate(
            variant=self.name or method.precision,
            method=label,
            precision=method.precision,
            kept_nodes=tuple(sorted(context.keep)),
        )
        file = self.folder / f"{label}.onnx"
        try:
            found = self._judged(blank, method, file, context)
        except OutOfTimeError:
            self.tried.append(replace(blank, why=f"{OUT_OF_TIME} before it was measured"))
            raise
        if found.why:
            file.unlink(missing_ok=True)
        else:
            self.made[label] = Made(method=method, file=file)
        self.progress(f"{label}: {found.why or 'keeps every promise'}")
        return replace(found, seconds=round(self.settings.clock() - began, 2))

    def _judged(self, blank: Candidate, method: Method, file: Path, context: Context) -> Candidate:
        try:
            with quieted():
                changed = method.apply(self.source, file, context)
        except (QuantizerError, InputError) as error:
            return replace(blank, why=f"the quantizer failed: {error}")
        if not changed:
            why = "no node of this graph could be quantized"
            if not method.reads_bodies and has_hidden_weights(self.source):
                why += "; it has weights inside If, Loop or Scan, where this method does not look"
            return replace(blank, why=why)
        if lost := not_kept(self.source, file, context.keep):
            raise AssertionError(
                f"{method.name} was to leave {', '.join(lost)} in float, and did not"
            )
        made = replace(blank, size_bytes=file.stat().st_size)
        if context.is_portable:
            with quieted():
                found = check_saturation(file, self.calibration.feeds())
            counts = {
                "products": found.products,
                "proven": found.proven,
                "emulated": found.emulated,
            }
            made = replace(made, saturation=counts, why=found.why)
            if made.why:
                return made
        self.judge.budget.check()
        return self.judge.judged(made, file, method.session_options, self.passed)

    def _is_promising(self, candidate: Candidate, method: Method) -> bool:
        """Whether it missed a limit on quality alone and would be the best one otherwise."""
        judge = self.judge
        if not candidate.why or candidate.agreement is None or not method.keeps_nodes:
            return False
        flips = candidate.most_flips
        if flips is not None and flips[1] > judge.limits.max_batch_flips:
            return False
        is_less = candidate.size_bytes < judge.parent_bytes or (candidate.latency_ratio or 1.0) < 1
        return (
            is_less
            and bool(quality_missed(candidate, judge.limits))
            and would_win(
                candidate, self.passed, self.settings.objective, parent_bytes=judge.parent_bytes
            )
        )

    def _is_near(self, candidate: Candidate) -> bool:
        """Whether it missed by so little that it is repaired before other methods are tried."""
        limits = self.judge.limits
        missed = [
            (candidate.drop or 0.0) - limits.max_drop,
            limits.min_agreement - (candidate.agreement or 0.0),
            (candidate.perplexity_rise or 0.0) - limits.max_perplexity_rise,
        ]
        return max(missed) <= NEAR

    def _repair(self, method: Method) -> None:
        """Leave a candidate's sensitive nodes in float, twice as many each time, until it passes.

        The passes over the data that find them are shared by methods that round alike.
        """
        if method.name in self.repaired or len(self.repaired) == REPAIRED:
            return
        self.repaired.append(method.name)
        key = (method.grain, method.bits, is_smoothed(method.name))
        if key not in self.ranked:
            self.progress(f"{method.name}: which nodes are sensitive")
            try:
                self.ranked[key] = self._sensitivities(method)
            except (QuantizerError, InputError) as error:
                self.progress(f"{method.name}: its sensitive nodes were not found: {error}")
                return
        nodes = [found.node for found in self.ranked[key]]
        count = 1
        while count <= len(nodes) // 2:
            self.judge.budget.check()
            keep = frozenset(nodes[:count]) | self.context.keep
            label = f"{method.name}-keep{count}"
            found = self._tried(method, label, replace(self.context, keep=keep))
            self.tried.append(found)
            if not found.why or found.why.startswith("the quantizer failed"):
                return
            count *= 2

    def _sensitivities(self, method: Method) -> tuple[Sensitivity, ...]:
        """On the graph that the method rounds, whose nodes keep their names."""
        source = self.source
        if is_smoothed(method.name):
            smoothed = self.folder / "smoothed.onnx"
            with quieted():
                changed = migrate_scales(source, smoothed, self.context)
            source = smoothed if changed else source
        with quieted():
            return sensitivities(source, self.context, grain=method.grain, bits=method.bits)

    def finish(self, stopped: str, *, force: bool) -> QuantizeReport:
        """Publish the best candidate that kept its promises."""
        judge, objective = self.judge, self.settings.objective
        first = best(self.passed, objective, parent_bytes=judge.parent_bytes)
        report = self._report(stopped)
        if first is None:
            raise QuantizeFailedError(report)
        why = "the best of those that kept every promise"
        kept = replace(first, kept=True, why=why)
        self.progress(f"adding {first.method} as {first.variant}")
        report = replace(
            report,
            parent=replace(report.parent, latency_ms=first.parent_latency_ms),
            chosen=first.variant,
            preferred=is_preferred(first),
            candidates=tuple(
                kept if c is first else replace(c, why=c.why or f"{first.method} is better")
                for c in self.tried
            ),
            replaced=first.variant in judge.package.component.variants,
        )
        publish(judge, kept, self.made[first.method], report, force=force)
        if stopped == INTERRUPTED:
            raise QuantizeStoppedError(report)
        return report

    def _report(self, stopped: str) -> QuantizeReport:
        judge = self.judge
        return QuantizeReport(
            package=judge.package.path,
            parent=Candidate(
                variant=judge.parent.name,
                method=judge.parent.contents.method,
                precision=judge.parent.contents.precision,
                size_bytes=judge.parent_bytes,
                metric=judge.metric,
                samples=len(judge.samples),
            ),
            chosen="",
            candidates=tuple(self.tried),
            limits=judge.limits,
            objective=self.settings.objective,
            metric=main_metric(judge.task.specification) if judge.metric else "",
            agreement_of=agreement_of(judge.task.specification),
            n=len(judge.samples),
            data_sha256=judge.samples.sha256,
            calibration=told(self.calibration),
            environment=environment(),
            seconds=round(self.settings.clock() - self.began, 1),
            stopped=stopped,
            isa=self.settings.isa,
        )
