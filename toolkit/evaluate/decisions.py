"""Answers that are no numbers, reduced to what two variants can agree on."""

from collections.abc import Callable, Hashable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np

from toolkit.tasks import Result, TaskSpec
from toolkit.tensors import Array

MEASURED = (
    "text-classification",
    "tabular-classification",
    "tabular-regression",
    "image-classification",
)
"""Tasks with a metric against labels."""


def has_metric(task: TaskSpec) -> bool:
    """Whether answers can be held against labels."""
    return task.name in MEASURED


@dataclass(frozen=True, kw_only=True)
class Decisions:
    """What was decided for each sample, and how surely.

    Attributes:
        keys: Equal where two answers say the same.
        scores: float64[samples], their probabilities; 1 where an answer has none.
    """

    keys: tuple[Hashable, ...]
    scores: Array

    def __len__(self) -> int:
        return len(self.keys)


def decisions(results: Sequence[Result]) -> Decisions:
    """What results say, without the probabilities that change with every variant."""
    scores = np.array([_score(result) for result in results], np.float64)
    return Decisions(keys=tuple(_key(result) for result in results), scores=scores)


_KEYS: Mapping[str, Callable[[Any], Hashable]] = {
    "entities": lambda found: tuple((e["label"], e["start"], e["end"]) for e in found),
    "masks": lambda found: tuple(mask["fills"][0]["token"] for mask in found),
    "boxes": lambda found: tuple(sorted(box["label"] for box in found)),
    "answer": str,
    "label": str,
    "text": str,
}


def _key(result: Result) -> Hashable:
    return next(read(result[name]) for name, read in _KEYS.items() if name in result)


def _score(result: Result) -> float:
    """An answer's probability, or the mean of its parts' probabilities."""
    if "score" in result:
        return float(result["score"])
    if "masks" in result:
        return float(np.mean([mask["fills"][0]["score"] for mask in result["masks"]]))
    parts = result.get("entities") or result.get("boxes") or ()
    return float(np.mean([part["score"] for part in parts])) if parts else 1.0
