"""Token classification: what the tokens of a text are, joined to entities."""

from collections.abc import Mapping, Sequence

import numpy as np
from tokenizers import Encoding

from toolkit.errors import InputError
from toolkit.tasks.reader import Batch, Item, Result
from toolkit.tasks.text import TextEncoder
from toolkit.tensors import Array

OUTSIDE = "O"
"""The label of a token that is part of no entity."""

_Token = tuple[str, float, int, int]
"""Label, its probability, and the token's first character and the one behind its last."""


class EntityReader:
    """Entities of texts.

    Neighboring tokens with one label are one entity, whose score is the mean of theirs; "B-" and
    "I-" in front of a label say where one begins, and are not part of the answer.

    Args:
        encoder: Makes tokens of texts.
        output: The graph output, float[batch, sequence, labels].
        labels: Labels in the order of the logits.

    Source: transformers' TokenClassificationPipeline, aggregation_strategy "simple".
    """

    def __init__(self, encoder: TextEncoder, output: str, labels: Sequence[str]) -> None:
        self._encoder = encoder
        self._output = output
        self._labels = tuple(labels)

    def encode(self, items: Sequence[Item], numbers: Sequence[int]) -> Batch:
        """The batch of texts.

        Raises:
            InputError: An item is no text, or too long and not to be cut.
        """
        for item, number in zip(items, numbers, strict=True):
            if not isinstance(item, str):
                raise InputError(f"text {number} is {item!r}", expected="a string")
        encodings = self._encoder.encodings(items, numbers)
        return Batch(self._encoder.feeds(encodings), (items, encodings))

    def decode(self, outputs: Mapping[str, Array], batch: Batch) -> list[Result]:
        """{"entities": [{"label", "score", "start", "end", "text"}]} a text; see `Batch`."""
        items, encodings = batch.notes
        logits = outputs[self._output]
        best = logits.argmax(axis=2)
        # The largest probability of a softmax is one over the sum of exp(logit - largest).
        scores = 1.0 / np.exp(logits - logits.max(axis=2, keepdims=True)).sum(axis=2)
        rows = zip(items, encodings, best.tolist(), scores.tolist(), strict=True)
        return [{"entities": self._entities(*row)} for row in rows]

    def _entities(
        self, text: str, encoding: Encoding, best: list[int], scores: list[float]
    ) -> list[Result]:
        entities: list[Result] = []
        group: list[_Token] = []
        special = encoding.special_tokens_mask
        for position, (start, end) in enumerate(encoding.offsets):
            if special[position]:  # padding too
                continue
            token = (self._labels[best[position]], scores[position], start, end)
            if group and not _continues(group[-1][0], token[0]):
                entities += _entity(text, group)
                group = []
            group.append(token)
        return [*entities, *_entity(text, group)]


def _entity(text: str, group: Sequence[_Token]) -> list[Result]:
    """The entity of a group of tokens; none for one outside of entities."""
    if not group or group[0][0] == OUTSIDE:
        return []
    start, end = group[0][2], group[-1][3]
    score = sum(token[1] for token in group) / len(group)
    label = group[0][0].split("-", 1)[-1]
    return [{"label": label, "score": score, "start": start, "end": end, "text": text[start:end]}]


def _continues(last: str, label: str) -> bool:
    """Whether a token is part of the entity of the one before it."""
    return not label.startswith("B-") and _tag(label) == _tag(last)


def _tag(label: str) -> str:
    return label[2:] if label.startswith(("B-", "I-")) else label
