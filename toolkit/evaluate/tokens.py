"""How well a language model knows what comes next, token by token."""

from collections.abc import Callable

import numpy as np

from toolkit.evaluate.metrics import RESAMPLES, Estimate
from toolkit.tensors import Array

TOKEN = np.dtype(
    [("target", np.int64), ("predicted", np.int64), ("loss", np.float64), ("text", np.int64)]
)
"""A model's answer for one place in a text: the token that stands there, the one that the model
held most likely, minus the logarithm of the probability that it gave the former, and which text."""

IGNORED = -100
"""A target that is none: padding, or what nothing stands before (torch's own number for it)."""


def token_answers(logits: Array, targets: Array, *, first_text: int = 0) -> Array:
    """The answers of a batch.

    Args:
        logits: float32[batch, sequence, vocabulary].
        targets: int64[batch, sequence], the token behind each place, or `IGNORED`.
        first_text: The number of the first row's text.

    Returns:
        TOKEN[places], text by text.
    """
    rows, places = np.nonzero(targets != IGNORED)
    chosen, wanted = logits[rows, places], targets[rows, places]
    largest = chosen.max(axis=1)
    sums = np.log(np.exp(chosen - largest[:, None]).sum(axis=1, dtype=np.float64))
    answers = np.empty(len(rows), TOKEN)
    answers["target"], answers["predicted"] = wanted, chosen.argmax(axis=1)
    answers["loss"] = sums + largest - chosen[np.arange(len(rows)), wanted]
    answers["text"] = rows + first_text
    return answers


def accuracy(answers: Array) -> float:
    """Share of the places where the likeliest token is the one that stands there."""
    return float((answers["predicted"] == answers["target"]).mean())


def perplexity(answers: Array) -> float:
    """The exponential of the mean loss a token."""
    return float(np.exp(answers["loss"].mean()))


def measure_tokens(answers: Array) -> dict[str, Estimate]:
    """The metrics "next_token_accuracy" and "perplexity", each with an interval.

    The intervals are percentile bootstraps over texts, since the tokens of one text are alike.

    Args:
        answers: TOKEN[places].
    """
    _, text = np.unique(answers["text"], return_inverse=True)
    hits = (answers["predicted"] == answers["target"]).astype(np.float64)
    counts = np.bincount(text).astype(np.float64)
    return {
        "next_token_accuracy": _estimate(np.bincount(text, hits), counts, float),
        "perplexity": _estimate(
            np.bincount(text, answers["loss"]), counts, lambda mean: float(np.exp(mean))
        ),
    }


def _estimate(sums: Array, counts: Array, value: Callable[[float], float]) -> Estimate:
    rng = np.random.default_rng(0)
    draws = (rng.integers(0, len(sums), len(sums)) for _ in range(RESAMPLES))
    values = [value(sums[rows].sum() / counts[rows].sum()) for rows in draws]
    low, high = np.percentile(values, [2.5, 97.5])
    found = value(sums.sum() / counts.sum())
    return Estimate(value=found, interval_95=(float(low), float(high)), n=len(sums))
