"""Libraries from npm, as a lock file pins them by version and hash."""

import json
import os
import re
import shutil
import subprocess
import tempfile
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from pathlib import Path

from toolkit.bundle.report import Runtime
from toolkit.errors import InputError, SetupError
from toolkit.progress import Progress

_TOLD = 800
_WAIT_S = 900.0
_FILES = ("package.json", "package-lock.json")


def program(name: str, package: str) -> str:
    """Where a program lies.

    Args:
        name: The program.
        package: What Debian calls the package that has it.

    Raises:
        SetupError: It is not installed.
    """
    found = shutil.which(name)
    if found is None:
        raise SetupError(
            f"{name} is not installed",
            expected=f"{name} on the path",
            fix=f"apt-get install {package}",
        )
    return found


def pins(folder: Path) -> Mapping[str, str]:
    """Versions of the libraries that a folder's package.json names."""
    document = json.loads((folder / "package.json").read_text(encoding="utf-8"))
    return dict(document["dependencies"])


@contextmanager
def installed_libraries(
    folder: Path, given: Path | None, *, progress: Progress, otherwise: str
) -> Iterator[Path]:
    """A `node_modules` with what a folder's lock file pins.

    Args:
        folder: Where package.json and package-lock.json are.
        given: A `node_modules` that is there already; None to have npm make one for a while.
        progress: Told that npm asks its registry.
        otherwise: What a user without npm or a network can do.

    Raises:
        InputError: The given one lacks a library, or has another version.
        SetupError: npm is not installed, or could not install them.
    """
    wanted = pins(folder)
    if given is not None:
        _check(given, wanted)
        yield given.absolute()
        return
    with tempfile.TemporaryDirectory(prefix="toolkit-npm-") as place:
        for name in _FILES:
            shutil.copyfile(folder / name, Path(place) / name)
        versions = ", ".join(f"{name} {version}" for name, version in wanted.items())
        progress(f"npm ci: {versions}, from the cache or the registry that npm is set up with")
        _install(Path(place), otherwise)
        _check(Path(place) / "node_modules", wanted)
        yield Path(place) / "node_modules"


def _install(place: Path, otherwise: str) -> None:
    # No script of a library runs; that of onnxruntime-node would fetch 300 MB for CUDA.
    command = [program("npm", "npm"), "ci", "--ignore-scripts", "--prefer-offline"]
    try:
        done = subprocess.run(
            [*command, "--no-audit", "--no-fund", "--loglevel=error"],
            cwd=place,
            env={**os.environ, "ONNXRUNTIME_NODE_INSTALL": "skip"},
            capture_output=True,
            text=True,
            timeout=_WAIT_S,
            check=False,
        )
    except subprocess.TimeoutExpired as error:
        raise SetupError(
            f"npm ci took more than {_WAIT_S:.0f} s", expected="its registry", fix=otherwise
        ) from error
    if done.returncode:
        raise SetupError(
            f"npm ci failed: {done.stderr.strip()[-_TOLD:]}",
            expected="a registry that can be reached, or npm's cache",
            fix=otherwise,
        )


def _check(modules: Path, wanted: Mapping[str, str]) -> None:
    for name, version in wanted.items():
        file = modules / name / "package.json"
        try:
            found = json.loads(file.read_text(encoding="utf-8")).get("version")
        except (OSError, ValueError):
            found = None
        if found != version:
            raise InputError(
                f"{modules} has {name} {found or 'nowhere'}",
                expected=f"{name} {version}",
                fix=f"npm install {name}@{version}",
            )


def described(
    name: str, version: str, license_id: str, size: int | None, *, included: bool
) -> Runtime:
    """A library as a report names it."""
    return Runtime(
        name=name,
        version=version,
        license=license_id,
        purl=f"pkg:npm/{name.replace('@', '%40')}@{version}",
        size_bytes=size,
        included=included,
    )


def package_name(name: str) -> str:
    """A package's name as npm allows it: lower-case, and of letters, digits and a few signs."""
    kept = re.sub(r"[^a-z0-9._-]+", "-", name.removesuffix(".ortpackage").lower())
    return kept.strip("-._")[:200] or "model"
