"""The training loop: PyTorch Lightning with its noise off and its checkpoints resumable."""

from __future__ import annotations

import math
import time
from contextlib import ExitStack
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import msgspec
import numpy as np
import pytorch_lightning as pl
import torch
from pytorch_lightning.callbacks import Callback, EarlyStopping, ModelCheckpoint
from pytorch_lightning.plugins.environments import LightningEnvironment
from pytorch_lightning.utilities.exceptions import MisconfigurationException
from torch import Tensor, nn

from toolkit.errors import CheckFailedError, SetupError
from toolkit.evaluate.metrics import main_metric
from toolkit.tensors import Array
from toolkit.training.averaging import Average
from toolkit.training.distillation import Teacher
from toolkit.training.language import TokenFigures, output_of
from toolkit.training.metrics import main_value
from toolkit.training.optimizers import Schedule, make_optimizer, make_schedule
from toolkit.training.progress import Progress, ProgressCallback
from toolkit.training.pruning import Pruner
from toolkit.training.quiet import interruptible, quiet
from toolkit.training.recipe import AnyRecipe
from toolkit.training.rows import (
    TEACHER,
    Batch,
    Rows,
    scoring_batches,
    scoring_order,
    training_batches,
)
from toolkit.training.settings import Settings

Curve = list[dict[str, float]]
LOSS = "validation_loss"
ZEROS = "zeros"
"""A column of the curve where a model is pruned: the share of zeros at the end of the epoch."""


@dataclass(frozen=True, kw_only=True)
class FitJob:
    """One model to train: the final one, or that of a fold.

    Attributes:
        recipe: Loss, augmentation and task.
        settings: The recipe's, with the run's overrides.
        rows: The training rows.
        held_out: The rows that early stopping and the choice of the best epoch look at.
        folder: Holds the checkpoints; what lies there is resumed.
        phase: What progress calls this model.
        progress: Is told about every batch.
        teacher: Whose answers the training rows carry.
        prune: Share of the weights that become zero.
        hold_zeros: Weights that are zero from the start stay it.
        slower: What to type for a smaller learning rate; a tenth of the setting, if empty.
    """

    recipe: AnyRecipe
    settings: Settings
    rows: Rows
    held_out: Rows
    folder: Path
    phase: str
    progress: ProgressCallback | None
    teacher: Teacher | None = None
    prune: float = 0.0
    hold_zeros: bool = False
    slower: str = ""


class _Outcome(msgspec.Struct, frozen=True):
    """`finished.json`, which says that nothing is left to train in a folder."""

    curve: Curve
    seconds: float


def fit(module: nn.Module, job: FitJob) -> tuple[Curve, float]:
    """Train a module; it then holds the weights of the epoch with the lowest validation loss.

    Returns:
        The curve, one row an epoch, and the seconds that earlier sittings spent.

    Raises:
        CheckFailedError: The loss became infinite or NaN.
        KeyboardInterrupt: The user stopped it; calling again resumes after the last whole epoch.
    """
    finished = job.folder / "finished.json"
    if finished.is_file():
        outcome = msgspec.json.decode(finished.read_bytes(), type=_Outcome)
        earlier = outcome.seconds
    else:
        loop = _Loop(module, job)
        last = job.folder / "last.ckpt"
        trainer = _trainer(job)
        with quiet(), interruptible():
            trainer.fit(
                loop,
                training_batches(
                    job.rows, batch_size=job.settings.batch_size, seed=job.settings.seed
                ),
                scoring_batches(job.held_out),
                ckpt_path=last if last.is_file() else None,
                weights_only=True,
            )
        outcome, earlier = _Outcome(loop.curve, loop.seconds), loop.earlier_seconds
        finished.write_bytes(msgspec.json.encode(outcome))
    module.to("cpu")
    stored = torch.load(job.folder / "best.ckpt", map_location="cpu", weights_only=True)
    weights = stored["state_dict"].items()
    kept = {name.removeprefix("module."): value for name, value in weights}
    module.load_state_dict(kept | stored.get("average", {}))
    module.eval()
    return outcome.curve, earlier


def best_row(curve: Curve) -> int:
    """Position of the epoch whose weights `fit` keeps."""
    whole = curve[-1].get(ZEROS)
    able = [row for row in range(len(curve)) if curve[row].get(ZEROS) == whole]
    return min(able, key=lambda row: curve[row][LOSS])


def predict(module: nn.Module, rows: Rows) -> Array:
    """float32[rows, ...], a module's outputs in eval mode; TOKEN[places] of a language model."""
    with torch.inference_mode():
        if rows.targets.ndim > 1:
            figures = TokenFigures(rows.ends)
            for feeds, targets in scoring_batches(rows):
                figures.add(output_of(module, feeds), targets)
            return figures.answers
        outputs = [module(**feeds) for feeds, _targets in scoring_batches(rows)]
    scored = torch.cat(outputs).numpy()
    answers = np.empty_like(scored)
    answers[scoring_order(rows)] = scored
    return answers


