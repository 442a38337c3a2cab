"""One candidate on the user's data: answers, other settings, size and latency."""

import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field, replace
from pathlib import Path

import numpy as np

from toolkit.errors import InputError
from toolkit.evaluate.agreement import agreement, changed
from toolkit.evaluate.company import Setting, new_flips, other_settings
from toolkit.evaluate.decisions import Decisions
from toolkit.evaluate.metrics import Estimate, main_metric, wilson
from toolkit.evaluate.reading import next_step
from toolkit.evaluate.samples import Samples, stacked
from toolkit.evaluate.scoring import BATCH, Answers, answer_all, labeled, runs_alone, score
from toolkit.evaluate.tokens import perplexity
from toolkit.inference import Model
from toolkit.package import ModelPackage, Variant
from toolkit.profiling.paired import PairedLatency, paired_latency
from toolkit.quantize.budget import Budget
from toolkit.quantize.choosing import dominated_by, missed, quality_missed, told
from toolkit.quantize.outputs import SQNR, states, unrolled_db
from toolkit.quantize.report import Candidate, Limits
from toolkit.runtime import Session, SessionOptions, open_session
from toolkit.tasks import Item, TaskSpec, open_task
from toolkit.tensors import Array, Feeds

LATENCY_SAMPLES = 32
SCREENED = 192
"""Samples on which a candidate is looked at before it is run on all of them."""
SETTINGS_SAMPLES = 48
"""Samples that are run in every other setting, and whose raw outputs are compared."""
LOOKS = (2, 8), (4, 16)
"""Rounds and pairs of the first look at a latency. An interval of two rounds is wide (Student's
factor is 12.7, of four 3.2), so another look follows where it would decide."""
ROUNDS, PAIRS = 8, 25
"""Of the comparison of latencies that is reported; see `paired_latency`."""
CHUNK = 8 * BATCH
"""Samples between two looks at the clock; whole batches, so that company stays the same."""


