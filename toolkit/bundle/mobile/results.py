"""Pre- and postprocessing by what a bundle's document says, and nothing else of the package."""

from collections.abc import Mapping
from typing import Any, cast

import msgspec
import numpy as np

from toolkit.bundle.document import AppModel
from toolkit.tasks import Task, TaskSpec
from toolkit.tasks.image import ImageEncoder
from toolkit.tasks.tabular import FeatureTable
from toolkit.tasks.task import DECIDED, STATES
from toolkit.tensors import Array

LIMIT = 1e-3
"""How far numbers of two results may be apart, times the number but at least 1: apps compute in
float64 what the toolkit does in the output's type, which may be float16."""


def encoded(model: AppModel, item: object) -> dict[str, Array]:
    """The feeds of a row or of pixels; empty for texts and tensors, which are no such items.

    Args:
        model: The document.
        item: As in `Case.item`.

    Raises:
        InputError: It does not fit the document.
    """
    if model.columns is not None:
        return FeatureTable(columns=model.columns).encode([item])
    if model.image is not None:
        return ImageEncoder(model.image, model.inputs)([np.asarray(item, np.uint8)], [1])
    return {}


def decoded(model: AppModel, outputs: Mapping[str, Array], feeds: Mapping[str, Array]) -> object:
    """The result of one item.

    Args:
        model: The document.
        outputs: What the graph answered.
        feeds: What it was given: the states of padding are left out.
    """
    task = msgspec.convert(msgspec.to_builtins(model.task), TaskSpec)
    fields = {} if model.text is None else model.text.inputs
    masks = [feeds[name] for name, field in fields.items() if field == "attention_mask"]
    if task.name == "feature-extraction" and task.output == STATES and masks:
        states = outputs[STATES][:, : int(masks[0].sum())]
        return Task(task, None).decode({**outputs, STATES: states})[0]
    return Task(task, None).decode(outputs)[0]


def same(expected: object, found: object) -> bool:
    """Whether two results of the same outputs say the same.

    Args:
        expected: The one that is stored.
        found: The other.
    """
    if not (isinstance(expected, Mapping) and isinstance(found, Mapping)):
        return _close(expected, found)
    if expected.keys() != found.keys():
        return False
    scores = cast(Mapping[str, float], expected.get("scores", {}))
    for name, wanted in expected.items():
        if name == "label":  # of two that are equal either may come first
            if not scores.get(found[name], -np.inf) >= scores[wanted] - LIMIT:
                return False
        elif name == "labels":
            if _decided(wanted, scores) != _decided(found[name], scores):
                return False
        elif not _close(wanted, found[name]):
            return False
    return True


def _decided(labels: Any, scores: Mapping[str, float]) -> list[str]:
    """Labels without those that are close to the threshold."""
    return [one for one in labels if abs(scores.get(one, np.inf) - DECIDED) > LIMIT]


def _close(expected: object, found: object) -> bool:
    if isinstance(expected, Mapping):
        return (
            isinstance(found, Mapping)
            and expected.keys() == found.keys()
            and all(_close(wanted, found[name]) for name, wanted in expected.items())
        )
    if isinstance(expected, (list, tuple)):
        return (
            isinstance(found, (list, tuple))
            and len(expected) == len(found)
            and all(map(_close, expected, found))
        )
    if isinstance(expected, (int, float)) and isinstance(found, (int, float)):
        return abs(expected - found) <= LIMIT * max(1.0, abs(expected))
    return expected == found
