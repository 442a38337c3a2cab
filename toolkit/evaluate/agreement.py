"""How far a variant's answers are from its parent's, and from its own in other company."""

from dataclasses import dataclass

import numpy as np

from toolkit.evaluate.decisions import Decisions
from toolkit.evaluate.samples import Samples
from toolkit.evaluate.scoring import Answers, answer_all
from toolkit.inference import Model
from toolkit.tasks import TaskSpec
from toolkit.tasks.task import DECIDED
from toolkit.tensors import Array

VALUE_TOLERANCE = 1e-3
"""A regression's value counts as changed from this share of the values' spread on."""
LEAST_COSINE = 0.99
"""An embedding counts as changed below this cosine to what it was."""
LARGEST_NOISE = 0.1
"""Plain tensors count as changed where they moved by more than this share (20 dB) of their norm, or
of the norm's root mean square over the samples, whichever is larger."""


@dataclass(frozen=True, kw_only=True)
class Agreement:
    """A candidate's answers beside the reference's.

    Attributes:
        share: Samples with the same answer, from 0 to 1: label or set of labels, entities, span,
            likeliest fills, text; for a regression, a value that moved by less than
            `VALUE_TOLERANCE` of the values' standard deviation; for an embedding, a cosine of
            `LEAST_COSINE` at least; for plain tensors, a move of at most `LARGEST_NOISE` of their
            norm or of what is usual, and where classes are known, the same class beside such a move
            of the other outputs. Of a language model, the places with the same likeliest token.
        largest_change: The largest change of a probability, or of a raw output.
    """

    share: float
    largest_change: float


WITHIN = f"within {LARGEST_NOISE:.0%}".replace("%", " %")


def agreement_of(task: TaskSpec) -> str:
    """What `Agreement.share` counts for a task, in a few words."""
    if task.name == "tensors":
        return f"labels, and other outputs {WITHIN}" if task.labels else f"outputs {WITHIN}"
    others = {
        "text-generation": "likeliest tokens",
        "feature-extraction": f"cosines of at least {LEAST_COSINE:g}",
    }
    if task.name in others:
        return others[task.name]
    if not task.name.endswith(("-classification", "-regression")) or task.name.startswith("token"):
        return "answers"
    is_value = not task.labels and not task.multi_label
    return f"values within {VALUE_TOLERANCE * 100:g} % of spread" if is_value else "labels"


def agreement(task: TaskSpec, reference: Answers, candidate: Answers) -> Agreement:
    """Compare answers of two variants, or of one variant in two settings.

    Args:
        task: Says what answers mean.
        reference: From `answer_all`.
        candidate: For the same samples.
    """
    return Agreement(
        share=1 - changed(task, reference, candidate) / len(reference),
        largest_change=_largest_change(reference, candidate),
    )


def changed(task: TaskSpec, reference: Answers, candidate: Answers) -> int:
    """How many samples got another answer; see `Agreement.share`."""
    return int(which_changed(task, reference, candidate).sum())


def which_changed(task: TaskSpec, reference: Answers, candidate: Answers) -> Array:
    """bool[answers]: which of them are others; see `Agreement.share`."""
    if isinstance(reference, Decisions) or isinstance(candidate, Decisions):
        assert isinstance(reference, Decisions)
        assert isinstance(candidate, Decisions)
        pairs = zip(reference.keys, candidate.keys, strict=True)
        return np.array([one != other for one, other in pairs], np.bool_)
    if task.name == "text-generation":
        return np.asarray(reference["predicted"] != candidate["predicted"])
    if task.name == "feature-extraction":
        return np.asarray(~(_cosines(reference, candidate) >= LEAST_COSINE))
    if task.name == "tensors":
        if task.labels:  # of the first columns; other outputs may move as far as they may elsewhere
            width = len(task.labels)
            other = reference[:, :width].argmax(axis=1) != candidate[:, :width].argmax(axis=1)
            return np.asarray(other | _moved(reference[:, width:], candidate[:, width:]))
        return _moved(reference, candidate)
    if task.multi_label:
        return np.asarray(((reference >= DECIDED) != (candidate >= DECIDED)).any(axis=1))
    if reference.shape[1] > 1:
        return np.asarray(reference.argmax(axis=1) != candidate.argmax(axis=1))
    limit = VALUE_TOLERANCE * float(reference.std())
    return np.asarray(np.abs(reference - candidate).reshape(-1) > limit)


def _moved(reference: Array, candidate: Array) -> Array:
    """bool[samples]: which rows of plain numbers are others; see `LARGEST_NOISE`."""
    noise = np.linalg.norm(reference - candidate, axis=1)
    own = np.linalg.norm(reference, axis=1)
    usual = float(np.sqrt(np.mean(own**2)))  # an output near zero may move by what others may
    return np.asarray(~(noise <= LARGEST_NOISE * np.maximum(own, usual)))


def _largest_change(reference: Answers, candidate: Answers) -> float:
    """The largest change of a probability, or of a raw output."""
    return float(np.abs(_numbers(reference) - _numbers(candidate)).max(initial=0.0))


def _numbers(answers: Answers) -> Array:
    """What changes by degrees: scores, probabilities or raw outputs."""
    if isinstance(answers, Decisions):
        return np.asarray(answers.scores)
    return np.exp(-answers["loss"]) if answers.dtype.names else answers


def _cosines(one: Array, other: Array) -> Array:
    lengths = np.linalg.norm(one, axis=1) * np.linalg.norm(other, axis=1)
    return np.asarray((one * other).sum(axis=1) / np.maximum(lengths, np.finfo(one.dtype).tiny))


@dataclass(frozen=True, kw_only=True)
class Invariance:
    """What batch mates do to a variant's answers.

    Attributes:
        flips: Samples whose answer changes between running alone and in a batch.
        largest_change: The largest change of a probability, or of a raw output.
        n: Samples compared.
    """

    flips: int
    largest_change: float
    n: int


def batch_invariance(model: Model, samples: Samples, together: Answers) -> Invariance:
    """Compare answers in batches with the same samples alone.

    Args:
        model: The variant.
        samples: What to run.
        together: The answers in batches, from `answer_all`.
    """
    alone = answer_all(model, samples, batch_size=1)
    return Invariance(
        flips=changed(model.task.specification, alone, together),
        largest_change=_largest_change(alone, together),
        n=len(samples),
    )
