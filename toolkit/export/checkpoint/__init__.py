"""From a Hugging Face checkpoint to modules with reference feeds. Loading needs transformers."""

from __future__ import annotations

from collections.abc import Mapping
from importlib import import_module
from pathlib import Path
from typing import Any

from toolkit.export.checkpoint.files import (
    CONFIG,
    CheckpointFiles,
    CheckpointOptions,
    read_files,
)
from toolkit.export.checkpoint.loading import load_config, load_model
from toolkit.export.checkpoint.tasks import task_of
from toolkit.export.parts import TorchSource
from toolkit.tasks import TaskName

_BUILDERS: Mapping[TaskName, str] = {
    "text-classification": "texts",
    "token-classification": "texts",
    "question-answering": "texts",
    "fill-mask": "texts",
    "feature-extraction": "texts",
    "text-generation": "generation",
    "text-to-text": "translation",
    "image-classification": "images",
    "object-detection": "images",
    "zero-shot-image-classification": "images",
    "speech-recognition": "speech",
}
"""The module here whose `build(opened)` makes the modules of a task."""


class Opened:
    """A checkpoint that was loaded, and what building its modules needs.

    Attributes:
        files: Its files.
        config: transformers' configuration.
        model: transformers' model.
        task: What it is for.
        options: How it is read.
        work: A folder for what its preprocessing needs.
    """

    def __init__(self, files: CheckpointFiles, options: CheckpointOptions, work: Path) -> None:
        self.files = files
        self.options = options
        self.work = work
        self.config: Any = load_config(files)
        self.task = task_of(
            self.config,
            asked=options.task,
            named_in=str(files.weights[0] if files.kind == "gguf" else files.path / CONFIG),
            # GGUF names no architecture; what transformers reads of it are decoders.
            otherwise="text-generation" if files.kind == "gguf" else None,
        )
        without_pooler = self.task == "feature-extraction" and options.pooling != "pooler"
        unused = ("pooler.",) if without_pooler else ()
        self.model: Any = load_model(files, self.config, self.task, unused=unused)


def open_checkpoint(path: Path, *, work: Path, options: CheckpointOptions | None) -> TorchSource:
    """The modules of a checkpoint.

    Args:
        path: Its directory, or a `.gguf` file.
        work: A folder for what its preprocessing needs.
        options: How it is read.

    Raises:
        InputError: A file is missing or damaged, or the model or its task is not known.
        SetupError: transformers is not installed.
    """
    options = options or CheckpointOptions()
    files = read_files(path, trust_pickle=options.trust_pickle)
    opened = Opened(files, options, work)
    builder = import_module(f"toolkit.export.checkpoint.{_BUILDERS[opened.task]}")
    source: TorchSource = builder.build(opened)
    return source


__all__ = ["CheckpointOptions", "Opened", "open_checkpoint"]
