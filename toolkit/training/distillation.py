"""Knowledge distillation: a student learns from the labels and from a teacher's probabilities."""

from __future__ import annotations

import dataclasses
import warnings
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING

import msgspec
import numpy as np

from toolkit.errors import InputError, ToolkitWarning
from toolkit.package import ModelPackage, Variant, is_bare
from toolkit.package.integrity import asset_address
from toolkit.tasks import TaskSpec
from toolkit.tensors import Array
from toolkit.training.data import Split
from toolkit.training.progress import Progress, ProgressCallback

if TYPE_CHECKING:
    from torch import Tensor

    from toolkit.inference import Model

TEMPERATURE, WEIGHT = 2.0, 0.5
BATCH = 32
LEAST = 1e-30
"""A probability below it counts as it: zero has no logarithm, and float32 none much smaller."""


@dataclass(frozen=True, kw_only=True)
class Distillation:
    """From whom to learn, and how much.

    Attributes:
        teacher: A package of a classifier with the recipe's labels, in any order.
        temperature: Divisor of both models' logits before they are compared; above 1 it shows how
            likely the teacher holds the labels that it does not choose.
        weight: Share of the teacher in the loss; the rest is the recipe's own loss.
    """

    teacher: Path | str
    temperature: float = TEMPERATURE
    weight: float = WEIGHT

    def __post_init__(self) -> None:
        if not 0.1 <= self.temperature <= 100:
            raise InputError(
                f"the temperature of the distillation is {self.temperature:g}",
                expected="a number from 0.1 to 100",
                fix=f"--distill-temperature {TEMPERATURE:g}",
            )
        if not 0 < self.weight <= 1:
            raise InputError(
                f"the teacher's weight is {self.weight:g}",
                expected="more than 0, and at most 1, with which the labels are not looked at",
                fix=f"--distill-weight {WEIGHT:g}",
            )


