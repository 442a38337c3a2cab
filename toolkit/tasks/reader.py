"""The seam for tasks whose results need more of an item than the outputs say."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any, Protocol

from toolkit.tensors import Array

Item = Any
"""A text, a pair of texts, a question, a row ({column: value}), an image (array or file), by
task."""
Result = dict[str, Any]


@dataclass(frozen=True, kw_only=True)
class TaskOptions:
    """How items are read, and how much an answer says.

    Attributes:
        truncate: Cut a text that is longer than the model's positions, with a warning; an error
            otherwise.
        top_k: Fills that are given for each mask.
        no_answer: Let a question have no answer in its context: an empty one then, where the model
            holds that for likelier than its best span. For models that were trained so (SQuAD 2).
        threshold: Probability above which a detected object counts; the package's when not given.
        overlap: Intersection over union above which two boxes of one label are the same object;
            the package's when not given.
        candidates: What a picture may show, for zero-shot image classification.
        language: Code of the language that is spoken, such as "de"; detected when not given.
        translate: Write what is said in English, whatever the language.
    """

    truncate: bool = True
    top_k: int = 5
    no_answer: bool = False
    threshold: float | None = None
    overlap: float | None = None
    candidates: tuple[str, ...] = ()
    language: str = ""
    translate: bool = False


@dataclass(frozen=True, slots=True)
class Batch:
    """Items as tensors, and what their results need beside the outputs.

    Attributes:
        feeds: Feeds by input name.
        notes: What the reader remembers of the items: where tokens stand, sizes of images.
        rows: The item of each row, ascending, where one may take several; none where each has one.
    """

    feeds: dict[str, Array]
    notes: Any = None
    rows: tuple[int, ...] | None = None


class Reader(Protocol):
    """Makes a batch of items, and results of what the model says to it."""

    def encode(self, items: Sequence[Item], numbers: Sequence[int]) -> Batch:
        """The batch of items, which messages call by their numbers."""

    def decode(self, outputs: Mapping[str, Array], batch: Batch) -> list[Result]:
        """One result an item of the batch, in order."""
