"""Files beside a profile: whole or not at all, and over another one only when that was asked."""

from pathlib import Path

from toolkit.errors import InputError
from toolkit.inputs import write_file


def check_writable(file: Path, *, force: bool) -> None:
    """Refuse a place before anything is measured for it.

    Args:
        file: What shall be written.
        force: Whether a file that is there may be replaced.

    Raises:
        InputError: It is there, it is a directory, or its folder does not exist.
    """
    if file.is_dir():
        raise InputError(f"{file} is a directory", expected="the name of a file")
    if file.exists() and not force:
        raise InputError(
            f"{file} exists", expected="a new file", fix="--force replaces it, or name another"
        )
    if not file.absolute().parent.is_dir():
        raise InputError(
            f"the folder of {file} does not exist",
            expected="a folder that exists",
            fix=f"mkdir -p {file.parent}",
        )


def write_text(file: Path, text: str) -> bool:
    """Write a file under a temporary name, then rename it.

    Returns:
        Whether it replaced another one.
    """
    replaced = file.exists()
    write_file(file, text.encode())
    return replaced
