"""The SHA-256 of the wheels that a machine of another kind will install."""

import hashlib
import json
import re
import shlex
import subprocess
import sys
import tempfile
from collections.abc import Sequence
from contextlib import suppress
from itertools import chain
from pathlib import Path

from packaging.tags import Tag, compatible_tags, cpython_tags
from packaging.utils import InvalidWheelFilename, parse_wheel_filename

from toolkit.bundle.report import Runtime
from toolkit.errors import InputError, SetupError
from toolkit.progress import Progress

PYTHON = "3.11"
"""The version whose wheels are pinned: that of the base image."""

# Debian 12 has glibc 2.36; wheels name the oldest one that they run with.
_PLATFORMS = {
    architecture: [
        *(f"manylinux_2_{minor}_{architecture}" for minor in (34, 31, 28, 27, 24, 17)),
        f"manylinux2014_{architecture}",
    ]
    for architecture in ("x86_64", "aarch64")
}
_TIMEOUT_S = 300
_BLOCK = 1 << 20


def wheel_hashes(
    needed: Sequence[Runtime], folder: Path | None, progress: Progress
) -> dict[str, list[str]]:
    """SHA-256 of the wheels for Linux on x86-64 and arm64, by distribution.

    Args:
        needed: Names and versions.
        folder: Wheels that were fetched before; None to ask the package index that pip is set up
            for. Nothing is installed.
        progress: Told that the index is asked.

    Raises:
        InputError: The folder lacks one for either architecture.
        SetupError: pip is missing or does not reach the index.
    """
    if folder is not None:
        return _in_folder(needed, folder)
    progress("the wheels' hashes, asked of pip's package index")
    found: dict[str, list[str]] = {one.name: [] for one in needed}
    for platforms in _PLATFORMS.values():
        for name, digest in _asked(needed, platforms).items():
            if digest not in found[name]:
                found[name].append(digest)
    return found


def canonical(name: str) -> str:
    """A distribution's name as the index compares it (PEP 503)."""
    return re.sub(r"[-_.]+", "-", name).lower()


def _in_folder(needed: Sequence[Runtime], folder: Path) -> dict[str, list[str]]:
    wheels = {}
    for file in sorted(folder.glob("*.whl")) if folder.is_dir() else []:
        with suppress(InvalidWheelFilename):
            name, version, _, tags = parse_wheel_filename(file.name)
            wheels[file] = (name, str(version), tags)
    taken = {architecture: _taken(platforms) for architecture, platforms in _PLATFORMS.items()}
    found: dict[str, list[str]] = {}
    for one in needed:
        fitting: dict[Path, None] = {}  # in order, each once
        for architecture, known in taken.items():
            mine = [
                file
                for file, (name, version, tags) in wheels.items()
                if (name, version) == (canonical(one.name), one.version) and tags & known
            ]
            if not mine:
                raise InputError(
                    f"{folder} has no wheel of {one.name} {one.version} for Python {PYTHON} on "
                    f"Linux on {architecture}",
                    expected="a folder with the wheels of what the server needs, for "
                    + " and ".join(_PLATFORMS),
                    fix=_download(needed, architecture, folder),
                )
            fitting |= dict.fromkeys(mine)
        found[one.name] = [_sha256(file) for file in fitting]
    return found


def _taken(platforms: Sequence[str]) -> frozenset[Tag]:
    """The tags of wheels that the base image's Python takes."""
    version = tuple(int(part) for part in PYTHON.split("."))
    interpreter = "cp" + PYTHON.replace(".", "")
    return frozenset(
        chain(
            cpython_tags(version, platforms=platforms),
            compatible_tags(version, interpreter, platforms),
        )
    )


def _download(needed: Sequence[Runtime], architecture: str, folder: Path) -> str:
    """The command that fetches the wheels for an architecture."""
    platforms = " ".join(f"--platform {one}" for one in _PLATFORMS[architecture])
    names = " ".join(f"{one.name}=={one.version}" for one in needed)
    return (
        f"pip download --no-deps --only-binary :all: --python-version {PYTHON} {platforms} "
        f"-d {shlex.quote(str(folder))} {names}"
    )


def _asked(needed: Sequence[Runtime], platforms: Sequence[str]) -> dict[str, str]:
    """What pip would install; it reads the index and fetches no wheel that tells its metadata."""
    with tempfile.TemporaryDirectory() as scratch:
        report = Path(scratch) / "report.json"
        command = [sys.executable, "-m", "pip", "install", "--dry-run", "--quiet", "--no-deps"]
        command += ["--ignore-installed", "--only-binary", ":all:", "--python-version", PYTHON]
        command += ["--target", str(Path(scratch) / "nothing"), "--report", str(report)]
        for platform in platforms:
            command += ["--platform", platform]
        command += [f"{one.name}=={one.version}" for one in needed]
        try:
            done = subprocess.run(
                command, capture_output=True, text=True, timeout=_TIMEOUT_S, check=False
            )
            said = done.stderr.strip()
        except subprocess.TimeoutExpired:
            said = f"pip took more than {_TIMEOUT_S} s"
        if not report.is_file():
            raise SetupError(
                f"the hashes of the wheels are not to be had: {said[-1000:]}",
                expected="pip, and the package index that it is set up for",
                fix="--runtime DIR, a folder with the wheels that this fetches where the index is "
                "within reach: "
                + "; ".join(_download(needed, one, Path("DIR")) for one in _PLATFORMS),
            )
        installs = json.loads(report.read_text(encoding="utf-8"))["install"]
    names = {canonical(one.name): one.name for one in needed}
    return {
        names[canonical(entry["metadata"]["name"])]: entry["download_info"]["archive_info"][
            "hashes"
        ]["sha256"]
        for entry in installs
    }


def _sha256(file: Path) -> str:
    digest = hashlib.sha256()
    with file.open("rb") as stream:
        while block := stream.read(_BLOCK):
            digest.update(block)
    return digest.hexdigest()
