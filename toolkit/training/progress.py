"""What a training says about itself while it runs."""

from collections.abc import Callable, Mapping
from dataclasses import dataclass, field


@dataclass(frozen=True, kw_only=True)
class Progress:
    """Where a training stands.

    Attributes:
        phase: "training", or "fold 2 of 5".
        epoch: The running epoch, from 1.
        epochs: Epochs at most; early stopping may end before.
        batch: Batches done in this epoch.
        batches: Batches an epoch.
        figures: The row of the curve of the epoch that ended last; empty in the first.
    """

    phase: str
    epoch: int
    epochs: int
    batch: int
    batches: int
    figures: Mapping[str, float] = field(default_factory=dict)


ProgressCallback = Callable[[Progress], None]
