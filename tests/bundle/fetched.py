"""What tests of phones' bundles need of registries, pinned by hash and kept in the clone."""

import hashlib
import os
import shutil
import subprocess
import sys
import tarfile
import tempfile
from collections.abc import Callable
from pathlib import Path

import pytest

REPOSITORY = Path(__file__).parents[2]

MOBILE = "com.github.asus4.onnxruntime@0.4.9"
"""ONNX Runtime 1.29.0 for Android and iOS, as published; MIT."""
MOBILE_SHA256 = "e59788788818fdde1b2e522e766a21ba0f7d8391de55737abf81e32cc801785d"
AAR = "package/Plugins/Android/onnxruntime.aar"
IOS_HEADERS = (
    "package/Plugins/iOS~/onnxruntime.xcframework/ios-arm64/onnxruntime.framework/Headers/"
)

KOTLIN = "kotlin-compiler@2.4.20"
KOTLIN_SHA256 = "c23dab400d7ce5ea8b6c909947c0ca5454189e4bb1108695b5f464500e5e950f"

PYSERINI = "pyserini==1.6.0"
"""Its source holds a jar with onnxruntime 1.17.0 for the JVM on Linux, which no other package of
PyPI or npm brings; Apache-2.0."""
PYSERINI_SHA256 = "e34761d700b33613c26bc61113effc6d65598dee6ada28a33214f79350f833f4"


def is_mobile(name: str) -> bool:
    """What tests need of the package `MOBILE`."""
    return name == AAR or name.startswith(IOS_HEADERS)


def lacking(what: str) -> None:
    """Skip a test for what this machine lacks; CI has everything, so that there it fails."""
    if os.environ.get("CI") == "true":
        pytest.fail(f"CI lacks {what}")
    pytest.skip(f"lacks {what}")


def from_npm(package: str, sha256: str, wanted: Callable[[str], bool]) -> Path:
    """Files of an npm package, unpacked."""
    if shutil.which("npm") is None:
        lacking("npm")
    return _kept(["npm", "pack", "--silent", package], "*.tgz", sha256, wanted, package)


def from_pypi(package: str, sha256: str, wanted: Callable[[str], bool]) -> Path:
    """Files of a source distribution, unpacked; pip runs its code for its metadata.

    The hash is therefore pip's to check: before that code, which `_kept` alone would be after.
    """
    command = [sys.executable, "-m", "pip", "download", "--quiet", "--no-deps"]
    command += ["--no-build-isolation", "--no-binary", ":all:", "--require-hashes"]
    with tempfile.NamedTemporaryFile("w", suffix=".txt") as pinned:
        pinned.write(f"{package} --hash=sha256:{sha256}\n")
        pinned.flush()
        return _kept([*command, "-r", pinned.name], "*.tar.gz", sha256, wanted, package)


def _kept(
    command: list[str], pattern: str, sha256: str, wanted: Callable[[str], bool], package: str
) -> Path:
    unpacked = REPOSITORY / ".cache" / f"mobile-{sha256[:16]}"
    if unpacked.is_dir():
        return unpacked
    unpacked.parent.mkdir(exist_ok=True)
    partial = Path(f"{unpacked}.{os.getpid()}")
    partial.mkdir()
    try:
        subprocess.run(command, cwd=partial, check=False, stdout=subprocess.DEVNULL, timeout=600)
        archives = [*partial.glob(pattern)]
        if not archives:
            lacking(f"the download of {package}")
        assert hashlib.sha256(archives[0].read_bytes()).hexdigest() == sha256
        with tarfile.open(archives[0]) as files:
            members = [member for member in files if wanted(member.name)]
            files.extractall(partial, members=members, filter="data")
        archives[0].unlink()
        if not unpacked.is_dir():  # another test process may have been quicker
            partial.rename(unpacked)
    finally:
        shutil.rmtree(partial, ignore_errors=True)
    return unpacked