class _Loop(pl.LightningModule):
    """A recipe's model, loss and augmentation as Lightning wants them."""

    def __init__(self, module: nn.Module, job: FitJob) -> None:
        super().__init__()
        self.module = module
        self.curve: Curve = []
        self.earlier_seconds = 0.0
        self._started = time.perf_counter()
        self._recipe, self._settings = job.recipe, job.settings
        self._slower = job.slower or f"--set learning_rate={job.settings.learning_rate / 10:g}"
        self._metric = f"validation_{main_metric(job.recipe.task)}"
        self._schedule: Schedule | None = None
        self._average = Average(module, job.settings.average) if job.settings.average else None
        self._steps = math.ceil(len(job.rows) / job.settings.batch_size) * job.settings.max_epochs
        self._teacher = job.teacher
        self._pruner = Pruner.holding(module) if job.hold_zeros else None
        if job.prune:
            self._pruner = Pruner(module, job.prune, self._steps)
        self._swap = ExitStack()
        self._train_loss = self._train_rows = self._rate = 0.0
        self._figures: dict[str, float] = {}
        self._outputs: list[Tensor] = []
        self._targets: list[Tensor] = []
        self._tokens: TokenFigures | None = None

    @property
    def seconds(self) -> float:
        """Time spent so far, in all sittings."""
        return self.earlier_seconds + time.perf_counter() - self._started

    @property
    def may_be_best(self) -> bool:
        """Whether the model is what it shall be: while it is pruned, it has too few zeros."""
        return self._pruner is None or self._pruner.is_done

    def configure_optimizers(self) -> Any:
        optimizer = make_optimizer(self.module, self._settings, self._recipe.rate)
        self._schedule = make_schedule(optimizer, self._settings, self._steps)
        scheduler = {"scheduler": self._schedule, "interval": "epoch", "monitor": LOSS}
        return {"optimizer": optimizer, "lr_scheduler": scheduler}

    def lr_scheduler_step(self, scheduler: Any, metric: Any) -> None:
        """Nothing: Lightning would step after the checkpoint, and resuming would lose the step."""

    def on_train_epoch_start(self) -> None:
        # Not Lightning's seed_everything, which also seeds Python's and numpy's global generators.
        torch.manual_seed(self._settings.seed * 1_000_003 + self.current_epoch)
        self._train_loss = self._train_rows = 0.0

    def training_step(self, batch: Batch, _index: int) -> Tensor:
        feeds, targets = batch
        answers = feeds.pop(TEACHER, None)
        if self._recipe.augment is not None:
            feeds = self._recipe.augment(feeds)
        outputs = self._answers(feeds)
        loss = self._recipe.loss(outputs, targets)
        value = float(loss.detach())
        if not math.isfinite(value):
            raise self._diverged(f"is {value:g} on training rows")
        self._train_loss += value * len(targets)
        self._train_rows += len(targets)
        if self._teacher is not None and answers is not None:
            loss = self._teacher.loss(loss, outputs, answers)
        if self._settings.l1:
            weights = (p for p in self.module.parameters() if p.ndim > 1)
            loss = loss + self._settings.l1 * sum(weight.abs().sum() for weight in weights)
        return loss

    def on_before_optimizer_step(self, _optimizer: Any) -> None:
        if self._pruner is not None:
            self._pruner.drop_gradients()

    def on_train_batch_end(self, *_unused: Any) -> None:
        assert self._schedule is not None
        if self._pruner is not None:
            self._pruner.step()
        self._rate = self._schedule.optimizer.param_groups[0]["lr"]
        if self._settings.schedule == "linear":
            self._schedule.step()
        if self._average is not None:
            self._average.update()
            if self._pruner is not None:
                self._pruner.hold(self._average.values)

    def on_validation_epoch_start(self) -> None:
        if self._average is not None:
            self._swap.enter_context(self._average.applied())
        generation = self._recipe.task.generation
        self._tokens = None if generation is None else TokenFigures(generation.end_ids)

    def validation_step(self, batch: Batch, _index: int) -> None:
        feeds, targets = batch
        outputs = self._answers(feeds)
        if self._tokens is not None:
            self._tokens.add(outputs, targets, self._recipe.loss(outputs, targets))
            return
        self._outputs.append(outputs)
        self._targets.append(targets)

    def on_validation_epoch_end(self) -> None:
        self._swap.close()
        if self._tokens is not None:
            loss, answers = self._tokens.loss, self._tokens.answers
            self._finish(loss, main_value(self._recipe.task, answers, answers["target"]))
            return
        outputs, targets = torch.cat(self._outputs), torch.cat(self._targets)
        self._outputs, self._targets = [], []
        value = main_value(self._recipe.task, outputs.cpu().numpy(), targets.cpu().numpy())
        self._finish(self._recipe.loss(outputs, targets), value)

    def _finish(self, loss: Tensor, value: float) -> None:
        # For the checkpoint and early stopping, which monitor it.
        self.log(LOSS, loss if self.may_be_best else math.inf)
        self._figures = {LOSS: float(loss), self._metric: value}

    def on_train_epoch_end(self) -> None:
        assert self._schedule is not None
        row = {
            "epoch": float(self.current_epoch + 1),
            "learning_rate": self._rate,
            "train_loss": self._train_loss / self._train_rows,
            **self._figures,
        }
        if self._pruner is not None:
            row[ZEROS] = self._pruner.reached
        if not math.isfinite(row[LOSS]):
            raise self._diverged(f"is {row[LOSS]:g} on validation rows")
        self.curve.append(row)
        if isinstance(self._schedule, torch.optim.lr_scheduler.ReduceLROnPlateau):
            self._schedule.step(row[LOSS])
        elif self._settings.schedule != "linear":
            self._schedule.step()

    def _answers(self, feeds: dict[str, Tensor]) -> Any:
        try:
            return output_of(self.module, feeds)
        except FloatingPointError as error:  # fake quantizers see it before there is a loss
            raise self._diverged(f"cannot be computed: {error}") from error

    def _diverged(self, what: str) -> CheckFailedError:
        return CheckFailedError(
            f"the loss of epoch {self.current_epoch + 1} {what}",
            expected="finite numbers",
            fix=self._slower,
        )

    def on_save_checkpoint(self, checkpoint: dict[str, Any]) -> None:
        checkpoint["curve"], checkpoint["seconds"] = self.curve, self.seconds
        if self._average is not None:
            checkpoint["average"] = self._average.values
            checkpoint["average_steps"] = self._average.steps
        if self._pruner is not None:
            checkpoint["pruner"] = self._pruner.state()

    def on_load_checkpoint(self, checkpoint: dict[str, Any]) -> None:
        self.curve, self.earlier_seconds = checkpoint["curve"], checkpoint["seconds"]
        if self._average is not None:
            self._average.restore(checkpoint["average"], checkpoint["average_steps"])
        if self._pruner is not None:
            self._pruner.restore(checkpoint["pruner"])


