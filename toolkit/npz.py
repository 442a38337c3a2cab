"""`.npz` files: any tensor name, no pickled object, the same bytes each time."""

import io
import zipfile
import zlib
from collections.abc import Mapping
from pathlib import Path

import numpy as np

from toolkit.errors import InputError
from toolkit.tensors import Array, check_tensors

_DAMAGE = (ValueError, EOFError, RuntimeError, zipfile.BadZipFile, zlib.error)
"""What numpy and zipfile raise for a broken archive, an encrypted member or a pickled object."""


def read_npz(file: Path, content: bytes | None = None) -> dict[str, Array]:
    """The arrays of an `.npz` file by name; no pickled object is loaded.

    Args:
        file: The file, for messages alone when `content` is given.
        content: What was read of it.

    Raises:
        InputError: The file is missing, damaged or no `.npz`, or holds Python objects.
    """
    try:
        with np.load(file if content is None else io.BytesIO(content), allow_pickle=False) as found:
            if not isinstance(found, np.lib.npyio.NpzFile):
                raise InputError(f"{file} holds one array", expected="an .npz, which names each")
            return {name: found[name] for name in found.files}
    except OSError as error:
        raise InputError(f"{file} cannot be read: {error.strerror or error}") from error
    except _DAMAGE as error:
        raise InputError(
            f"{file} is damaged, or no .npz file: {error}", expected="an .npz of plain arrays"
        ) from error


def write_npz(arrays: Mapping[str, Array]) -> bytes:
    """The content of an `.npz` file, which depends on the values alone.

    np.savez does the same except for tensors named like its own options, strings, and the date.

    Raises:
        InputError: A value is no tensor.
    """
    check_tensors(arrays)
    buffer = io.BytesIO()
    with zipfile.ZipFile(buffer, "w") as archive:
        for name, array in arrays.items():
            member = zipfile.ZipInfo(f"{name}.npy")  # dated 1980-01-01, whatever the clock says
            member.create_system = 3  # the same on Windows
            with archive.open(member, "w", force_zip64=True) as stream:
                plain = array.astype(np.str_) if array.dtype.kind == "O" else array
                np.lib.format.write_array(stream, plain, allow_pickle=False)
    return buffer.getvalue()
