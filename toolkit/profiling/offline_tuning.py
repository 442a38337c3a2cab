"""Ways to split a pile of samples into batches and sessions."""

from collections.abc import Sequence

from toolkit.package import Split
from toolkit.profiling.scenarios import OFFLINE_BATCH
from toolkit.tensors import TensorSpec

SAMPLES = 64
"""In one timed unit of work: every batch size tried divides it."""

LARGE_BATCH = 32
SMALL_BATCH = 8


def offline_splits(
    threads: int, inputs: Sequence[TensorSpec], *, alone: int | None = None
) -> list[Split]:
    """What the offline scenario does untuned, then what is worth trying; none for a fixed batch.

    Args:
        threads: The default number of threads.
        inputs: The graph inputs.
        alone: Threads of a session that runs alone, where they were tuned.
    """
    if not all(spec.shape and isinstance(spec.shape[0], str) for spec in inputs):
        return []
    alone = alone or threads
    shapes = [(threads, 1), (1, alone)] if threads > 1 else [(1, 1)]
    return [
        Split(batch=batch, sessions=sessions, threads=each)
        for sessions, each in shapes
        for batch in (OFFLINE_BATCH, LARGE_BATCH, SMALL_BATCH)
    ]
