"""Zero-shot image classification: which of some texts describes a picture best."""

from collections.abc import Mapping, Sequence

import numpy as np

from toolkit.errors import InputError
from toolkit.tasks.image import ImageEncoder
from toolkit.tasks.reader import Batch, Item, Result
from toolkit.tasks.text import TextEncoder
from toolkit.tensors import Array


class ZeroShotReader:
    """The likeliest of candidate labels for an image.

    An item is an image, for which the labels given here are the candidates, or {"image": ...,
    "labels": [...]} with candidates of its own.

    Args:
        images: Makes tensors of images.
        texts: Makes tokens of texts.
        output: The graph output that compares them, float[batch, texts].
        template: What a label becomes, with "{}" for it.
        labels: Candidates for items that bring none.
    """

    def __init__(
        self,
        images: ImageEncoder,
        texts: TextEncoder,
        output: str,
        *,
        template: str,
        labels: Sequence[str] = (),
    ) -> None:
        self._images = images
        self._texts = texts
        self._output = output
        self._template = template
        self._labels = tuple(dict.fromkeys(labels))

    def encode(self, items: Sequence[Item], numbers: Sequence[int]) -> Batch:
        """The batch of images, and once each text that any of them may be called.

        Raises:
            InputError: An item is no image, or there are no candidates for it.
            SetupError: Pillow is not installed.
        """
        pairs = [self._pair(*pair) for pair in zip(items, numbers, strict=True)]
        candidates = [labels for _, labels in pairs]
        columns = {label: i for i, label in enumerate(dict.fromkeys(sum(candidates, ())))}
        texts = [self._template.replace("{}", label) for label in columns]
        feeds = self._images([image for image, _ in pairs], numbers)
        return Batch(
            {**feeds, **self._texts(texts, range(1, len(texts) + 1))},
            [{label: columns[label] for label in labels} for labels in candidates],
        )

    def decode(self, outputs: Mapping[str, Array], batch: Batch) -> list[Result]:
        """{"label", "score", "scores"} an image, its scores a softmax over its own candidates."""
        results: list[Result] = []
        for row, columns in zip(outputs[self._output], batch.notes, strict=True):
            logits = row[[*columns.values()]]
            powers = np.exp(logits - logits.max())
            scores = dict(zip(columns, (powers / powers.sum()).tolist(), strict=True))
            label = max(scores, key=lambda name: scores[name])
            results.append({"label": label, "score": scores[label], "scores": scores})
        return results

    def _pair(self, item: Item, number: int) -> tuple[object, tuple[str, ...]]:
        """An item's image and candidates."""
        image, labels = item, self._labels
        if isinstance(item, Mapping):
            if not {"image"} <= item.keys() <= {"image", "labels"}:
                raise InputError(
                    f"item {number} has {', '.join(map(str, item))}",
                    expected='{"image": FILE, "labels": ["a cat", "a dog"]}',
                )
            image = item["image"]
            given = item.get("labels", labels)
            if isinstance(given, str) or not all(isinstance(label, str) for label in given):
                raise InputError(
                    f"the labels of item {number} are {given!r}", expected="a list of texts"
                )
            labels = tuple(dict.fromkeys(given))
        if not labels:
            raise InputError(
                f"there are no labels that image {number} could have",
                expected="one or more candidates, such as 'a cat' and 'a dog'",
                fix='toolkit infer PKG cat.png --candidate "a cat" --candidate "a dog"',
            )
        return image, labels
