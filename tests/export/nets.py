"""Tiny modules, each with what exporting it takes."""

from pathlib import Path
from typing import Any

import torch
from torch import Tensor, nn

from toolkit.export import Exportable
from toolkit.tasks import TaskSpec

VOCABULARY, WIDTH = 20, 4
TOKENS = {"input_ids": {0: "batch", 1: "sequence"}}


class Recurrent(nn.Module):
    """Token ids, int64[batch, sequence], to float32[batch, 1]."""

    def __init__(self, kind: type[nn.LSTM | nn.GRU], **options: Any) -> None:
        super().__init__()
        self.embedding = nn.Embedding(VOCABULARY, WIDTH)
        self.layer = kind(WIDTH, WIDTH, batch_first=True, **options)
        self.logit = nn.Linear(WIDTH * (2 if self.layer.bidirectional else 1), 1)

    def forward(self, input_ids: Tensor) -> Tensor:
        states = self.layer(self.embedding(input_ids))[0]
        return self.logit(states.amax(dim=1))  # type: ignore[no-any-return]


class Branching(nn.Module):
    """Doubles long sequences: right where it was traced, wrong elsewhere."""

    def forward(self, x: Tensor) -> Tensor:
        return x * 2 if x.shape[1] > 10 else x * 1


class Frozen(nn.Module):
    """Works for one sequence length alone."""

    def __init__(self) -> None:
        super().__init__()
        self.linear = nn.Linear(6, 2)

    def forward(self, x: Tensor) -> Tensor:
        return self.linear(x)  # type: ignore[no-any-return]


class Several(nn.Module):
    """Two inputs that share a dimension, in another order than the examples; two outputs."""

    def __init__(self) -> None:
        super().__init__()
        self.linear = nn.Linear(3, 3)

    def forward(self, mask: Tensor, x: Tensor) -> dict[str, Tensor]:
        masked = self.linear(x) * mask.unsqueeze(2)
        return {"sum": masked.sum(dim=1), "states": masked}


def recurrent(kind: type[nn.LSTM | nn.GRU] = nn.LSTM, **options: Any) -> Exportable:
    torch.manual_seed(0)
    return Exportable(
        module=Recurrent(kind, **options),
        inputs={"input_ids": torch.randint(0, VOCABULARY, (8, 6))},
        dynamic_dimensions=TOKENS,
        output_names=("logits",),
    )


def branching() -> Exportable:
    return Exportable(
        module=Branching(),
        inputs={"x": torch.ones(8, 6)},
        dynamic_dimensions={"x": {0: "batch", 1: "sequence"}},
    )


def no_module() -> int:
    return 3


def broken() -> Exportable:
    raise RuntimeError("no weights here")


def three_logits_two_labels() -> Exportable:
    return Exportable(
        module=nn.Linear(4, 3),
        inputs={"input": torch.ones(8, 4)},
        output_names=("logits",),
        task=TaskSpec(
            name="tabular-classification",
            labels=("no", "yes"),
            output="logits",
            activation="softmax",
        ),
    )


class ReadsAFile(nn.Module):
    def forward(self, x: Tensor) -> Tensor:
        Path("/nowhere/at/all").read_bytes()
        return x


def reads_a_file() -> Exportable:
    return Exportable(module=ReadsAFile(), inputs={"x": torch.ones(8, 4)})
