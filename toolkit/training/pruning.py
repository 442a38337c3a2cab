"""Magnitude pruning while a model is trained: the smallest weights become zero and stay it."""

from __future__ import annotations

import gzip
from collections.abc import Mapping
from pathlib import Path
from typing import TYPE_CHECKING, Any

import msgspec

from toolkit.errors import InputError

if TYPE_CHECKING:
    from torch import Tensor, nn

MOST = 0.95
BEGIN, END = 0.1, 0.5
"""Where pruning begins and has reached its share, in parts of all steps. What is left of the
training is for the weights that stay: only epochs behind the end can be the best one."""
CHOICES = 50
"""How often weights are chosen on the way. Zhu and Gupta choose every 100 steps or more seldom."""


class PruningRecord(msgspec.Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """What a run says of its zeros.

    Attributes:
        share: What was asked for, of the weights below.
        weights: Numbers in the matrices that learn.
        zeros: Those of them that are exactly zero.
        reached: Their share.
        parameters: All learned and fixed numbers of the model, with biases and frozen layers.
        reached_of_parameters: Share of zeros among these.
        matrices: Share of zeros by the name of the matrix.
        weights_bytes: Size of the stored weights.
        weights_gzip_bytes: Size of that file compressed by gzip.
    """

    share: float
    weights: int
    zeros: int
    reached: float
    parameters: int
    reached_of_parameters: float
    matrices: dict[str, float]
    weights_bytes: int
    weights_gzip_bytes: int


class Pruner:
    """Sets the smallest weights of a module to zero, more of them with every step.

    Weights are those of two dimensions or more that learn: embeddings, linear and convolution
    layers, LSTM and GRU; no biases, no scales of a normalization. They are compared over all
    matrices together. Gradients of a zero are dropped too, so that no optimizer's memory of them
    brings it back and none counts when gradients are clipped.

    torch.nn.utils.prune chooses the weights. Its masks do not serve here: they rename `weight` to
    `weight_orig`, which the checkpoints, the moving average and a recipe's `rate` know by its name.

    Args:
        module: What is trained.
        share: Of the weights, from 0 to `MOST`.
        steps: Of the whole training.

    Raises:
        InputError: The module has no weights that learn.

    Source: M. Zhu and S. Gupta (2017), "To prune, or not to prune", arXiv:1710.01878, for the
        cubic schedule.
    """

    def __init__(self, module: nn.Module, share: float, steps: int) -> None:
        self._weights = _weights(module)
        if not self._weights:
            raise InputError(
                "the model has no weights of two dimensions or more that learn",
                expected="embeddings, linear or convolution layers, LSTM or GRU",
                fix="leave out --prune",
            )
        self._share = share
        self._begin = int(BEGIN * steps)
        self._end = max(int(END * steps), self._begin + 1)
        self._every = max((self._end - self._begin) // CHOICES, 1)
        self._step = 0
        self._total = sum(weight.numel() for weight in self._weights.values())
        self._zeros = 0
        self._pruned: dict[str, Tensor] = {}

    @classmethod
    def holding(cls, module: nn.Module) -> Pruner:
        """One that chooses nothing, and holds the zeros that the module's weights have now."""
        pruner = cls(module, 0.0, steps=0)
        pruner._pruned = {name: weight.detach() == 0 for name, weight in pruner._weights.items()}
        pruner._zeros = sum(int(held.sum()) for held in pruner._pruned.values())
        pruner._share = pruner.reached
        pruner._end = pruner._begin
        return pruner

    @property
    def is_done(self) -> bool:
        """Whether the share was reached."""
        return self._zeros == round(self._share * self._total)

    @property
    def reached(self) -> float:
        """Share of the weights that are held at zero."""
        return self._zeros / self._total

    def drop_gradients(self) -> None:
        """Before the optimizer's step: zeros do not learn."""
        for name, pruned in self._pruned.items():
            gradient = self._weights[name].grad
            if gradient is not None:
                gradient.masked_fill_(pruned.to(gradient.device), 0.0)

    def step(self) -> None:
        """After the optimizer's step: choose more weights if it is time, and hold all zeros."""
        self._step += 1
        due = (self._step - self._begin) % self._every == 0 or self._step == self._end
        if self._begin < self._step <= self._end and due:
            self._choose(planned(self._step, self._share, begin=self._begin, end=self._end))
        self.hold(self._weights)

    def hold(self, values: Mapping[str, Tensor]) -> None:
        """Set what was chosen to zero in tensors by the names of the parameters."""
        import torch

        with torch.no_grad():
            for name, pruned in self._pruned.items():
                # Not a product: that of a negative number is -0.0, whose bits compress worse.
                values[name].masked_fill_(pruned.to(values[name].device), 0.0)

    def state(self) -> dict[str, Any]:
        """For a checkpoint."""
        return {"step": self._step, "pruned": self._pruned}

    def restore(self, state: Mapping[str, Any]) -> None:
        """Go on with what an earlier sitting had."""
        self._step = state["step"]
        self._pruned = dict(state["pruned"])
        self._zeros = sum(int(pruned.sum()) for pruned in self._pruned.values())

    def _choose(self, share: float) -> None:
        """What is zero is among the smallest, so that nothing chosen before comes back."""
        import torch
        from torch.nn.utils.prune import L1Unstructured

        flat = torch.cat([weight.detach().flatten() for weight in self._weights.values()])
        kept: Tensor = L1Unstructured(amount=share).compute_mask(  # type: ignore[no-untyped-call]  # torch's
            flat, torch.ones_like(flat)
        )
        sizes = [weight.numel() for weight in self._weights.values()]
        parts = zip(self._weights.items(), torch.split(kept == 0, sizes), strict=True)
        self._pruned = {name: part.view_as(weight) for (name, weight), part in parts}
        self._zeros = sum(int(pruned.sum()) for pruned in self._pruned.values())


def check_share(share: float) -> None:
    """Refuse what is no share that can be pruned.

    Raises:
        InputError: It is below 0 or above `MOST`.
    """
    if not 0 <= share <= MOST:
        raise InputError(
            f"the share to prune is {share:g}",
            expected=f"a number from 0, for none, to {MOST:g}",
            fix="--prune 0.5",
        )


def planned(step: int, share: float, *, begin: int, end: int) -> float:
    """The share of zeros at a step: steep at first, flat towards the end, where few are left.

    Args:
        step: From 1.
        share: At the end.
        begin: The last step without zeros.
        end: The first step with all of them.

    Source: Zhu and Gupta (2017), equation 1.
    """
    done = min(max((step - begin) / (end - begin), 0.0), 1.0)
    return float(share * (1 - (1 - done) ** 3))


def count_zeros(module: nn.Module, share: float, stored: Path) -> PruningRecord:
    """What pruning left of a module.

    Args:
        module: The trained one.
        share: What was asked for.
        stored: The file of its weights.
    """
    weights = _weights(module)
    zeros = {name: int((weight == 0).sum()) for name, weight in weights.items()}
    count, parameters = (
        sum(tensor.numel() for tensor in tensors)
        for tensors in (weights.values(), module.parameters())
    )
    raw = stored.read_bytes()
    return PruningRecord(
        share=share,
        weights=count,
        zeros=sum(zeros.values()),
        reached=round(sum(zeros.values()) / count, 4),
        parameters=parameters,
        reached_of_parameters=round(sum(zeros.values()) / parameters, 4),
        matrices={name: round(zeros[name] / weight.numel(), 4) for name, weight in weights.items()},
        weights_bytes=len(raw),
        weights_gzip_bytes=len(gzip.compress(raw, 6, mtime=0)),
    )


def _weights(module: nn.Module) -> dict[str, nn.Parameter]:
    named = module.named_parameters()
    return {name: weight for name, weight in named if weight.ndim > 1 and weight.requires_grad}
