"""Options of `toolkit train` that make a small model of a large one, and what came of them."""

from collections.abc import Iterator
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

if TYPE_CHECKING:
    from toolkit.training import Distillation, TrainReport

DistillOption = Annotated[
    Path | None,
    typer.Option(
        "--distill",
        help="A model package to learn from beside the labels. It reads the training items once, "
        "and may have another tokenizer, but must have the recipe's labels.",
        metavar="TEACHER_PKG",
        show_default=False,
    ),
]
TemperatureOption = Annotated[
    float | None,
    typer.Option(
        "--distill-temperature",
        min=0.1,
        max=100,
        help="Divisor of the teacher's and the model's logits before they are compared.",
        show_default="2",
    ),
]


def _above_zero(value: float | None) -> float | None:
    if value == 0:
        raise typer.BadParameter("0 is not above 0; leave out --distill for no teacher")
    return value


WeightOption = Annotated[
    float | None,
    typer.Option(
        "--distill-weight",
        min=0,
        max=1,
        callback=_above_zero,
        help="Share of the teacher in the loss, above 0; the rest is the recipe's own loss.",
        show_default="0.5",
    ),
]
PruneOption = Annotated[
    float,
    typer.Option(
        "--prune",
        min=0,
        max=0.95,
        help="Share of the weights that training sets to zero, the smallest first. The graph "
        "compresses better for it, but is neither smaller as it lies on the disk nor faster: "
        "ONNX Runtime multiplies by zeros as by other numbers.",
        metavar="SHARE",
    ),
]


def distillation_from(
    teacher: Path | None, temperature: float | None, weight: float | None
) -> "Distillation | None":
    """The distillation that was typed.

    Raises:
        typer.BadParameter: A temperature or a weight without a teacher.
    """
    given = {"temperature": temperature, "weight": weight}
    numbers = {name: number for name, number in given.items() if number is not None}
    if teacher is None:
        for name in numbers:
            raise typer.BadParameter("it needs --distill", param_hint=f"--distill-{name}")
        return None
    from toolkit.training import Distillation

    return Distillation(teacher=teacher, **numbers)


def notes(report: "TrainReport") -> Iterator[str]:
    """Lines below the table of a training."""
    taught, pruned = report.distillation, report.pruning
    if taught is not None:
        yield (
            f"taught by {taught.teacher} ({taught.variant}), temperature {taught.temperature:g}, "
            f"weight {taught.weight:g}"
        )
    if pruned is not None:
        megabytes = f"{pruned.weights_bytes / 1e6:.2f} MB"
        yield (
            f"{pruned.reached:.1%} of {pruned.weights:,} weights are zero; {megabytes} of weights, "
            f"{pruned.weights_gzip_bytes / 1e6:.2f} MB gzipped: no faster, and smaller only while "
            "it is compressed"
        )
