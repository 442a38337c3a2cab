"""Items with their targets, in splits."""

from collections.abc import Sequence
from dataclasses import dataclass, field

import numpy as np

from toolkit.errors import InputError
from toolkit.tasks import Item
from toolkit.tensors import Array


@dataclass(frozen=True, kw_only=True)
class Split:
    """Items of one part of the data, and what the model shall answer to them.

    Attributes:
        items: Texts, rows ({column: value}) or images (uint8 arrays), by task.
        targets: int64[items], indexes into the task's labels; for a regression float32[items], in
            the scale of the model's output (the logarithm where the task says "exp"). A language
            model learns its texts themselves: leave the targets out.
        teacher: float32[items, labels], logits of the model that `toolkit train --distill` names;
            training fills it in.
    """

    items: Sequence[Item]
    targets: Array = field(default_factory=lambda: np.empty(0, np.int64))
    teacher: Array | None = None

    def __post_init__(self) -> None:
        if not len(self.targets):  # one a text, which nothing reads
            object.__setattr__(self, "targets", np.zeros(len(self.items), np.int64))
        if len(self.items) != len(self.targets):
            raise InputError(
                f"a split has {len(self.items)} items and {len(self.targets)} targets",
                expected="one target an item",
            )
        if not len(self.items):
            raise InputError("a split is empty", expected="at least one item")

    def __len__(self) -> int:
        return len(self.items)

    def take(self, rows: Array) -> "Split":
        """The items at some positions.

        Args:
            rows: int64[any], positions.
        """
        teacher = None if self.teacher is None else self.teacher[rows]
        items = [self.items[row] for row in rows]
        return Split(items=items, targets=self.targets[rows], teacher=teacher)


@dataclass(frozen=True, kw_only=True)
class Data:
    """The three splits.

    Attributes:
        train: What weights, preprocessing and scaling are fitted on.
        validation: What choices are made on: early stopping, the best epoch, settings.
        test: Looked at once, for the report.
    """

    train: Split
    validation: Split
    test: Split


def split_rows(
    items: Sequence[Item], targets: Array, *, validation: float, test: float, seed: int
) -> Data:
    """Random splits of fixed seed; classes (integer targets) keep their shares.

    Args:
        items: All items.
        targets: One an item.
        validation: Share of the validation split, between 0 and 1.
        test: Share of the test split, between 0 and 1.
        seed: Give a constant: with another one the test split changes, and results no longer
            compare.

    Raises:
        InputError: Fewer items than three splits need.
    """
    rng = np.random.default_rng(seed)
    parts: list[list[Array]] = [[], [], []]
    strata = targets if targets.dtype.kind in "iu" else np.zeros(len(targets), np.int64)
    for stratum in np.unique(strata):
        rows = rng.permutation(np.flatnonzero(strata == stratum))
        tests, validations = round(len(rows) * test), round(len(rows) * validation)
        bounds = [tests, tests + validations]
        for part, chosen in zip(parts, np.split(rows, bounds), strict=True):
            part.append(chosen)
    everything = Split(items=items, targets=targets)
    last, middle, first = (everything.take(np.sort(np.concatenate(part))) for part in parts)
    return Data(train=first, validation=middle, test=last)


def folds(split: Split, count: int, *, seed: int) -> list[tuple[Split, Split]]:
    """(training rows, held-out rows) of each of `count` folds; every row is held out once.

    Raises:
        InputError: Fewer rows than folds.
    """
    if count > len(split):
        raise InputError(f"{count} folds of {len(split)} rows", expected="no more folds than rows")
    order = np.random.default_rng(seed).permutation(len(split))
    held_out = [np.sort(part) for part in np.array_split(order, count)]
    everything = np.arange(len(split))
    return [(split.take(np.setdiff1d(everything, part)), split.take(part)) for part in held_out]
