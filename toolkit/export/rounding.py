"""A quantized model with another graph's roundings, to tell a wrong graph from a rounding error.

Where a value lies half way between two steps but for the last bit of a float, PyTorch may take one
and ONNX Runtime the other: LayerNorm, softmax and GELU differ in that bit. One such step moves the
values behind it, which may then be rounded otherwise too, until the outputs differ by about as much
as quantization itself moves them. So a graph is right when it computes what the model does with
every rounding decided as the graph decided it, and each of those decisions was a near tie.
"""

from __future__ import annotations

import re
from collections.abc import Iterator, Mapping
from typing import Any

import torch
from torch import Tensor, nn
from torch.utils._python_dispatch import TorchDispatchMode

from toolkit.errors import CheckFailedError
from toolkit.runtime import Session
from toolkit.tensors import Array

NEAR_TIE = 0.01
"""How far from half way, in steps, a value may be that is rounded otherwise: a hundred times what
float errors of one layer come to. A wrong scale or zero point is off by whole steps."""
WITHOUT_QAT = (
    "train without --qat and export that run; toolkit quantize PKG --data FILE then makes it int8"
)
_QUANTIZED = re.compile(r"quantize_per_tensor(?:_(\d+))?")


def rounded_names(names: Mapping[str, Any] | list[str]) -> list[str]:
    """The QuantizeLinear outputs of an exported graph, as torch.onnx numbers them."""
    found = [match for match in map(_QUANTIZED.fullmatch, names) if match is not None]
    return [match[0] for match in sorted(found, key=lambda match: int(match[1] or 0))]


class SameRoundings(nn.Module):
    """A converted model that rounds as a graph does for the same feeds.

    Args:
        model: torchao's converted graph.
        session: The ONNX graph, which gives what its QuantizeLinear nodes make too.

    Attributes:
        roundings: Values that were rounded, in all calls.
        differing: Of those, the ones that the model itself takes to the next step.
        furthest: The most that one of them is away from half way, in steps.
    """

    def __init__(self, model: nn.Module, session: Session) -> None:
        super().__init__()
        self.model, self._session = model, session
        self.roundings = self.differing = 0
        self.furthest = 0.0

    def forward(self, **feeds: Tensor) -> Any:
        """What the model returns.

        Raises:
            CheckFailedError: The graph rounds a value otherwise that is no near tie.
        """
        outputs = self._session.run({name: value.numpy() for name, value in feeds.items()})
        theirs = iter([outputs[name] for name in rounded_names(outputs)])
        with _Mode(self, theirs):
            return self.model(**feeds)

    def decide(self, exact: Tensor, ours: Tensor, theirs: Array) -> Tensor:
        """Their roundings in place of ours.

        Args:
            exact: float64[any], in steps, before it is rounded.
            ours: uint8[any].
            theirs: uint8[any].
        """
        found = torch.from_numpy(theirs)
        other = found != ours
        self.roundings += ours.numel()
        self.differing += int(other.sum())
        if bool(other.any()):
            ours, exact = ours[other], exact[other]
            middle = (ours.to(torch.float32) + found[other].to(torch.float32)) / 2
            self.furthest = max(self.furthest, float((exact - middle).abs().max()))
        if self.furthest > NEAR_TIE:
            raise CheckFailedError(
                f"the graph rounds a value otherwise than the model that is {self.furthest:.3g} "
                "steps away from half way between the two",
                expected=f"near ties only, at most {NEAR_TIE} steps away",
                fix=WITHOUT_QAT,
            )
        return found


class _Mode(TorchDispatchMode):  # type: ignore[no-untyped-call]  # torch leaves it untyped
    """Hands every quantization on to `SameRoundings.decide`."""

    def __init__(self, owner: SameRoundings, theirs: Iterator[Array]) -> None:
        super().__init__()  # type: ignore[no-untyped-call]  # the same
        self._owner, self._theirs = owner, theirs

    def __torch_dispatch__(self, func: Any, _types: Any, args: Any = (), kwargs: Any = None) -> Any:
        made = func(*args, **(kwargs or {}))
        if func is not torch.ops.quantized_decomposed.quantize_per_tensor.default:
            return made
        value, scale, zero_point = args[:3]
        return self._owner.decide(
            value.to(torch.float64) / scale + zero_point, made, next(self._theirs)
        )
