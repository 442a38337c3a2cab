"""A run directory: what training wrote and exporting reads."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

import msgspec
import numpy as np

from toolkit.errors import InputError
from toolkit.library_noise import quiet_torchao
from toolkit.npz import read_npz
from toolkit.package.integrity import check_files
from toolkit.tasks import TaskSpec
from toolkit.tensors import Array, TensorSpec
from toolkit.training.distillation import DistillationRecord
from toolkit.training.metrics import FoldScores, Scores
from toolkit.training.preprocessing import input_specs, read_preprocessing
from toolkit.training.pruning import PruningRecord
from toolkit.training.recipe import load_recipe, missing_extra
from toolkit.training.settings import with_overrides

if TYPE_CHECKING:
    from torch import nn

    from toolkit.training.fake_quantization import FakeQuantized

SCHEMA_VERSION = "1"
RUN_FILE = "run.json"
RECIPE_FILE = "recipe.py"
WEIGHTS_FILE = "weights.safetensors"
PREPROCESSING = "preprocessing"
QAT_FOLDER = "qat"
QAT_WEIGHTS = f"{QAT_FOLDER}/weights.safetensors"
REFERENCE_INPUTS = "reference/inputs.npz"
REFERENCE_ITEMS = "reference/items.json"


class QatRecord(msgspec.Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """What quantization-aware training added to a run.

    Attributes:
        metrics: Of the quantized model, by split, "validation" and "test".
        settings: All of them, as this training used them.
        epochs: Epochs that ran.
        best_epoch: The one whose weights were kept, from 1.
        seconds: Of it alone, all sittings together.
    """

    metrics: dict[str, Scores]
    settings: dict[str, Any]
    epochs: int
    best_epoch: int
    seconds: float


class RunRecord(msgspec.Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """`run.json`.

    Attributes:
        schema_version: Of this document.
        name: The recipe's.
        recipe_sha256: Digest of the recipe's source.
        seed: Repeated from the settings, where people look for it.
        settings: All of them, as they were used.
        task: What goes in and what the output means.
        metrics: Of the float model, by split, "validation" and "test".
        cross_validation: Where the settings asked for folds.
        epochs: Epochs that ran.
        best_epoch: The one whose weights were kept, from 1.
        parameters: Learned numbers in the model.
        rows: Size of each split.
        seconds: Training and measuring, all sittings of an interrupted training together.
        versions: Of Python and the packages that training used.
        distillation: The teacher, where there was one.
        pruning: The zeros, where weights were pruned.
        files: SHA-256 of every other file, by relative POSIX path.
        qat: The quantized model that the run holds beside the float one; None for none.
    """

    schema_version: str
    name: str
    recipe_sha256: str
    seed: int
    settings: dict[str, Any]
    task: TaskSpec
    metrics: dict[str, Scores]
    cross_validation: FoldScores | None
    epochs: int
    best_epoch: int
    parameters: int
    rows: dict[str, int]
    seconds: float
    versions: dict[str, str]
    files: dict[str, str]
    distillation: DistillationRecord | None = None
    pruning: PruningRecord | None = None
    qat: QatRecord | None = None


@dataclass(frozen=True, kw_only=True)
class Run:
    """An opened run directory, every file of it checked.

    Attributes:
        path: The directory.
        record: What `run.json` says.
    """

    path: Path
    record: RunRecord

    @property
    def name(self) -> str:
        """The recipe's name."""
        return self.record.name

    @property
    def task(self) -> TaskSpec:
        """What goes in and what the output means."""
        return self.record.task

    @property
    def metrics(self) -> Mapping[str, Scores]:
        """Scores by split: "validation" and "test"."""
        return self.record.metrics

    @property
    def recipe_sha256(self) -> str:
        """Digest of the recipe's source."""
        return self.record.recipe_sha256

    @property
    def preprocessing(self) -> Path | None:
        """The folder of `tokenizer.json` or `features.json`; none for images."""
        folder = self.path / PREPROCESSING
        return folder if any(f.startswith(f"{PREPROCESSING}/") for f in self.record.files) else None

    @property
    def inputs(self) -> tuple[TensorSpec, ...]:
        """The graph's inputs, with symbolic dimensions."""
        return input_specs(self.task, read_preprocessing(self.task, self.path / PREPROCESSING))

    @property
    def output_names(self) -> tuple[str, ...]:
        """Names for the tensors that the module returns: one."""
        return (self.task.output,)

    @property
    def dynamic_dimensions(self) -> dict[str, dict[int, str]]:
        """{input: {axis: name}} of every symbolic dimension."""
        return {
            spec.name: {axis: d for axis, d in enumerate(spec.shape) if isinstance(d, str)}
            for spec in self.inputs
        }

    @property
    def reference_feeds(self) -> dict[str, Array]:
        """Test rows as the graph takes them."""
        return read_npz(self.path / REFERENCE_INPUTS)

    @property
    def reference_items(self) -> list[Any]:
        """The same rows as texts, as {column: value}, or as uint8 arrays for images."""
        items = msgspec.json.decode((self.path / REFERENCE_ITEMS).read_bytes(), type=list[Any])
        return [np.array(item, np.uint8) for item in items] if self.task.image else items

    def module(self) -> nn.Module:
        """The model in eval mode, with the run's weights.

        It is built by the run's copy of the recipe, which is Python code: call this for runs that
        you trust.

        Raises:
            InputError: The copied recipe fails, or its model does not take the weights.
            SetupError: torch or safetensors is not installed.
        """
        recipe = load_recipe(self.path / RECIPE_FILE)
        settings = with_overrides(recipe.settings, self.record.settings)
        preprocessing = read_preprocessing(self.task, self.path / PREPROCESSING)
        try:
            from safetensors.torch import load_model
        except ImportError as error:
            raise missing_extra(error) or error from error
        with quiet_torchao():
            module = recipe.build(settings, preprocessing)
        self._load(load_model, module, WEIGHTS_FILE)
        return module.eval()

    def fake_quantized(self, *, observed_steps: int = 0) -> FakeQuantized:
        """The model with fake quantizers, in eval mode, as quantization-aware training left it.

        Of a float run, the float model with fake quantizers that have seen nothing yet.

        Args:
            observed_steps: Batches that may move the ranges of activations.

        Raises:
            InputError: See `module`.
            SetupError: torch, safetensors or torchao is not installed.
        """
        try:
            from safetensors.torch import load_model

            from toolkit.training.fake_quantization import fake_quantized
        except ImportError as error:
            raise missing_extra(error) or error from error
        module = fake_quantized(
            self.module(),
            self.reference_feeds,
            self.dynamic_dimensions,
            observed_steps=observed_steps,
        )
        if self.record.qat is not None:
            self._load(load_model, module, QAT_WEIGHTS)
        return module.eval()

    def _load(self, load_model: Callable[..., Any], module: nn.Module, name: str) -> None:
        try:
            load_model(module, self.path / name)
        except RuntimeError as error:  # torch's, for other names and shapes
            raise InputError(
                f"{self.path / name} does not fit the model that {self.path / RECIPE_FILE} builds: "
                f"{error}"
            ) from error


def open_run(path: Path) -> Run:
    """A run directory, with every file checked against its recorded hash.

    Raises:
        InputError: No run directory, or a file of it is missing or damaged; it is named.
    """
    file = Path(path) / RUN_FILE
    try:
        record = msgspec.json.decode(file.read_bytes(), type=RunRecord)
    except OSError as error:
        raise InputError(
            f"{path} is no run directory: {RUN_FILE} cannot be read: {error.strerror}",
            expected="a directory that toolkit train wrote",
            fix=f"toolkit train RECIPE -o {path}",
        ) from error
    except msgspec.MsgspecError as error:
        raise InputError(
            f"{file} is damaged: {error}", fix=f"toolkit train RECIPE -o {path}"
        ) from error
    if record.schema_version != SCHEMA_VERSION:
        raise InputError(
            f"{file} has schema version {record.schema_version}",
            expected=SCHEMA_VERSION,
            fix="use the version of the toolkit that wrote it",
        )
    fix = "copy the run again, or train it again with toolkit train"
    check_files(Path(path), record.files, named_in=file, fix=fix)
    return Run(path=Path(path), record=record)
