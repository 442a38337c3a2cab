"""A checkpoint's configuration and model, by transformers."""

from __future__ import annotations

import struct
from collections.abc import Sequence
from typing import Any

from toolkit.errors import InputError, SetupError
from toolkit.export.checkpoint.files import CONFIG, CheckpointFiles
from toolkit.export.checkpoint.tasks import classes_of
from toolkit.export.libraries import quiet
from toolkit.export.torch_graph import check_finite, first_line
from toolkit.tasks import TaskName


def transformers_extra() -> Any:
    """The module transformers.

    Raises:
        SetupError: It is not installed.
    """
    try:
        import torch  # noqa: F401 - without it transformers loads no model
        import transformers
    except ImportError as error:
        raise SetupError(
            f"exporting a checkpoint needs {error.name}, which is not installed",
            fix="pip install 'onnx-edge-toolkit[cpu,export]'",
        ) from error
    return transformers


def load_config(files: CheckpointFiles) -> Any:
    """Transformers' configuration object.

    Raises:
        InputError: The architecture is unknown, or the configuration is none.
    """
    transformers = transformers_extra()
    try:
        with quiet():
            return transformers.AutoConfig.from_pretrained(files.path, **_gguf(files))
    except Exception as error:  # whatever a broken configuration raises
        _refuse_cut(error, files)
        if files.kind == "gguf":
            raise InputError(
                f"{files.weights[0]} cannot be read as GGUF: {first_line(error)}",
                expected="a whole GGUF file of an architecture that transformers "
                f"{transformers.__version__} reads, such as llama or qwen2",
            ) from error
        known = files.config.get("model_type")
        raise InputError(
            f"{files.path / CONFIG} is no configuration that transformers "
            f"{transformers.__version__} knows"
            + (f": model_type is {known!r}" if known else f": {first_line(error)}"),
            expected="a model_type among those that transformers lists, with its keys",
        ) from error


def load_model(
    files: CheckpointFiles, config: Any, task: TaskName, *, unused: tuple[str, ...] = ()
) -> Any:
    """The model with the task's head, float32, in eval mode on the CPU.

    Args:
        files: The checkpoint.
        config: Its configuration.
        task: What it is for.
        unused: How the names of weights begin that may be missing, since no answer needs them.

    Raises:
        InputError: Weights are missing, of the wrong shape or not finite, or the checkpoint has
            none for the head.
    """
    transformers = transformers_extra()
    automatic = next(
        name
        for name in classes_of(task)
        if type(config) in getattr(transformers, name)._model_mapping  # noqa: SLF001
    )
    options: dict[str, Any] = {"use_safetensors": files.kind == "safetensors", **_gguf(files)}
    if files.kind == "gguf":
        options.pop("use_safetensors")
    try:
        with quiet():
            model, report = getattr(transformers, automatic).from_pretrained(
                files.path,
                config=config,
                dtype="float32",
                output_loading_info=True,
                local_files_only=True,
                ignore_mismatched_sizes=True,  # they are refused below, by name
                **options,
            )
    except Exception as error:  # whatever a broken file raises
        _refuse_cut(error, files)
        raise InputError(
            f"{files.weights[0]} cannot be loaded as {automatic}: {first_line(error)}",
            expected="weights that fit the configuration",
        ) from error
    where = files.weights[0] if len(files.weights) == 1 else files.path
    if report["mismatched_keys"]:
        name, found, wanted = min(report["mismatched_keys"])
        raise InputError(
            f"{where} holds {name} as {[*found]}, where the configuration says {[*wanted]}",
            expected=f"weights that fit {CONFIG}",
        )
    missing = sorted(key for key in report["missing_keys"] if not key.startswith(unused))
    if missing and all(key.startswith("pooler.") for key in missing):
        raise InputError(
            f"{where} has no weights for {len(missing)} parts of the pooler: {', '.join(missing)}",
            expected="a checkpoint that was trained with one",
            fix="--pooling mean",
        )
    if missing and not _is_head(missing, model):
        raise InputError(
            f"{where} is incomplete: {len(missing)} weights of {type(model).__name__} are missing, "
            f"{', '.join(missing[:3])}{' and others' if len(missing) > 3 else ''}",
            expected="the whole file: it may have been damaged, or belong to another configuration",
        )
    if missing:
        raise InputError(
            f"{where} has no weights for {len(missing)} parts of {type(model).__name__},"
            f" {missing[0]} among them",
            expected=f"a checkpoint that was trained for {task}",
            fix="--task feature-extraction        (needs no head)",
        )
    check_finite(model, str(where))
    return model.eval()


def _is_head(missing: Sequence[str], model: Any) -> bool:
    """Whether all weights that are missing belong to the task's head, none to the model below."""
    below = model.base_model_prefix
    has_head = bool(below) and hasattr(model, below)
    return has_head and not any(key.startswith(f"{below}.") for key in missing)


def _refuse_cut(error: Exception, files: CheckpointFiles) -> None:
    """Refuse a GGUF file that ended while it was read: the libraries show what numpy says of it."""
    if files.kind != "gguf":
        return
    with files.weights[0].open("rb") as stream:
        begins = stream.read(4) == b"GGUF"
    text = str(error)
    at_end = "cannot reshape array" in text or "changing to a larger dtype" in text
    if begins and (at_end or isinstance(error, (IndexError, struct.error))):
        raise InputError(
            f"{files.weights[0]} is shorter than its header says",
            expected="the whole file",
            fix="download it again",
        ) from error


def _gguf(files: CheckpointFiles) -> dict[str, str]:
    return {"gguf_file": files.weights[0].name} if files.kind == "gguf" else {}
