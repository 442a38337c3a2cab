"""A moving average of the weights, which is measured and kept in place of the last ones."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from contextlib import contextmanager

import torch
from torch import Tensor, nn


class Average:
    """Exponential moving average of a module's learned weights.

    The decay grows with the steps, as in `tf.train.ExponentialMovingAverage`: `(1 + n) / (10 + n)`
    up to the one that was asked for, so that the first weights are soon forgotten.

    Args:
        module: Its weights that learn are averaged; the others never change.
        decay: Share of the average that a step keeps.
    """

    def __init__(self, module: nn.Module, decay: float) -> None:
        self._decay = decay
        self._learned = {n: p for n, p in module.named_parameters() if p.requires_grad}
        self.values = {name: value.detach().clone() for name, value in self._learned.items()}
        self.steps = 0

    @torch.no_grad()
    def update(self) -> None:
        """Count the weights of one more step in."""
        self.steps += 1
        decay = min(self._decay, (1 + self.steps) / (10 + self.steps))
        for name, value in self._learned.items():
            self.values[name] = self.values[name].to(value.device).lerp_(value, 1 - decay)

    def restore(self, values: Mapping[str, Tensor], steps: int) -> None:
        """Go on with what an earlier sitting had."""
        self.values = {name: value.clone() for name, value in values.items()}
        self.steps = steps

    @contextmanager
    def applied(self) -> Iterator[None]:
        """The module computes with the average; with its own weights again afterwards."""
        own = {name: value.detach().clone() for name, value in self._learned.items()}
        self._copy(self.values)
        try:
            yield
        finally:
            self._copy(own)

    @torch.no_grad()
    def _copy(self, values: Mapping[str, Tensor]) -> None:
        for name, value in values.items():
            self._learned[name].copy_(value)
