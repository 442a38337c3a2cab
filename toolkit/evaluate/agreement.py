"""How far a variant's answers are from its parent's, and from its own in other company."""

from dataclasses import dataclass

import numpy as np

from toolkit.evaluate.samples import Samples
from toolkit.evaluate.scoring import answer_all
from toolkit.inference import Model
from toolkit.tensors import Array

VALUE_TOLERANCE = 1e-3
"""A regression's value counts as changed from this share of the values' spread on."""


@dataclass(frozen=True, kw_only=True)
class Agreement:
    """A candidate's answers beside the reference's.

    Attributes:
        share: Samples with the same label, from 0 to 1; for a regression, those whose value moved
            by less than `VALUE_TOLERANCE` of the values' standard deviation.
        largest_change: The largest change of a probability, or of a raw output.
    """

    share: float
    largest_change: float


def agreement(reference: Array, candidate: Array) -> Agreement:
    """Compare answers of two variants, or of one variant in two settings.

    Args:
        reference: float[samples, labels] or float[samples, 1], from `answer_all`.
        candidate: The same shape.
    """
    changes = np.abs(reference - candidate)
    return Agreement(
        share=1 - changed(reference, candidate) / len(reference),
        largest_change=float(changes.max(initial=0.0)),
    )


def changed(reference: Array, candidate: Array) -> int:
    """How many samples got another label, or a value that moved; see `Agreement.share`."""
    if reference.shape[1] > 1:
        return int((reference.argmax(axis=1) != candidate.argmax(axis=1)).sum())
    limit = VALUE_TOLERANCE * float(reference.std())
    return int((np.abs(reference - candidate) > limit).sum())


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


def batch_invariance(model: Model, samples: Samples, together: Array) -> Invariance:
    """Compare answers in batches with the same samples alone.

    Args:
        model: The variant.
        samples: What to run.
        together: The answers in batches, from `answer_all`.
    """
    alone = answer_all(model, samples, batch_size=1)
    return Invariance(
        flips=changed(alone, together),
        largest_change=float(np.abs(alone - together).max(initial=0.0)),
        n=len(samples),
    )
