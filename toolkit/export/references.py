"""Reference inputs and outputs: what any machine can prove a package with."""

from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

import msgspec
import numpy as np

from toolkit.errors import InputError
from toolkit.npz import write_npz
from toolkit.tensors import Array


def write_reference(
    folder: Path, feeds: Mapping[str, Array], outputs: Mapping[str, Array], items: Sequence[Any]
) -> None:
    """Write `inputs.npz`, `outputs.npz` and, where there are items, `items.json`.

    The bytes depend on the values alone.
    """
    (folder / "inputs.npz").write_bytes(write_npz(feeds))
    (folder / "outputs.npz").write_bytes(write_npz(outputs))
    if len(items):
        text = msgspec.json.encode(list(items), enc_hook=_plain)
        (folder / "items.json").write_bytes(text + b"\n")


def _plain(value: object) -> object:
    """Numpy arrays and scalars as lists and numbers."""
    if isinstance(value, (np.ndarray, np.generic)):
        return value.tolist()
    raise InputError(
        f"an item holds {type(value).__name__}, which JSON cannot",
        expected="texts, rows of numbers and texts, or arrays",
    )
