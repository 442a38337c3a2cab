"""Recipes of a few dozen weights, as the files that users write."""

from pathlib import Path

from toolkit.tensors import Array

TABULAR = """
import csv
from pathlib import Path

import numpy as np
import torch
from torch import nn
from torch.nn import functional

from toolkit.tasks import TaskSpec
from toolkit.tasks.tabular import FeatureTable, NumericColumn
from toolkit.training import Recipe, Settings, split_rows

DATA = Path(__file__).parent / "rows.csv"


class Net(nn.Module):
    def __init__(self, settings, columns):
        super().__init__()
        self.register_buffer("mean", torch.zeros(columns))
        self.inner = nn.Linear(columns, 4)
        self.dropout = nn.Dropout(settings.dropout)
        self.outer = nn.Linear(4, 1)

    def forward(self, numeric):
        return self.outer(self.dropout(torch.tanh(self.inner(numeric - self.mean))))


def load(settings):
    with DATA.open(newline="") as file:
        rows = list(csv.DictReader(file))
    targets = np.array([int(row["label"]) for row in rows])
    return split_rows(rows, targets, validation=0.2, test=0.2, seed=0)


def calibrate(module, feeds, targets):
    module.mean.copy_(feeds["numeric"].mean(0))


recipe = Recipe(
    name="tiny",
    task=TaskSpec(
        name="tabular-classification",
        labels=("low", "high"),
        output="logits",
        activation="sigmoid",
    ),
    settings=Settings(
        optimizer="adam", learning_rate=0.05, batch_size=16, max_epochs=4, dropout=0.1
    ),
    load=load,
    prepare=lambda train, settings: FeatureTable(
        columns=(NumericColumn(name="a"), NumericColumn(name="b"))
    ),
    build=lambda settings, table: Net(settings, len(table.numeric)),
    calibrate=calibrate,
    loss=lambda logits, targets: functional.binary_cross_entropy_with_logits(
        logits[:, 0], targets.float()
    ),
)
"""

TEXT = """
import numpy as np
from tokenizers import Tokenizer, models, pre_tokenizers, trainers
from torch import nn
from torch.nn import functional

from toolkit.tasks import TaskSpec, TextSpec
from toolkit.training import Data, Recipe, Settings, Split

GOOD, BAD = "a good and lovely film", "bad"


class Net(nn.Module):
    def __init__(self, words):
        super().__init__()
        self.embedding = nn.Embedding(words, 4)
        self.logits = nn.Linear(4, 2)

    def forward(self, input_ids, attention_mask):
        real = attention_mask.unsqueeze(-1)
        return self.logits((self.embedding(input_ids) * real).sum(1) / real.sum(1))


def load(settings):
    split = Split(items=[GOOD, BAD] * 8, targets=np.array([1, 0] * 8))
    return Data(train=split, validation=split, test=split)


def prepare(train, settings):
    tokenizer = Tokenizer(models.WordLevel(unk_token="[UNK]"))
    tokenizer.pre_tokenizer = pre_tokenizers.Whitespace()
    special = ["[PAD]", "[UNK]"]
    trainer = trainers.WordLevelTrainer(special_tokens=special, show_progress=False)
    tokenizer.train_from_iterator(train.items, trainer)
    return tokenizer


recipe = Recipe(
    name="tiny-text",
    task=TaskSpec(
        name="text-classification",
        labels=("bad", "good"),
        output="logits",
        activation="softmax",
        text=TextSpec(max_length=8, pad_id=0, pad_token="[PAD]"),
    ),
    settings=Settings(learning_rate=0.1, batch_size=4, max_epochs=3),
    load=load,
    prepare=prepare,
    build=lambda settings, tokenizer: Net(tokenizer.get_vocab_size()),
    loss=functional.cross_entropy,
)
"""

IMAGE = """
import numpy as np
import torch
from torch import nn
from torch.nn import functional

from toolkit.tasks import ImageSpec, TaskSpec
from toolkit.training import Data, Recipe, Settings, Split

augmented = []


class Net(nn.Module):
    def __init__(self):
        super().__init__()
        self.logits = nn.Linear(4, 2)

    def forward(self, image):
        return self.logits(image.flatten(1) / 255)


def load(settings):
    dark, light = np.zeros((2, 2), np.uint8), np.full((2, 2), 255, np.uint8)
    split = Split(items=[dark, light] * 8, targets=np.array([0, 1] * 8))
    return Data(train=split, validation=split, test=split)


def augment(feeds):
    augmented.append(float(torch.rand(())))
    return {"image": feeds["image"].flip(-1)}


recipe = Recipe(
    name="tiny-image",
    task=TaskSpec(
        name="image-classification",
        labels=("dark", "light"),
        output="logits",
        activation="softmax",
        image=ImageSpec(height=2, width=2, mode="L"),
    ),
    settings=Settings(learning_rate=0.1, batch_size=8, max_epochs=2),
    load=load,
    build=lambda settings, nothing: Net(),
    loss=functional.cross_entropy,
    augment=augment,
)
"""


def write_tabular(folder: Path, *, rows: int = 80) -> Path:
    """A recipe file beside its data; the label says whether a + b is positive."""
    folder.mkdir(parents=True, exist_ok=True)
    lines = ["a,b,label"]
    for row in range(rows):
        a, b = (row * 37) % 21 - 10, (row * 53) % 17 - 8
        lines.append(f"{a},{b},{int(a + b > 0)}")
    (folder / "rows.csv").write_text("\n".join(lines) + "\n")
    return write(folder, TABULAR)


def write(folder: Path, source: str) -> Path:
    """A recipe file."""
    folder.mkdir(parents=True, exist_ok=True)
    file = folder / "recipe.py"
    file.write_text(source)
    return file


def weights(run: Path) -> dict[str, Array]:
    """The weights of a run directory."""
    from safetensors.numpy import load_file

    return dict(load_file(run / "weights.safetensors"))
