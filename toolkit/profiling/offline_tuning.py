"""Ways to split a pile of samples into batches and sessions."""

from collections.abc import Sequence

from toolkit.package import Split
from toolkit.tensors import TensorSpec

SAMPLES = 64
"""In one timed unit of work: every batch size tried divides it."""

USUAL_BATCH = 32
SMALL_BATCH = 8


def offline_splits(
    threads: int, inputs: Sequence[TensorSpec], *, alone: int | None = None
) -> list[Split]:
    """The toolkit's usual split first, then those worth trying; none for a fixed batch.

    Args:
        threads: The default number of threads.
        inputs: The graph inputs.
        alone: Threads of a session that runs alone, where they were tuned.
    """
    if not all(spec.shape and isinstance(spec.shape[0], str) for spec in inputs):
        return []
    alone = alone or threads
    splits = [
        Split(batch=USUAL_BATCH, sessions=1, threads=alone),
        Split(batch=SMALL_BATCH, sessions=1, threads=alone),
    ]
    if threads > 1:
        splits += [
            Split(batch=USUAL_BATCH, sessions=threads, threads=1),
            Split(batch=SMALL_BATCH, sessions=threads, threads=1),
        ]
    return splits
