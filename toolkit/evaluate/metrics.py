"""How good a model's outputs are, with 95 % intervals."""

import math
from collections.abc import Callable

import msgspec
import numpy as np

from toolkit.tasks import TaskSpec
from toolkit.tasks.task import DECIDED
from toolkit.tensors import Array

Z_95 = 1.959963984540054
"""The 97.5 % quantile of the standard normal distribution."""

RESAMPLES = 1000


class Estimate(msgspec.Struct, frozen=True, kw_only=True):
    """A metric measured on a sample.

    Attributes:
        value: On the sample.
        interval_95: Where the value for all such data lies, with 95 % confidence.
        n: Rows of the sample.
    """

    value: float
    interval_95: tuple[float, float]
    n: int

    def __str__(self) -> str:
        low, high = self.interval_95
        return f"{self.value:.4f} ({low:.4f} to {high:.4f})"


def main_metric(task: TaskSpec) -> str:
    """The metric that limits speak of.

    "accuracy", "micro_f1" where an item may have several labels, "r2" for a regression, or
    "next_token_accuracy" for a language model.
    """
    if task.name == "text-generation":
        return "next_token_accuracy"
    if task.multi_label:
        return "micro_f1"
    return "accuracy" if task.labels else "r2"


def main_value(task: TaskSpec, answers: Array, targets: Array) -> float:
    """The main metric's value, without an interval; see `measure`."""
    if task.name == "text-generation":
        from toolkit.evaluate.tokens import accuracy

        return accuracy(answers)
    if task.multi_label:
        return _micro_f1(answers >= DECIDED, targets)
    if not task.labels:
        return _r2(answers.reshape(-1).astype(np.float64), targets.astype(np.float64))
    return float((answers.argmax(axis=1) == targets).mean())


def measure(task: TaskSpec, answers: Array, targets: Array) -> dict[str, Estimate]:
    """The task's metrics by name, the main one first.

    Classification: "accuracy", with Wilson's interval, and "macro_f1". Several labels an item:
    "micro_f1", and "exact_match" of all labels, with Wilson's interval. Regression: "r2" in the
    scale of the model's output, and "mean_absolute_error" in the scale of the value (dollars,
    where the model gives their logarithm). All but accuracy have a percentile bootstrap interval
    of fixed seed. Language models: "next_token_accuracy" and "perplexity"; see `measure_tokens`.

    Args:
        task: Says what answers mean.
        answers: float[rows, labels] of probabilities, float[rows, 1] as the model gives them, or
            of a language model TOKEN[places], which hold their targets.
        targets: [rows], class indexes, or values in the scale of the model's output; [rows, labels]
            of 0 and 1 where an item may have several labels.

    Source: B. Efron (1979), "Bootstrap methods: another look at the jackknife", Annals of
        Statistics 7.
    """
    if task.name == "text-generation":
        from toolkit.evaluate.tokens import measure_tokens

        return measure_tokens(answers)
    if task.multi_label:
        chosen = answers >= DECIDED
        exact = int((chosen == targets).all(axis=1).sum())
        return {
            "micro_f1": _bootstrap(_micro_f1, chosen, targets),
            "exact_match": wilson(exact, len(chosen)),
        }
    if task.labels:
        guess = answers.argmax(axis=1)
        hits = int((guess == targets).sum())
        return {
            "accuracy": wilson(hits, len(guess)),
            "macro_f1": _bootstrap(_macro_f1, guess, targets),
        }
    answer, truth = answers.reshape(-1).astype(np.float64), targets.astype(np.float64)
    result = {"r2": _bootstrap(_r2, answer, truth)}
    if task.value_transform == "exp":
        answer, truth = np.exp(answer), np.exp(truth)
    return result | {"mean_absolute_error": _bootstrap(_absolute_error, answer, truth)}


def wilson(hits: int, n: int) -> Estimate:
    """A proportion with its 95 % interval.

    Source: E. B. Wilson (1927), "Probable inference, the law of succession, and statistical
    inference", Journal of the American Statistical Association 22.
    """
    share, z2 = hits / n, Z_95**2
    center = (share + z2 / (2 * n)) / (1 + z2 / n)
    half = Z_95 * math.sqrt(share * (1 - share) / n + z2 / (4 * n * n)) / (1 + z2 / n)
    interval = (max(0.0, center - half), min(1.0, center + half))
    return Estimate(value=share, interval_95=interval, n=n)


def _r2(answer: Array, truth: Array) -> float:
    spread = float(((truth - truth.mean()) ** 2).sum())
    missed = float(((truth - answer) ** 2).sum())
    return 1.0 - missed / spread if spread else math.nan


def _absolute_error(answer: Array, truth: Array) -> float:
    return float(np.abs(answer - truth).mean())


def _micro_f1(chosen: Array, truth: Array) -> float:
    """The harmonic mean of precision and recall over all labels; 1 where there are none at all."""
    hits = int((chosen & (truth == 1)).sum())
    both = int(chosen.sum() + (truth == 1).sum())
    return 2 * hits / both if both else 1.0


def _macro_f1(guess: Array, truth: Array) -> float:
    """Mean over the classes of the harmonic mean of precision and recall."""
    scores = []
    for label in np.union1d(guess, truth):
        hits = int(((guess == label) & (truth == label)).sum())
        scores.append(2 * hits / int((guess == label).sum() + (truth == label).sum()))
    return float(np.mean(scores))


def _bootstrap(metric: Callable[[Array, Array], float], answer: Array, truth: Array) -> Estimate:
    rng = np.random.default_rng(0)
    n = len(truth)
    samples = (rng.integers(0, n, n) for _ in range(RESAMPLES))
    values = [metric(answer[rows], truth[rows]) for rows in samples]
    low, high = np.nanpercentile(values, [2.5, 97.5])
    return Estimate(value=metric(answer, truth), interval_95=(float(low), float(high)), n=n)
