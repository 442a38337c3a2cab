"""What training a language model takes beside a classifier's: its targets, and figures by token."""

from __future__ import annotations

from typing import Any

import numpy as np
import torch
from torch import Tensor, nn

from toolkit.evaluate.tokens import IGNORED, TOKEN, token_answers
from toolkit.tensors import Array


def next_tokens(ids: Array, mask: Array, end: int) -> Array:
    """What a language model learns: the token behind each one, and the end behind the last.

    Args:
        ids: int64[rows, sequence], padded on the right.
        mask: int64[rows, sequence], 0 for padding.
        end: The token behind a text's last one; `IGNORED` for none.

    Returns:
        int64[rows, sequence], `IGNORED` for padding.
    """
    targets = np.full_like(ids, IGNORED)
    targets[:, :-1] = np.where(mask[:, 1:] == 1, ids[:, 1:], IGNORED)
    lengths = mask.sum(axis=1)
    whole = lengths < ids.shape[1]  # a text that was cut does not end where it was cut
    targets[whole, lengths[whole] - 1] = end
    return targets


def output_of(module: nn.Module, feeds: dict[str, Tensor]) -> Any:
    """What a recipe's model answers: a tensor, or the `logits` of one of transformers' models."""
    returned = module(**feeds)
    return getattr(returned, "logits", returned)


class TokenFigures:
    """Loss and answers of a split, batch by batch: all logits at once would fill the memory.

    Args:
        ends: Tokens that end a text. They are learned, but no part of the answers: no text of a
            user's says that it ends.
    """

    def __init__(self, ends: tuple[int, ...]) -> None:
        self._ends = ends
        self._answers: list[Array] = []
        self._losses: list[tuple[float, int]] = []
        self._texts = 0

    def add(self, logits: Tensor, targets: Tensor, loss: Tensor | None = None) -> None:
        """Take a batch: float32[batch, sequence, vocabulary], int64[batch, sequence], its loss."""
        found = token_answers(logits.cpu().numpy(), targets.cpu().numpy(), first_text=self._texts)
        self._texts += len(targets)
        if loss is not None:
            self._losses.append((float(loss), len(found)))
        self._answers.append(found[~np.isin(found["target"], self._ends)])

    @property
    def loss(self) -> Tensor:
        """The mean loss a token."""
        values, counts = np.array(self._losses).T
        return torch.tensor(float((values * counts).sum() / counts.sum()))

    @property
    def answers(self) -> Array:
        """TOKEN[places] of all texts."""
        return np.concatenate([np.empty(0, TOKEN), *self._answers])
