"""Quantization-aware training: a trained run goes on learning with 8-bit rounding in its graph."""

from __future__ import annotations

import itertools
import math
import shutil
import time
from dataclasses import dataclass, replace
from importlib.metadata import version
from pathlib import Path

import msgspec
import torch
from safetensors.torch import save_model
from torch import nn

from toolkit.errors import InputError
from toolkit.evaluate.metrics import main_metric
from toolkit.package.integrity import file_hashes
from toolkit.tasks import TaskSpec
from toolkit.training.curve import draw_curve
from toolkit.training.data import Data
from toolkit.training.fake_quantization import INSTEAD, FakeQuantized, fake_quantized
from toolkit.training.fitting import torch_threads, training_task
from toolkit.training.loop import LOSS, Curve, FitJob, fit, predict
from toolkit.training.metrics import measure
from toolkit.training.preprocessing import input_specs, read_preprocessing
from toolkit.training.progress import ProgressCallback
from toolkit.training.recipe import AnyRecipe
from toolkit.training.rows import Rows, training_batches
from toolkit.training.run import (
    PREPROCESSING,
    QAT_FOLDER,
    QAT_WEIGHTS,
    RUN_FILE,
    QatRecord,
    Run,
    RunRecord,
)
from toolkit.training.settings import Settings
from toolkit.training.writing import write_curve, write_record

CALIBRATION_BATCHES = 16
"""Batches that set the ranges of activations before the first step, an epoch at most."""
PHASE = "quantization-aware training"


@dataclass(frozen=True, kw_only=True)
class QatJob:
    """How a run is trained further.

    Attributes:
        recipe: What the run was trained by.
        settings: The run's; `qat_epochs` and `qat_rate` say how long and how fast.
        data: All splits.
        folder: Holds the checkpoints; what lies there is resumed.
        progress: Is told about every batch.
    """

    recipe: AnyRecipe
    settings: Settings
    data: Data
    folder: Path
    progress: ProgressCallback | None


def check_quantizable(module: nn.Module, task: TaskSpec, preprocessing: object, rows: Rows) -> None:
    """Refuse, before anything is trained, what could not be trained with fake quantizers.

    Args:
        module: A new model; it is left as it is.
        task: What it is for.
        preprocessing: The tokenizer or the feature table.
        rows: The training rows.

    Raises:
        InputError: The task is none for it, or the model; see `fake_quantized`.
        SetupError: torchao is not installed.
    """
    _check_task(task)
    dimensions = {
        spec.name: {axis: name for axis, name in enumerate(spec.shape) if isinstance(name, str)}
        for spec in input_specs(task, preprocessing)
    }
    few = {name: tensor[:8].numpy() for name, tensor in rows.feeds.items()}
    fake_quantized(module, few, dimensions)


def _check_task(task: TaskSpec) -> None:
    if task.generation is not None:
        raise InputError(
            f"quantization-aware training cannot take the task {task.name!r}",
            expected="a classification or a regression: a decoder is exported with its cache",
            fix=INSTEAD,
        )


def copy_float(run: Run, folder: Path) -> RunRecord:
    """Copy the float model of a run, with everything that belongs to it.

    Args:
        run: The run.
        folder: An empty folder.
    """
    quantized = run.path / QAT_FOLDER
    for name in run.record.files:
        source, target = run.path / name, folder / name
        if not source.is_relative_to(quantized):
            target.parent.mkdir(parents=True, exist_ok=True)
            shutil.copyfile(source, target)
    return msgspec.structs.replace(run.record, qat=None, files=file_hashes(folder))


