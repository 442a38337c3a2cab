"""How much the data can show: few samples, or a parent that guesses, prove little."""

import warnings
from collections import Counter

from toolkit.errors import ToolkitWarning
from toolkit.evaluate.metrics import Estimate, main_metric, wilson
from toolkit.evaluate.samples import Samples
from toolkit.tasks import TaskSpec

FEW = 30
"""Samples below which a promise that holds says little: without one changed answer among 30, up to
11 % of all answers may still change (Wilson's 95 % interval)."""


def warn_of_little(samples: Samples, task: TaskSpec, metric: Estimate | None, parent: str) -> None:
    """Warn where the samples are few, or the parent is no better than the most frequent label.

    Args:
        samples: What candidates are judged on.
        task: What the model is for.
        metric: The parent's main metric; None without labels.
        parent: The parent's name.
    """
    count = len(samples)
    if count < FEW and task.name != "text-generation":  # whose texts have many places each
        most = wilson(0, count).interval_95[1]
        what = "a drop of 0" if metric is not None else "no changed sample"
        warnings.warn(
            f"{count} samples prove little: {what} on them stands for 0 to {most:.1%} of all such "
            f"data, with 95 % confidence; from {FEW} samples on this is not said",
            ToolkitWarning,
            stacklevel=2,
        )
    if metric is None or samples.targets is None or main_metric(task) != "accuracy":
        return
    (_, frequent), *_ = Counter(samples.targets).most_common(1)
    chance = frequent / count
    if metric.value <= chance:
        warnings.warn(
            f"{parent} has an accuracy of {metric}, and the most frequent label alone {chance:.4f}:"
            " it is not above chance on this data, where a drop shows little; look at the labels",
            ToolkitWarning,
            stacklevel=2,
        )
