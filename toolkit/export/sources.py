"""What can be exported, and how each kind of source becomes a module with reference feeds."""

from __future__ import annotations

import hashlib
import importlib
import importlib.util
import re
import sys
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, field
from pathlib import Path
from typing import TYPE_CHECKING, Any

from toolkit.errors import InputError, SetupError
from toolkit.export.checkpoint.files import CONFIG, CheckpointOptions, checkpoint_at
from toolkit.export.feeds import Dimensions
from toolkit.export.libraries import export_extra
from toolkit.export.parts import TorchPart, TorchSource
from toolkit.export.torch_graph import check_finite
from toolkit.export.zeros import PRUNING
from toolkit.library_noise import quiet_torchao, without_torchao
from toolkit.tasks import TaskSpec
from toolkit.tensors import Array

if TYPE_CHECKING:
    from torch import Tensor, nn

    from toolkit.training.run import Run

ACCEPTED = (
    "a run directory that toolkit train wrote, a Hugging Face checkpoint directory or .gguf file, "
    "module:callable that returns an nn.Module with example inputs, or an .onnx file"
)
_CALLABLE = re.compile(r"[^\W\d]\w*(\.[^\W\d]\w*)*:[^\W\d]\w*(\.[^\W\d]\w*)*")
_RUN_FILE = "run.json"
_PIECES = {".safetensors", ".bin"}
"""How files end that are nothing without their checkpoint."""


@dataclass(frozen=True, kw_only=True)
class Exportable:
    """A module with what exporting it takes: what the callable of `module:callable` returns.

    The callable takes no arguments. It may also return just `(module, inputs)`, which means this
    class with everything else left at its default.

    Attributes:
        module: Its forward takes the inputs as keyword arguments by these names, and returns one
            tensor, a tuple of tensors or a {name: tensor}. Its weights are float32.
        inputs: Example rows by input name; real ones if possible, since parity is checked on
            feeds made of their values. 8 to 16 rows are good.
        dynamic_dimensions: {input: {axis: name}}; when not given, axis 0 of every input that has
            axes is "batch".
        output_names: One a tensor that forward returns; "output", or "output_0" and so on, when
            empty, and the keys of a dictionary in any case.
        task: What the model is for; plain tensors when not given.
        preprocessing: A folder with `tokenizer.json` or `features.json`.
        items: The rows of `inputs` before preprocessing; they travel as `items.json`.
        name: For the package's record.
    """

    module: nn.Module
    inputs: Mapping[str, Tensor]
    dynamic_dimensions: Dimensions | None = None
    output_names: Sequence[str] = ()
    task: TaskSpec = field(default_factory=lambda: TaskSpec(name="tensors"))
    preprocessing: Path | None = None
    items: Sequence[Any] = ()
    name: str = "module"


def open_source(
    source: str | Path | Exportable, *, work: Path, checkpoint: CheckpointOptions | None
) -> TorchSource | Path:
    """The modules behind a source, or the `.onnx` file that it is.

    Args:
        source: What `export` was given.
        work: An empty folder for what a checkpoint's preprocessing needs.
        checkpoint: How a checkpoint is read; for nothing else.

    Raises:
        InputError: The source is none of what can be exported, or is broken.
        SetupError: The extra `export` is not installed, or torchao is not and the run has a model
            from quantization-aware training.
    """
    with quiet_torchao():
        return _opened(source, work=work, checkpoint=checkpoint)


def _opened(
    source: str | Path | Exportable, *, work: Path, checkpoint: CheckpointOptions | None
) -> TorchSource | Path:
    if isinstance(source, Exportable):
        return _from_exportable(source, source.name)
    path = Path(source)
    if path.suffix.lower() == ".onnx":
        return path
    if (path / _RUN_FILE).is_file():
        return _from_run(path)
    if checkpoint_at(path):
        with export_extra():
            without_torchao()
        from toolkit.export.checkpoint import open_checkpoint

        return open_checkpoint(path, work=work, options=checkpoint)
    if not path.exists() and _CALLABLE.fullmatch(str(source)):
        return _from_exportable(_called(str(source)), str(source))
    raise _nothing(path)


def _nothing(path: Path) -> InputError:
    """Why a path cannot be exported."""
    if path.is_dir():
        return InputError(
            f"{path} is nothing that can be exported: {path / CONFIG} is missing, and there is no "
            f".gguf file and no {_RUN_FILE}",
            expected=ACCEPTED,
        )
    if path.is_file() and (path.name == CONFIG or path.suffix.lower() in _PIECES):
        return InputError(
            f"{path} is one file of a checkpoint",
            expected=f"the directory that holds {CONFIG}, the weights and the tokenizer",
            fix=f"toolkit export {path.parent} -o NAME.ortpackage",
        )
    state = "is nothing that can be exported" if path.exists() else "does not exist"
    return InputError(f"{path} {state}", expected=ACCEPTED)


