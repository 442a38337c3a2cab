"""A new directory in the place of an old one: whole or not at all, and never too much."""

import shutil
import tempfile
from collections.abc import Iterator, Sequence
from contextlib import contextmanager, suppress
from pathlib import Path

from toolkit.errors import InputError

OURS = ("manifest.json", "run.json", "sbom.cdx.json")
"""What a package, a run and a bundle hold: `--force` replaces a directory with one of them."""


def is_taken(path: Path) -> bool:
    """Whether a file or a folder that is not empty stands there."""
    return path.is_file() or (path.is_dir() and any(path.iterdir()))


@contextmanager
def replacing(path: Path, *, force: bool, sources: Sequence[Path] = ()) -> Iterator[Path]:
    """A new directory beside `path` that takes its place when the block ends well.

    Args:
        path: Where the directory shall stand; a link is followed.
        force: Replace the package, run or bundle that stands there.
        sources: What the new one is made of, which must not be replaced by it.

    Raises:
        InputError: Something that is no empty directory stands there and `force` is not given; or
            it is none of ours, or holds this process's working directory, the user's home or a
            source.
    """
    target = path.resolve()
    _check_apart(path, target, sources)
    if is_taken(target):
        _check_replaceable(path, target, force=force)
    with _parents(target), _staging(target) as staging:
        yield staging
        staging.chmod(0o755)  # mkdtemp makes it private
        _swap(staging, target)


@contextmanager
def _parents(target: Path) -> Iterator[None]:
    """The folders above `target`; those that were made for it go again where it does not come."""
    missing = [folder for folder in target.parents if not folder.exists()]  # the deepest first
    try:
        target.parent.mkdir(parents=True, exist_ok=True)
        yield
    finally:
        for folder in missing:
            with suppress(OSError):  # it holds the target, or what another process put there
                folder.rmdir()


@contextmanager
def _staging(target: Path) -> Iterator[Path]:
    staging = Path(tempfile.mkdtemp(prefix=f".{target.name}.", dir=target.parent))
    try:
        yield staging
    finally:
        shutil.rmtree(staging, ignore_errors=True)


def _check_apart(path: Path, target: Path, sources: Sequence[Path]) -> None:
    for place, words in ((Path.cwd(), "the folder you are in"), (Path.home(), "your home")):
        if place.resolve().is_relative_to(target):
            raise InputError(
                f"{path} is {words}, or holds it",
                expected="a folder of its own, which can be replaced as a whole",
                fix="another -o",
            )
    for source in sources:
        if source.resolve().is_relative_to(target):
            raise InputError(
                f"{path} holds {source}, which it is made of",
                expected="two folders beside each other",
                fix="another -o",
            )


def refuse_inside(path: Path, package: Path) -> None:
    """Refuse to write into a package, whose files are all accounted for.

    Args:
        path: What shall be written.
        package: The package.

    Raises:
        InputError: The path lies in it.
    """
    if path.resolve().is_relative_to(package.resolve()):
        raise InputError(
            f"{path} lies in the package {package}", expected="a folder beside it", fix="another -o"
        )


def _check_replaceable(path: Path, target: Path, *, force: bool) -> None:
    if not force:
        raise InputError(
            f"{path} is not empty" if target.is_dir() else f"{path} is a file",
            expected="a path that does not exist yet",
            fix="pass --force to replace it, or another -o",
        )
    if target.is_dir() and not any((target / name).is_file() for name in OURS):
        raise InputError(
            f"{path} is neither a package nor a run nor a bundle",
            expected=f"a folder with {' or '.join(OURS)}: --force replaces no other",
            fix="another -o, or remove the folder yourself",
        )


def _swap(staging: Path, path: Path) -> None:
    """Put `staging` where `path` is; what was there comes back when that fails."""
    if not path.exists():
        staging.rename(path)
        return
    old = Path(tempfile.mkdtemp(prefix=f".{path.name}.old.", dir=path.parent)) / path.name
    try:
        path.rename(old)
        staging.rename(path)
    except BaseException:  # an interrupt between the two must not lose both
        if not path.exists():
            old.rename(path)
        raise
    finally:
        shutil.rmtree(old.parent, ignore_errors=True)
