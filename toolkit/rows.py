"""Running any number of rows on a graph whose batch is fixed."""

from collections.abc import Sequence

import numpy as np

from toolkit.runtime import Session
from toolkit.tensors import Array, Feeds, TensorSpec


def fixed_rows(specs: Sequence[TensorSpec]) -> int | None:
    """The rows that every tensor has; None where they are symbolic or not the same."""
    sizes = {spec.shape[0] if spec.shape else None for spec in specs}
    only = next(iter(sizes)) if len(sizes) == 1 else None
    return only if isinstance(only, int) else None


def run_rows(session: Session, feeds: Feeds) -> dict[str, Array]:
    """Outputs by name; where the session's batch is fixed, so many rows at once.

    A last batch that is too short is filled up with its last row, whose answers are dropped.

    Args:
        session: The session.
        feeds: Of one row an item, or a part of one.

    Raises:
        InputError: ONNX Runtime refused the feeds.
    """
    size = fixed_rows((*session.inputs, *session.outputs))
    given = {len(array) if array.ndim else None for array in feeds.values()}
    count = next(iter(given)) if len(given) == 1 else None
    if size is None or not count or count == size:  # no rows: ONNX Runtime says what is wrong
        return session.run(feeds)
    parts = []
    for start in range(0, count, size):
        rows = np.minimum(np.arange(start, start + size), count - 1)
        outputs = session.run({name: array[rows] for name, array in feeds.items()})
        kept = min(size, count - start)
        parts.append({name: array[:kept] for name, array in outputs.items()})
    return {name: np.concatenate([part[name] for part in parts]) for name in parts[0]}
