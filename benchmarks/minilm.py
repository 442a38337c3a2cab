"""The package of the MiniLM classifier that is measured: exported and quantized here."""

import csv
import gzip
from pathlib import Path

import torch
from tokenizers import Tokenizer
from transformers import AutoModelForSequenceClassification

from toolkit import export, quantize
from toolkit.evaluate.samples import SampleOptions
from toolkit.export import Exportable
from toolkit.tasks import TaskSpec
from toolkit.tasks.specification import TextSpec

REFERENCE_TEXTS = 8
MAX_LENGTH = 256


def write_package(checkpoint: Path, reviews: Path, package: Path) -> None:
    """Write a package with the variants fp32 and int8 (rowwise)."""
    with gzip.open(reviews, "rt", encoding="utf-8", newline="") as stream:
        rows = [row for row in csv.DictReader(stream) if row["split"] == "validation"]
    texts = [row["text"] for row in rows[:REFERENCE_TEXTS]]
    tokenizer = Tokenizer.from_file(str(checkpoint / "tokenizer.json"))
    tokenizer.enable_padding()
    tokenizer.enable_truncation(MAX_LENGTH)
    encoded = tokenizer.encode_batch(texts)
    inputs = {
        "input_ids": torch.tensor([e.ids for e in encoded]),
        "attention_mask": torch.tensor([e.attention_mask for e in encoded]),
        "token_type_ids": torch.tensor([e.type_ids for e in encoded]),
    }
    folder = package.parent / "preprocessing"
    folder.mkdir(exist_ok=True)
    tokenizer.no_padding()
    tokenizer.no_truncation()
    tokenizer.save(str(folder / "tokenizer.json"))
    task = TaskSpec(
        name="text-classification",
        labels=("negative", "positive"),
        output="logits",
        activation="softmax",
        text=TextSpec(max_length=MAX_LENGTH, pad_id=0, pad_token="[PAD]"),  # noqa: S106 - no secret
    )
    source = Exportable(
        module=_Logits(checkpoint).eval(),
        inputs=inputs,
        dynamic_dimensions={name: {0: "batch", 1: "sequence"} for name in inputs},
        output_names=("logits",),
        task=task,
        preprocessing=folder,
        items=texts,
        name="minilm_sentiment",
    )
    export(source, package)
    quantize(
        package,
        reviews,
        methods=["rowwise"],
        reading=SampleOptions(where={"split": "validation"}),
    )


class _Logits(torch.nn.Module):
    """The checkpoint, answering with its logits alone."""

    def __init__(self, checkpoint: Path) -> None:
        super().__init__()
        self.model = AutoModelForSequenceClassification.from_pretrained(checkpoint)

    def forward(
        self,
        input_ids: torch.Tensor,
        attention_mask: torch.Tensor,
        token_type_ids: torch.Tensor,
    ) -> torch.Tensor:
        """float32[batch, 2]."""
        logits: torch.Tensor = self.model(
            input_ids=input_ids, attention_mask=attention_mask, token_type_ids=token_type_ids
        ).logits
        return logits
