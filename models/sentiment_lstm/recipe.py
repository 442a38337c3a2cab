"""Sentiment of a sentence from a movie review: Embedding, LSTM(128), dropout, one logit."""

import csv
import gzip
from pathlib import Path

import numpy as np
import torch
from tokenizers import Regex, Tokenizer, models, normalizers, pre_tokenizers, processors, trainers
from torch import Tensor, nn
from torch.nn import functional

from toolkit.tasks import TaskSpec, TextSpec
from toolkit.training import Data, Recipe, Settings, Split

DATA = Path(__file__).parent / "movie_reviews.csv.gz"
LABELS = ("negative", "positive")
PAD, UNKNOWN, END = "[PAD]", "[UNK]", "[END]"
PAD_ID, UNKNOWN_ID, END_ID = 0, 1, 2


class LstmSettings(Settings, frozen=True, kw_only=True):
    """Settings of this recipe alone.

    Attributes:
        vocabulary: Words that have an embedding of their own.
        embedding: Numbers a word.
        units: Numbers in the LSTM's state.
        word_dropout: Share of the words of a training batch that are hidden.
    """

    vocabulary: int = 8000
    embedding: int = 64
    units: int = 128
    word_dropout: float = 0.4


class SentimentLstm(nn.Module):
    """The logit of "positive".

    Padding stands on the right and is left out of the pooling, so that neither it nor the other
    texts of a batch change an answer.
    """

    def __init__(self, settings: LstmSettings, words: int) -> None:
        super().__init__()
        self.embedding = nn.Embedding(words, settings.embedding, padding_idx=PAD_ID)
        nn.init.normal_(self.embedding.weight, std=0.1)
        self.lstm = nn.LSTM(settings.embedding, settings.units, batch_first=True)
        self.dropout = nn.Dropout(settings.dropout)
        self.logit = nn.Linear(2 * settings.units, 1)
        self.word_dropout = settings.word_dropout

    def forward(self, input_ids: Tensor, attention_mask: Tensor) -> Tensor:
        """float32[batch, 1] from int64[batch, sequence] ids and mask."""
        if self.training:
            hidden = torch.rand(input_ids.shape, device=input_ids.device) < self.word_dropout
            input_ids = torch.where(hidden & (input_ids > END_ID), UNKNOWN_ID, input_ids)
        states, _ = self.lstm(self.dropout(self.embedding(input_ids)))  # [batch, sequence, units]
        real = attention_mask.unsqueeze(-1).to(states.dtype)  # [batch, sequence, 1]
        mean = (states * real).sum(1) / real.sum(1).clamp(min=1)  # [batch, units]
        # The states lie between -1 and 1, so that -2 never wins.
        largest = (states * real - 2 * (1 - real)).amax(1)  # [batch, units]
        return self.logit(self.dropout(torch.cat([mean, largest], dim=1)))  # type: ignore[no-any-return]  # torch's


def load(_settings: LstmSettings) -> Data:
    """The reviews, split by movie: no movie stands in two splits."""
    with gzip.open(DATA, "rt", encoding="utf-8", newline="") as file:
        rows = list(csv.DictReader(file))

    def split(name: str) -> Split:
        chosen = [row for row in rows if row["split"] == name]
        targets = np.array([LABELS.index(row["label"]) for row in chosen], np.int64)
        return Split(items=[row["text"] for row in chosen], targets=targets)

    return Data(train=split("train"), validation=split("validation"), test=split("test"))


def prepare(train: Split, settings: LstmSettings) -> Tokenizer:
    """A word tokenizer; cleaning is its normalizer, so that the device cleans alike."""
    tokenizer = Tokenizer(models.WordLevel(unk_token=UNKNOWN))
    tokenizer.normalizer = normalizers.Sequence(
        [
            normalizers.NFKD(),
            normalizers.StripAccents(),
            normalizers.Lowercase(),
            normalizers.Replace(Regex("[\u2018\u2019`]"), "'"),
        ]
    )
    tokenizer.pre_tokenizer = pre_tokenizers.Whitespace()
    # The state behind the last word has seen the whole text. And a text of which cleaning leaves
    # nothing still has one token: no LSTM runs on none.
    tokenizer.post_processor = processors.TemplateProcessing(
        single=f"$A {END}", special_tokens=[(END, END_ID)]
    )
    trainer = trainers.WordLevelTrainer(
        vocab_size=settings.vocabulary,
        min_frequency=2,
        special_tokens=[PAD, UNKNOWN, END],
        show_progress=False,
    )
    tokenizer.train_from_iterator(train.items, trainer)
    return tokenizer


def build(settings: LstmSettings, tokenizer: Tokenizer) -> nn.Module:
    """The model for the tokenizer's vocabulary."""
    return SentimentLstm(settings, tokenizer.get_vocab_size())


def loss(logits: Tensor, targets: Tensor) -> Tensor:
    """Cross-entropy of the one logit."""
    return functional.binary_cross_entropy_with_logits(logits[:, 0], targets.to(logits.dtype))


recipe = Recipe(
    name="sentiment_lstm",
    task=TaskSpec(
        name="text-classification",
        labels=LABELS,
        output="logits",
        activation="sigmoid",
        text=TextSpec(max_length=128, pad_id=PAD_ID, pad_token=PAD),
    ),
    settings=LstmSettings(
        optimizer="adamw",
        learning_rate=1e-3,
        schedule="cosine",
        batch_size=32,
        threads=1,
        max_epochs=8,
        l2=0.01,
        dropout=0.5,
        gradient_clip=1.0,
        patience=3,
    ),
    load=load,
    prepare=prepare,
    build=build,
    loss=loss,
)

if __name__ == "__main__":
    from toolkit.cli.train import train_file

    train_file(__file__)
