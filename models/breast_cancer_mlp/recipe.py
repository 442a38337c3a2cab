"""Benign or malignant, from thirty measurements of a cell sample: a 64-64-1 network."""

from collections.abc import Mapping

import torch
from torch import Tensor, nn
from torch.nn import functional

from toolkit.tasks import TaskSpec
from toolkit.tasks.tabular import FeatureTable, NumericColumn
from toolkit.training import Data, Recipe, Settings, Split, split_rows

LABELS = ("malignant", "benign")  # scikit-learn's order


class Mlp(nn.Module):
    """The logit of "benign". Columns are scaled inside, so that the device sends raw numbers."""

    mean: Tensor
    spread: Tensor

    def __init__(self, settings: Settings, columns: int) -> None:
        super().__init__()
        self.register_buffer("mean", torch.zeros(columns))
        self.register_buffer("spread", torch.ones(columns))
        self.layers = nn.Sequential(
            nn.Linear(columns, 64),
            nn.ReLU(),
            nn.Dropout(settings.dropout),
            nn.Linear(64, 64),
            nn.ReLU(),
            nn.Dropout(settings.dropout),
            nn.Linear(64, 1),
        )

    def forward(self, numeric: Tensor) -> Tensor:
        """float32[batch, 1] from float32[batch, columns]."""
        return self.layers((numeric - self.mean) / self.spread)  # type: ignore[no-any-return]  # torch's


def load(_settings: Settings) -> Data:
    """Scikit-learn's copy of the Wisconsin data, a fifth held out for the test."""
    from sklearn.datasets import load_breast_cancer

    found = load_breast_cancer()
    names = [str(name) for name in found.feature_names]
    items = [dict(zip(names, row, strict=True)) for row in found.data.tolist()]
    return split_rows(items, found.target.astype("int64"), validation=0.15, test=0.2, seed=0)


def prepare(train: Split, _settings: Settings) -> FeatureTable:
    """Numbers as they are: scaling is the model's."""
    return FeatureTable(columns=tuple(NumericColumn(name=name) for name in train.items[0]))


def build(settings: Settings, table: FeatureTable) -> nn.Module:
    """The model for the table's columns."""
    return Mlp(settings, len(table.numeric))


def calibrate(module: nn.Module, feeds: Mapping[str, Tensor], _targets: Tensor) -> None:
    """Mean and standard deviation of every column of the training split."""
    assert isinstance(module, Mlp)
    module.mean.copy_(feeds["numeric"].mean(0))
    module.spread.copy_(feeds["numeric"].std(0))


def loss(logits: Tensor, targets: Tensor) -> Tensor:
    """Cross-entropy of the one logit."""
    return functional.binary_cross_entropy_with_logits(logits[:, 0], targets.to(logits.dtype))


recipe = Recipe(
    name="breast_cancer_mlp",
    task=TaskSpec(
        name="tabular-classification", labels=LABELS, output="logits", activation="sigmoid"
    ),
    settings=Settings(
        optimizer="adam",
        learning_rate=1e-3,
        schedule="reduce-on-plateau",
        batch_size=32,
        threads=1,
        max_epochs=60,
        l2=1e-3,
        dropout=0.2,
        patience=10,
        folds=5,
    ),
    load=load,
    prepare=prepare,
    build=build,
    calibrate=calibrate,
    loss=loss,
)

if __name__ == "__main__":
    from toolkit.cli.train import train_file

    train_file(__file__)
