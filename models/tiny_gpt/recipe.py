"""A small GPT that continues sentences of movie reviews: byte-level BPE, four layers."""

import csv
import gzip
from pathlib import Path

from tokenizers import Tokenizer, decoders, models, pre_tokenizers, processors, trainers
from torch import Tensor, nn
from torch.nn import functional
from transformers import GPT2Config, GPT2LMHeadModel

from toolkit.tasks import GenerationSpec, TaskSpec, TextSpec
from toolkit.training import Data, Recipe, Settings, Split

DATA = Path(__file__).parents[1] / "sentiment_lstm" / "movie_reviews.csv.gz"
PAD, BEGIN, END = "[PAD]", "[BEGIN]", "[END]"
PAD_ID, BEGIN_ID, END_ID = 0, 1, 2
CONTEXT = 640
"""Tokens that it has positions for; no sentence of the data comes near."""


class GptSettings(Settings, frozen=True, kw_only=True):
    """Settings of this recipe alone.

    Attributes:
        vocabulary: Pieces of the byte-level BPE.
        width: Numbers a token.
        layers: Blocks of attention and feed-forward.
        heads: Of the attention.
    """

    vocabulary: int = 4096
    width: int = 192
    layers: int = 4
    heads: int = 6


def load(_settings: GptSettings) -> Data:
    """The reviews' texts, split by movie: no movie stands in two splits."""
    with gzip.open(DATA, "rt", encoding="utf-8", newline="") as file:
        rows = list(csv.DictReader(file))

    def split(name: str) -> Split:
        return Split(items=[row["text"] for row in rows if row["split"] == name])

    return Data(train=split("train"), validation=split("validation"), test=split("test"))


def prepare(train: Split, settings: GptSettings) -> Tokenizer:
    """Byte-level BPE: every text has tokens, and a leading space belongs to its word."""
    tokenizer = Tokenizer(models.BPE())
    tokenizer.pre_tokenizer = pre_tokenizers.ByteLevel(add_prefix_space=False)
    tokenizer.decoder = decoders.ByteLevel()
    trainer = trainers.BpeTrainer(
        vocab_size=settings.vocabulary,
        min_frequency=2,
        special_tokens=[PAD, BEGIN, END],
        initial_alphabet=pre_tokenizers.ByteLevel.alphabet(),
        show_progress=False,
    )
    tokenizer.train_from_iterator(train.items, trainer)
    tokenizer.post_processor = processors.TemplateProcessing(
        single=f"{BEGIN} $A", special_tokens=[(BEGIN, BEGIN_ID)]
    )
    return tokenizer


def build(settings: GptSettings, tokenizer: Tokenizer) -> nn.Module:
    """GPT-2 of transformers, small; input and output share one table."""
    model: nn.Module = GPT2LMHeadModel(
        GPT2Config(
            vocab_size=tokenizer.get_vocab_size(),
            n_positions=CONTEXT,
            n_embd=settings.width,
            n_layer=settings.layers,
            n_head=settings.heads,
            embd_pdrop=settings.dropout,
            resid_pdrop=settings.dropout,
            attn_pdrop=settings.dropout,
            bos_token_id=BEGIN_ID,
            eos_token_id=END_ID,
            pad_token_id=PAD_ID,
            use_cache=False,
        )
    )
    return model


def loss(logits: Tensor, targets: Tensor) -> Tensor:
    """Cross-entropy of the next token, over the places that have one."""
    return functional.cross_entropy(logits.flatten(0, 1), targets.flatten())


recipe = Recipe(
    name="tiny_gpt",
    task=TaskSpec(
        name="text-generation",
        output="logits",
        text=TextSpec(max_length=128, pad_id=PAD_ID, pad_token=PAD),
        generation=GenerationSpec(max_context=CONTEXT, end_ids=(END_ID,), start_ids=(BEGIN_ID,)),
    ),
    settings=GptSettings(
        optimizer="adamw",
        learning_rate=2e-3,
        schedule="linear",
        warmup=0.05,
        batch_size=16,
        max_epochs=10,
        l2=0.1,
        dropout=0.1,
        gradient_clip=1.0,
        threads=1,
    ),
    load=load,
    prepare=prepare,
    build=build,
    loss=loss,
    fast={"max_epochs": 1, "layers": 2, "width": 96, "heads": 3},
)

if __name__ == "__main__":
    from toolkit.cli.train import train_file

    train_file(__file__)
