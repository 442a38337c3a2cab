"""The price of a house in Ames, Iowa: linear regression on its logarithm by gradient descent."""

import csv
import gzip
from collections import Counter
from collections.abc import Mapping
from pathlib import Path

import numpy as np
import torch
from torch import Tensor, nn
from torch.nn import functional

from toolkit.tasks import TaskSpec
from toolkit.tasks.tabular import CategoricalColumn, Column, FeatureTable, NumericColumn
from toolkit.training import Data, Recipe, Settings, Split, split_rows

DATA = Path(__file__).parent / "ames_housing.csv.gz"
TARGET = "Sale_Price"


class PriceSettings(Settings, frozen=True, kw_only=True):
    """Settings of this recipe alone.

    Attributes:
        level_sales: Sales of the training split that a level needs for a weight of its own.
    """

    level_sales: int = 10


class LinearPrice(nn.Module):
    """The logarithm of the price: a weight a number, a weight a level, and a constant.

    Numbers and one-hot levels are scaled inside, which gradient descent needs to get anywhere.
    """

    mean: Tensor
    spread: Tensor
    offsets: Tensor
    shares: Tensor

    def __init__(self, table: FeatureTable) -> None:
        super().__init__()
        numbers = len(table.numeric)
        sizes = [len(column.levels) + 1 for column in table.categorical]  # one for the others
        self.register_buffer("mean", torch.zeros(numbers))
        self.register_buffer("spread", torch.ones(numbers))
        self.register_buffer("offsets", torch.tensor([0, *np.cumsum(sizes)[:-1].tolist()]))
        self.register_buffer("shares", torch.zeros(sum(sizes)))
        self.numbers = nn.Linear(numbers, 1)
        nn.init.zeros_(self.numbers.weight)
        self.levels = nn.Parameter(torch.zeros(sum(sizes), 1))

    def forward(self, numeric: Tensor, categorical: Tensor) -> Tensor:
        """float32[batch, 1] from float32[batch, numbers] and int64[batch, categories]."""
        numbers = self.numbers((numeric - self.mean) / self.spread)  # [batch, 1]
        # One-hot columns, scaled like the numbers, without building them.
        spread = (self.shares * (1 - self.shares)).sqrt().clamp(min=1e-2)  # [levels]
        weights = self.levels / spread.unsqueeze(1)  # [levels, 1]
        levels = weights[categorical + self.offsets].sum(1) - self.shares @ weights  # [batch, 1]
        return numbers + levels  # type: ignore[no-any-return]  # torch's


def load(_settings: PriceSettings) -> Data:
    """The sales, a fifth held out for the test; the target is the logarithm of the price."""
    with gzip.open(DATA, "rt", encoding="utf-8", newline="") as file:
        rows = list(csv.DictReader(file))
    prices = np.array([float(row[TARGET]) for row in rows])
    return split_rows(rows, np.log(prices).astype(np.float32), validation=0.1, test=0.2, seed=0)


def prepare(train: Split, settings: PriceSettings) -> FeatureTable:
    """A column is numeric where every cell of the training split is a number.

    Rare levels of the others share one weight, which also serves levels that were never seen.
    """
    columns: list[Column] = []
    for name in train.items[0]:
        counts = Counter(row[name] for row in train.items)
        if name == TARGET:
            continue
        if all(_is_number(cell) for cell in counts):
            columns.append(NumericColumn(name=name))
        else:
            levels = sorted(level for level, n in counts.items() if n >= settings.level_sales)
            columns.append(CategoricalColumn(name=name, levels=tuple(levels), unknown="other"))
    return FeatureTable(columns=tuple(columns))


def _is_number(cell: str) -> bool:
    try:
        float(cell)
    except ValueError:
        return False
    return True


def build(_settings: PriceSettings, table: FeatureTable) -> nn.Module:
    """The model for the table's columns and levels."""
    return LinearPrice(table)


def calibrate(module: nn.Module, feeds: Mapping[str, Tensor], targets: Tensor) -> None:
    """Scale of the numbers, shares of the levels, and the mean target to start from."""
    assert isinstance(module, LinearPrice)
    numeric, places = feeds["numeric"], feeds["categorical"] + module.offsets
    module.mean.copy_(numeric.mean(0))
    module.spread.copy_(numeric.std(0).clamp(min=1e-6))
    counts = torch.bincount(places.flatten(), minlength=len(module.shares))
    module.shares.copy_(counts / len(places))
    nn.init.constant_(module.numbers.bias, float(targets.mean()))


def loss(output: Tensor, targets: Tensor) -> Tensor:
    """Mean squared error of the logarithm."""
    return functional.mse_loss(output[:, 0], targets)


recipe = Recipe(
    name="house_prices",
    task=TaskSpec(name="tabular-regression", output="value", value_transform="exp"),
    settings=PriceSettings(
        optimizer="sgd",
        momentum=0.95,
        learning_rate=0.02,
        schedule="exponential",
        decay=0.99,
        batch_size=4096,  # all rows at once: heavy tails make small batches jump
        threads=1,
        max_epochs=300,
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
