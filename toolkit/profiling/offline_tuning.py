"""Ways to split a pile of samples into batches and sessions."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass

from toolkit.tensors import TensorSpec

SAMPLES = 64
"""In one timed unit of work: every batch size tried divides it."""

USUAL_BATCH = 32
SMALL_BATCH = 8


@dataclass(frozen=True, kw_only=True)
class Split:
    """One way.

    Attributes:
        batch: Samples a run.
        sessions: Sessions that run beside each other.
        threads: Intra-op threads of each.
    """

    batch: int
    sessions: int
    threads: int

    @property
    def document(self) -> dict[str, int]:
        """As the contender is told."""
        return {"batch": self.batch, "sessions": self.sessions, "session_threads": self.threads}

    @property
    def settings(self) -> Mapping[str, str]:
        """As a report says it."""
        return {key: str(value) for key, value in self.document.items()}


def offline_splits(threads: int, inputs: Sequence[TensorSpec]) -> list[Split]:
    """The toolkit's usual split first, then those worth trying; none for a fixed batch.

    Args:
        threads: The default number of threads.
        inputs: The graph inputs.
    """
    if not all(spec.shape and isinstance(spec.shape[0], str) for spec in inputs):
        return []
    splits = [
        Split(batch=USUAL_BATCH, sessions=1, threads=threads),
        Split(batch=SMALL_BATCH, sessions=1, threads=threads),
    ]
    if threads > 1:
        splits += [
            Split(batch=USUAL_BATCH, sessions=threads, threads=1),
            Split(batch=SMALL_BATCH, sessions=threads, threads=1),
        ]
    return splits
