"""How good a model's outputs are for its task, on the splits of its training."""

from collections.abc import Mapping

import msgspec
import numpy as np

from toolkit.evaluate import metrics
from toolkit.evaluate.metrics import Estimate, main_metric
from toolkit.tasks import Task, TaskSpec
from toolkit.tensors import Array


class Scores(msgspec.Struct, frozen=True, kw_only=True):
    """Metrics of one split.

    Attributes:
        n: Rows of the split.
        metrics: Each with its 95 % interval, as `toolkit.evaluate.metrics.measure` names them.
    """

    n: int
    metrics: Mapping[str, Estimate]


class FoldScores(msgspec.Struct, frozen=True, kw_only=True):
    """The main metric over the folds of a cross-validation.

    Attributes:
        metric: Its name.
        values: One a fold.
        mean: Of the values.
        spread: Their standard deviation, with one degree of freedom taken off.
    """

    metric: str
    values: tuple[float, ...]
    mean: float
    spread: float


def main_value(task: TaskSpec, outputs: Array, targets: Array) -> float:
    """The main metric's value, without an interval.

    Args:
        task: Says what outputs mean.
        outputs: What `predict` gives.
        targets: [rows], as in `Split`.
    """
    return metrics.main_value(task, _answers(task, outputs), targets)


def measure(task: TaskSpec, outputs: Array, targets: Array) -> Scores:
    """All metrics of the task.

    Args:
        task: Says what outputs mean.
        outputs: What `predict` gives.
        targets: [rows], as in `Split`.
    """
    found = metrics.measure(task, _answers(task, outputs), targets)
    return Scores(n=len(targets), metrics=found)


def fold_scores(task: TaskSpec, values: list[float]) -> FoldScores:
    """Mean and spread over folds."""
    return FoldScores(
        metric=main_metric(task),
        values=tuple(values),
        mean=float(np.mean(values)),
        spread=float(np.std(values, ddof=1)),
    )


def _answers(task: TaskSpec, outputs: Array) -> Array:
    if task.name == "text-generation":
        return outputs
    if task.name == "tabular-regression":
        return outputs.reshape(len(outputs), 1)
    return Task(task, None).probabilities(outputs)
