"""`optimize`: rewritten graphs beside the one they came from, kept where measured to be faster."""

import tempfile
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field, replace
from pathlib import Path

from toolkit.errors import InputError
from toolkit.evaluate.parity import compare_outputs
from toolkit.evaluate.validation import (
    BATCH_LIMIT,
    FLOAT_LIMIT,
    reference_errors,
    reference_feeds,
    with_slack,
)
from toolkit.export import graph
from toolkit.export.floats import float_parent
from toolkit.machine import installed_versions, this_machine
from toolkit.optimize.report import (
    SLOWER,
    Candidate,
    Float16FailedError,
    OptimizeReport,
    not_faster,
    overall,
    with_parity,
)
from toolkit.optimize.rewriters import (
    FLOAT16,
    GPU_PROVIDERS,
    Method,
    Precision,
    RewriterError,
    chosen_methods,
)
from toolkit.optimize.sizing import Resizing
from toolkit.optimize.timing import Measure, timed
from toolkit.package import ModelPackage, Variant, is_bare
from toolkit.package.tuned import untuned
from toolkit.package.write import MODEL_FILE, add_variant, check_variant_name, staging_directory
from toolkit.profiling.paired import paired_latency
from toolkit.progress import Progress, silent
from toolkit.runtime import Session, SessionOptions, open_session
from toolkit.tensors import Array

NAMES: Mapping[str, str] = {"fp32": "fp32-fused", "fp16": "fp16"}
"""A new variant's name, by its precision."""

OTHER_SHAPES = 4
"""Sizes other than the reference's at which a candidate is compared with its parent."""

PROMISING = 0.99
"""Times the parent's time, as screened; more is not worth a second look if it is not certain."""

SCREENING_ROUNDS = 4
ROUNDS = 12
"""Sessions opened anew for the comparison that decides; see `paired_latency`."""


def optimize(
    source: str | Path,
    *,
    component: str | None = None,
    variant: str | None = None,
    methods: Sequence[str] = (),
    precision: Precision | None = None,
    name: str | None = None,
    options: SessionOptions | None = None,
    force: bool = False,
    measure: Measure | None = None,
    progress: Progress = silent,
) -> OptimizeReport:
    """Add a rewritten variant where it is measured to be faster here; otherwise add none.

    Each candidate must be valid ONNX, open, and compute what its parent does, on the reference rows
    and at other sizes. It is then timed beside its parent, in sessions opened anew and by turns, at
    the reference's size and, where there is a sequence, at a short and a long one. All are
    screened; what looks faster is measured again, and only that second measurement decides, since
    the best of several looks better than it is. Kept is what is faster over all sizes, by a 95 %
    interval, and at none of them above `SLOWER` times its parent's time.

    Args:
        source: The package.
        component: The component to optimize; the first when not given.
        variant: The variant to start from; the first that is fp32 as exported when not given.
        methods: Names of the methods to try; all that suit when empty.
        precision: Only this one. "fp16" without a GPU among the options is written on its parity
            alone: what it is for is not here to be timed.
        name: The new variant's name; "fp32-fused", or "fp16" with that precision, when not given.
        options: Provider, threads and the like.
        force: Replace a variant of that name.
        measure: What times; `paired_latency` when not given.
        progress: Called with a line for each thing that begins.

    Raises:
        InputError: The source is no package or has no reference or no such component, a method is
            unknown, or the name is taken or the parent's.
        SetupError: The provider cannot run here, or the extra `export` is not installed.
        CheckFailedError: fp16 was asked for and its answers are too far from its parent's.
    """
    path = Path(source)
    if is_bare(path):
        raise InputError(
            f"{path} is a bare model: it cannot hold a second variant",
            expected="a model package",
            fix=f"toolkit export {path} -o NAME.ortpackage",
        )
    package = ModelPackage.open(path, component)
    parent = float_parent(package, variant)
    options = replace(options or SessionOptions(), spinning=False)
    names = dict(NAMES)
    if name is not None:
        names[precision or "fp32"] = name
    chosen = chosen_methods(methods, precision)
    for kind in dict.fromkeys(method.precision for method in chosen):
        if kind == "fp32" or _is_wanted(FLOAT16, precision, options):
            check_variant_name(package, names[kind], parent=parent.name, force=force)
    with tempfile.TemporaryDirectory() as folder:
        search = _Search(
            package=package,
            parent=parent,
            options=options,
            precision=precision,
            names=names,
            folder=Path(folder),
            measure=measure or paired_latency,
            progress=progress,
        )
        search.start()
        tried = [search.try_method(method) for method in chosen]
        return search.finish(tried, force=force)


