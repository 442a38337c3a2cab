"""The recipe contract: one readable file that says what is trained, on what, and how."""

from __future__ import annotations

import hashlib
import inspect
import sys
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from pathlib import Path
from types import ModuleType
from typing import TYPE_CHECKING, Any, Generic, TypeVar, get_args

import msgspec

from toolkit.errors import InputError, SetupError
from toolkit.library_noise import quiet_torchao
from toolkit.tasks import TaskName, TaskSpec
from toolkit.training.data import Data, Split
from toolkit.training.settings import AnySettings, Settings, with_overrides

if TYPE_CHECKING:
    from torch import Tensor, nn

Preprocessing = TypeVar("Preprocessing")
"""A `tokenizers.Tokenizer` for text, a `FeatureTable` for rows, None for images."""

TRAIN_EXTRA = "pip install onnx-edge-toolkit[train]"
_TRAIN_PACKAGES = {
    "matplotlib",
    "pytorch_lightning",
    "safetensors",
    "sklearn",
    "torch",
    "torchao",
    "transformers",
}


def _nothing(_train: Split, _settings: Settings) -> None:
    return None


@dataclass(frozen=True, kw_only=True)
class Recipe(Generic[AnySettings, Preprocessing]):
    """What a recipe file exposes as `recipe`.

    The file is copied into the run directory and builds the model again there, so it stands alone:
    it imports no file beside it, and only `load` touches the data.

    Attributes:
        name: Names the run; what `models/<name>` is called.
        task: What goes in and what the output means. Text, rows and images become tensors by it
            exactly as they will on the device.
        settings: The defaults; a run may override each.
        load: The data, read from files or packages that are on this machine.
        build: The model, from settings and preprocessing alone. Its `forward` takes the graph's
            inputs by name (`input_ids` and `attention_mask`; `numeric` and `categorical`;
            `image`) and returns one tensor: float32[batch, labels], or float32[batch, 1] for a
            sigmoid and a regression. For text generation it is one of transformers' decoders
            (`GPT2LMHeadModel` and the like), whose `logits` are what is returned and whose cache
            of keys and values `toolkit export` exports.
        loss: Scalar loss of a batch from the model's output and the targets, averaged over rows;
            for text generation from float32[batch, sequence, vocabulary] and int64[batch,
            sequence], the token behind each one, with -100 where there is none.
        prepare: What to fit on the training split and keep beside the weights: the tokenizer of a
            text task, the feature table of a tabular one. Images have none.
        initialize: Gives a new model the weights of an earlier training, such as a checkpoint that
            a package carries. Called once before training with the module and the settings, and
            never again: `build` gives the same model without them.
        rate: Factor on the learning rate of a parameter, by its name: 0.5 for half of it. None
            gives every parameter the same rate. For parameters that must not learn, `build` sets
            `requires_grad` to False.
        fast: Settings for a run in a hurry, which `toolkit train --fast` puts in place.
        calibrate: Sets what the model takes from the training split without learning it, such as
            the mean and the spread of the columns. Called once with the feeds and the targets.
        augment: Changes the feeds of a training batch, drawing from torch's generator, which is
            seeded anew every epoch.
    """

    name: str
    task: TaskSpec
    settings: AnySettings
    load: Callable[[AnySettings], Data]
    build: Callable[[AnySettings, Preprocessing], nn.Module]
    loss: Callable[[Tensor, Tensor], Tensor]
    prepare: Callable[[Split, AnySettings], Preprocessing] = _nothing  # type: ignore[assignment]  # Preprocessing is None then
    initialize: Callable[[nn.Module, AnySettings], None] | None = None
    rate: Callable[[str, AnySettings], float] | None = None
    fast: Mapping[str, object] = field(default_factory=dict)
    calibrate: Callable[[nn.Module, Mapping[str, Tensor], Tensor], None] | None = None
    augment: Callable[[Mapping[str, Tensor]], dict[str, Tensor]] | None = None

    def __post_init__(self) -> None:
        with_overrides(self.settings, {})
        with_overrides(self.settings, self.fast)
        if not self.name or not self.name.replace("_", "").replace("-", "").isalnum():
            raise InputError(
                f"a recipe's name is {self.name!r}", expected="letters, digits, '-' and '_'"
            )
        if self.task.name == "tensors" or not self.task.output:
            raise InputError(
                f"recipe {self.name!r} has the task {self.task.name!r} with the output "
                f"{self.task.output!r}",
                expected="a classification or a regression, with the output named",
            )


AnyRecipe = Recipe[Any, Any]


def load_recipe(file: Path) -> AnyRecipe:
    """The recipe of a file, which is run for it.

    Raises:
        InputError: No such file, it fails while it is run, or it exposes no `recipe`.
        SetupError: It needs a package of the extra `train` that is not installed.
    """
    try:
        source = file.read_bytes()
    except OSError as error:
        raise InputError(
            f"the recipe {file} cannot be read: {error.strerror}",
            expected="a Python file that exposes `recipe = Recipe(...)`",
        ) from error
    # Not importlib: it would leave a __pycache__ beside the recipe, that is, in the run directory.
    module = ModuleType(f"toolkit_recipe_{hashlib.sha256(source).hexdigest()[:16]}")
    module.__file__ = str(file)
    sys.modules[module.__name__] = module  # where msgspec and dataclasses look up annotations
    try:
        with quiet_torchao():  # many recipes import transformers
            exec(compile(source, str(file), "exec"), module.__dict__)  # noqa: S102  # running it is the point
    except ImportError as error:
        raise missing_extra(error) or _broken(file, error) from error
    except Exception as error:
        raise _broken(file, error) from error
    recipe = getattr(module, "recipe", None)
    if not isinstance(recipe, Recipe):
        found = "none" if recipe is None else f"a {type(recipe).__name__}"
        raise InputError(
            f"the recipe file {file} exposes no recipe (`recipe` is {found})",
            expected="`recipe = Recipe(...)` at its top level",
        )
    _check_task(file, recipe.task)
    return recipe


def _check_task(file: Path, task: TaskSpec) -> None:
    """Msgspec checks what it decodes, not what Python constructs."""
    try:
        msgspec.convert(msgspec.to_builtins(task), TaskSpec)
    except msgspec.ValidationError as error:
        raise InputError(
            f"the task of the recipe {file} is not one: {error}",
            expected=f"a name among {', '.join(get_args(TaskName))}; an activation among softmax, "
            "sigmoid and none; a value_transform among none and exp",
        ) from error


def recipe_file(recipe: AnyRecipe) -> Path:
    """The file that a recipe object stands in.

    Raises:
        InputError: Its `build` was typed at a prompt, so that no file could be copied.
    """
    file = inspect.getsourcefile(recipe.build)
    if file is None or not Path(file).is_file():
        raise InputError(
            f"recipe {recipe.name!r} does not stand in a file", expected="a recipe in a .py file"
        )
    return Path(file)


def missing_extra(error: ImportError) -> SetupError | None:
    """The error for a missing package of the extra `train`; none where it is another one."""
    if (error.name or "").split(".")[0] not in _TRAIN_PACKAGES:
        return None
    return SetupError(f"training needs {error.name}, which is not installed", fix=TRAIN_EXTRA)


def _broken(file: Path, error: Exception) -> InputError:
    return InputError(
        f"the recipe {file} fails while it is read: {type(error).__name__}: {error}",
        expected="a Python file that exposes `recipe = Recipe(...)`",
        fix=f"python {file}        (shows where)",
    )
