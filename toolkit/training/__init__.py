"""From a recipe to a run directory: data, the training loop, weights, metrics.

The loop is PyTorch Lightning's, not one of our own: it brings checkpoints that resume, early
stopping, gradient clipping and accelerators, and its hooks let a recipe stay free of all of it.
accelerate was the other choice: it spreads a loop over devices but leaves the loop itself, its
checkpoints and its early stopping to be written, which is the part we did not want to own.

Importing this package loads neither torch nor Lightning; `train` and `Run.module` do.
"""

from toolkit.training.data import Data, Split, split_rows
from toolkit.training.distillation import Distillation
from toolkit.training.job import TrainReport, train
from toolkit.training.partial import is_resumable
from toolkit.training.progress import Progress
from toolkit.training.recipe import Recipe, load_recipe
from toolkit.training.run import Run, open_run
from toolkit.training.settings import Settings

__all__ = [
    "Data",
    "Distillation",
    "Progress",
    "Recipe",
    "Run",
    "Settings",
    "Split",
    "TrainReport",
    "is_resumable",
    "load_recipe",
    "open_run",
    "split_rows",
    "train",
]