def _is_wanted(method: Method, precision: Precision | None, options: SessionOptions) -> bool:
    """Whether a method is for this machine, or was asked for by its precision."""
    is_float16 = method.precision == "fp16"
    return not is_float16 or precision == "fp16" or options.provider in GPU_PROVIDERS


@dataclass(kw_only=True)
class _Search:
    package: ModelPackage
    parent: Variant
    options: SessionOptions
    precision: Precision | None
    names: Mapping[str, str]
    folder: Path
    measure: Measure
    progress: Progress
    compared: list[tuple[str, dict[str, Array], dict[str, Array]]] = field(default_factory=list)
    points: dict[str, dict[str, Array]] = field(default_factory=dict)

    def start(self) -> None:
        """Run the parent at every size that candidates are compared and timed at."""
        self.progress(f"{self.parent.name}: its answers")
        self.model = self.package.verified(self.parent)
        entry = self.parent.entry.executor_info.ort
        # What was tuned for the parent's graph was not tuned for another.
        self.config = untuned(entry.session_options, self.parent.contents.details)
        session = self._open_parent()
        reference = reference_feeds(self.package)
        resizing = Resizing(self.package.inputs, reference)
        text = self.package.contents.task.text
        longest = None if text is None else text.max_length
        self.compared.append((resizing.text({}), reference, session.run(reference)))
        for at, feeds in resizing.others(longest=longest):
            if len(self.compared) > OTHER_SHAPES:
                break
            try:
                self.compared.append((at, feeds, session.run(feeds)))
            except InputError:  # more than the model's positions, or a size that it has not
                continue
        for sizes in resizing.timed(longest=longest):
            for one in sizes:
                feeds = resizing.feeds(one)
                try:
                    session.run(feeds)
                except InputError:
                    continue
                self.points[resizing.text(one)] = feeds
                break

    def _open_parent(self) -> Session:
        return open_session(self.model, self.options, config=self.parent.session_options)

    def _file(self, method: str) -> Path:
        return self.folder / method / MODEL_FILE

    def _open(self, method: str) -> Session:
        return open_session(self._file(method), self.options, config=self.config)

    def try_method(self, method: Method) -> Candidate:
        """Make one candidate, check it and, where it is to be faster, screen it."""
        blank = Candidate(
            variant=self.names[method.precision], method=method.name, precision=method.precision
        )
        if not _is_wanted(method, self.precision, self.options):
            why = "not tried: it is for GPUs; --precision fp16 adds it without measuring its speed"
            return replace(blank, why=why)
        self.progress(f"{method.name}: {method.summary}")
        target = self._file(method.name)
        target.parent.mkdir()
        try:
            changed = method.apply(self.model, target, self.options.provider)
        except RewriterError as error:
            return replace(blank, why=f"it failed: {error}")
        if not changed:
            return replace(blank, why="nothing to do: it changes no node of this graph")
        size = sum(file.stat().st_size for file in target.parent.iterdir())
        made = replace(blank, changed=changed, size_bytes=size)
        try:
            graph.check(target, full=True)
            session = self._open(method.name)
            found = [(at, compare_outputs(w, session.run(f))) for at, f, w in self.compared]
        except InputError as error:
            problem = error.problem.replace(str(target), "the rewritten graph")
            return replace(made, why=f"it failed: {problem}")
        made = with_parity(made, found, limit=self._limit)
        if method.precision == "fp32" and not made.why:
            made = replace(made, why=self._broken_promise(session))
        if made.why or not self._is_timed(method.precision):
            return made
        self.progress(f"{method.name}: latency")
        made = self._timed(made, SCREENING_ROUNDS)
        assert made.latency_ratio is not None
        unlikely = not made.latency_ratio < PROMISING or any(
            t.ratio_95[0] > SLOWER for t in made.timings
        )
        return replace(made, why=not_faster(made.timings) if unlikely else "")

    def _is_timed(self, precision: str) -> bool:
        return precision == "fp32" or self.options.provider in GPU_PROVIDERS

    @property
    def _limit(self) -> float:
        return float(self.parent.contents.parity.get("limit", FLOAT_LIMIT))

    def _broken_promise(self, session: Session) -> str:
        """What `validate` would find: the source's outputs, and rows alone; empty for nothing."""
        error, alone = reference_errors(self.package, session)
        if not error <= self._limit:
            return f"parity: {error:.3g} from the reference outputs, above {self._limit:g}"
        most = float(self.parent.contents.parity.get(BATCH_LIMIT, FLOAT_LIMIT))
        if not alone <= most:
            return f"parity: a row alone is {alone:.3g} from itself in its batch, above {most:g}"
        return ""

    def _timed(self, made: Candidate, rounds: int) -> Candidate:
        timings = timed(
            self.measure,
            self._open_parent,
            lambda: self._open(made.method),
            self.points,
            rounds=rounds,
        )
        ratio, interval = overall(timings)
        return replace(made, timings=timings, latency_ratio=ratio, latency_ratio_95=interval)

    def finish(self, tried: Sequence[Candidate], *, force: bool) -> OptimizeReport:
        """Measure again what looks faster, and publish what is."""
        candidates = {made.method: made for made in tried}
        for precision in NAMES:
            of_it = [m for m in tried if m.precision == precision and not m.why]
            for judged in self._judged(sorted(of_it, key=lambda m: m.latency_ratio or 1.0)):
                candidates[judged.method] = judged
        ordered = tuple(candidates.values())
        kept = [made for made in ordered if made.kept]
        known = [*self.package.component.variants]
        report = OptimizeReport(
            package=self.package.path,
            component=self.package.component_name,
            parent=self.parent.name,
            parent_size_bytes=self.parent.contents.size_bytes,
            variants=tuple(made.variant for made in kept),
            preferred=next((made.variant for made in kept if self._is_preferred(made)), ""),
            candidates=ordered,
            provider=str(self.options.provider),
            threads=self.options.threads,
            machine=this_machine().cpu,
            replaced=tuple(made.variant for made in kept if made.variant in known),
        )
        if self.precision == "fp16" and not kept and not self._is_timed("fp16"):
            raise Float16FailedError(report)
        for made in kept:
            self._publish(made, force=force)
        return report

    def _judged(self, promising: Sequence[Candidate]) -> list[Candidate]:
        """The verdict on each: the first that holds when it is measured again is kept."""
        judged: list[Candidate] = []
        best = ""
        for made in promising:
            if best:
                judged.append(replace(made, why=f"{best} is better"))
                continue
            if not self._is_timed(made.precision):
                why = "its parity holds; its speed was not measured, for want of a GPU"
                judged.append(replace(made, kept=True, why=why))
                continue
            self.progress(f"{made.method}: latency again")
            again = self._timed(made, ROUNDS)
            why = not_faster(again.timings)
            best = "" if why else made.method
            judged.append(replace(again, kept=not why, why=why or "faster"))
        return judged

    def _is_preferred(self, made: Candidate) -> bool:
        """Whether it takes its parent's place in front: what was measured holds for the CPU."""
        first = self.package.variants[0].name
        on_cpu = made.precision == "fp32" and self.options.provider not in GPU_PROVIDERS
        return on_cpu and first in {self.parent.name, made.variant}

    def _publish(self, made: Candidate, *, force: bool) -> None:
        self.progress(f"adding {made.method} as {made.variant}")
        error, alone = reference_errors(self.package, self._open(made.method))
        parity: dict[str, object] = {"max_abs_error": error, "limit": self._limit}
        if made.precision == "fp16":
            parity["limit"] = with_slack(error)
            parity[BATCH_LIMIT] = with_slack(alone)
        elif BATCH_LIMIT in self.parent.contents.parity:
            parity[BATCH_LIMIT] = self.parent.contents.parity[BATCH_LIMIT]
        with staging_directory(self.package) as folder:
            staged = self._file(made.method).parent.rename(folder / "variant")
            add_variant(
                self.package,
                staged,
                name=made.variant,
                precision=made.precision,
                method=made.method,
                parent=self.parent.name,
                parity={**parity, "shapes": [*made.shapes]},
                details=self._details(made),
                step="optimize",
                preferred=self._is_preferred(made),
                force=force,
                session_options=self.config,
            )

    def _details(self, made: Candidate) -> Mapping[str, object]:
        return {
            "max_abs_error_against_parent": made.max_abs_error,
            "latency_ratio": made.latency_ratio,
            "latency_ratio_95": made.latency_ratio_95 and [*made.latency_ratio_95],
            "timings": {timing.at: timing.ratio for timing in made.timings},
            "why": made.why,
            "provider": str(self.options.provider),
            "threads": self.options.threads,
            "machine": this_machine().cpu,
            "versions": installed_versions(),
        }