@dataclass(kw_only=True)
class Judge:
    """Measures candidates beside their parent.

    Attributes:
        package: The package.
        parent: The variant that candidates are made from.
        samples: What they are judged on.
        limits: What they must keep.
        options: Session options, without spinning.
        budget: When to stop.
        meaning: What the outputs are, where the package does not say.
        source: The parent's graph, once `start` was called.
    """

    package: ModelPackage
    parent: Variant
    samples: Samples
    limits: Limits
    options: SessionOptions
    budget: Budget = field(default_factory=Budget)
    meaning: TaskSpec | None = None

    def start(self) -> None:
        """Measure the parent."""
        self.source = self.package.verified(self.parent)
        preprocessing = self.package.asset("preprocessing")
        session = self._open(self.source, self.parent.session_options)
        self.task = open_task(
            self.meaning or self.package.contents.task, preprocessing, session.inputs
        )
        self.model = Model(self.package.path, self.parent.name, session, self.task)
        self.answers = self._answers(self.model, self.samples)
        self.metric = self._metric(self.answers, self.samples)
        self._few = self.samples.head(SETTINGS_SAMPLES, seed=0)
        self._screen = self.samples.head(SCREENED, seed=1)
        self._is_screened = not self.is_language and len(self.samples) >= 2 * len(self._screen)
        if self._is_screened:
            self._screened = self._answers(self.model, self._screen)
        self._settings = self._in_settings(self.model, self.source, self.parent.session_options)

    @property
    def parent_bytes(self) -> int:
        """Size of the parent."""
        return self.parent.contents.size_bytes

    @property
    def is_tensors(self) -> bool:
        """Whether nothing says what outputs mean, so that each one is held to the limits."""
        return self.task.specification.name == "tensors"

    @property
    def is_language(self) -> bool:
        """Whether answers are given for every place of a text."""
        return self.task.specification.name == "text-generation"

    def encode(self, items: Sequence[Item]) -> dict[str, Array]:
        """Feeds of a batch of items."""
        if self.is_tensors:
            return stacked(items, self.model.inputs)
        return self.task.encode(items)

    def judged(
        self,
        made: Candidate,
        file: Path,
        config: Mapping[str, str],
        passed: Sequence[Candidate],
    ) -> Candidate:
        """A candidate with what was measured of it, and why it is not kept if so.

        What cannot be kept is found out as early as can be: it does not run, one that passed is
        smaller and faster, or a part of the samples shows that a limit will be missed.

        Args:
            made: The candidate, with its size.
            file: Its graph.
            config: Session configuration that it needs.
            passed: The candidates that kept their promises so far.

        Raises:
            OutOfTimeError: The budget ended.
        """
        try:
            session = self._open(file, config)
            model = Model(self.package.path, made.method, session, self.task)
            made = self._looked_at(made, file, config, passed)
            better = dominated_by(made, passed)
            if better is not None:
                why = f"{better.method} is as small, and faster"
                return replace(made, beaten_by=better.method, why=why)
            early = self._screened_out(made, model)
            if early is not None:
                return early
            full = self._measured(made, model, file, config)
        except InputError as error:
            problem = error.problem.replace(str(file), "the quantized graph")
            return replace(made, why=f"it does not run: {problem}")
        return replace(full, why=missed(full, self.limits, parent_bytes=self.parent_bytes))

    def _looked_at(
        self, made: Candidate, file: Path, config: Mapping[str, str], passed: Sequence[Candidate]
    ) -> Candidate:
        """The candidate with a first latency: of a longer look where another seems to beat it."""
        for rounds, pairs in LOOKS:
            made = self._timed(made, file, config, rounds=rounds, pairs=pairs)
            self.budget.check()
            if dominated_by(made, passed, certainly=False) is None or dominated_by(made, passed):
                break
        return replace(made, first_look=True)

    def _open(self, file: Path, config: Mapping[str, str], threads: int | None = None) -> Session:
        options = self.options if threads is None else replace(self.options, threads=threads)
        return open_session(file, options, config=config)

    def _answers(self, model: Model, samples: Samples, *, batch_size: int = BATCH) -> Answers:
        """What `answer_all` gives, with a look at the clock now and then."""
        parts: list[Answers] = []
        for start in range(0, len(samples), CHUNK):
            self.budget.check()
            rows = range(start, min(start + CHUNK, len(samples)))
            part = answer_all(model, samples.take(rows), batch_size=batch_size)
            if not isinstance(part, Decisions) and part.dtype.names:
                part["text"] += start
            parts.append(part)
        return _joined(parts)

    def _metric(self, answers: Answers, samples: Samples) -> Estimate | None:
        metrics = score(answers, samples, self.task.specification)
        return metrics.get(main_metric(self.task.specification))

    def _screened_out(self, made: Candidate, model: Model) -> Candidate | None:
        """The candidate with a reason where a part of the samples shows that it will not pass."""
        few = self._screen
        if not self._is_screened:
            return None
        answers = self._answers(model, few)
        task = self.task.specification
        close = agreement(task, self._screened, answers)
        reasons = []
        most = wilson(round(close.share * len(few)), len(few)).interval_95[1]
        if most < self.limits.min_agreement:
            reasons.append(
                f"agreement {told(close.share, self.limits.min_agreement, 4)} on {len(few)} "
                f"samples cannot reach {self.limits.min_agreement:g}"
            )
        least = self._least_drop(answers)
        if least > self.limits.max_drop:
            reasons.append(
                f"the metric drops by {told(least, self.limits.max_drop, 4)} at least, as "
                f"{len(few)} samples show, more than {self.limits.max_drop:g}"
            )
        flips = None
        if not reasons and not runs_alone(model, few):
            flips = self._flips(model, few, answers)
            if flips > self.limits.max_batch_flips:
                reasons.append(
                    f"batch mates change {flips} answers of {len(few)}, more than "
                    f"{self.limits.max_batch_flips}"
                )
        if not reasons:
            return None
        metric = self._metric(answers, few)
        before = self._metric(self._screened, few)
        return replace(
            made,
            metric=metric,
            drop=None if metric is None or before is None else before.value - metric.value,
            agreement=close.share,
            batch_flips=flips,
            largest_change=close.largest_change,
            samples=len(few),
            why="; ".join(reasons),
        )

    def _least_drop(self, answers: Answers) -> float:
        """The lower end of the 95 % interval of the drop of accuracy on the screened samples.

        Paired: only samples that one of both has right count. Minus infinity where the metric is
        not the accuracy.
        """
        task, targets = self.task.specification, self._screen.targets
        if targets is None or task.multi_label or not task.labels:
            return -math.inf
        assert not isinstance(answers, Decisions)
        assert not isinstance(self._screened, Decisions)
        truth = np.asarray(targets)
        before = labeled(self._screened, task).argmax(axis=1) == truth
        change = before.astype(np.float64) - (labeled(answers, task).argmax(axis=1) == truth)
        return float(change.mean() - 1.96 * change.std(ddof=1) / math.sqrt(len(change)))

    def _measured(
        self, made: Candidate, model: Model, file: Path, config: Mapping[str, str]
    ) -> Candidate:
        answers = self._answers(model, self.samples)
        close = agreement(self.task.specification, self.answers, answers)
        each_s = (made.latency_ms or 0.0) / 1e3
        metric = self._metric(answers, self.samples)
        measured = replace(
            made,
            metric=metric,
            drop=None
            if metric is None or self.metric is None
            else self.metric.value - metric.value,
            agreement=close.share,
            perplexity_rise=self._perplexity_rise(answers),
            largest_change=close.largest_change,
            samples=len(self.samples),
        )
        if self._is_screened and quality_missed(measured, self.limits):
            return measured  # the rest takes longer than all before it, and would change nothing
        if not runs_alone(model, self.samples):
            measured = replace(measured, batch_flips=self._flips(model, self.samples, answers))
        measured = replace(
            measured,
            flips=new_flips(self._in_settings(model, file, config), self._settings),
            sqnr_db=self._sqnr_db(model),
            unrolled_db=self._unrolled_db(model),
        )
        both_s = each_s + (made.parent_latency_ms or 0.0) / 1e3
        self.budget.check(both_s * ROUNDS * PAIRS)
        timed = self._timed(measured, file, config, rounds=ROUNDS, pairs=PAIRS)
        return replace(timed, first_look=False)

    def _flips(self, model: Model, samples: Samples, together: Answers) -> int:
        """Samples whose answer is another one when they run alone."""
        alone = self._answers(model, samples, batch_size=1)
        return changed(self.task.specification, alone, together)

    def _in_settings(
        self, model: Model, file: Path, config: Mapping[str, str]
    ) -> tuple[Setting, ...]:
        self.budget.check()
        if self.is_language:
            return ()

        def opened(threads: int) -> Session:
            self.budget.check()
            return self._open(file, config, threads=threads)

        return other_settings(model, self._few, opened)

    def _sqnr_db(self, model: Model) -> float:
        """Of all outputs, over a few samples, each run alone; of plain tensors, the worst output's.

        Infinity where they are equal.
        """
        found = SQNR()
        for item in self._few.items:
            self.budget.check()
            feeds = self.encode([item])
            found.add(self.model.session.run(feeds), model.session.run(feeds))
        return found.worst_db if self.is_tensors else found.together_db

    def _unrolled_db(self, model: Model) -> float | None:
        """For a model that gets its own state back: the worst output's when it does."""
        if not self.is_tensors:
            return None
        steps = [self.encode([item]) for item in self.samples.items[:SETTINGS_SAMPLES]]
        pairs = states(self.model.session, steps[0])
        if not pairs:
            return None
        self.budget.check()
        return unrolled_db(self.model.session, model.session, steps, pairs)

    def _perplexity_rise(self, answers: Answers) -> float | None:
        if not self.is_language:
            return None
        assert not isinstance(answers, Decisions)
        assert not isinstance(self.answers, Decisions)
        return perplexity(answers) / perplexity(self.answers) - 1

    def _timed(
        self, made: Candidate, file: Path, config: Mapping[str, str], *, rounds: int, pairs: int
    ) -> Candidate:
        def reference() -> Session:
            self.budget.check()
            return self._open(self.source, self.parent.session_options)

        found: PairedLatency = paired_latency(
            reference,
            lambda: self._open(file, config),
            self._latency_feeds(),
            rounds=rounds,
            pairs=pairs,
        )
        return replace(
            made,
            latency_ms=found.candidate_ms,
            parent_latency_ms=found.reference_ms,
            latency_ratio=found.ratio,
            latency_ratio_95=found.ratio_95,
        )

    def _latency_feeds(self) -> list[Feeds]:
        chosen = self.samples.head(LATENCY_SAMPLES, seed=0)
        feeds: list[Feeds] = [self.encode([item]) for item in chosen.items]
        if self.is_language:  # what takes the time is the steps that follow
            return [next_step(self.model.session, dict(first)) for first in feeds]
        return feeds


def _joined(parts: Sequence[Answers]) -> Answers:
    decided = [part for part in parts if isinstance(part, Decisions)]
    if decided:
        keys = tuple(key for part in decided for key in part.keys)
        return Decisions(keys=keys, scores=np.concatenate([part.scores for part in decided]))
    return np.concatenate([part for part in parts if not isinstance(part, Decisions)])
