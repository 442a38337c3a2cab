"""Modules around transformers' models: tensors in by name, tensors out by name."""

from __future__ import annotations

import inspect
from abc import ABC, abstractmethod
from collections.abc import Sequence
from typing import Any

import torch
from torch import Tensor, nn

from toolkit.export.torch_graph import argument


class Named(nn.Module, ABC):
    """A module whose forward takes exactly these inputs, as torch.export wants to see them.

    Args:
        model: transformers' model.
        inputs: Names of the graph's inputs; an argument has "_" for every "." of a name.
    """

    def __init__(self, model: nn.Module, inputs: Sequence[str]) -> None:
        super().__init__()
        self.model = model
        self.config: Any = model.config  # what transformers' exporter looks for
        parameters = [
            inspect.Parameter(argument(name), inspect.Parameter.POSITIONAL_OR_KEYWORD)
            for name in inputs
        ]
        answer = self.answer

        def forward(*values: Tensor, **named: Tensor) -> dict[str, Tensor]:
            named.update(zip([p.name for p in parameters], values, strict=False))
            return answer(**named)

        forward.__signature__ = inspect.Signature(parameters)  # type: ignore[attr-defined]  # the documented way
        self.forward = forward

    @abstractmethod
    def answer(self, **feeds: Tensor) -> dict[str, Tensor]:
        """Outputs by name."""


class Head(Named):
    """A model's answer, reduced to some of its outputs.

    Args:
        model: transformers' model.
        inputs: Names of the inputs.
        outputs: Names of the outputs, which are attributes of what the model returns.
    """

    def __init__(self, model: nn.Module, inputs: Sequence[str], outputs: Sequence[str]) -> None:
        self._outputs = tuple(outputs)
        super().__init__(model, inputs)

    def answer(self, **feeds: Tensor) -> dict[str, Tensor]:
        """float32[batch, ...] an output."""
        returned = self.model(**feeds, return_dict=True)
        return {name: getattr(returned, name) for name in self._outputs}


EMBEDDING = "sentence_embedding"
"""sentence-transformers' name. "embedding" is what torch.onnx 2.13 calls the value of an
nn.Embedding, and it does not look whether a name is taken."""


class Embedding(Named):
    """A text's embedding: its token states, pooled.

    Args:
        model: transformers' model.
        inputs: Names of the inputs; `attention_mask` is one.
        pooling: "mean" of the states of real tokens, the first token's ("cls"), or the model's
            pooled output.
        normalize: Give every embedding the length 1.
    """

    def __init__(
        self, model: nn.Module, inputs: Sequence[str], *, pooling: str, normalize: bool
    ) -> None:
        self._pooling = pooling
        self._normalize = normalize
        super().__init__(model, inputs)

    def answer(self, **feeds: Tensor) -> dict[str, Tensor]:
        """{"sentence_embedding": float32[batch, width]}."""
        returned = self.model(**feeds, return_dict=True)
        if self._pooling == "pooler":
            pooled = returned.pooler_output
        elif self._pooling == "cls":
            pooled = returned.last_hidden_state[:, 0]
        else:
            states = returned.last_hidden_state
            mask = feeds["attention_mask"].unsqueeze(-1).to(states.dtype)
            # The floor is sentence-transformers' own, for a text without tokens.
            pooled = (states * mask).sum(dim=1) / mask.sum(dim=1).clamp(min=1e-9)
        if self._normalize:
            pooled = torch.nn.functional.normalize(pooled, dim=1)
        return {EMBEDDING: pooled}