def _from_run(path: Path) -> TorchSource:
    with export_extra():
        from toolkit.training.run import WEIGHTS_FILE, open_run
    import msgspec

    run = open_run(path)
    if run.record.qat is not None:
        _check_torchao(path)
    with export_extra():
        module = run.module()
    _check_weights(module, str(path))
    decodes, qat = run.task.generation is not None, run.record.qat
    return TorchSource(
        kind="run",
        name=run.name,
        sha256=run.record.files[WEIGHTS_FILE],
        parts=(
            _decoder_of(run, module)
            if decodes
            else TorchPart(
                module=module,
                feeds=run.reference_feeds,
                dimensions=run.dynamic_dimensions,
                output_names=run.output_names,
            ),
        ),
        task=run.task,
        exporters=("transformers", "torch") if decodes else ("torch",),
        preprocessing=run.preprocessing,
        items=run.reference_items,
        metrics=_measured(run),
        quantized=None if qat is None else run.fake_quantized,
        quantized_metrics={} if qat is None else msgspec.to_builtins(qat.metrics),
    )


def _check_torchao(path: Path) -> None:
    """Before the float model is exported, which takes a while."""
    if importlib.util.find_spec("torchao") is None:
        from toolkit.training.recipe import TRAIN_EXTRA

        raise SetupError(
            f"the run {path} holds an int8 model beside the float one, whose export needs torchao, "
            "which is not installed",
            expected="the extra train",
            fix=TRAIN_EXTRA,
        )


def _measured(run: Run) -> dict[str, Any]:
    """What training measured, and what it left out by pruning."""
    import msgspec

    pruning = {} if run.record.pruning is None else {PRUNING: run.record.pruning}
    return dict(msgspec.to_builtins({**run.metrics, **pruning}))


def _decoder_of(run: Run, module: nn.Module) -> TorchPart:
    """The decoder that a recipe trained, with its cache."""
    with export_extra():
        from toolkit.export.checkpoint.generation import decoder_part
    from tokenizers import Tokenizer

    assert run.preprocessing is not None
    assert run.task.text is not None
    assert run.task.generation is not None
    tokenizer = Tokenizer.from_file(str(run.preprocessing / "tokenizer.json"))
    tokenizer.no_padding()
    tokenizer.no_truncation()
    return decoder_part(
        module,
        tokenizer,
        run.reference_items,
        room=run.task.generation.max_context,
        pad_id=run.task.text.pad_id,
    )


def _called(source: str) -> Exportable:
    """What `module:callable` returns, with the current directory importable meanwhile."""
    module_name, _, attributes = source.partition(":")
    with _current_directory_importable():
        try:
            found: Any = importlib.import_module(module_name)
            for attribute in attributes.split("."):
                found = getattr(found, attribute)
            made = found()
        except Exception as error:  # whatever a stranger's code raises
            missing = isinstance(error, ModuleNotFoundError) and error.name == module_name
            raise InputError(
                f"{source} fails: {type(error).__name__}: {error}",
                expected="a function without arguments that can be imported from here",
                fix="" if missing else f'python -c "import {module_name}"        (shows where)',
            ) from error
    if isinstance(made, tuple) and len(made) == 2:
        made = Exportable(module=made[0], inputs=made[1])
    if not isinstance(made, Exportable):
        raise InputError(
            f"{source} returned {type(made).__name__}",
            expected="(module, {input name: example tensor}), or toolkit.export.Exportable",
        )
    return made


@contextmanager
def _current_directory_importable() -> Iterator[None]:
    folder = str(Path.cwd())
    sys.path.insert(0, folder)
    importlib.invalidate_caches()
    try:
        yield
    finally:
        if folder in sys.path:
            sys.path.remove(folder)


def _from_exportable(given: Exportable, name: str) -> TorchSource:
    with export_extra():
        import torch
    if not isinstance(given.module, torch.nn.Module):
        raise InputError(f"{name} gave {type(given.module).__name__}", expected="an nn.Module")
    inputs: object = given.inputs  # a stranger's code made it
    if not (
        isinstance(inputs, Mapping)
        and inputs
        and all(isinstance(value, torch.Tensor) for value in inputs.values())
    ):
        raise InputError(
            f"{name} gave no example inputs that can be used", expected="{input name: tensor}"
        )
    _check_weights(given.module, name)
    feeds: dict[str, Array] = {
        key: value.detach().cpu().numpy().copy() for key, value in inputs.items()
    }
    dimensions = given.dynamic_dimensions
    if dimensions is None:
        dimensions = {key: {0: "batch"} for key, value in feeds.items() if value.ndim}
    return TorchSource(
        kind="module",
        name=name,
        sha256=weights_sha256(given.module),
        parts=(
            TorchPart(
                module=given.module,
                feeds=feeds,
                dimensions=dimensions,
                output_names=tuple(given.output_names),
            ),
        ),
        task=given.task,
        preprocessing=given.preprocessing,
        items=given.items,
    )


def _check_weights(module: nn.Module, name: str) -> None:
    for key, value in module.state_dict().items():
        dtype = str(value.dtype).removeprefix("torch.")
        if (value.is_floating_point() and dtype != "float32") or value.device.type != "cpu":
            raise InputError(
                f"the weight {key!r} of {name} is {dtype} on {value.device}",
                expected="float32 on the CPU: a package starts from the fp32 variant",
                fix="return module.float().cpu()",
            )
    check_finite(module, name)


def weights_sha256(module: nn.Module) -> str:
    """Digest of a module's weights, by name, dtype and shape."""
    digest = hashlib.sha256()
    for key, value in sorted(module.state_dict().items()):
        digest.update(f"{key} {value.dtype} {[*value.shape]}\n".encode())
        digest.update(value.detach().contiguous().numpy().tobytes())
    return digest.hexdigest()