class _Patience(EarlyStopping):
    """Counts no epoch in which the model cannot be the best one."""

    def on_train_epoch_end(self, trainer: pl.Trainer, pl_module: pl.LightningModule) -> None:
        assert isinstance(pl_module, _Loop)
        if pl_module.may_be_best:
            super().on_train_epoch_end(trainer, pl_module)


class _Reporter(Callback):
    """Tells a plain function how far the training is."""

    def __init__(self, job: FitJob, progress: ProgressCallback) -> None:
        self._job, self._progress = job, progress

    def on_train_batch_end(
        self,
        trainer: pl.Trainer,
        pl_module: pl.LightningModule,
        outputs: Any,  # noqa: ARG002  # Lightning's signature
        batch: Any,  # noqa: ARG002  # the same
        batch_idx: int,
    ) -> None:
        assert isinstance(pl_module, _Loop)
        self._progress(
            Progress(
                phase=self._job.phase,
                epoch=trainer.current_epoch + 1,
                epochs=self._job.settings.max_epochs,
                batch=batch_idx + 1,
                batches=int(trainer.num_training_batches),
                figures=pl_module.curve[-1] if pl_module.curve else {},
            )
        )


def _trainer(job: FitJob) -> pl.Trainer:
    # Not `save_last`: Lightning 2.6 writes that one only together with a better best one.
    callbacks: list[Callback] = [
        ModelCheckpoint(
            dirpath=job.folder,
            filename=name,
            monitor=monitor,
            save_on_train_epoch_end=True,
            enable_version_counter=False,
        )
        for name, monitor in (("best", LOSS), ("last", None))  # "last" holds the state of "best"
    ]
    if job.settings.patience:
        patience = job.settings.patience
        callbacks.append(_Patience(LOSS, patience=patience, check_on_train_epoch_end=True))
    if job.progress is not None:
        callbacks.append(_Reporter(job, job.progress))
    try:
        with quiet():
            return pl.Trainer(
                accelerator=job.settings.accelerator,
                devices=1,
                max_epochs=job.settings.max_epochs,
                gradient_clip_val=job.settings.gradient_clip or None,
                callbacks=callbacks,
                default_root_dir=job.folder,
                plugins=[LightningEnvironment()],  # else it looks for a cluster
                logger=False,
                enable_progress_bar=False,
                enable_model_summary=False,
                num_sanity_val_steps=0,
            )
    except MisconfigurationException as error:
        raise SetupError(
            f"the accelerator {job.settings.accelerator!r} cannot be used here: {error}",
            expected="a GPU that torch can use",
            fix="--set accelerator=cpu",
        ) from error
