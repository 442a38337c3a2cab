"""The training curve as a picture."""

from collections.abc import Mapping, Sequence
from pathlib import Path

from matplotlib.backends.backend_agg import FigureCanvasAgg
from matplotlib.figure import Figure


def draw_curve(curve: Sequence[Mapping[str, float]], file: Path, *, metric: str, best: int) -> None:
    """Write a PNG with the losses on the left and the metric on validation rows on the right.

    Args:
        curve: One row an epoch.
        file: The PNG to write.
        metric: The metric's name.
        best: Position of the row whose weights were kept.
    """
    figure = Figure(figsize=(9, 3.4), layout="constrained")
    FigureCanvasAgg(figure)  # draws without a display, whatever backend pyplot has
    losses, values = figure.subplots(1, 2)
    epochs = [row["epoch"] for row in curve]
    for name, label in (("train_loss", "training"), ("validation_loss", "validation")):
        losses.plot(epochs, [row[name] for row in curve], marker=".", label=label)
    values.plot(
        epochs, [row[f"validation_{metric}"] for row in curve], marker=".", label="validation"
    )
    for axes, title in ((losses, "loss"), (values, metric)):
        axes.axvline(epochs[best], color="0.6", linestyle=":", label="kept")
        axes.set_xlabel("epoch")
        axes.set_title(title)
        axes.xaxis.get_major_locator().set_params(integer=True)
        axes.legend()
    figure.savefig(file, dpi=100, metadata={"Software": None})