class DistillationRecord(msgspec.Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """What a run says of its teacher.

    Attributes:
        teacher: The package's name.
        variant: The variant that answered.
        sha256: Content address of that variant's files and of its preprocessing.
        temperature: As in `Distillation`.
        weight: The same.
    """

    teacher: str
    variant: str
    sha256: str
    temperature: float
    weight: float


class Teacher:
    """A package that fits a recipe, checked before anything is trained.

    Args:
        distillation: The package, temperature and weight.
        task: The recipe's.

    Raises:
        InputError: The package is missing, damaged or no classifier, reads something else than
            the recipe's items or has other labels; or the recipe is no classifier.
    """

    def __init__(self, distillation: Distillation, task: TaskSpec) -> None:
        path = Path(distillation.teacher)
        _check_student(task)
        if is_bare(path):
            raise InputError(
                f"the teacher {path} is a bare model, which reads no text and names no labels",
                expected="a model package",
                fix="toolkit export SOURCE -o PKG",
            )
        self._package = ModelPackage.open(path)
        self._variant = _variant(self._package)
        self._columns = _columns(path, self._package.contents.task, task)
        self._distillation, self._activation = distillation, task.activation
        preprocessing = self._package.contents.assets.get("preprocessing", "")
        files = dict(self._variant.contents.files)
        self.record = DistillationRecord(
            teacher=self._package.manifest.package_name,
            variant=self._variant.name,
            sha256=asset_address(files | {"preprocessing": preprocessing}).removeprefix("sha256:"),
            temperature=distillation.temperature,
            weight=distillation.weight,
        )

    def teach(self, split: Split, *, threads: int, progress: ProgressCallback | None) -> Split:
        """The split with the teacher's answer to every item.

        Args:
            split: Training rows.
            threads: Of ONNX Runtime; 0 takes one a core.
            progress: Is told about every batch.

        Warns:
            ToolkitWarning: Once, of texts that the teacher cut or knows no word of.

        Raises:
            InputError: The teacher cannot read an item, or answers with what is no probability.
        """
        from toolkit.inference import load_variant
        from toolkit.runtime import SessionOptions

        model = load_variant(self._package, self._variant, SessionOptions(threads=threads))
        answers = np.empty((len(split), len(self._columns)), np.float32)
        batches = (len(split) + BATCH - 1) // BATCH
        with warnings.catch_warnings(record=True) as told:
            warnings.simplefilter("always", ToolkitWarning)  # one for every text that it cuts
            parts = model.batches(split.items, batch_size=BATCH)
            for number, (positions, outputs) in enumerate(parts, start=1):
                answers[positions] = self._logits(model, outputs)[:, self._columns]
                if progress is not None:
                    progress(_asking(min(number, batches), batches))
        _tell(told, len(split))
        return dataclasses.replace(split, teacher=answers)

    def loss(self, own: Tensor, outputs: Tensor, teacher: Tensor) -> Tensor:
        """The loss of a batch: the recipe's own, and `distillation_loss` by its weight.

        Args:
            own: Scalar, the recipe's.
            outputs: What the student answers.
            teacher: What the teacher answers.
        """
        weight, temperature = self._distillation.weight, self._distillation.temperature
        divergence = distillation_loss(
            outputs, teacher, activation=self._activation, temperature=temperature
        )
        return (1 - weight) * own + weight * divergence

    def _logits(self, model: Model, outputs: dict[str, Array]) -> Array:
        """float64[batch, labels], the logarithms of the probabilities: logits but for a constant.

        That holds for two labels of one sigmoid logit too, and for a graph that ends in a softmax.
        """
        task = model.task
        probabilities = task.probabilities(outputs[task.specification.output].astype(np.float64))
        if not np.allclose(probabilities.sum(axis=1), 1, atol=1e-3) or probabilities.min() < 0:
            raise InputError(
                f"the teacher {model.source} answers with {probabilities[0].tolist()}",
                expected="probabilities, whose sum is 1",
                fix="export the teacher again with the activation that its outputs need (softmax, "
                "sigmoid), or with none where the graph ends in one",
            )
        return np.asarray(np.log(np.maximum(probabilities, LEAST)))


def distillation_loss(
    outputs: Tensor, teacher: Tensor, *, activation: str, temperature: float
) -> Tensor:
    """Kullback-Leibler divergence from the teacher's softened probabilities, averaged over rows.

    Args:
        outputs: float32[batch, labels], the student's logits; float32[batch, 1], the logit of the
            second label, for a sigmoid.
        teacher: float32[batch, labels], the teacher's logits, the student's order of labels.
        activation: The student's, "softmax" or "sigmoid".
        temperature: Divisor of both models' logits.

    Returns:
        A scalar, times the temperature's square: gradients of softened probabilities shrink with
        it, and so the weight means the same at every temperature.

    Source: G. Hinton, O. Vinyals and J. Dean (2015), "Distilling the knowledge in a neural
        network", arXiv:1503.02531, section 2.
    """
    import torch
    from torch.nn import functional

    if activation == "sigmoid":  # two labels, of which the first one's logit is 0
        outputs = torch.cat([torch.zeros_like(outputs), outputs], dim=1)  # [batch, 2]
    divergence = functional.kl_div(
        functional.log_softmax(outputs / temperature, dim=1),
        functional.log_softmax(teacher / temperature, dim=1),
        log_target=True,
        reduction="batchmean",
    )
    return divergence * temperature**2


def _check_student(task: TaskSpec) -> None:
    is_classifier = task.labels and task.generation is None and not task.multi_label
    if not is_classifier or task.activation == "none":
        raise InputError(
            f"a recipe with the task {task.name!r} and the activation {task.activation!r} does "
            "not learn from a teacher's probabilities",
            expected="a classification with one label an item, from logits",
            fix="leave out --distill",
        )


def _variant(package: ModelPackage) -> Variant:
    """The preferred variant for the CPU."""
    from toolkit.choosing import chosen_variant
    from toolkit.runtime import SessionOptions

    return chosen_variant(package, None, SessionOptions())


def _columns(path: Path, teacher: TaskSpec, student: TaskSpec) -> list[int]:
    """Where the teacher has each of the student's labels."""
    if teacher.name != student.name or teacher.multi_label or not teacher.labels:
        kind = (
            f"{teacher.name} with several labels an item" if teacher.multi_label else teacher.name
        )
        raise InputError(
            f"the teacher {path} has the task {kind!r}",
            expected=f"{student.name!r} with one label an item, as the recipe has",
            fix="name such a package, or leave out --distill",
        )
    if sorted(teacher.labels) != sorted(student.labels):
        raise InputError(
            f"the teacher {path} has the labels {', '.join(teacher.labels)}",
            expected=f"the recipe's, in any order: {', '.join(student.labels)}",
            fix="export the teacher with these names",
        )
    return [teacher.labels.index(label) for label in student.labels]


def _tell(told: list[warnings.WarningMessage], items: int) -> None:
    """One warning for all that reading the items gave; others as they are."""
    ours = [one for one in told if issubclass(one.category, ToolkitWarning)]
    for one in told:
        if one not in ours:
            warnings.showwarning(one.message, one.category, one.filename, one.lineno)
    if ours:
        warnings.warn(
            f"the teacher does not read all of the {items:,} training items: {len(ours):,} "
            f"warnings, of which the first one is: {ours[0].message}",
            ToolkitWarning,
            stacklevel=3,
        )


def _asking(batch: int, batches: int) -> Progress:
    return Progress(phase="asking the teacher", epoch=1, epochs=1, batch=batch, batches=batches)
