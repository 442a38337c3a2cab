"""Items to feeds, outputs to results."""

import math
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any, Protocol

import numpy as np

from toolkit.errors import InputError
from toolkit.tasks.specification import TaskSpec
from toolkit.tensors import Array, TensorSpec

Item = Any
"""A text, a row ({column: value}), an image (array or file), by task."""
Result = dict[str, Any]

FEW = 64
"""Up to this many numbers plain Python beats numpy, whose every call costs a microsecond."""

DATA_LIMIT = 1000
"""Above this many elements a plain tensor's result leaves its data out (design.md, section 5)."""


class Encoder(Protocol):
    """Makes a batch of feeds from items."""

    def __call__(self, items: Sequence[Item], numbers: Sequence[int]) -> dict[str, Array]:
        """Feeds by input name for a batch of items, which messages call by their numbers."""


class Task:
    """One model's pre- and post-processing.

    Args:
        specification: What the model is for.
        encoder: Makes feeds; none where only tensors can go in.
    """

    def __init__(self, specification: TaskSpec, encoder: Encoder | None) -> None:
        self.specification = specification
        self._encoder = encoder
        self._labels = specification.labels

    def encode(
        self, items: Sequence[Item], numbers: Sequence[int] | None = None
    ) -> dict[str, Array]:
        """Feeds for a batch of items.

        Args:
            items: The items.
            numbers: What messages call each one; 1, 2, 3 and so on when not given.

        Raises:
            InputError: An item does not fit, or the model takes tensors only.
        """
        if self._encoder is None:
            raise InputError(
                "this model has no preprocessing: it takes tensors, not text or rows",
                expected="one file an input",
                fix="toolkit infer MODEL --input NAME=FILE.npy",
            )
        return self._encoder(items, numbers or range(1, len(items) + 1))

    def decode(self, outputs: Mapping[str, Array]) -> list[Result]:
        """One result an item, in order; a single one with all tensors for the task "tensors"."""
        kind = self.specification.name
        if kind == "tensors":
            return [{"outputs": {name: _tensor_result(value) for name, value in outputs.items()}}]
        answer = outputs[self.specification.output]
        if kind == "tabular-regression":
            values = np.exp(answer) if self.specification.value_transform == "exp" else answer
            return [{"value": value} for value in values.reshape(len(values)).tolist()]
        if answer.size <= FEW:
            rows = (answer if answer.ndim == 2 else answer.reshape(len(answer), -1)).tolist()
            return [self._classification(self._probabilities_of_one(row)) for row in rows]
        return [self._classification(row) for row in self.probabilities(answer).tolist()]

    def _probabilities_of_one(self, logits: list[float]) -> list[float]:
        """What `probabilities` gives for one item."""
        if self.specification.activation == "sigmoid":
            power = math.exp(-abs(logits[0]))
            more, less = 1.0 / (1.0 + power), power / (1.0 + power)
            return [less, more] if logits[0] >= 0 else [more, less]
        if self.specification.activation == "softmax":
            largest = max(logits)
            powers = [math.exp(logit - largest) for logit in logits]
            total = sum(powers)
            return [power / total for power in powers]
        return logits

    def probabilities(self, logits: Array) -> Array:
        """float[batch, labels] of probabilities from the task's output."""
        if self.specification.activation == "sigmoid":
            column = logits.reshape(-1, 1)
            power = np.exp(-np.abs(column))  # at most 1, whatever the logit
            more, less = 1.0 / (1.0 + power), power / (1.0 + power)
            return np.where(column >= 0, np.hstack([less, more]), np.hstack([more, less]))
        if self.specification.activation == "softmax":
            shifted = np.exp(logits - logits.max(axis=1, keepdims=True))
            return np.asarray(shifted / shifted.sum(axis=1, keepdims=True))
        return logits

    def _classification(self, row: list[float]) -> Result:
        score = max(row)
        label = self._labels[row.index(score)]
        return {"label": label, "score": score, "scores": dict(zip(self._labels, row, strict=True))}


def _tensor_result(value: object) -> Result:
    if not isinstance(value, np.ndarray):  # a sequence, a map, or an optional that is not there
        sequence = value if isinstance(value, list) else [value]
        return {"dtype": type(value).__name__, "shape": [len(sequence)], "data": value}
    strings = value.dtype.kind in "OUS"
    result: Result = {"dtype": "string" if strings else value.dtype.name, "shape": [*value.shape]}
    if value.size <= DATA_LIMIT:
        result["data"] = value.tolist()
    return result


def open_task(
    specification: TaskSpec, preprocessing: Path | None, inputs: Sequence[TensorSpec]
) -> Task:
    """The task that a specification describes.

    Args:
        specification: What the model is for.
        preprocessing: The folder that holds `tokenizer.json` or `features.json`.
        inputs: The graph's inputs.

    Raises:
        InputError: A preprocessing file is missing or broken.
    """
    return Task(specification, _open_encoder(specification, preprocessing, inputs))


def _open_encoder(
    specification: TaskSpec, preprocessing: Path | None, inputs: Sequence[TensorSpec]
) -> Encoder | None:
    if specification.text is not None and preprocessing is not None:
        from toolkit.tasks.text import TextEncoder

        return TextEncoder(preprocessing / "tokenizer.json", specification.text, inputs)
    if specification.name.startswith("tabular-") and preprocessing is not None:
        from toolkit.tasks.tabular import FeatureTable

        return FeatureTable.read(preprocessing / "features.json").encode
    if specification.image is not None:
        from toolkit.tasks.image import ImageEncoder

        return ImageEncoder(specification.image, inputs)
    return None
