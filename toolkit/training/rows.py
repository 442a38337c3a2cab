"""Encoded splits, and the order in which their rows become batches."""

from __future__ import annotations

import warnings
from collections.abc import Iterable, Iterator

import numpy as np
import torch
from torch import Tensor
from torch.utils.data import DataLoader, Dataset, Sampler

from toolkit.errors import ToolkitWarning
from toolkit.evaluate.tokens import IGNORED
from toolkit.tasks import Task
from toolkit.tensors import Array
from toolkit.training.data import Split
from toolkit.training.language import next_tokens

Batch = tuple[dict[str, Tensor], Tensor]

BUCKET_BATCHES = 50
"""Batches whose rows are sorted by length together: little padding, still a random order."""
SCORING_BATCH = 256
TEACHER = "teacher"
"""Beside the feeds of a training batch: float32[batch, labels], the teacher's logits."""


class Rows(Dataset[Batch]):
    """A split as tensors, encoded once by the code that encodes on the device.

    Args:
        task: Encodes the items.
        split: Items and targets.
    """

    def __init__(self, task: Task, split: Split) -> None:
        with warnings.catch_warnings():
            # One warning a long text; a recipe chooses the length it trains at.
            warnings.simplefilter("ignore", ToolkitWarning)
            encoded = task.encode(split.items)
        self.feeds = {name: torch.from_numpy(array) for name, array in encoded.items()}
        generation = task.specification.generation
        self.ends: tuple[int, ...] = () if generation is None else generation.end_ids
        targets = split.targets
        if generation is not None:
            end = self.ends[0] if self.ends else IGNORED
            targets = next_tokens(encoded["input_ids"], encoded["attention_mask"], end)
        self.targets = torch.from_numpy(np.ascontiguousarray(targets))
        self.teacher = None if split.teacher is None else torch.from_numpy(split.teacher)
        mask = encoded.get("attention_mask")
        self.lengths: Array | None = None if mask is None else mask.sum(axis=1)

    def __len__(self) -> int:
        return len(self.targets)

    def __getitem__(self, rows: list[int]) -> Batch:
        """A batch, cut to its longest text."""
        feeds = {name: tensor[rows] for name, tensor in self.feeds.items()}
        if self.lengths is not None:
            longest = int(self.lengths[rows].max())
            feeds = {name: tensor[:, :longest] for name, tensor in feeds.items()}
            if self.targets.ndim > 1:
                return feeds, self.targets[rows, :longest]
        return feeds, self.targets[rows]


class _TaughtRows(Dataset[Batch]):
    """Rows whose batches carry the teacher's logits."""

    def __init__(self, rows: Rows, teacher: Tensor) -> None:
        self._rows, self._teacher = rows, teacher

    def __getitem__(self, rows: list[int]) -> Batch:
        feeds, targets = self._rows[rows]
        return feeds | {TEACHER: self._teacher[rows]}, targets


class ShuffledBatches(Sampler[list[int]]):
    """Row numbers of a training epoch's batches; texts of similar length stand together.

    The order depends on the seed and the epoch only, so that a resumed training sees what an
    uninterrupted one would have seen.
    """

    def __init__(self, rows: Rows, batch_size: int, seed: int) -> None:
        self._count, self._lengths = len(rows), rows.lengths
        self._batch_size, self._seed = batch_size, seed
        self._epoch = 0

    def set_epoch(self, epoch: int) -> None:
        """Lightning calls this before every epoch."""
        self._epoch = epoch

    def __len__(self) -> int:
        return (self._count + self._batch_size - 1) // self._batch_size

    def __iter__(self) -> Iterator[list[int]]:
        rng = np.random.default_rng([self._seed, self._epoch])
        order = rng.permutation(self._count)
        if self._lengths is not None:
            bucket = self._batch_size * BUCKET_BATCHES
            parts = [order[start : start + bucket] for start in range(0, self._count, bucket)]
            sorts = [part[np.argsort(self._lengths[part], kind="stable")] for part in parts]
            order = np.concatenate(sorts)
        batches = _cut(order, self._batch_size)
        for position in rng.permutation(len(batches)):
            yield batches[position]


def training_batches(rows: Rows, *, batch_size: int, seed: int) -> DataLoader[Batch]:
    """Shuffled batches, with `TEACHER` among the feeds where there is one."""
    taught = rows if rows.teacher is None else _TaughtRows(rows, rows.teacher)
    return _loader(taught, ShuffledBatches(rows, batch_size, seed))


def scoring_order(rows: Rows) -> Array:
    """int64[rows], the order in which rows are scored: texts by their length."""
    if rows.lengths is None:
        return np.arange(len(rows))
    return np.argsort(rows.lengths, kind="stable")


def scoring_batches(rows: Rows) -> DataLoader[Batch]:
    """All rows in `scoring_order`, in large batches."""
    return _loader(rows, _cut(scoring_order(rows), SCORING_BATCH))


def _loader(rows: Dataset[Batch], batches: Iterable[list[int]]) -> DataLoader[Batch]:
    # A loader draws a number whenever it starts: a generator of its own keeps it from moving
    # torch's, from which dropout and augmentation draw.
    return DataLoader(rows, sampler=batches, batch_size=None, generator=torch.Generator())


def _cut(order: Array, size: int) -> list[list[int]]:
    return [order[start : start + size].tolist() for start in range(0, len(order), size)]