def add_quantized(path: Path, record: RunRecord, job: QatJob) -> RunRecord:
    """Train a float run on with fake quantizers, and add what comes of it to its directory.

    The float model stays, so that the run holds both.

    Args:
        path: The directory of a float run that nobody else reads yet; it is changed.
        record: Its `run.json`.
        job: How.

    Raises:
        InputError: The task is none for it, or the model; see `fake_quantized`.
        SetupError: torchao is not installed.
        CheckFailedError: The loss became infinite or NaN.
        KeyboardInterrupt: The user stopped it; calling again resumes after the last whole epoch.
    """
    _check_task(record.task)
    started = time.perf_counter()
    run, settings = Run(path=path, record=record), _short(job.settings)
    prepared = path / PREPROCESSING
    task = training_task(run.task, prepared, read_preprocessing(run.task, prepared))
    splits = {"validation": job.data.validation, "test": job.data.test}
    rows = {name: Rows(task, split) for name, split in splits.items()}
    job.folder.mkdir(exist_ok=True)
    with torch.random.fork_rng(devices=[]), torch_threads(settings.threads):
        torch.manual_seed(settings.seed)
        module, curve, earlier = _fitted(run, job, settings, Rows(task, job.data.train), rows)
        metrics = {
            name: measure(run.task, predict(module, part), splits[name].targets)
            for name, part in rows.items()
        }
    best = min(range(len(curve)), key=lambda row: curve[row][LOSS])
    _write(path, module, curve, run.task, best)
    seconds = round(earlier + time.perf_counter() - started, 1)
    record = msgspec.structs.replace(
        record,
        qat=QatRecord(
            metrics=metrics,
            settings=msgspec.to_builtins(settings),
            epochs=len(curve),
            best_epoch=best + 1,
            seconds=seconds,
        ),
        seconds=round(record.seconds + seconds, 1),
        versions=record.versions | {"torchao": version("torchao")},
        files={name: sha for name, sha in file_hashes(path).items() if name != RUN_FILE},
    )
    write_record(path, record)
    return record


def _short(settings: Settings) -> Settings:
    """The settings of a short training, on the CPU: torch.export writes the device into graphs."""
    return msgspec.structs.replace(
        settings,
        max_epochs=settings.qat_epochs,
        learning_rate=settings.learning_rate * settings.qat_rate,
        patience=0,
        dropout=0.0,
        folds=0,
        accelerator="cpu",
    )


def _fitted(
    run: Run, job: QatJob, settings: Settings, train: Rows, rows: dict[str, Rows]
) -> tuple[FakeQuantized, Curve, float]:
    batches_an_epoch = math.ceil(len(train) / settings.batch_size)
    calibration = min(CALIBRATION_BATCHES, batches_an_epoch)
    steps = batches_an_epoch * settings.max_epochs
    module = run.fake_quantized(observed_steps=calibration + steps // 2)
    module.train()
    with torch.no_grad():
        batches = training_batches(train, batch_size=settings.batch_size, seed=settings.seed)
        for feeds, _targets in itertools.islice(batches, calibration):
            module(**feeds)
    fit_job = FitJob(
        recipe=_renamed(job.recipe),
        settings=settings,
        rows=train,
        held_out=rows["validation"],
        folder=job.folder,
        phase=PHASE,
        progress=job.progress,
        slower=f"--set qat_rate={job.settings.qat_rate / 10:g} --resume",
        hold_zeros=run.record.pruning is not None,
    )
    curve, earlier = fit(module, fit_job)
    module.settle()
    return module, curve, earlier


def _renamed(recipe: AnyRecipe) -> AnyRecipe:
    """The recipe with the rates of its own parameters, which lie in `FakeQuantized.graph` now."""
    rate = recipe.rate
    if rate is None:
        return recipe
    return replace(recipe, rate=lambda name, settings: rate(name.removeprefix("graph."), settings))


def _write(path: Path, module: FakeQuantized, curve: Curve, task: TaskSpec, best: int) -> None:
    folder = path / QAT_FOLDER
    folder.mkdir()
    save_model(module, str(path / QAT_WEIGHTS))
    (path / QAT_WEIGHTS).chmod(0o644)  # safetensors makes it private
    write_curve(folder / "curve.csv", curve)
    draw_curve(curve, folder / "curve.png", metric=main_metric(task), best=best)
