"""The models of a training: one for each fold, then the final one."""

import dataclasses
import inspect
import traceback
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import ParamSpec, TypeVar

import torch
from torch import Tensor, nn

from toolkit.errors import InputError, ToolkitError
from toolkit.library_noise import quiet_torchao
from toolkit.tasks import Task, TaskSpec, open_task
from toolkit.tensors import describe
from toolkit.training.data import Data, Split, folds
from toolkit.training.distillation import Teacher
from toolkit.training.language import output_of
from toolkit.training.loop import Curve, FitJob, fit, predict
from toolkit.training.metrics import FoldScores, fold_scores, main_value
from toolkit.training.preprocessing import (
    TOKENIZER,
    input_specs,
    read_preprocessing,
    write_preprocessing,
)
from toolkit.training.progress import ProgressCallback
from toolkit.training.recipe import AnyRecipe
from toolkit.training.rows import Rows
from toolkit.training.settings import Settings

Arguments = ParamSpec("Arguments")
Answer = TypeVar("Answer")
ModelCheck = Callable[[nn.Module, TaskSpec, object, Rows], None]
"""Raises for a new model that what comes later cannot take: module, task, preprocessing, rows."""


@dataclass(frozen=True, kw_only=True)
class FittedModel:
    """A trained model with its preprocessing.

    Attributes:
        module: In eval mode, with the weights of the best epoch.
        task: Encodes items as the device will.
        preprocessing: The folder of the tokenizer or the feature table.
        curve: One row an epoch.
        earlier_seconds: Time that earlier sittings spent on it.
    """

    module: nn.Module
    task: Task
    preprocessing: Path
    curve: Curve
    earlier_seconds: float


@dataclass(frozen=True, kw_only=True)
class Fitted:
    """Everything that a training came to.

    Attributes:
        model: The final model.
        data: All splits.
        cross_validation: Where the settings asked for folds.
        earlier_seconds: Time that earlier sittings spent.
    """

    model: FittedModel
    data: Data
    cross_validation: FoldScores | None
    earlier_seconds: float


def fit_recipe(
    recipe: AnyRecipe,
    settings: Settings,
    folder: Path,
    progress: ProgressCallback | None,
    *,
    check: ModelCheck | None = None,
    teacher: Teacher | None = None,
    prune: float = 0.0,
) -> Fitted:
    """Train the folds and the final model, going on with what `folder` holds.

    The caller's random numbers and threads are as they were before.

    Args:
        recipe: What to train.
        settings: The recipe's, with the run's overrides.
        folder: Holds preprocessing and checkpoints, a folder a model.
        progress: Is told about every batch.
        check: Refuses a model before it is trained.
        teacher: Answers the training rows before the first model is trained.
        prune: Share of the weights that become zero in every model.

    Raises:
        InputError: A function of the recipe failed, or gave what does not fit its task; or the
            teacher cannot read an item.
        CheckFailedError: The loss became infinite or NaN.
    """
    with torch.random.fork_rng(devices=[]), torch_threads(settings.threads):
        data = load_data(recipe, settings)
        if teacher is not None:
            taught = teacher.teach(data.train, threads=settings.threads, progress=progress)
            data = dataclasses.replace(data, train=taught)
        values, seconds = [], 0.0
        if settings.folds:
            parts = folds(data.train, settings.folds, seed=settings.seed)
            for number, (train, held_out) in enumerate(parts, start=1):
                model = _fit_model(
                    recipe,
                    settings,
                    train=train,
                    held_out=held_out,
                    folder=folder / f"fold-{number}",
                    phase=f"fold {number} of {settings.folds}",
                    progress=progress,
                    check=check,
                    teacher=teacher,
                    prune=prune,
                )
                outputs = predict(model.module, Rows(model.task, held_out))
                values.append(main_value(recipe.task, outputs, held_out.targets))
                seconds += model.earlier_seconds
        model = _fit_model(
            recipe,
            settings,
            train=data.train,
            held_out=data.validation,
            folder=folder / "final",
            phase="training",
            progress=progress,
            check=check,
            teacher=teacher,
            prune=prune,
        )
    return Fitted(
        model=model,
        data=data,
        cross_validation=fold_scores(recipe.task, values) if values else None,
        earlier_seconds=seconds + model.earlier_seconds,
    )


def load_data(recipe: AnyRecipe, settings: Settings) -> Data:
    """All splits.

    Raises:
        InputError: The recipe cannot load them, or targets do not fit its task.
    """
    data = _ask(recipe, recipe.load, settings)
    for split in (data.train, data.validation, data.test):
        _check_targets(recipe.task, split)
    return data


@contextmanager
def torch_threads(count: int) -> Iterator[None]:
    """So many threads for torch, 0 for as many as it has; as before afterwards."""
    before = torch.get_num_threads()
    torch.set_num_threads(count or before)
    try:
        yield
    finally:
        torch.set_num_threads(before)


