"""A trained model as a run directory."""

import csv
import platform
import shutil
import time
from importlib.metadata import version
from pathlib import Path
from typing import Any

import msgspec
import numpy as np
from safetensors.torch import save_model

import toolkit
from toolkit.evaluate.metrics import main_metric
from toolkit.package.integrity import file_hashes
from toolkit.tasks import TaskSpec
from toolkit.tasks.tabular import FeatureTable
from toolkit.training.curve import draw_curve
from toolkit.training.distillation import DistillationRecord
from toolkit.training.fitting import Fitted, FittedModel
from toolkit.training.loop import Curve, best_row, predict
from toolkit.training.metrics import measure
from toolkit.training.pruning import count_zeros
from toolkit.training.recipe import AnyRecipe
from toolkit.training.rows import Rows
from toolkit.training.run import (
    PREPROCESSING,
    RECIPE_FILE,
    REFERENCE_INPUTS,
    REFERENCE_ITEMS,
    RUN_FILE,
    SCHEMA_VERSION,
    WEIGHTS_FILE,
    RunRecord,
)
from toolkit.training.settings import Settings

REFERENCE_ROWS = 16


def write_run(
    folder: Path,
    *,
    recipe: AnyRecipe,
    settings: Settings,
    source: bytes,
    fitted: Fitted,
    started: float,
    distillation: DistillationRecord | None = None,
    prune: float = 0.0,
) -> RunRecord:
    """Fill an empty folder.

    Args:
        folder: The folder.
        recipe: What was trained.
        settings: With what.
        source: The recipe's file.
        fitted: What came of it.
        started: `time.perf_counter()` at the start of this sitting.
        distillation: Who taught it.
        prune: Share of the weights that were to become zero.
    """
    model, data = fitted.model, fitted.data
    (folder / RECIPE_FILE).write_bytes(source)
    save_model(model.module, str(folder / WEIGHTS_FILE))
    (folder / WEIGHTS_FILE).chmod(0o644)  # safetensors makes it private
    if any(model.preprocessing.iterdir()):
        shutil.copytree(model.preprocessing, folder / PREPROCESSING)
    write_curve(folder / "curve.csv", model.curve)
    best = best_row(model.curve)
    draw_curve(model.curve, folder / "curve.png", metric=main_metric(recipe.task), best=best)
    _write_reference(folder, model, fitted)
    splits = {"validation": data.validation, "test": data.test}
    metrics = {
        name: measure(recipe.task, predict(model.module, Rows(model.task, split)), split.targets)
        for name, split in splits.items()
    }
    hashes = file_hashes(folder)
    record = RunRecord(
        schema_version=SCHEMA_VERSION,
        name=recipe.name,
        recipe_sha256=hashes[RECIPE_FILE],
        seed=settings.seed,
        settings=msgspec.to_builtins(settings),
        task=recipe.task,
        metrics=metrics,
        cross_validation=fitted.cross_validation,
        epochs=len(model.curve),
        best_epoch=best + 1,
        parameters=sum(p.numel() for p in model.module.parameters()),
        rows={"train": len(data.train), "validation": len(data.validation), "test": len(data.test)},
        seconds=round(fitted.earlier_seconds + time.perf_counter() - started, 1),
        versions=_versions(),
        distillation=distillation,
        pruning=count_zeros(model.module, prune, folder / WEIGHTS_FILE) if prune else None,
        files=hashes,
    )
    write_record(folder, record)
    return record


def write_record(folder: Path, record: RunRecord) -> None:
    """`run.json`."""
    encoded = msgspec.json.format(msgspec.json.encode(record), indent=1)
    (folder / RUN_FILE).write_bytes(encoded + b"\n")


def write_curve(file: Path, curve: Curve) -> None:
    """The curve as CSV, one row an epoch."""
    with file.open("w", encoding="utf-8", newline="") as stream:
        writer = csv.DictWriter(stream, curve[0], lineterminator="\n")
        writer.writeheader()
        writer.writerows(row | {"epoch": int(row["epoch"])} for row in curve)


def _write_reference(folder: Path, model: FittedModel, fitted: Fitted) -> None:
    """Test rows, evenly spread over the split, raw and as the graph takes them."""
    test = fitted.data.test
    rows = np.unique(np.linspace(0, len(test) - 1, REFERENCE_ROWS).astype(int))
    items = test.take(rows).items
    (folder / REFERENCE_INPUTS).parent.mkdir()
    np.savez(folder / REFERENCE_INPUTS, allow_pickle=False, **model.task.encode(items))
    raw = [_raw(item, model) for item in items]
    (folder / REFERENCE_ITEMS).write_bytes(msgspec.json.encode(raw) + b"\n")


def _raw(item: Any, model: FittedModel) -> Any:
    specification: TaskSpec = model.task.specification
    if specification.image is not None:
        return item.tolist()
    if specification.text is not None:
        return item
    names = [
        column.name for column in FeatureTable.read(model.preprocessing / "features.json").columns
    ]
    return {name: item[name] for name in names}


def _versions() -> dict[str, str]:
    packages = ("numpy", "pytorch-lightning", "safetensors", "tokenizers", "torch")
    found = {package: version(package) for package in packages}
    return {"python": platform.python_version(), "toolkit": toolkit.__version__} | found
