"""What tests need to run arm64 on this machine: a root file system of Debian, and wheels.

    python -m tests.bundle.arm64_root FOLDER

Both are kept in the clone's `.cache`, for all sessions and for the targets that share them. Wheels
are pinned by their hashes. Packages of the root are not: Debian's archive keeps no older ones, so
that a pin would break with the next security fix. apt checks each against the signed list instead.
It resolves them in a state of its own, so that neither root's rights nor a foreign architecture of
dpkg is needed; they are unpacked, nothing of them is run.
"""

import hashlib
import os
import shutil
import subprocess
import sys
from collections.abc import Callable, Mapping
from pathlib import Path

from tests.bundle.fetched import REPOSITORY, lacking

CACHE = REPOSITORY / ".cache"
PACKAGES = ("python3.11-minimal", "libpython3.11-stdlib", "libstdc++6")

WHEELS = {
    "onnxruntime==1.31.1": "da05378364c44d4407e463982d2bf8d5e4cfea873283757e48beeb41df97b7f3",
    "numpy==2.4.6": "0ab0a9c4ffb1a6d95ef519fe4247dba8eb6b18ad93999f76b7f657039acabd47",
    "tokenizers==0.23.3": "ec82e80e65a862275b97c3d90b7a523df8d9519ee48aeb4e9625b2cc909274e0",
}
"""SHA-256 of the wheels for CPython 3.11 on Linux, by requirement."""

_PLATFORMS = ("manylinux_2_28", "manylinux_2_27", "manylinux_2_17", "manylinux2014")


def kept_root(cache: Path = CACHE) -> Path:
    """The root file system, made once."""
    place = cache / f"arm64-root-{_digest(PACKAGES)}"
    return _kept(place, make_root, "a root file system for arm64") / "root"


def kept_wheels(cache: Path = CACHE, pins: Mapping[str, str] = WHEELS) -> Path:
    """A folder with the wheels, fetched once.

    Args:
        cache: Where folders are kept.
        pins: SHA-256 of each, by requirement.
    """
    lines = [f"{name} --hash=sha256:{digest}" for name, digest in pins.items()]

    def fetch(folder: Path) -> None:
        requirements = folder / "requirements.txt"
        requirements.write_text("\n".join(lines) + "\n")
        command = [sys.executable, "-m", "pip", "download", "--quiet", "--no-deps"]
        command += ["--only-binary", ":all:", "--python-version", "3.11", "--require-hashes"]
        command += [part for name in _PLATFORMS for part in ("--platform", f"{name}_aarch64")]
        command += ["--dest", str(folder), "--requirement", str(requirements)]
        subprocess.run(command, check=True, timeout=300)

    return _kept(cache / f"arm64-wheels-{_digest(lines)}", fetch, "the wheels for arm64")


def onnxruntime_wheel() -> Path:
    """The one of them that holds ONNX Runtime's library."""
    (wheel,) = kept_wheels().glob("onnxruntime-*.whl")
    return wheel


def _digest(lines: tuple[str, ...] | list[str]) -> str:
    return hashlib.sha256("\n".join(lines).encode()).hexdigest()[:16]


def _kept(place: Path, fill: Callable[[Path], object], what: str) -> Path:
    """A folder that is complete or not there; tests in other processes may be filling it too."""
    if place.is_dir():
        return place
    partial = Path(f"{place}.{os.getpid()}")
    partial.mkdir(parents=True)
    try:
        fill(partial)
        if not place.is_dir():
            partial.rename(place)
    except (OSError, subprocess.SubprocessError) as error:
        lacking(f"{what}: {error}")
    finally:
        shutil.rmtree(partial, ignore_errors=True)
    return place


def make_root(folder: Path) -> Path:
    """The root, in a folder that may hold it already.

    Raises:
        subprocess.CalledProcessError: apt did not get the packages.
    """
    root = folder / "root"
    if root.is_dir():
        return root
    work = folder / "apt"
    for name in ("state/lists/partial", "cache/archives/partial", "unpacked"):
        (work / name).mkdir(parents=True, exist_ok=True)
    (work / "status").touch()
    settings = {
        "APT::Architecture": "arm64",
        "APT::Architectures": "arm64",
        "APT::Sandbox::User": "root",
        "Dir::State": work / "state",
        "Dir::State::status": work / "status",
        "Dir::Cache": work / "cache",
    }
    apt = ["apt-get", "--quiet=2", *(f"-o{key}={value}" for key, value in settings.items())]
    install = ["install", "--yes", "--no-install-recommends", "--download-only", *PACKAGES]
    for command in (["update"], install):
        subprocess.run([*apt, *command], check=True, timeout=300, stdout=subprocess.DEVNULL)
    unpacked = work / "unpacked"
    for archive in sorted((work / "cache" / "archives").glob("*.deb")):
        subprocess.run(["dpkg-deb", "-x", archive, unpacked], check=True, timeout=120)
    unpacked.rename(root)
    shutil.rmtree(work)
    return root


if __name__ == "__main__":
    print(make_root(Path(sys.argv[1])))  # noqa: T201 - the command's result