def _fit_model(
    recipe: AnyRecipe,
    settings: Settings,
    *,
    train: Split,
    held_out: Split,
    folder: Path,
    phase: str,
    progress: ProgressCallback | None,
    check: ModelCheck | None,
    teacher: Teacher | None,
    prune: float,
) -> FittedModel:
    folder.mkdir(exist_ok=True)
    prepared = folder / "preprocessing"
    if not prepared.is_dir():
        new = folder / "preprocessing.new"
        fitted = _ask(recipe, recipe.prepare, train, settings)
        write_preprocessing(recipe.task, fitted, new)
        new.rename(prepared)
    preprocessing = read_preprocessing(recipe.task, prepared)
    task = training_task(recipe.task, prepared, preprocessing)
    rows = Rows(task, train)
    torch.manual_seed(settings.seed)
    module = _ask(recipe, recipe.build, settings, preprocessing)
    _check_dropout(recipe, settings, module)
    if recipe.initialize is not None:
        _ask(recipe, recipe.initialize, module, settings)
    if recipe.calibrate is not None:
        _ask(recipe, recipe.calibrate, module, rows.feeds, rows.targets)
    _ask(recipe, _one_batch, recipe, module, rows)
    if check is not None:
        check(module, recipe.task, preprocessing, rows)
    job = FitJob(
        recipe=recipe,
        settings=settings,
        rows=rows,
        held_out=Rows(task, held_out),
        folder=folder,
        phase=phase,
        progress=progress,
        teacher=teacher,
        prune=prune,
    )
    curve, earlier = fit(module, job)
    return FittedModel(
        module=module, task=task, preprocessing=prepared, curve=curve, earlier_seconds=earlier
    )


def training_task(task: TaskSpec, prepared: Path, preprocessing: object) -> Task:
    """The task as the rows are encoded: what generates is trained on whole texts."""
    inputs = input_specs(task, preprocessing)
    if task.generation is None:
        return open_task(task, prepared, inputs)
    from toolkit.tasks.text import TextEncoder

    assert task.text is not None
    return Task(task, TextEncoder(prepared / TOKENIZER, task.text, inputs))


def _one_batch(recipe: AnyRecipe, module: nn.Module, rows: Rows) -> None:
    """Send two rows through what the loop will call, where errors are easy to explain."""
    feeds, targets = rows[[*range(min(2, len(rows)))]]
    if recipe.augment is not None:
        feeds = recipe.augment(feeds)
    one = recipe.task.name == "tabular-regression" or recipe.task.activation == "sigmoid"
    shape: tuple[int, ...] = (len(targets), 1 if one else len(recipe.task.labels))
    with torch.no_grad():
        output = output_of(module.eval(), feeds)
        if recipe.task.generation is not None:
            shape = (*targets.shape, *output.shape[2:3])
        if not isinstance(output, Tensor) or tuple(output.shape) != shape:
            found = (
                describe(output.numpy()) if isinstance(output, Tensor) else type(output).__name__
            )
            raise InputError(
                f"the model of recipe {recipe.name!r} returns {found} for {len(targets)} rows",
                expected=f"one tensor, float32[{', '.join(map(str, shape))}]",
            )
        loss = recipe.loss(output, targets)
    module.train()
    if loss.ndim:
        raise InputError(
            f"the loss of recipe {recipe.name!r} is {describe(loss.numpy())}", expected="a scalar"
        )


def _check_targets(task: TaskSpec, split: Split) -> None:
    if task.generation is not None:
        return  # the texts themselves
    kind = split.targets.dtype.kind
    if task.name == "tabular-regression":
        if kind != "f":
            raise InputError(f"targets are {describe(split.targets)}", expected="float32[items]")
        return
    low, high = (int(split.targets.min()), int(split.targets.max())) if kind == "i" else (-1, -1)
    if not 0 <= low <= high < len(task.labels):
        raise InputError(
            f"targets are {describe(split.targets)}, from {split.targets.min()} to "
            f"{split.targets.max()}",
            expected=f"int64[items], indexes into the labels {', '.join(task.labels)}",
        )


def _check_dropout(recipe: AnyRecipe, settings: Settings, module: nn.Module) -> None:
    layers = [m for m in module.modules() if isinstance(m, nn.modules.dropout._DropoutNd)]  # noqa: SLF001  # the one base of all dropout layers
    if settings.dropout and not any(layer.p == settings.dropout for layer in layers):
        raise InputError(
            f"setting 'dropout' is {settings.dropout}, but {recipe.name!r} has no such layer",
            expected="a model with torch.nn.Dropout(settings.dropout)",
            fix="--set dropout=0",
        )


def _ask(
    recipe: AnyRecipe,
    function: Callable[Arguments, Answer],
    *args: Arguments.args,
    **kwargs: Arguments.kwargs,
) -> Answer:
    """Call a function of the recipe; what it raises is the recipe's fault and names the line."""
    file = inspect.getsourcefile(recipe.build)
    try:
        with quiet_torchao():
            return function(*args, **kwargs)
    except ToolkitError:
        raise
    except Exception as error:
        frames = traceback.extract_tb(error.__traceback__)
        theirs = [frame for frame in frames if frame.filename == file]
        frame = (theirs or frames)[-1]
        raise InputError(
            f"recipe {recipe.name!r} failed: {type(error).__name__}: {error} "
            f"({Path(frame.filename).name}, line {frame.lineno}, in {frame.name})",
            expected="a recipe that follows the contract in toolkit.training.Recipe",
        ) from error
