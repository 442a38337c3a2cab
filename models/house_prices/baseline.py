"""Closed-form least squares on the same columns and splits: what gradient descent shall reach."""

import sys
from collections.abc import Sequence
from pathlib import Path

import numpy as np

from toolkit.evaluate.metrics import measure
from toolkit.tasks import Item
from toolkit.tensors import Array
from toolkit.training import load_recipe


def main() -> None:
    """Print its metrics on the validation and the test split."""
    recipe = load_recipe(Path(__file__).with_name("recipe.py"))
    data = recipe.load(recipe.settings)
    table = recipe.prepare(data.train, recipe.settings)

    def design(items: Sequence[Item]) -> Array:
        feeds = table.encode(items)
        levels = [
            feeds["categorical"][:, [place]] == np.arange(len(column.levels) + 1)
            for place, column in enumerate(table.categorical)
        ]
        return np.hstack([feeds["numeric"].astype(np.float64), *levels])

    train = design(data.train.items)
    mean, spread = train.mean(0), np.maximum(train.std(0), 1e-6)
    middle = float(data.train.targets.mean())
    # Levels of a column add up to one: the design is rank deficient, and lstsq takes the solution
    # of smallest norm.
    weights = np.linalg.lstsq((train - mean) / spread, data.train.targets - middle)[0]
    for name, split in (("validation", data.validation), ("test", data.test)):
        answers = (design(split.items) - mean) / spread @ weights + middle
        for metric, estimate in measure(recipe.task, answers[:, None], split.targets).items():
            sys.stdout.write(f"{name} {metric} {estimate}\n")


if __name__ == "__main__":
    main()
