"""Reference inputs and outputs: what any machine can prove a package with."""

import zipfile
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

import msgspec
import numpy as np

from toolkit.errors import InputError
from toolkit.tensors import Array


def write_reference(
    folder: Path, feeds: Mapping[str, Array], outputs: Mapping[str, Array], items: Sequence[Any]
) -> None:
    """Write `inputs.npz`, `outputs.npz` and, where there are items, `items.json`.

    The bytes depend on the values alone.
    """
    _write_arrays(folder / "inputs.npz", feeds)
    _write_arrays(folder / "outputs.npz", outputs)
    if len(items):
        text = msgspec.json.encode(list(items), enc_hook=_plain)
        (folder / "items.json").write_bytes(text + b"\n")


def read_feeds(file: Path) -> dict[str, Array]:
    """The arrays of an `.npz` file by name; no pickled object is loaded.

    Raises:
        InputError: The file is missing, damaged or no `.npz`, or holds Python objects.
    """
    try:
        with np.load(file, allow_pickle=False) as stored:
            if not isinstance(stored, np.lib.npyio.NpzFile):
                raise InputError(f"{file} holds one array", expected="an .npz, one array an input")
            return {name: stored[name] for name in stored.files}
    except OSError as error:
        raise InputError(f"{file} cannot be read: {error.strerror or error}") from error
    except (ValueError, EOFError, zipfile.BadZipFile) as error:
        raise InputError(
            f"{file} holds no arrays: {error}", expected="an .npz, one array an input"
        ) from error


def _write_arrays(file: Path, arrays: Mapping[str, Array]) -> None:
    """What np.savez does, for any tensor name (its own options are keywords too)."""
    with zipfile.ZipFile(file, "w") as archive:
        for name, array in arrays.items():
            member = zipfile.ZipInfo(f"{name}.npy")  # dated 1980-01-01, whatever the clock says
            member.create_system = 3  # the same on Windows
            with archive.open(member, "w", force_zip64=True) as stream:
                plain = array.astype(np.str_) if array.dtype.kind == "O" else array
                np.lib.format.write_array(stream, plain, allow_pickle=False)


def _plain(value: object) -> object:
    """Numpy arrays and scalars as lists and numbers."""
    if isinstance(value, (np.ndarray, np.generic)):
        return value.tolist()
    raise NotImplementedError(f"an item holds {type(value).__name__}")
