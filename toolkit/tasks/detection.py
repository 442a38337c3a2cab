"""Object detection: boxes of a picture from a detector's logits and boxes."""

from collections.abc import Mapping, Sequence

import numpy as np

from toolkit.errors import InputError
from toolkit.tasks.image import ImageEncoder
from toolkit.tasks.reader import Batch, Item, Result
from toolkit.tasks.specification import DetectionSpec
from toolkit.tensors import Array


class DetectionReader:
    """Boxes of images.

    Args:
        encoder: Makes tensors of images.
        output: The graph output with the logits, float[batch, queries, labels + 1].
        labels: Labels in the order of the logits, whose last one means that there is nothing.
        specification: Where boxes come from, and which ones are kept.
        threshold: A box is kept when its probability is above; the specification's when not given.
        overlap: Intersection over union above which two boxes of one label are the same object;
            the specification's when not given. At 1 all are kept.

    Raises:
        InputError: `threshold` or `overlap` is no fraction.
    """

    def __init__(
        self,
        encoder: ImageEncoder,
        output: str,
        labels: Sequence[str],
        specification: DetectionSpec,
        *,
        threshold: float | None = None,
        overlap: float | None = None,
    ) -> None:
        self._encoder = encoder
        self._output = output
        self._labels = tuple(labels)
        self._boxes = specification.boxes
        self._threshold = specification.threshold if threshold is None else threshold
        self._overlap = specification.overlap if overlap is None else overlap
        for name, value in (("threshold", self._threshold), ("overlap", self._overlap)):
            if not 0 <= value <= 1:
                raise InputError(f"the {name} is {value}", expected="0 to 1")

    def encode(self, items: Sequence[Item], numbers: Sequence[int]) -> Batch:
        """The batch of images, with the size of each.

        Raises:
            InputError: An item is no image.
            SetupError: Pillow is not installed.
        """
        pixels = [self._encoder.pixels(*pair) for pair in zip(items, numbers, strict=True)]
        tensors = [self._encoder.tensor(*pair) for pair in zip(pixels, numbers, strict=True)]
        return Batch(self._encoder.feeds(tensors), [image.shape[:2] for image in pixels])

    def decode(self, outputs: Mapping[str, Array], batch: Batch) -> list[Result]:
        """{"boxes": [{"label", "score", "box"}]} an image, the most certain box first.

        A box is [x0, y0, x1, y1] in pixels of the image as it was given, its edges as the model
        says, which may be a little outside of the picture.
        """
        sizes: Sequence[tuple[int, int]] = batch.notes
        found = zip(outputs[self._output], outputs[self._boxes], sizes, strict=True)
        return [{"boxes": self._found(*one)} for one in found]

    def _found(self, logits: Array, boxes: Array, size: tuple[int, int]) -> list[Result]:
        labels, scores = best_labels(logits)
        kept = np.flatnonzero(scores > self._threshold)
        height, width = size
        corners = as_corners(boxes[kept]) * np.array([width, height, width, height], np.float32)
        order = without_overlaps(corners, scores[kept], labels[kept], limit=self._overlap)
        return [
            {
                "label": self._labels[labels[kept[i]]],
                "score": float(scores[kept[i]]),
                "box": corners[i].tolist(),
            }
            for i in order
        ]


def best_labels(logits: Array) -> tuple[Array, Array]:
    """Of each query the likeliest label that is not "nothing", and its probability.

    Args:
        logits: float[queries, labels + 1].

    Source: transformers' `DetrImageProcessor.post_process_object_detection`.
    """
    shifted = np.exp(logits - logits.max(axis=-1, keepdims=True))
    probabilities = (shifted / shifted.sum(axis=-1, keepdims=True))[:, :-1]
    labels = probabilities.argmax(axis=-1)
    return labels, probabilities[np.arange(len(labels)), labels]


def as_corners(boxes: Array) -> Array:
    """float[n, 4] of x0, y0, x1, y1 from center x, center y, width, height."""
    center, half = boxes[:, :2], boxes[:, 2:] / 2
    return np.concatenate([center - half, center + half], axis=1)


def without_overlaps(boxes: Array, scores: Array, labels: Array, *, limit: float) -> list[int]:
    """Non-maximum suppression within each label.

    Args:
        boxes: float[n, 4], x0, y0, x1, y1.
        scores: float[n].
        labels: int[n].
        limit: A box goes whose intersection over union with a more certain one of its label is
            above.

    Returns:
        Positions of the boxes that stay, the most certain first; of equals, the earlier.
    """
    order = np.argsort(-scores, kind="stable")
    kept: list[int] = []
    while order.size:
        first, rest = int(order[0]), order[1:]
        kept.append(first)
        same = labels[rest] == labels[first]
        order = rest[~(same & (intersection_over_union(boxes[first], boxes[rest]) > limit))]
    return kept


def intersection_over_union(box: Array, others: Array) -> Array:
    """float[n]: shared area of a box with each of the others, as a share of what both cover."""
    low = np.maximum(box[:2], others[:, :2])
    high = np.minimum(box[2:], others[:, 2:])
    shared = np.clip(high - low, 0, None).prod(axis=1)
    areas = [np.clip(b[:, 2:] - b[:, :2], 0, None).prod(axis=1) for b in (box[None], others)]
    covered = areas[0] + areas[1] - shared
    share: Array = np.divide(shared, covered, out=np.zeros_like(shared), where=covered > 0)
    return share
