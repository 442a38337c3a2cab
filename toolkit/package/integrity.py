"""What makes a package safe to open: portable paths, no links, every hash as written."""

import hashlib
import os
from collections.abc import Iterable, Mapping
from pathlib import Path, PurePosixPath, PureWindowsPath

from toolkit.errors import InputError

WRITE_AGAIN = "copy the package again, or write it again with toolkit export"


def file_sha256(file: Path) -> str:
    """Hex SHA-256 of a file's content."""
    with file.open("rb") as stream:
        return hashlib.file_digest(stream, "sha256").hexdigest()


def file_hashes(directory: Path) -> dict[str, str]:
    """SHA-256 of every file below a directory, by relative POSIX path, sorted."""
    files = sorted(path for path in directory.rglob("*") if path.is_file())
    return {path.relative_to(directory).as_posix(): file_sha256(path) for path in files}


def asset_address(hashes: dict[str, str]) -> str:
    """ONNX Runtime's content address of a shared asset.

    Source: design.md, section 3: SHA-256 of the lines `<sha256>  <path>`, sorted by path.
    """
    lines = "".join(f"{hashes[path]}  {path}\n" for path in sorted(hashes))
    return f"sha256:{hashlib.sha256(lines.encode()).hexdigest()}"


def asset_folder(address: str) -> str:
    """The folder below `shared_assets` that holds the asset."""
    return address.replace(":", "-")


def portable(path: str, *, named_in: Path) -> PurePosixPath:
    """A relative path that cannot leave its folder.

    Raises:
        InputError: The path is absolute, climbs with `..`, or is not POSIX.
    """
    parts = PurePosixPath(path)
    windows = PureWindowsPath(path)
    if (
        not path
        or parts.is_absolute()
        or windows.drive
        or windows.root
        or "\\" in path
        or ".." in parts.parts
    ):
        raise InputError(
            f"{named_in} names the path {path!r}",
            expected="a relative POSIX path inside the package, without '..'",
        )
    return parts


def refuse_links(root: Path) -> None:
    """Refuse a package that holds a symbolic link anywhere.

    Raises:
        InputError: There is one; it is named.
    """
    for folder, folders, files in os.walk(root):
        for name in [*folders, *files]:
            path = Path(folder, name)
            if path.is_symlink():
                raise InputError(
                    f"{path} is a symbolic link", expected="a package of plain files and folders"
                )


def check_files(
    directory: Path, hashes: Mapping[str, str], *, named_in: Path, fix: str = WRITE_AGAIN
) -> None:
    """Check that files exist and have the content that was written.

    Args:
        directory: Where they are.
        hashes: SHA-256 by relative path.
        named_in: The document that says so.
        fix: What to do about a damaged one.

    Raises:
        InputError: A file is missing or its hash differs; it is named.
    """
    for name, expected in hashes.items():
        file = directory / portable(name, named_in=named_in)
        try:
            found = file_sha256(file)
        except OSError as error:
            raise InputError(f"{file} cannot be read: {error.strerror}") from error
        if found != expected:
            raise InputError(
                f"{file} is damaged: its content is not what was written",
                expected=f"sha256 {expected}, found {found}",
                fix=fix,
            )


def check_asset(directory: Path, address: str) -> None:
    """Check a shared asset against its content address.

    Raises:
        InputError: The asset is missing, or a file of it was changed, added or removed.
    """
    if not directory.is_dir():
        raise InputError(f"the shared asset {directory} is missing", expected=address)
    found = asset_address(file_hashes(directory))
    if found != address:
        names = _names(directory)
        raise InputError(
            f"the shared asset {directory} ({names}) is damaged: not what was written",
            expected=f"{address}, found {found}",
            fix=WRITE_AGAIN,
        )


def _names(directory: Path) -> str:
    files: Iterable[Path] = sorted(path for path in directory.rglob("*") if path.is_file())
    return ", ".join(path.relative_to(directory).as_posix() for path in files)
